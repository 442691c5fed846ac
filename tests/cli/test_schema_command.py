"""`archspec schema --of`: the schema of each language, as the committed file has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from archspec_cli.commands.reference import schema

from archspec.detection.schema import SCHEMA_FILE as DETECTORS
from archspec.recipes.schema import SCHEMA_FILE as RECIPES
from archspec.spec.library import spec_folder
from archspec.studies.schema import SCHEMA_FILE as STUDIES

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"spec": "archspec.schema.json", "recipe": RECIPES, "study": STUDIES, "detector": DETECTORS}


@pytest.mark.parametrize("of", FILES)
def test_each_language_has_its_own_and_the_committed_file_is_current(
    of: Literal["spec", "recipe", "study", "detector"], tmp_path: Path
) -> None:
    schema(spec_folder() / FILES[of], of, check=True)
    file = tmp_path / "s.json"
    schema(file, of, check=False)
    assert file.read_bytes() == (spec_folder() / FILES[of]).read_bytes()
    with pytest.raises(SystemExit):
        schema(file, "study" if of == "spec" else "spec", check=True)
