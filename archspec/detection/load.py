"""From a name to a detector: read, laid over each other, validated, its network compiled and cut."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from archspec.api import load
from archspec.detection.checks import contradictions, misfits
from archspec.detection.counts import counted
from archspec.detection.models import DetectorFile
from archspec.detection.parts import divided
from archspec.errors import Problem, ProblemsFound, SpecError, concise, did_you_mean, nearest
from archspec.passes.budget import Budget
from archspec.spec import documents
from archspec.spec.inherit import Sources, assignments, gather
from archspec.spec.library import shipped_names, spec_folder
from archspec.spec.validate import problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.architecture import Architecture
    from archspec.detection.models import Detector
    from archspec.detection.parts import Parts
    from archspec.spec.documents import Document

_BACKBONE = ("detector", "backbone")


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


def detector_folder() -> Path:
    """The folder of shipped detectors."""
    return spec_folder() / "detection"


def detector_names() -> list[str]:
    """The shipped detectors, as `load_detector` takes them: faster-rcnn-resnet101."""
    return sorted(path.stem for path in detector_folder().glob("*.toml"))


def find_detector(name: str) -> Path:
    """A detector by path, or a shipped one by name: `faster-rcnn-resnet101`."""
    path = Path(name)
    # a folder of that name, as runs leave it, does not hide a shipped detector
    if os.path.isfile(path) or path.is_absolute() or ".." in path.parts:
        return path
    shipped = name.removeprefix("specs/").removeprefix("detection/").removesuffix(".toml")
    if shipped not in detector_names():
        return path
    candidate = detector_folder() / f"{shipped}.toml"
    return candidate.relative_to(Path.cwd()) if candidate.is_relative_to(Path.cwd()) else candidate


def load_detector(
    name: str | Path, settings: Sequence[str] = (), *, allow_outside: bool = False
) -> LoadedDetector:
    """A detector by path, by shipped name, or from standard input (`-`). Raises `SpecError`.

    `settings` are `KEY=VALUE`, for example `detector.proposals.keep_test=100`.
    """
    first = (
        documents.read_stdin()
        if str(name) == "-"
        else documents.read(find_detector(str(name)), lambda: _shipped(str(name)))
    )
    return resolve_detector(first, settings, allow_outside=allow_outside)


def _shipped(name: str) -> str:
    """A shipped detector's name that comes close to what was typed, or all of them."""
    match = nearest(name.removesuffix(".toml"), detector_names())
    return f'did you mean "{match}"?' if match else f"detectors that ship: {', '.join(detector_names())}"


def resolve_detector(
    first: Document, settings: Sequence[str] = (), *, allow_outside: bool = False
) -> LoadedDetector:
    """The detector that a document and all it extends declare. Raises `SpecError`."""
    root = first.path.parent if first.path is not None else Path.cwd()
    files = gather(first, root, allow_outside=allow_outside)
    sources = Sources((*files, *assignments(settings, None, {})))
    merged = sources.merged()
    found = _of_networks(sources)
    try:
        file = DetectorFile.model_validate(merged)
    except ValidationError as error:
        raise sources.error([*found, *problems(error, DetectorFile, merged)]) from error
    found += contradictions(file.detector, sources)
    try:
        architecture = _backbone(file.detector, sources, root, allow_outside=allow_outside)
        parts = divided(architecture, file.detector.cut, file.detector.regions.size)
    except ProblemsFound as more:
        raise sources.error([*found, *more.problems]) from more
    loaded = LoadedDetector(file, architecture, parts, sources)
    found += [*misfits(file.detector, parts), *_over_budget(loaded)]
    if found:
        raise sources.error(found)
    return loaded


def _over_budget(loaded: LoadedDetector) -> list[Problem]:
    """Layers of its own can make a network of any size too large."""
    parameters, most = counted(loaded).parameters, Budget().params
    if parameters <= most:
        return []
    message = f"{parameters:,} parameters, but the budget is {most:,}"
    return [Problem("AS401", message, ("detector", "proposals", "width"))]


def _of_networks(sources: Sources) -> list[Problem]:
    """`[stage.NAME]` is a word of networks: laying documents over each other swallows it."""
    hint = 'a stage of the backbone is changed with set = ["stage.conv4_x.depth=6"]'
    said = any("stage" in document.data for document in sources.documents)
    return [Problem("AS101", 'unknown key "stage"', ("stage",), hint, "key")] if said else []


def _backbone(detector: Detector, sources: Sources, root: Path, *, allow_outside: bool) -> Architecture:
    """The network. Raises `ProblemsFound` for one that cannot be had."""
    path = _located(detector.backbone, sources, root, allow_outside=allow_outside)
    try:
        return load(path, settings=detector.set, allow_outside=allow_outside)
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
    return Problem("AS571", f"the backbone cannot be had: {concise(first)}", _BACKBONE, first.hint)
