"""Writes the key tables of `docs/spec.md` from the models of the spec language, so that they cannot drift.

`python docs/reference.py` rewrites the region between the two marks; `--check` exits 1 where it is not current.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from archspec.ir.ops import ActivationKind
from archspec.spec import models
from archspec.spec.fields import NormKind
from archspec.spec.schema import json_schema

if TYPE_CHECKING:
    from pydantic import BaseModel

PAGE = Path(__file__).with_name("spec.md")
BEGIN = "<!-- begin: key tables, written by docs/reference.py -->"
END = "<!-- end: key tables -->"

# every table of a spec, in the order in which the page shows them, with the words for its heading
TABLES: tuple[tuple[type[BaseModel], str], ...] = (
    (models.Spec, "The top of the file"),
    (models.Input, "`[input]`"),
    (models.Stem, "`[stem]`"),
    (models.Head, "`[head]`"),
    (models.Defaults, "`[defaults]`"),
    (models.NormTable, "`[norm]`"),
    (models.Init, "`[init]`"),
    (models.Family, "`[family]`"),
    (models.Stage, "`[[stages]]`"),
    (models.Block, "`[blocks.NAME]`"),
    (models.Conv, "The layer `conv`"),
    (models.Pool, "The layer `pool`"),
    (models.Linear, "The layer `linear`"),
    (models.Dropout, "The layer `dropout`"),
    (models.Gate, "The layer `gate`"),
    (models.Norm, "The layer `norm`"),
    (models.Act, "The layer `act`"),
)

# lists of words that several keys share, each written once
WORDS = {
    get_args(ActivationKind): ("an", "activation", "Activations"),
    get_args(NormKind): ("a", "normalisation", "Normalisations"),
}

# what holds where the model itself says None; a test compares each of these with the same value written out
IMPLIED: dict[tuple[str, str], str] = {
    ("Spec", "family"): "no rule",
    ("Spec", "depth"): "by the parameters",
    ("Defaults", "block"): "each stage says",
    ("Stage", "block"): "`defaults.block`",
    ("Stage", "shortcut"): "`defaults.shortcut`",
    ("Conv", "stride"): "`1`, or the stage's",
    ("Conv", "padding"): "`dilation * (conv - 1) // 2`",
    ("Conv", "bias"): "`defaults.bias`",
    ("Conv", "norm"): "`true`; in a gate `false`",
    ("Conv", "act"): "`true`",
    ("Conv", "order"): "`defaults.order`",
    ("Pool", "size"): "average: the whole map; max: required",
    ("Pool", "stride"): "`size`",
    ("Pool", "padding"): "`(size - 1) // 2` or `0`",
    ("Pool", "output"): "`1`, without a size",
}


def tables() -> str:
    """The marked region: one table of keys for each table of the language. Raises `KeyError` where one is missing."""
    known = {model.__name__ for model, _ in TABLES}
    missing = sorted({*models.Spec.model_json_schema()["$defs"], "Spec"} ^ known)
    if missing:
        raise KeyError(f"TABLES and the models differ: {', '.join(missing)}")
    lists = [
        f"### {heading}\n\n{', '.join(f'`{json.dumps(word)}`' for word in words)}."
        for words, (_, _, heading) in WORDS.items()
    ]
    return "\n\n".join([*(_table(model, heading) for model, heading in TABLES), *lists]) + "\n"


def _table(model: type[BaseModel], heading: str) -> str:
    schema = models.Spec.model_json_schema()
    own = schema if model is models.Spec else schema["$defs"][model.__name__]
    rows = [
        f"| `{key}` | {_type(own['properties'][key])} | {_default(model, key)} | {_cell(field.description or '')} |"
        for key, field in model.model_fields.items()
    ]
    if model is models.Spec:
        # two keys are read before the models see a spec, so they stand in the JSON Schema alone
        properties = json_schema()["properties"]
        rows.insert(0, f"| `extends` | file | no base | {_cell(properties['extends']['description'])} |")
        rows.append(f"| `stage` | tables by name | `{{}}` | {_cell(properties['stage']['description'])} |")
    about = (model.__doc__ or "").strip()
    head = [f"### {heading}", "", about, "", "| key | type | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _default(model: type[BaseModel], key: str) -> str:
    """The default column. Raises `KeyError` where the model has no value and `IMPLIED` says nothing."""
    field = model.model_fields[key]
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None:
        return _cell(IMPLIED[model.__name__, key])
    if (model.__name__, key) in IMPLIED:
        raise ValueError(f"IMPLIED is stale: {model.__name__}.{key} has a default of its own")
    if isinstance(default, models.Model):
        return "its own defaults"
    held = model.model_construct(**{key: default})
    return f"`{_toml(held.model_dump(mode='json', include={key}, exclude_unset=True)[key])}`"


def _toml(value: Any) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def _type(schema: dict[str, Any]) -> str:
    """A JSON Schema in a few words: `size`, `true or false`, the words that are allowed."""
    if "$ref" in schema:
        return "table"
    kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if [each.get("type") for each in kinds] == ["integer", "string"]:
        return "size"
    joint = ", " if len(kinds) > 1 and kinds[0].get("type") == "boolean" and "enum" in kinds[-1] else " or "
    return joint.join(_one(kind) for kind in kinds).replace("true or false, ", "true, false or ")


def _one(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        if tuple(schema["enum"]) in WORDS:
            article, word, heading = WORDS[tuple(schema["enum"])]
            return f"{article} [{word}](#{heading.lower()})"
        return ", ".join(f"`{json.dumps(word)}`" for word in schema["enum"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    match schema.get("type"):
        case "boolean":
            return "true or false"
        case "integer":
            return f"whole number{_range(schema)}"
        case "number":
            return f"number{_range(schema)}"
        case "string":
            return "text" if "maxLength" in schema else "name"
        case "array" if "prefixItems" in schema:
            return "[size, size]"
        case "array":
            return "array of stages" if schema["items"] == {"$ref": "#/$defs/Stage"} else "array of layers"
        case "object" if "patternProperties" in schema:
            return "tables by name" if "$ref" in str(schema["patternProperties"]) else "sizes by name"
    return "table" if "$ref" in schema else "name"


def _range(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    above = "more than " if "exclusiveMinimum" in schema else ""
    below = "less than " if "exclusiveMaximum" in schema else ""
    return f", {above}{low} to {below}{high}"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|")


def page(text: str) -> str:
    """The page with its region rewritten."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE.name} lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Rewrites the page, or says whether it is current."""
    text = PAGE.read_text(encoding="utf-8")
    wanted = page(text)
    if "--check" in arguments:
        if text != wanted:
            sys.stderr.write(f"{PAGE.name} is not current: run docs/reference.py\n")
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
