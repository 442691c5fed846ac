"""The types of single fields: sizes, names, switches. Each wrong value gives one error, with its code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, ValidationInfo
from pydantic_core import PydanticCustomError, core_schema

from archspec.errors import did_you_mean
from archspec.ir.ops import ActivationKind
from archspec.sizes import MAX_TEXT, MAX_VALUE, Binary, Size, SizeError, Var, names, parse, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

NormKind = Literal["batch", "layer", "group", "instance", "rms", "frn", "none"]
# every activation that a spec can say: "tlu" has thresholds, so it is an operation of its own
ActKind = Literal[ActivationKind, "tlu"]
BLOCK_NAMES = ("in", "out", "width", "stride")
MOST_SUGGESTIONS = 100
NAME_PATTERN = r"^[a-z][a-z0-9_.-]{0,63}$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
StageName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
ParameterName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
BlockName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
About = Annotated[str, StringConstraints(max_length=2000)]


class _Checked:
    """A field whose value one function of ours checks: one error a wrong value, and a plain JSON Schema.

    Pydantic's own markers would first build a validator for the annotated type, and throw it away.
    """

    def __init__(
        self,
        check: Callable[[Any, ValidationInfo], Any],
        json: JsonSchemaValue,
        written: Callable[[Any], Any] | None = None,
    ) -> None:
        self.check = check
        self.json = json
        self.written = written

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        serialization = self.written and core_schema.plain_serializer_function_ser_schema(self.written)
        return core_schema.with_info_plain_validator_function(self.check, serialization=serialization)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(self.json)


def problem(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """A field's error with archspec's own code and hint."""
    # the text goes in as a value: braces in a template would be read as names
    return PydanticCustomError(code, "{text}", {"text": message, "hint": hint})


def shown(value: object) -> str:
    """A value for a message, as TOML writes it: short, on one line."""
    try:
        written = _toml(value)
    except (ValueError, RecursionError):  # an integer past Python's own limit for printing
        return "a huge value"
    return written if len(written) <= 60 else written[:57] + "..."


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in list(value.items())[:4]) + " }"
    if isinstance(value, list):
        return f"[{', '.join(_toml(each) for each in value[:8])}]"
    return str(value)


def _size(value: Any, info: ValidationInfo) -> Size:
    if isinstance(value, (Var, Binary)):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise problem("AS103", f"a size is a whole number or an expression, not {shown(value)}")
    if isinstance(value, int):
        if not 0 <= value <= MAX_VALUE:
            raise problem("AS104", f"a size lies between 0 and {MAX_VALUE}, not {shown(value)}")
        return value
    try:
        size = parse(value)
    except SizeError as error:
        raise problem("AS106", f"{shown(value)} is not a size: {error}") from error
    known = _known_names(info)
    for name in sorted(names(size)):
        if known is not None and name not in known:
            hint = _suggestion(info, name, known) if known else "no [params] are declared here"
            raise problem("AS107", f"unknown name {shown(name)} in {shown(value)}", hint)
    return size


def _suggestion(info: ValidationInfo, word: str, known: Iterable[str]) -> str:
    """A word that may have been meant. Looked for a hundred times at most: a hostile file has no end of them."""
    if info.context is not None:
        info.context["suggested"] = info.context.get("suggested", 0) + 1
        if info.context["suggested"] > MOST_SUGGESTIONS:
            return ""
    return did_you_mean(word, known)


def _known_names(info: ValidationInfo) -> Iterable[str] | None:
    if info.context is None:
        return None
    params: frozenset[str] = info.context["params"]
    return params | set(BLOCK_NAMES) if info.context["in_block"] else params


def _written(size: Size) -> int | str:
    """As a spec says it: with spaces, unless that makes it too long to be read back."""
    if isinstance(size, int):
        return size
    written = text(size)
    return written if len(written) <= MAX_TEXT else written.replace(" ", "")


_SIZE_JSON: JsonSchemaValue = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_VALUE}, {"type": "string"}]
}
SizeField = Annotated[Size, _Checked(_size, _SIZE_JSON, _written)]


def _switch(kinds: tuple[str, ...], what: str) -> _Checked:
    def validate(value: Any, info: ValidationInfo) -> bool | str:
        if isinstance(value, bool) or value in kinds:
            return value  # type: ignore[no-any-return]
        if not isinstance(value, str):
            raise problem("AS103", f"{what} is true, false or a kind, not {shown(value)}")
        raise problem("AS105", f"unknown {what} {shown(value)}", _suggestion(info, value, kinds))

    return _Checked(validate, {"anyOf": [{"type": "boolean"}, {"enum": [*kinds]}]})


NormSwitch = Annotated[bool | NormKind, _switch(get_args(NormKind), "normalisation")]
ActivationSwitch = Annotated[bool | ActKind, _switch(get_args(ActKind), "activation")]
BiasSwitch = Annotated[bool | Literal["auto"], _switch(("auto",), "bias")]


def _block_reference(value: Any, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise problem("AS103", f"a block is named by a string, not {shown(value)}")
    known: Iterable[str] | None = None if info.context is None else info.context["blocks"]
    if known is not None and value not in known:
        raise problem("AS108", f"unknown block {shown(value)}", _suggestion(info, value, known))
    return value


BlockReference = Annotated[str, _Checked(_block_reference, {"type": "string"})]
Probability = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Epsilon = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


def _known_format(value: Any) -> Any:
    if value != 1 or isinstance(value, bool):
        raise problem("AS105", f"unknown format {shown(value)}: this archspec reads format 1")
    return value


Format = Annotated[Literal[1], BeforeValidator(_known_format)]
"""The version that a file of any of the languages begins with."""


def like(pattern: str, code: str, message: str, hint: str = "") -> AfterValidator:
    """Text of a pattern, with a message of its own where it is not."""
    import re

    whole = re.compile(pattern)

    def check(value: str) -> str:
        if whole.fullmatch(value) is None:
            raise problem(code, f"{shown(value)} {message}", hint)
        return value

    return AfterValidator(check)
