"""From Pydantic's errors to archspec's problems, and the checks that concern several fields at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ValidationError

from archspec.errors import Loc, Note, Problem, did_you_mean, nearest
from archspec.spec import library
from archspec.spec.fields import BLOCK_NAMES, shown
from archspec.spec.inherit import MAX_PROBLEMS
from archspec.spec.models import LAYER_KINDS, Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

_RANGE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number")
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_KINDS = {
    "int_type": "a whole number",
    "string_type": "a string",
    "bool_type": "true or false",
    "float_type": "a number",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "tuple_type": "an array",
    "list_type": "an array",
}


def validated(merged: Mapping[str, Any]) -> Spec | list[Problem]:
    """The spec in a merged table, or everything that is wrong with it."""
    declared, blocks = merged.get("params"), merged.get("blocks")
    context = {
        "params": frozenset(declared) if isinstance(declared, dict) else frozenset(),
        "blocks": library.block_names() | (set(blocks) if isinstance(blocks, dict) else set()),
        "in_block": False,
    }
    early = [*_shadowing(declared), *_twin_stages(merged.get("stages"))]
    try:
        spec = Spec.model_validate(merged, context=context)
    except ValidationError as error:
        return [*early, *problems(error, Spec, merged)]
    return early or spec


def _shadowing(params: Any) -> list[Problem]:
    """Parameters that carry a name which means something else inside a block."""
    return [
        Problem("AS113", f'"{name}" cannot be a parameter: blocks have it', ("params", name), at="key")
        for name in (params if isinstance(params, dict) else ())
        if name in BLOCK_NAMES
    ]


def _twin_stages(stages: Any) -> list[Problem]:
    """Stages that share a name. Looked for before validation, so that other mistakes do not hide it."""
    first: dict[str, int] = {}
    found = []
    for place, stage in enumerate(stages if isinstance(stages, list) else []):
        name = stage.get("name") if isinstance(stage, dict) else None
        if not isinstance(name, str):
            continue
        if name in first:
            notes = (Note(("stages", first[name], "name"), "the first is here"),)
            found.append(
                Problem("AS109", f'two stages are named "{name}"', ("stages", place, "name"), notes=notes)
            )
        first.setdefault(name, place)
    return found[:MAX_PROBLEMS]


def problems(error: ValidationError, model: type[BaseModel], table: Mapping[str, Any]) -> list[Problem]:
    """What Pydantic found wrong with a table that should be a `model`."""
    found = [_problem(detail, model, table) for detail in error.errors(include_url=False)[:MAX_PROBLEMS]]
    # `widht = 64` is one mistake: the unknown key says what the missing one was meant to be
    missing = [_quoted(each) for each in found if each.code == "AS102"]
    unknown = [each.loc for each in found if each.code == "AS101"]
    meant = {(loc[:-1], nearest(str(loc[-1]), missing)) for loc in unknown}
    return [each for each in found if each.code != "AS102" or (each.loc, _quoted(each)) not in meant]


def _quoted(problem: Problem) -> str:
    """The name that a message speaks of."""
    return problem.message.split('"')[1]


def _problem(detail: ErrorDetails, model: type[BaseModel], merged: Mapping[str, Any]) -> Problem:
    kind, context = detail["type"], detail.get("ctx", {})
    loc = _without_tags(detail["loc"])
    if kind == "AS111":
        return Problem(kind, detail["msg"], loc, _nearest_kind(detail["input"]))
    if kind.startswith("AS"):
        return Problem(kind, detail["msg"], loc, context.get("hint", ""))
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"], loc, model, merged)
    if kind == "missing" and isinstance(loc[-1], int):
        return Problem(
            "AS104", f'"{loc[-2]}" has too few entries: {loc[-1] + 1} at least', loc[:-1], at="key"
        )
    if kind == "missing":
        return Problem("AS102", f'"{loc[-1]}" is missing{_inside(loc[:-1])}', loc[:-1], at="key")
    if kind in _RANGE:
        return Problem("AS104", f"{shown(detail['input'])} is out of range: {_range(context)}", loc)
    if kind == "literal_error":
        return _not_one_of(detail, loc)
    if kind in ("too_long", "string_too_long"):
        return Problem("AS104", f"too long: at most {context.get('max_length')} are allowed", loc, at="key")
    if kind in ("too_short", "string_too_short"):
        return Problem("AS104", f"too short: at least {context.get('min_length')} are needed", loc, at="key")
    if kind == "string_pattern_mismatch":
        return _bad_name(detail, loc)
    wanted = _KINDS.get(kind.removesuffix("_parsing").removesuffix("_from_float"), detail["msg"].lower())
    wanted = _KINDS.get(kind, wanted)
    return Problem("AS103", f'"{_named(loc)}" must be {wanted}, not {shown(_at(merged, loc))}', loc)


def _without_tags(raw: tuple[str | int, ...]) -> Loc:
    """A path as the file has it: Pydantic puts a layer's kind behind its place, as `<conv>`."""
    tags = {f"<{kind}>" for kind in LAYER_KINDS}
    before = (None, *raw)
    return tuple(
        part for part, last in zip(raw, before, strict=False) if part not in tags or not isinstance(last, int)
    )


def _named(loc: Loc) -> str:
    """A field by its name, an element by its array's: `stages[0]`."""
    if not loc:
        return "spec"
    return f"{loc[-2]}[{loc[-1]}]" if isinstance(loc[-1], int) and len(loc) > 1 else str(loc[-1])


def _nearest_kind(layer: Any) -> str:
    found = (nearest(key, LAYER_KINDS) for key in layer) if isinstance(layer, dict) else ()
    match = next((each for each in found if each is not None), None)
    return f'did you mean "{match}"?' if match else ""


def _range(context: Mapping[str, Any]) -> str:
    bounds = [f"{word} {context[key]}" for key, word in _BOUNDS.items() if key in context]
    return " and ".join(bounds) if bounds else "it must be finite"


def _inside(loc: Loc) -> str:
    """Where a key stands: ` in stem.layers[0]`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return f" in {path.removeprefix('.')}" if loc else ""


def _at(value: Any, loc: Loc) -> Any:
    for key in loc:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return value
    return value


def _unknown_key(
    raw: tuple[str | int, ...], loc: Loc, root: type[BaseModel], table: Mapping[str, Any]
) -> Problem:
    model = _model_at(raw[:-1], root)
    known = list(model.model_fields) if model is not None else []
    if len(raw) == 1:
        # words of files, taken out before a model sees them; a stage is patched in specs alone
        known += ["extends", "stage"] if root is Spec else ["extends"]
    key = str(loc[-1])
    param = nearest(key, table.get("params") or {}) if len(loc) == 1 and not nearest(key, known) else None
    hint = f'did you mean "{param}" of [params]?' if param else did_you_mean(key, known)
    return Problem("AS101", f'unknown key "{key}"{_inside(loc[:-1])}', loc, hint, "key")


def _model_at(raw: tuple[str | int, ...], root: type[BaseModel]) -> type[BaseModel] | None:
    """The model that a raw error path leads to: its fields are the known words there."""
    from archspec.spec import models

    tagged = {f"<{kind}>": getattr(models, kind.capitalize()) for kind in models.LAYER_KINDS}
    model: type[BaseModel] | None = root
    for part in raw:
        if part in tagged:
            model = tagged[part]
        elif isinstance(part, str) and model is not None and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(inner) for inner in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _not_one_of(detail: ErrorDetails, loc: Loc) -> Problem:
    words = [word.strip("' ") for word in str(detail["ctx"]["expected"]).replace(" or ", ",").split(",")]
    given = detail["input"]
    hint = did_you_mean(given, words) if isinstance(given, str) else f"known here: {', '.join(words)}"
    return Problem("AS105", f'{shown(given)} is not a known "{loc[-1]}"', loc, hint)


def _bad_name(detail: ErrorDetails, loc: Loc) -> Problem:
    at: Literal["key", "value"] = "key" if loc and loc[-1] == "[key]" else "value"
    loc = loc[:-1] if at == "key" else loc
    hint = "a lower-case letter, then letters, digits and _ (in a spec's name also - and .), at most 64"
    return Problem("AS113", f"{shown(detail['input'])} is not a name", loc, hint, at)
