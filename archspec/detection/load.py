"""From a name to a detector: read, laid over each other, validated, its network compiled and cut."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.api import load
from archspec.detection.checks import contradictions, misfits
from archspec.detection.counts import counted
from archspec.detection.models import DetectorFile
from archspec.detection.parts import divided
from archspec.errors import Problem, ProblemsFound, SpecError, concise, did_you_mean
from archspec.passes.budget import Budget
from archspec.passes.measure import Counts
from archspec.spec.inherit import Sources, assignments, gather
from archspec.spec.library import shipped_names, spec_folder
from archspec.spec.shelf import Shelf, validated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.architecture import Architecture
    from archspec.detection.models import Detector
    from archspec.detection.parts import Parts
    from archspec.errors import Loc
    from archspec.spec.documents import Document

BUDGET = Budget(activations=4_000_000_000)
"""The most that a detector may have: for its largest picture, with all regions of it."""
_BACKBONE = ("detector", "backbone")
_OVER_BUDGET = ("AS401", "AS402", "AS403")
_OF_STAGE = 'a stage of the backbone is changed with set = ["stage.conv4_x.depth=6"]'


@dataclass(frozen=True)
class LoadedDetector:
    """A detector that has been read and checked, its network, and where each value was said."""

    file: DetectorFile
    architecture: Architecture = field(repr=False)
    parts: Parts = field(repr=False)
    sources: Sources = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.file.name

    @property
    def detector(self) -> Detector:
        """What it is made of."""
        return self.file.detector

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that it computes and learns from: the network's function and every value, no names."""
        import hashlib
        import json

        table = self.resolved()["detector"]
        for key in ("backbone", "set"):
            table.pop(key, None)
        table["function"] = self.architecture.hash
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()

    def resolved(self) -> dict[str, Any]:
        """The detector with nothing implied: every default that is read written out, no `extends`."""
        table = self.file.model_dump(mode="json", exclude_none=True)
        if self.detector.regions.kind == "pool":
            table["detector"]["regions"].pop("points")
        return table

    def text(self) -> str:
        """The resolved detector as TOML, to be kept beside a run."""
        import tomli_w

        return tomli_w.dumps(self.resolved())


_SHELF = Shelf("detection", "detectors")
detector_folder, detector_names, find_detector = _SHELF.folder, _SHELF.names, _SHELF.find


def load_detector(
    name: str | Path,
    settings: Sequence[str] = (),
    *,
    budget: Budget | None = None,
    allow_outside: bool = False,
) -> LoadedDetector:
    """A detector by path, by shipped name, or from standard input (`-`). Raises `SpecError`.

    `settings` are `KEY=VALUE`, for example `detector.proposals.keep_test=100`. Without a `budget`, the network has its
    usual one, and the whole has `BUDGET`.
    """
    return resolve_detector(_SHELF.read(name), settings, budget=budget, allow_outside=allow_outside)


def resolve_detector(
    first: Document,
    settings: Sequence[str] = (),
    *,
    network: Architecture | None = None,
    budget: Budget | None = None,
    allow_outside: bool = False,
) -> LoadedDetector:
    """The detector that a document and all it extends declare. Raises `SpecError`.

    With a `network`, that is the backbone, whatever the document names: its file need not be there any more.
    """
    root = first.path.parent if first.path is not None else Path.cwd()
    files = gather(first, root, allow_outside=allow_outside)
    sources = Sources((*files, *assignments(settings, None, {})))
    file, found = validated(DetectorFile, sources, of_stage=_OF_STAGE)
    found += contradictions(file.detector, sources)
    try:
        architecture = network or _backbone(
            file.detector, sources, root, budget=budget, allow_outside=allow_outside
        )
        parts = divided(architecture, file.detector.cut, file.detector.regions.size)
    except ProblemsFound as more:
        raise sources.error([*found, *more.problems]) from more
    loaded = LoadedDetector(file, architecture, parts, sources)
    found += [*misfits(file.detector, parts), *_over_budget(loaded, budget or BUDGET)]
    if found:
        raise sources.error(found)
    return loaded


def _over_budget(loaded: LoadedDetector, budget: Budget) -> list[Problem]:
    """Layers of its own, large pictures and many regions can make a network of any size too large."""
    counts = counted(loaded, (max(loaded.detector.image.shorter), loaded.detector.image.longest))
    regions, said = _most_regions(loaded.detector)
    once, each = Counts(), Counts()
    for part in counts.parts:
        if part.each == "image":
            once += part.counts
        else:
            each += part.counts
    of_regions = regions * each.activations
    own = 2 * counts.part("proposals").counts.params > counts.parameters
    # at what weighs most
    places: dict[str, Loc] = {
        "AS401": ("detector", "proposals", "width") if own else _BACKBONE,
        "AS402": said if of_regions > once.activations else ("detector", "image", "longest"),
        "AS403": _BACKBONE,
    }
    once += replace(each, activations=of_regions)
    return [problem._replace(loc=places[problem.code]) for problem in budget.problems(once)]


def _most_regions(detector: Detector) -> tuple[int, Loc]:
    """Of one picture, in a test or in training; and what says so."""
    proposals, regions = detector.proposals, detector.regions
    return max(
        (proposals.keep_test, ("detector", "proposals", "keep_test")),
        (min(proposals.keep_train, regions.sampled), ("detector", "regions", "sampled")),
    )


def _backbone(
    detector: Detector, sources: Sources, root: Path, *, budget: Budget | None, allow_outside: bool
) -> Architecture:
    """The network. Raises `ProblemsFound` for one that cannot be had."""
    path = _located(detector.backbone, sources, root, allow_outside=allow_outside)
    try:
        return load(path, settings=detector.set, budget=budget, allow_outside=allow_outside)
    except SpecError as error:
        raise ProblemsFound([_placed(error, detector)]) from error


def _located(name: str, sources: Sources, root: Path, *, allow_outside: bool) -> Path:
    """The file of a spec that ships, or of one beside the file that names it."""
    names = shipped_names()
    if name in names:
        return spec_folder() / f"{name}.toml"
    if not name.endswith(".toml"):
        message, hint = f'no spec that ships is called "{name}"', did_you_mean(name.lower(), names)
        raise ProblemsFound([Problem("AS571", message, _BACKBONE, hint)])
    said = sources.origin(_BACKBONE)[0].path
    path = (said.parent if said is not None else root) / name
    if not allow_outside and not path.resolve().is_relative_to(root.resolve()):
        message, hint = f'"{name}" lies outside the detector\'s folder', "--allow-outside permits it"
        raise ProblemsFound([Problem("AS571", message, _BACKBONE, hint)])
    if not path.is_file():
        raise ProblemsFound([Problem("AS571", f'there is no file "{name}" beside the detector', _BACKBONE)])
    return path


def _placed(error: SpecError, detector: Detector) -> Problem:
    """A mistake in the network, where the detector says it."""
    first = error.diagnostics[0]
    for place, setting in enumerate(detector.set):
        if first.span.file == f"--set {setting}":
            return Problem(
                first.code, f"{first.message} (in {setting})", ("detector", "set", place), first.hint
            )
    if first.code in _OVER_BUDGET:
        return Problem(first.code, f"the backbone has {first.message}", _BACKBONE, first.hint)
    return Problem("AS571", f"the backbone cannot be had: {concise(first)}", _BACKBONE, first.hint)
