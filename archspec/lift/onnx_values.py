"""What flows along the edges of an ONNX graph: constants, and values computed from the image.

Constants are known by shape, and looked into only where their numbers decide something.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, Literal

from archspec.lift.lifted import Unliftable, shown

if TYPE_CHECKING:
    from onnx import TensorProto

    from archspec.ir.operation import Shape

MAX_READ = 2**20
MAX_RANK = 8
MAX_LISTED = 64
MAX_SIDE = 2**40


@dataclass(frozen=True, slots=True)
class Const:
    """A constant. `ints` are its numbers where they came out of arithmetic on shapes; None is the batch."""

    name: str
    dims: tuple[int, ...]
    tensor: TensorProto | None = None
    ints: tuple[int | None, ...] | None = None
    fill: float | None = None

    @property
    def count(self) -> int:
        """How many numbers it holds."""
        return prod(self.dims)

    @property
    def whole_numbers(self) -> bool:
        """Whether it holds whole numbers, as shapes do and weights do not."""
        if self.ints is not None:
            return True
        if self.tensor is None:
            return self.fill is not None and isfinite(self.fill) and self.fill == int(self.fill)
        return self.tensor.data_type in (self.tensor.INT32, self.tensor.INT64)

    def numbers(self) -> list[float]:
        """Its numbers. Raises `Unliftable` where they lie in another file, are too many, or are broken."""
        if self.fill is not None:
            return [self.fill] * min(self.count, 1)
        if self.tensor is None:
            raise Unliftable(f"{shown(self.name)} is no constant whose numbers are known")
        if self.tensor.external_data or self.tensor.data_location:
            raise Unliftable(f"the numbers of {shown(self.name)} lie in another file, which is not opened")
        if self.count > MAX_READ:
            raise Unliftable(f"{shown(self.name)} is too large to be looked into")
        from onnx import numpy_helper

        try:
            return [float(each) for each in numpy_helper.to_array(self.tensor).reshape(-1)]
        except (ValueError, TypeError, KeyError, OverflowError, AttributeError) as error:
            raise Unliftable(f"the tensor {shown(self.name)} is broken") from error

    def whole(self) -> tuple[int | None, ...]:
        """Its whole numbers, as shapes, axes and pads are given."""
        if self.ints is not None:
            return self.ints
        found = self.numbers()
        if self.fill is not None and self.count <= MAX_LISTED:
            found = [self.fill] * self.count
        if any(not isfinite(each) or abs(each) > 2**63 or each != int(each) for each in found):
            raise Unliftable(f"{shown(self.name)} holds no whole numbers")
        return tuple(int(each) for each in found)

    def only(self, value: float) -> bool:
        """Whether it is made of one number alone."""
        return self.count > 0 and all(each == value for each in self.numbers())


def constant(name: str, tensor: TensorProto) -> Const:
    """A tensor of the file as a constant. Raises `Unliftable` for shapes that no tensor has."""
    dims = tuple(tensor.dims)
    if len(dims) > MAX_RANK or any(not 0 <= side < MAX_SIDE for side in dims):
        raise Unliftable(f"the tensor {shown(name)} has the shape {dims[:MAX_RANK]}")
    return Const(name, dims, tensor)


@dataclass(frozen=True, slots=True)
class Pads:
    """Rows and columns added around a map before the next operation, and what they are made of."""

    top: int
    left: int
    bottom: int
    right: int
    value: float = 0.0

    def plus(self, other: Pads) -> Pads:
        """Both, one around the other."""
        sides = (
            self.top + other.top,
            self.left + other.left,
            self.bottom + other.bottom,
            self.right + other.right,
        )
        return Pads(*sides, self.value)

    @property
    def none(self) -> bool:
        """Whether nothing is added."""
        return not (self.top or self.left or self.bottom or self.right)


@dataclass(frozen=True, slots=True)
class Value:
    """A value computed from the image: the operation it comes from, its shape `(C, H, W)` or `(F,)`, its layout.

    A map may be laid out with its channels first or last, or be looked at as flat. `pads` and `rows` are halves of
    an operation that the next node completes: padding, and a slice of one axis.
    """

    place: int
    shape: Shape
    layout: Literal["first", "last", "flat"] = "first"
    pads: Pads | None = None
    rows: tuple[int, int] | None = None
    zero: bool = False

    @property
    def dims(self) -> tuple[int, ...]:
        """The shape as the file has it, without the batch."""
        if self.layout == "flat" or len(self.shape) == 1:
            return (prod(self.shape),)
        channels, height, width = self.shape
        return (channels, height, width) if self.layout == "first" else (height, width, channels)

    @property
    def axes(self) -> tuple[int, int, int]:
        """Where the channels, the height and the width stand, counted with the batch."""
        return (1, 2, 3) if self.layout == "first" else (3, 1, 2)

    def seen(self, dims: tuple[int, ...]) -> Value | None:
        """The same values in another shape, where that is only another way of looking at them."""
        if dims == self.dims:
            return self
        if prod(dims) != prod(self.shape):
            return None
        if len(dims) == 1:
            return replace(self, layout="flat")
        if len(self.shape) != 3 or len(dims) != 3:
            return None
        pixel = self.shape[1:] == (1, 1)
        if dims == self.shape and (pixel or self.layout == "flat"):
            return replace(self, layout="first")
        if pixel and dims == (1, 1, self.shape[0]):
            return replace(self, layout="last")
        return None


Held = Const | Value


def nearest_float(number: float) -> float:
    """A number of single precision as people write it: 1.0000000656873453e-05 is 1e-05, two steps away at most."""
    if not isfinite(number):
        raise Unliftable(f"the number {number} is out of range")
    short = (float(f"{number:.{digits}g}") for digits in range(1, 9))
    return next((each for each in short if abs(each - number) <= 2.4e-7 * abs(number)), number)


def whole(value: Any, name: str, most: int = 10**9) -> int:
    """A whole number in range, as attributes and shapes give it."""
    if not isinstance(value, int) or abs(value) > most:
        raise Unliftable(f"{shown(name)} is given a number that is out of range")
    return value
