"""From a name to a recipe: read, laid over each other, validated, as specs are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from archspec.errors import Problem, did_you_mean, nearest
from archspec.recipes.checks import contradictions
from archspec.recipes.idle import effective
from archspec.recipes.models import Recipe
from archspec.spec import documents
from archspec.spec.inherit import Sources, assignments, gather
from archspec.spec.library import spec_folder
from archspec.spec.validate import problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.spec.documents import Document

_ABOUT = ("name", "about", "source", "says")


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe that has been read and checked, and where each value was said."""

    recipe: Recipe
    sources: Sources = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe.name

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that a run depends on: of values, defaults too, not of names and words."""
        import hashlib
        import json

        table = {key: each for key, each in effective(self.recipe).items() if key not in _ABOUT}
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()

    def resolved(self) -> dict[str, Any]:
        """The recipe with nothing implied: every default that is read written out, no `extends`."""
        return effective(self.recipe)

    def text(self) -> str:
        """The resolved recipe as TOML, to be kept beside a run."""
        import tomli_w

        return tomli_w.dumps(self.resolved())


def recipe_folder() -> Path:
    """The folder of shipped recipes."""
    return spec_folder() / "recipes"


def recipe_names() -> list[str]:
    """The shipped recipes, as `load_recipe` takes them: cifar10-paper."""
    return sorted(path.stem for path in recipe_folder().glob("*.toml"))


def find_recipe(name: str) -> Path:
    """A recipe by path, or a shipped one by name: `cifar10-paper`."""
    path = Path(name)
    # a folder of that name, as runs leave it, does not hide a shipped recipe
    if os.path.isfile(path) or path.is_absolute() or ".." in path.parts:
        return path
    shipped = name.removeprefix("specs/").removeprefix("recipes/").removesuffix(".toml")
    candidate = recipe_folder() / f"{shipped}.toml"
    if shipped not in recipe_names():
        return path
    return candidate.relative_to(Path.cwd()) if candidate.is_relative_to(Path.cwd()) else candidate


def load_recipe(
    name: str | Path, settings: Sequence[str] = (), *, allow_outside: bool = False
) -> LoadedRecipe:
    """A recipe by path, by shipped name, or from standard input (`-`). Raises `SpecError`.

    `settings` are `KEY=VALUE`, for example `data.batch=64`.
    """
    first = (
        documents.read_stdin()
        if str(name) == "-"
        else documents.read(find_recipe(str(name)), lambda: _shipped(str(name)))
    )
    return resolve_recipe(first, settings, allow_outside=allow_outside)


def _shipped(name: str) -> str:
    """A shipped recipe's name that comes close to what was typed, or all of them."""
    match = nearest(name.removesuffix(".toml"), recipe_names())
    return f'did you mean "{match}"?' if match else f"recipes that ship: {', '.join(recipe_names())}"


def resolve_recipe(
    first: Document, settings: Sequence[str] = (), *, allow_outside: bool = False
) -> LoadedRecipe:
    """The recipe that a document and all it extends declare. Raises `SpecError`."""
    root = first.path.parent if first.path is not None else Path.cwd()
    files = gather(first, root, allow_outside=allow_outside)
    sources = Sources((*files, *assignments(settings, None, {})))
    merged = sources.merged()
    early = _of_networks(sources)
    try:
        recipe = Recipe.model_validate(merged)
    except ValidationError as error:
        raise sources.error([*early, *problems(error, Recipe, merged)]) from error
    found = [*early, *contradictions(recipe, sources)]
    if found:
        raise sources.error(found)
    return LoadedRecipe(recipe, sources)


def _of_networks(sources: Sources) -> list[Problem]:
    """`[stage.NAME]` is a word of networks: laying documents over each other swallows it."""
    known = [*Recipe.model_fields, "extends"]
    return [
        Problem("AS101", 'unknown key "stage"', ("stage",), did_you_mean("stage", known), "key")
        for document in sources.documents
        if "stage" in document.data
    ][:1]
