"""From a path to a `Declaration`: read, lay over each other, validate, give parameters their values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.errors import Problem, ProblemsFound, nearest
from archspec.spec import documents, library
from archspec.spec.declaration import Declaration, parameters
from archspec.spec.fields import shown
from archspec.spec.inherit import Sources, assignments, gather
from archspec.spec.validate import validated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archspec.spec.documents import Document


def load_spec(
    name: str | Path,
    params: Mapping[str, int] | None = None,
    settings: Sequence[str] = (),
    *,
    allow_outside: bool = False,
) -> Declaration:
    """A declared architecture by path, by shipped name, or from standard input (`-`). Raises `SpecError`."""
    return resolve(opened(name), params, settings, allow_outside=allow_outside)


def opened(name: str | Path) -> Document:
    """The file of a spec, by path, by shipped name, or standard input (`-`). Raises `SpecError`."""
    if str(name) == "-":
        return documents.read_stdin()
    return documents.read(library.find_spec(str(name)), lambda: _shipped(str(name)))


def _shipped(name: str) -> str:
    """A shipped spec's name that comes close to what was typed."""
    known = [*library.shipped_names(), *library.shipped_detectors()]
    match = nearest(name.removesuffix(".toml"), known)
    return f'did you mean "{match}"?' if match else ""


def resolve(
    first: Document,
    params: Mapping[str, int] | None = None,
    settings: Sequence[str] = (),
    *,
    allow_outside: bool = False,
) -> Declaration:
    """The architecture that a document and all it extends declare. Raises `SpecError`."""
    root = first.path.parent if first.path is not None else Path.cwd()
    files = gather(first, root, allow_outside=allow_outside)
    known = Sources(files).merged()
    if isinstance(known.get("detector"), dict):
        raise Sources(files).error([_detector(known["detector"])])
    sources = Sources((*files, *assignments(settings, params, known)))
    merged = sources.merged()
    problems = sources.problems()
    spec = validated(merged)
    if isinstance(spec, list):
        raise sources.error([*problems, *spec])
    if problems:
        raise sources.error(problems)
    try:
        return Declaration(spec, parameters(spec, sources), sources)
    except ProblemsFound as found:
        raise sources.error(found.problems) from found


def _detector(declared: Mapping[str, Any]) -> Problem:
    """A detector where a network's spec is needed: one mistake, not one for each key that networks do not have."""
    network = declared.get("backbone")
    changed = " with the changes of detector.set" if declared.get("set") else ""
    hint = f"its network is {shown(network)}{changed}" if isinstance(network, str) else ""
    return Problem("AS101", "this is a detector, and a network's spec is needed", ("detector",), hint, "key")


def problem_error(architecture: Declaration, problems: Sequence[Problem]) -> Exception:
    """A `SpecError` for problems found after loading, placed in the architecture's files."""
    return architecture.sources.error(problems)
