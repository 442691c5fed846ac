"""Writes the key tables of `docs/spec.md` and `docs/recipes.md` from the models, so that they cannot drift.

`python docs/reference.py` rewrites the region between the two marks of each; `--check` exits 1 where one is not
current.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from archspec.recipes import models as recipes
from archspec.recipes.schema import json_schema as recipe_schema
from archspec.spec import models
from archspec.spec.fields import ActKind, NormKind
from archspec.spec.schema import json_schema

if TYPE_CHECKING:
    from pydantic import BaseModel

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

# the same of a recipe
RECIPE_TABLES: tuple[tuple[type[BaseModel], str], ...] = (
    (recipes.Recipe, "The top of the file"),
    (recipes.Data, "`[data]`"),
    (recipes.Augment, "`[augment]`"),
    (recipes.Normalise, "`[normalise]`"),
    (recipes.Optimiser, "`[optimiser]`"),
    (recipes.Schedule, "`[schedule]`"),
    (recipes.Warmup, "`[schedule.warmup]`"),
    (recipes.Train, "`[train]`"),
    (recipes.Evaluation, "`[test]`"),
)

# lists of words that several keys share, each written once
WORDS = {
    get_args(ActKind): ("an", "activation", "Activations"),
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
    ("Conv", "standardise"): "`defaults.standardise`; in a gate `false`",
    ("Conv", "order"): "`defaults.order`",
    ("Pool", "size"): "average: the whole map; max: required",
    ("Pool", "stride"): "`size`",
    ("Pool", "padding"): "`(size - 1) // 2` or `0`",
    ("Pool", "output"): "`1`, without a size",
    ("Augment", "resize"): "as it is",
    ("Augment", "area"): "the whole image",
    ("Augment", "crop"): "the whole image",
    ("Schedule", "period"): "required by `every`",
    ("Schedule", "warmup"): "no warm-up",
    ("Evaluation", "crop"): "the whole image",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page, the tables it shows, and the language they are of."""

    file: Path
    tables: tuple[tuple[type[BaseModel], str], ...]
    extra: dict[str, Any]
    words: bool = False

    @property
    def root(self) -> type[BaseModel]:
        """The whole file's model."""
        return self.tables[0][0]


HERE = Path(__file__).parent
PAGES = (
    Page(HERE / "spec.md", TABLES, json_schema()["properties"], words=True),
    Page(HERE / "recipes.md", RECIPE_TABLES, recipe_schema()["properties"]),
)


def tables(page: Page) -> str:
    """The marked region: one table of keys for each table of the language. Raises `KeyError` where one is missing."""
    known = {model.__name__ for model, _ in page.tables}
    missing = sorted({*page.root.model_json_schema()["$defs"], page.root.__name__} ^ known)
    if missing:
        raise KeyError(f"TABLES and the models differ: {', '.join(missing)}")
    lists = [
        f"### {heading}\n\n{', '.join(f'`{json.dumps(word)}`' for word in words)}."
        for words, (_, _, heading) in (WORDS if page.words else {}).items()
    ]
    return "\n\n".join([*(_table(page, model, heading) for model, heading in page.tables), *lists]) + "\n"


def _table(page: Page, model: type[BaseModel], heading: str) -> str:
    schema = page.root.model_json_schema()
    own = schema if model is page.root else schema["$defs"][model.__name__]
    rows = [
        f"| `{key}` | {_type(own['properties'][key])} | {_default(model, key)} | {_cell(field.description or '')} |"
        for key, field in model.model_fields.items()
    ]
    if model is page.root:
        # some keys are read before the models see a file, so they stand in the JSON Schema alone
        rows.insert(0, f"| `extends` | file | no base | {_cell(page.extra['extends']['description'])} |")
        if "stage" in page.extra:
            rows.append(
                f"| `stage` | tables by name | `{{}}` | {_cell(page.extra['stage']['description'])} |"
            )
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
            return _pair(schema["prefixItems"])
        case "array" if "minItems" in schema:
            return _pair([schema["items"]])
        case "array" if schema["items"].get("type") in ("integer", "number"):
            return f"array of {_type(schema['items']).replace('number', 'numbers', 1)}"
        case "array":
            return "array of stages" if schema["items"] == {"$ref": "#/$defs/Stage"} else "array of layers"
        case "object" if "patternProperties" in schema:
            return _by_name(schema["patternProperties"])
    return "table" if "$ref" in schema else "name"


def _pair(items: list[dict[str, Any]]) -> str:
    kind = _type(items[0])
    return "[size, size]" if kind == "size" else f"two of: {kind}"


def _by_name(patterns: dict[str, Any]) -> str:
    if "$ref" in str(patterns):
        return "tables by name"
    return "text by name" if "maxLength" in str(patterns) else "sizes by name"


def _range(schema: dict[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    above = "more than " if "exclusiveMinimum" in schema else ""
    below = "less than " if "exclusiveMaximum" in schema else ""
    return f", {above}{low} to {below}{high}"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|")


def rewritten(page: Page, text: str) -> str:
    """The page with its region rewritten."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page.file.name} lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables(page)}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Rewrites the pages, or says whether they are current."""
    stale = 0
    for page in PAGES:
        text = page.file.read_text(encoding="utf-8")
        wanted = rewritten(page, text)
        stale += text != wanted
        if "--check" not in arguments:
            page.file.write_text(wanted, encoding="utf-8")
        elif text != wanted:
            sys.stderr.write(f"{page.file.name} is not current: run docs/reference.py\n")
    return int("--check" in arguments and stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
