"""The JSON Schema of the spec language, for editors. Kept to what draft 7 knows: TOML language servers do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archspec.sizes import MAX_VALUE
from archspec.spec.models import Spec

if TYPE_CHECKING:
    from pydantic import BaseModel

SCHEMA_FILE = "archspec.schema.json"
_SIZE = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_VALUE}, {"type": "string"}]}


def json_schema() -> dict[str, Any]:
    """The schema of a spec file. A file that `extends` another may leave everything else out."""
    schema = Spec.model_json_schema(ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs")
    definitions["Input"]["properties"]["size"] = {
        "type": "array",
        "items": _SIZE,
        "minItems": 2,
        "maxItems": 2,
        "description": "Height and width.",
    }
    stage = {**definitions["Stage"], "description": "Changes to one inherited stage."}
    stage.pop("required")
    properties = {
        "extends": {"type": "string", "description": "A spec to start from: a path relative to this file."},
        **schema["properties"],
        "stage": {"type": "object", "additionalProperties": stage, "description": "[stage.NAME] tables."},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "archspec network",
        "description": schema["description"],
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["extends"]}, {"required": schema["required"]}],
        "properties": properties,
        "definitions": {name: _plain(definition) for name, definition in sorted(definitions.items())},
    }


def _plain(value: Any) -> Any:
    """Without the defaults that are whole tables: editors show them badly, and the reference has them."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items() if key != "discriminator"}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def schema_text() -> str:
    """The committed file's text."""
    return written(json_schema())


def schema_of(model: type[BaseModel], word: str, *, tables: bool = True) -> dict[str, Any]:
    """The schema of a file of another language. A file that `extends` another may leave everything else out.

    With `tables` that is so within tables, too.
    """
    schema = model.model_json_schema(ref_template="#/definitions/{model}")
    definitions = {name: _draft7(each) for name, each in sorted(schema["$defs"].items())}
    for definition in definitions.values() if tables else ():
        definition.pop("required", None)
    extends = {"type": "string", "description": f"A {word} to start from: a path relative to this file."}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"archspec {word}",
        "description": schema["description"],
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["extends"]}, {"required": schema["required"]}],
        "properties": {"extends": extends, **_draft7(schema["properties"])},
        "definitions": definitions,
    }


def _draft7(value: Any) -> Any:
    """Arrays of a fixed length as draft 7 says them."""
    if isinstance(value, dict):
        return {"items" if key == "prefixItems" else key: _draft7(each) for key, each in value.items()}
    return [_draft7(each) for each in value] if isinstance(value, list) else value


def written(schema: dict[str, Any]) -> str:
    """A schema as its committed file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
