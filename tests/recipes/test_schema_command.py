"""`archspec schema --recipe`: the schema of recipes, as the committed file has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from archspec_cli.commands.reference import schema

from archspec.recipes.schema import SCHEMA_FILE, schema_text
from archspec.spec.library import spec_folder
from archspec.spec.schema import schema_text as of_specs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("recipe", [False, True])
def test_each_language_has_its_own(recipe: bool, tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    schema(file, recipe=recipe, check=False)
    assert file.read_text(encoding="utf-8") == (schema_text() if recipe else of_specs())
    schema(file, recipe=recipe, check=True)
    with pytest.raises(SystemExit):
        schema(file, recipe=not recipe, check=True)


def test_the_committed_file_is_current() -> None:
    schema(spec_folder() / SCHEMA_FILE, recipe=True, check=True)
