"""Windows of convolutions and pools: from ONNX's four pads to the one padding that a spec says, where they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.ir import ops
from archspec.lift.lifted import Unliftable
from archspec.lift.onnx_values import Pads, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.ir.operation import Shape
    from archspec.lift.onnx_values import Value


class Window(NamedTuple):
    """A square window over a map, with the pads of all four sides."""

    size: int
    stride: int
    dilation: int
    pads: Pads
    ceil: bool

    @property
    def reach(self) -> int:
        """How many rows one window spans."""
        return self.dilation * (self.size - 1) + 1

    def counts(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """How many windows fit, by height and width."""
        pads = self.pads
        return (
            self._count(shape[1] + pads.top + pads.bottom, shape[1] + pads.top),
            self._count(shape[2] + pads.left + pads.right, shape[2] + pads.left),
        )

    def _count(self, padded: int, end: int) -> int:
        room = padded - self.reach
        if room < 0:
            return 0
        if not self.ceil:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        # a last window that would start past the map is left out
        return count - 1 if (count - 1) * self.stride >= end else count

    def symmetric(self) -> int | None:
        """The padding where all four sides have the same."""
        pads = self.pads
        return pads.top if pads.top == pads.left == pads.bottom == pads.right else None


def window(title: str, attributes: dict[str, Any], value: Value, size: list[int]) -> Window:
    """The window of a convolution or a pool. Raises `Unliftable` where it is not square."""
    strides = attributes.get("strides") or [1, 1]
    dilations = attributes.get("dilations") or [1, 1]
    for what, pair in (("kernel", size), ("stride", strides), ("dilation", dilations)):
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] != pair[1] or whole(pair[0], title) < 1:
            raise Unliftable(f"{title} has a {what} of {pair}; a spec says one number for both sides")
    one = Window(size[0], strides[0], dilations[0], Pads(0, 0, 0, 0), bool(attributes.get("ceil_mode", 0)))
    own = _pads(title, attributes, value, one)
    return one._replace(pads=own if value.pads is None else own.plus(value.pads))


def _pads(title: str, attributes: dict[str, Any], value: Value, one: Window) -> Pads:
    kind = attributes.get("auto_pad", b"NOTSET")
    if kind in (b"NOTSET", b""):
        given = attributes.get("pads") or [0, 0, 0, 0]
        if not isinstance(given, list) or len(given) != 4 or any(whole(each, title) < 0 for each in given):
            raise Unliftable(f"{title} has pads of {given}")
        return Pads(*given)
    if kind == b"VALID":
        return Pads(0, 0, 0, 0)
    if kind not in (b"SAME_UPPER", b"SAME_LOWER"):
        raise Unliftable(f"{title} pads by a rule that is not known")
    if value.pads is not None:
        raise Unliftable(f"{title} pads by rule a map that was padded before")
    before, after = [], []
    for side in value.shape[1:]:
        total = max((-(-side // one.stride) - 1) * one.stride + one.reach - side, 0)
        less, more = total // 2, total - total // 2
        before.append(less if kind == b"SAME_UPPER" else more)
        after.append(more if kind == b"SAME_UPPER" else less)
    return Pads(before[0], before[1], after[0], after[1])


def conv_padding(title: str, one: Window, shapes: Sequence[Shape]) -> tuple[int, str]:
    """The padding of a convolution, and what differs where the spec cannot say the pads. Raises `Unliftable`.

    `shapes` are the maps for which the two are to agree.
    """
    same, pads = one.symmetric(), one.pads
    if same is not None:
        return same, ""
    if pads.top == pads.left and _alike(one, _padded(one, pads.top), shapes):
        return pads.top, ""  # rows below the last window are read by none
    nearest = sorted({max(pads.bottom, pads.right), one.reach // 2, pads.top})
    found = [each for each in nearest if _alike(one, _padded(one, each), shapes[:1])]
    if not found:
        raise Unliftable(f"{title} pads {_sides(pads)}: one padding for all sides never gives this size")
    usual = one.reach // 2 if one.reach // 2 in found else found[0]
    return usual, f"pads {_sides(pads)}; the spec pads {usual} on every side: other values come out"


def max_op(title: str, one: Window, shapes: Sequence[Shape]) -> ops.MaxPool2d:
    """A max pool in the spec's terms. Raises `Unliftable` where there are none."""
    pads = one.pads
    first = pads.top if pads.top == pads.left else -1
    for ceil in (one.ceil, True, False):
        op = ops.MaxPool2d(one.size, one.stride, first, ceil)
        if first >= 0 and 2 * first <= one.size and _alike(one, _window_of(op), shapes):
            # padding is never the largest, so windows that begin alike are alike
            return op
    raise Unliftable(f"{title} pads {_sides(pads)}: a spec's pool cannot lay its windows there")


def mean_op(title: str, one: Window, shapes: Sequence[Shape], *, counted: bool) -> ops.AvgPool2d:
    """An average pool in the spec's terms, where padding is counted as zeros. Raises `Unliftable`."""
    pads, same = one.pads, one.symmetric()
    if same is not None and (counted or same == 0):
        op = ops.AvgPool2d(one.size, one.stride, same, one.ceil)
        if 2 * same <= one.size and _alike(one, _window_of(op), shapes):
            return op
    ceil = ops.AvgPool2d(one.size, one.stride, 0, True)
    # what lies past the map counts for nothing when torch rounds up, and for nothing here
    if pads.top == pads.left == 0 and not counted and _alike(one, _window_of(ceil), shapes):
        return ceil
    how = "counts" if counted else "does not count"
    raise Unliftable(f"{title} pads {_sides(pads)} and {how} it: no pool of a spec does")


def _alike(one: Window, other: Window, shapes: Sequence[Shape]) -> bool:
    """Whether two windows that begin at one place are laid equally often over each map."""
    return all(one.counts(shape) == other.counts(shape) for shape in shapes)


def _padded(one: Window, padding: int) -> Window:
    return one._replace(pads=Pads(padding, padding, padding, padding))


def _window_of(op: ops.MaxPool2d | ops.AvgPool2d) -> Window:
    pads = Pads(op.padding, op.padding, op.padding, op.padding)
    return Window(op.kernel_size, op.stride, 1, pads, op.ceil)


def _sides(pads: Pads) -> str:
    return f"{pads.top} above, {pads.left} left, {pads.bottom} below, {pads.right} right"
