"""What recipes, studies and detectors share: they ship in folders of their own, read and validated as specs are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from archspec.errors import Problem, did_you_mean, nearest
from archspec.spec import documents
from archspec.spec.library import spec_folder
from archspec.spec.validate import problems

if TYPE_CHECKING:
    from archspec.spec.documents import Document
    from archspec.spec.inherit import Sources

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder beside the networks, and the word for what lies in it: recipes, of which each is a recipe."""

    name: str
    word: str

    def folder(self) -> Path:
        """The folder of what ships."""
        return spec_folder() / self.name

    def names(self) -> list[str]:
        """What ships, by the names that `find` takes: cifar10-paper."""
        return sorted(path.stem for path in self.folder().glob("*.toml"))

    def find(self, name: str) -> Path:
        """A file by path, or a shipped one by name: `cifar10-paper`, `specs/recipes/cifar10-paper.toml`."""
        path = Path(name)
        # a folder of that name, as runs leave it, does not hide what ships
        if os.path.isfile(path) or path.is_absolute() or ".." in path.parts:
            return path
        shipped = name.removeprefix("specs/").removeprefix(f"{self.name}/").removesuffix(".toml")
        if shipped not in self.names():
            return path
        candidate = self.folder() / f"{shipped}.toml"
        return candidate.relative_to(Path.cwd()) if candidate.is_relative_to(Path.cwd()) else candidate

    def read(self, name: str | Path) -> Document:
        """A file by path, by shipped name, or standard input (`-`). Raises `SpecError`."""
        if str(name) == "-":
            return documents.read_stdin()
        return documents.read(self.find(str(name)), lambda: self._shipped(str(name)))

    def _shipped(self, name: str) -> str:
        """A shipped name that comes close to what was typed, or all of them."""
        match = nearest(name.removesuffix(".toml"), self.names())
        return f'did you mean "{match}"?' if match else f"{self.word} that ship: {', '.join(self.names())}"


def validated(model: type[M], sources: Sources, *, of_stage: str | None = None) -> tuple[M, list[Problem]]:
    """What documents declare, and what is wrong with them all the same. Raises `SpecError`.

    `[stage.NAME]` is a word of networks, and laying documents over each other swallows it; `of_stage` is what is said
    to whoever wrote it.
    """
    merged = sources.merged()
    hint = did_you_mean("stage", [*model.model_fields, "extends"]) if of_stage is None else of_stage
    said = any("stage" in document.data for document in sources.documents)
    early = [Problem("AS101", 'unknown key "stage"', ("stage",), hint, "key")] if said else []
    try:
        return model.model_validate(merged), early
    except ValidationError as error:
        raise sources.error([*early, *problems(error, model, merged)]) from error
