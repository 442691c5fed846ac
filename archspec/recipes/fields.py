"""The types of a recipe's single fields. Each wrong value gives one error, with its code."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, StringConstraints, WithJsonSchema

from archspec.errors import did_you_mean
from archspec.spec.fields import problem, shown

MAX_SIDE = 16_384
MAX_COUNT = 10**9
TRAIN_ERROR = "train-error"

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Positive = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Rate = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Below1 = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Pixel = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=1e-6, le=255, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
SetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.+-]{0,63}$")]
"""Of a data set: also `07+12`."""
Topic = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Sentence = Annotated[str, StringConstraints(max_length=600)]
Milestones = Annotated[tuple[Positive, ...], Field(max_length=100, strict=False)]
Sides = Annotated[tuple[Side, ...], Field(max_length=20, strict=False)]


def _twice(value: Any) -> Any:
    """One side stands for a range of one: `256` for `[256, 256]`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    if not isinstance(value, (list, tuple)):
        raise problem("AS103", f"a side is a whole number or [lowest, highest], not {shown(value)}")
    return value


_SIDE_JSON = {"type": "integer", "minimum": 1, "maximum": MAX_SIDE}
_RANGE_JSON = {"anyOf": [_SIDE_JSON, {"type": "array", "items": _SIDE_JSON, "minItems": 2, "maxItems": 2}]}
SideRange = Annotated[
    tuple[Side, Side], BeforeValidator(_twice), Field(strict=False), WithJsonSchema(_RANGE_JSON)
]


def _until(value: Any) -> int | str:
    if isinstance(value, str):
        if value != TRAIN_ERROR:
            hint = did_you_mean(value, [TRAIN_ERROR])
            raise problem("AS105", f"{shown(value)} is nothing that a warm-up waits for", hint)
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise problem("AS103", f'"until" is a whole number or "{TRAIN_ERROR}", not {shown(value)}')
    if not 1 <= value <= MAX_COUNT:
        raise problem("AS104", f"{shown(value)} is out of range: at least 1 and at most {MAX_COUNT}")
    return value


_UNTIL_JSON = {"anyOf": [{"enum": [TRAIN_ERROR]}, {"type": "integer", "minimum": 1, "maximum": MAX_COUNT}]}
Until = Annotated[int | Literal["train-error"], PlainValidator(_until), WithJsonSchema(_UNTIL_JSON)]
