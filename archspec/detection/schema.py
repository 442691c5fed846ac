"""The JSON Schema of the language of detectors, for editors, in what draft 7 knows."""

from __future__ import annotations

import json
from typing import Any

from archspec.detection.models import DetectorFile

SCHEMA_FILE = "detection/detector.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema of a detector file. A file that `extends` another may leave everything else out, in tables too."""
    schema = DetectorFile.model_json_schema(ref_template="#/definitions/{model}")
    definitions = {name: _draft7(each) for name, each in sorted(schema["$defs"].items())}
    for definition in definitions.values():
        definition.pop("required", None)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "archspec detector",
        "description": schema["description"],
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["extends"]}, {"required": schema["required"]}],
        "properties": {
            "extends": {
                "type": "string",
                "description": "A detector to start from: a path relative to this file.",
            },
            **_draft7(schema["properties"]),
        },
        "definitions": definitions,
    }


def _draft7(value: Any) -> Any:
    """Arrays of a fixed length as draft 7 says them."""
    if isinstance(value, dict):
        return {"items" if key == "prefixItems" else key: _draft7(each) for key, each in value.items()}
    return [_draft7(each) for each in value] if isinstance(value, list) else value


def schema_text() -> str:
    """The committed file's text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
