"""The JSON Schema of the language of studies, for editors. Kept to what draft 7 knows: TOML language servers do."""

from __future__ import annotations

import json
from typing import Any

from archspec.studies.models import Study

SCHEMA_FILE = "studies/study.schema.json"


def json_schema() -> dict[str, Any]:
    """The schema of a study's file. A file that `extends` another may leave everything else out, in tables too."""
    schema = Study.model_json_schema(ref_template="#/definitions/{model}")
    definitions = dict(sorted(schema["$defs"].items()))
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "archspec study",
        "description": schema["description"],
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["extends"]}, {"required": schema["required"]}],
        "properties": {
            "extends": {
                "type": "string",
                "description": "A study to start from: a path relative to this file.",
            },
            **schema["properties"],
        },
        "definitions": definitions,
    }


def schema_text() -> str:
    """The committed file's text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
