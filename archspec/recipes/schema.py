"""The JSON Schema of the language of recipes, for editors."""

from __future__ import annotations

from typing import Any

from archspec.recipes.models import Recipe
from archspec.spec.schema import schema_of, written

SCHEMA_FILE = "recipes/recipe.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema of a recipe file."""
    return schema_of(Recipe, "recipe")


def schema_text() -> str:
    """The committed file's text."""
    return written(json_schema())
