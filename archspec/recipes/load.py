"""From a name to a recipe: read, laid over each other, validated, as specs are."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.recipes.checks import contradictions
from archspec.recipes.idle import effective
from archspec.recipes.models import Recipe
from archspec.spec.inherit import Sources, assignments, gather
from archspec.spec.shelf import Shelf, validated

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


_SHELF = Shelf("recipes", "recipes")
recipe_folder, recipe_names, find_recipe = _SHELF.folder, _SHELF.names, _SHELF.find


def load_recipe(
    name: str | Path, settings: Sequence[str] = (), *, allow_outside: bool = False
) -> LoadedRecipe:
    """A recipe by path, by shipped name, or from standard input (`-`). Raises `SpecError`.

    `settings` are `KEY=VALUE`, for example `data.batch=64`.
    """
    return resolve_recipe(_SHELF.read(name), settings, allow_outside=allow_outside)


def resolve_recipe(
    first: Document, settings: Sequence[str] = (), *, allow_outside: bool = False
) -> LoadedRecipe:
    """The recipe that a document and all it extends declare. Raises `SpecError`."""
    root = first.path.parent if first.path is not None else Path.cwd()
    files = gather(first, root, allow_outside=allow_outside)
    sources = Sources((*files, *assignments(settings, None, {})))
    recipe, early = validated(Recipe, sources)
    found = [*early, *contradictions(recipe, sources)]
    if found:
        raise sources.error(found)
    return LoadedRecipe(recipe, sources)
