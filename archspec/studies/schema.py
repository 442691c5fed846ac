"""The JSON Schema of the language of studies, for editors."""

from __future__ import annotations

from typing import Any

from archspec.spec.schema import schema_of, written
from archspec.studies.models import Study

SCHEMA_FILE = "studies/study.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema of a study file."""
    return schema_of(Study, "study", tables=False)


def schema_text() -> str:
    """The committed file's text."""
    return written(json_schema())
