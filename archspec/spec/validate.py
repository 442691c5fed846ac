"""From Pydantic's errors to archspec's problems, and the checks that concern several fields at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from archspec.errors import Loc, Note, Problem, did_you_mean
from archspec.spec import library
from archspec.spec.fields import shown
from archspec.spec.models import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

MAX_PROBLEMS = 100
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
    twins = _twin_stages(merged.get("stages"))
    try:
        spec = Spec.model_validate(merged, context=context)
    except ValidationError as error:
        return [*twins, *problems(error, Spec, merged)]
    return twins or spec


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
    return [_problem(detail, model, table) for detail in error.errors(include_url=False)[:MAX_PROBLEMS]]


def _problem(detail: ErrorDetails, model: type[BaseModel], merged: Mapping[str, Any]) -> Problem:
    kind, context = detail["type"], detail.get("ctx", {})
    loc: Loc = tuple(part for part in detail["loc"] if not (isinstance(part, str) and part.startswith("<")))
    if kind.startswith("AS"):
        return Problem(kind, detail["msg"], loc, context.get("hint", ""))
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"], loc, model)
    if kind == "missing":
        return Problem("AS102", f'"{loc[-1]}" is missing{_inside(loc[:-1])}', loc[:-1], at="key")
    if kind in _RANGE:
        return Problem("AS104", f"{shown(detail['input'])} is out of range: {_range(context)}", loc)
    if kind == "literal_error":
        return _not_one_of(detail, loc)
    if kind in ("too_long", "too_short", "string_too_long"):
        return Problem("AS104", f"too long: at most {context.get('max_length')} are allowed", loc, at="key")
    if kind == "string_pattern_mismatch":
        return _bad_name(detail, loc)
    wanted = _KINDS.get(kind.removesuffix("_parsing").removesuffix("_from_float"), detail["msg"].lower())
    wanted = _KINDS.get(kind, wanted)
    return Problem(
        "AS103", f'"{loc[-1] if loc else "spec"}" must be {wanted}, not {shown(_at(merged, loc))}', loc
    )


def _range(context: Mapping[str, Any]) -> str:
    bounds = [f"{word} {context[key]}" for key, word in _BOUNDS.items() if key in context]
    return " and ".join(bounds) if bounds else "it must be finite"


def _inside(loc: Loc) -> str:
    if not loc:
        return ""
    named = [part for part in loc if isinstance(part, str)]
    return f" in {named[-1]}" if isinstance(loc[-1], str) else f" in {named[-1]}[{loc[-1]}]"


def _at(value: Any, loc: Loc) -> Any:
    for key in loc:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return value
    return value


def _unknown_key(raw: tuple[str | int, ...], loc: Loc, root: type[BaseModel]) -> Problem:
    model = _model_at(raw[:-1], root)
    known = list(model.model_fields) if model is not None else []
    if model is Spec:
        known += ["extends", "stage"]
    return Problem(
        "AS101", f'unknown key "{loc[-1]}"{_inside(loc[:-1])}', loc, did_you_mean(str(loc[-1]), known), "key"
    )


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
    loc = loc[:-1] if loc and loc[-1] == "[key]" else loc
    hint = "a lower-case letter, then letters, digits and _ (in a spec's name also - and .), at most 64"
    return Problem("AS113", f"{shown(detail['input'])} is not a name", loc, hint)
