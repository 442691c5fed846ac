"""The JSON Schema of the language of detectors, for editors."""

from __future__ import annotations

from typing import Any

from archspec.detection.models import DetectorFile
from archspec.spec.schema import schema_of, written

SCHEMA_FILE = "detection/detector.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema of a detector file."""
    return schema_of(DetectorFile, "detector")


def schema_text() -> str:
    """The committed file's text."""
    return written(json_schema())
