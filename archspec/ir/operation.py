"""What all operations share: sizes to bind and to check, a shape rule, parameters, multiply-adds."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from archspec.sizes import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.sizes import Size

Shape = tuple[int, ...]
# A `Size` until `bind` fills it, an `int` after. Shape rules only ever run on bound operations.
Dim = Any

MAX_SIZE = 10**6
# zero channels may come out negative: that is option A's own diagnostic
_LEAST = {"padding": 0, "before": -(10**12), "after": -(10**12)}
# where a spec says a size
_SPEC_KEYS = {
    "out_channels": "out",
    "out_features": "linear",
    "output_size": "output",
    "stride": "stride",
    "padding": "padding",
    "dilation": "dilation",
    "groups": "groups",
}


class ShapeError(ValueError):
    """Shapes that do not fit an operation. `code` is the diagnostic's, `key` the spec's field where one is to blame."""

    def __init__(self, code: str, message: str, key: str = "") -> None:
        self.code = code
        self.key = key
        super().__init__(message)


@cache
def _members(kind: Any) -> tuple[tuple[str, bool], ...]:
    """The fields of an operation, and which of them are sizes."""
    return tuple((field.name, field.type == "Dim") for field in fields(kind))


class Operation:
    """What all operations share. Subclasses are frozen dataclasses."""

    __slots__ = ()

    def bind(self, values: Mapping[str, Size]) -> Self:
        """The same operation with integers for its sizes."""
        kind: Any = type(self)
        members = (
            evaluate(getattr(self, name), values) if is_size else getattr(self, name)
            for name, is_size in _members(kind)
        )
        return cast("Self", kind(*members))

    def sizes(self) -> dict[str, Size]:
        """The fields that are sizes, by name."""
        kind: Any = type(self)
        return {name: getattr(self, name) for name, is_size in _members(kind) if is_size}

    def shape(self, *inputs: Shape) -> Shape:
        """The output's shape. Raises `ShapeError`."""
        return inputs[0]

    def check(self) -> None:
        """Refuses sizes that no layer can have. Raises `ShapeError`."""
        for name, value in self.sizes().items():
            least = _LEAST.get(name, 1)
            if not isinstance(value, int) or least <= value <= MAX_SIZE:
                continue
            key = _SPEC_KEYS.get(name, self.window_key)
            raise ShapeError("AS104", f"{value} is out of range: {max(least, 0)} to {MAX_SIZE}", key)

    def parameters(self) -> dict[str, Shape]:
        """Trained tensors by name, with their shapes, in `state_dict` order."""
        return {}

    def buffers(self) -> dict[str, Shape]:
        """Tensors that are kept but not trained, by name, with their shapes."""
        return {}

    def macs(self, output: Shape) -> int:  # noqa: ARG002
        """Multiply-adds for one image: convolutions and linear layers only, the paper's FLOPs (3.3)."""
        return 0

    weighted: ClassVar[bool] = False
    """Whether the paper counts it as a layer: a convolution or a linear layer."""
    window_key: ClassVar[str] = "size"
    """Where a spec says the window's size: a convolution's under `conv`."""
    has_state: ClassVar[bool] = False
    """Whether it holds tensors, so that two of it are two modules."""

    def count(self) -> int:
        """The number of trained values."""
        return sum(prod(shape) for shape in self.parameters().values())


def dims(shape: Shape) -> str:
    """A shape for people: `256x56x56`."""
    return "x".join(str(size) for size in shape)
