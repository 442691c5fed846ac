"""From a name to a study: read, laid over each other, validated, as specs and recipes are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from archspec.errors import Problem, did_you_mean, nearest
from archspec.spec import documents
from archspec.spec.inherit import Sources, gather
from archspec.spec.library import spec_folder
from archspec.spec.validate import problems
from archspec.studies.checks import contradictions
from archspec.studies.models import Study

if TYPE_CHECKING:
    from archspec.spec.documents import Document


@dataclass(frozen=True)
class LoadedStudy:
    """A study that has been read and checked, where each value was said, and the folder that its files lie in."""

    study: Study
    sources: Sources = field(repr=False, compare=False)
    folder: Path

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.name


def study_folder() -> Path:
    """The folder of shipped studies."""
    return spec_folder() / "studies"


def study_names() -> list[str]:
    """The shipped studies, as `load_study` takes them."""
    return sorted(path.stem for path in study_folder().glob("*.toml"))


def find_study(name: str) -> Path:
    """A study by path, or a shipped one by name."""
    path = Path(name)
    # a folder of that name, as studies leave it, does not hide a shipped study
    if os.path.isfile(path) or path.is_absolute() or ".." in path.parts:
        return path
    shipped = name.removeprefix("specs/").removeprefix("studies/").removesuffix(".toml")
    if shipped not in study_names():
        return path
    candidate = study_folder() / f"{shipped}.toml"
    return candidate.relative_to(Path.cwd()) if candidate.is_relative_to(Path.cwd()) else candidate


def load_study(name: str | Path) -> LoadedStudy:
    """A study by path, by shipped name, or from standard input (`-`). Raises `SpecError`."""
    if str(name) == "-":
        return resolve_study(documents.read_stdin())
    return resolve_study(documents.read(find_study(str(name)), lambda: _shipped(str(name))))


def _shipped(name: str) -> str:
    """A shipped study's name that comes close to what was typed, or all of them."""
    match = nearest(name.removesuffix(".toml"), study_names())
    return f'did you mean "{match}"?' if match else f"studies that ship: {', '.join(study_names())}"


def resolve_study(first: Document) -> LoadedStudy:
    """The study that a document and all it extends declare. Raises `SpecError`."""
    root = first.path.parent if first.path is not None else Path.cwd()
    sources = Sources(gather(first, root))
    merged = sources.merged()
    early = _of_networks(sources)
    try:
        study = Study.model_validate(merged)
    except ValidationError as error:
        raise sources.error([*early, *problems(error, Study, merged)]) from error
    found = [*early, *contradictions(study)]
    if found:
        raise sources.error(found)
    return LoadedStudy(study, sources, root)


def _of_networks(sources: Sources) -> list[Problem]:
    """`[stage.NAME]` is a word of networks: laying documents over each other swallows it."""
    hint = did_you_mean("stage", [*Study.model_fields, "extends"])
    said = any("stage" in document.data for document in sources.documents)
    return [Problem("AS101", 'unknown key "stage"', ("stage",), hint, "key")] if said else []
