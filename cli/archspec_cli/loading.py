"""How commands load what they work on: a spec, a detector, a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.architecture import Architecture, compiled
from archspec.detection.kind import declares_detector
from archspec.passes.budget import Budget
from archspec.spec.load import opened, resolve
from archspec_cli.output import fail

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.data.find import Source
    from archspec.detection.load import LoadedDetector
    from archspec.spec.documents import Document
    from archspec.train.contenders import Contender

    Limits = tuple[int | None, int | None, int | None]
    """Of parameters, activations and layers; None is the usual one."""


def load(
    spec: str,
    changes: list[str] | None = None,
    *,
    allow_outside: bool = False,
    max_params: int | None = None,
    max_activations: int | None = None,
    max_layers: int | None = None,
) -> Architecture:
    """The architecture a command works on."""
    asked = max_params, max_activations, max_layers
    return _network(opened(spec), changes, asked, allow_outside=allow_outside)


def load_any(
    spec: str,
    changes: list[str] | None = None,
    *,
    allow_outside: bool = False,
    max_params: int | None = None,
    max_activations: int | None = None,
    max_layers: int | None = None,
) -> Architecture | LoadedDetector:
    """The architecture or the detector that a command works on. The file is read once, so it may be a stream."""
    asked = max_params, max_activations, max_layers
    document = opened(spec)
    if not declares_detector(document, allow_outside=allow_outside):
        return _network(document, changes, asked, allow_outside=allow_outside)
    from archspec.detection.load import BUDGET, resolve_detector

    budget = _budget(BUDGET, asked) if any(asked) else None
    return resolve_detector(document, changes or (), budget=budget, allow_outside=allow_outside)


def _network(
    document: Document, changes: list[str] | None, asked: Limits, *, allow_outside: bool
) -> Architecture:
    declared = resolve(document, settings=changes or (), allow_outside=allow_outside)
    return compiled(declared, _budget(Budget(), asked))


def _budget(usual: Budget, asked: Limits) -> Budget:
    """The usual one, but for what is asked for."""
    params, activations, layers = asked
    return Budget(params or usual.params, activations or usual.activations, layers or usual.layers)


def figure_file(output: Path) -> None:
    """Ends the command where a figure cannot have this name."""
    from archspec.runs.canvas import FORMATS

    if output.suffix.lower() not in FORMATS:
        fail(f"a figure is no {output.suffix or output.name} file", f"name a {' or '.join(FORMATS)} file")


def sought(name: str | None, root: Path | None, first: Contender) -> Source:
    """The set that is named, for a network's input."""
    from archspec.data.find import NAMES
    from archspec.train import fitting

    if name is None:
        fail("no data set is named", f"--data takes {', '.join(NAMES)}")
    return fitting.sought(name, root, first.architecture)
