"""From a name to a study: read, laid over each other, validated, as specs and recipes are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.spec.inherit import Sources, gather
from archspec.spec.shelf import Shelf, validated
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


_SHELF = Shelf("studies", "studies")
study_folder, study_names = _SHELF.folder, _SHELF.names


def load_study(name: str | Path) -> LoadedStudy:
    """A study by path, by shipped name, or from standard input (`-`). Raises `SpecError`."""
    return resolve_study(_SHELF.read(name))


def resolve_study(first: Document) -> LoadedStudy:
    """The study that a document and all it extends declare. Raises `SpecError`."""
    root = first.path.parent if first.path is not None else Path.cwd()
    sources = Sources(gather(first, root))
    study, early = validated(Study, sources)
    found = [*early, *contradictions(study)]
    if found:
        raise sources.error(found)
    return LoadedStudy(study, sources, root)
