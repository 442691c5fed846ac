"""Rules for nodes that move or cut values and compute nothing: padding, slices, shapes, layouts."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Literal

from archspec.ir import ops
from archspec.ir.operation import dims
from archspec.lift.lifted import Unliftable
from archspec.lift.onnx_values import Const, Pads, Value

if TYPE_CHECKING:
    from archspec.lift.onnx_nodes import At


def transpose(at: At) -> Value:
    """Channels that move to the front, or to the end."""
    value, order = at.value(padded=True), at.said.get("perm", [])
    turns: dict[tuple[str, tuple[int, ...]], Literal["first", "last"]] = {
        ("last", (0, 3, 1, 2)): "first",
        ("first", (0, 2, 3, 1)): "last",
    }
    if order == list(range(1 + len(value.dims))):
        return value
    if (value.layout, tuple(order)) not in turns:
        raise Unliftable(f"{at.title} turns axes by {order}: only channels move, to the front or to the end")
    return replace(value, layout=turns[value.layout, tuple(order)])


def pad(at: At) -> Value:
    """Zeros around a map, for the next window, or zero channels."""
    value = at.map(padded=True)
    pads = at.numbers("pads", 1)
    number = at.const(2)
    fill = (number.numbers() or [0.0])[0] if number is not None else float(at.said.get("value", 0.0))
    if at.said.get("mode", b"constant") != b"constant" or pads is None or fill > 0:
        raise Unliftable(f"{at.title} pads with something else than one number that is not above zero")
    axes = at.numbers("axes", 3)
    axes = [0, 1, 2, 3] if axes is None else [each % 4 for each in axes]
    if len(pads) != 2 * len(axes) or any(each < 0 for each in pads):
        raise Unliftable(f"{at.title} has pads that do not fit, or that cut")
    before = dict(zip(axes, pads, strict=False))
    after = dict(zip(axes, pads[len(axes) :], strict=True))
    channels, height, width = value.axes
    around = Pads(
        before.get(height, 0), before.get(width, 0), after.get(height, 0), after.get(width, 0), fill
    )
    more = before.get(channels, 0), after.get(channels, 0)
    if (
        before.get(0, 0)
        or after.get(0, 0)
        or (any(more) and not (around.none and value.pads is None and fill == 0))
    ):
        raise Unliftable(f"{at.title} pads the batch, or channels and sides at once")
    if any(more):
        return at.emit(ops.PadChannels(*more), value)
    if around.none:
        return value
    if value.pads is not None and value.pads.value != fill:
        raise Unliftable(f"{at.title} pads with {fill} what was padded with {value.pads.value}")
    return replace(value, pads=around if value.pads is None else around.plus(value.pads))


def cut(at: At) -> Value:
    """A slice of every s-th row and column, written as one node or as one for each axis."""
    found = at.inputs[0] if at.inputs else None
    if (
        not isinstance(found, Value)
        or len(found.shape) != 3
        or found.layout == "flat"
        or found.pads is not None
    ):
        raise Unliftable(f"{at.title} cuts what is no feature map")
    starts, ends = at.numbers("starts", 1), at.numbers("ends", 2)
    axes = at.numbers("axes", 3)
    steps = at.numbers("steps", 4) or [1] * len(starts or [])
    axes = [each % 4 for each in axes] if axes is not None else list(range(len(starts or [])))
    if starts is None or ends is None or not len(starts) == len(ends) == len(axes) == len(steps):
        raise Unliftable(f"{at.title} has starts, ends, axes and steps that do not fit")
    spans = dict(zip(axes, zip(starts, ends, steps, strict=True), strict=True))
    strides = {}
    for axis, (start, end, step) in spans.items():
        side = (0, *found.dims)[axis]
        if start != 0 or step < 1 or (axis > 0 and end < side) or (axis == 0 and end < 2**31 - 1):
            raise Unliftable(f"{at.title} cuts a part out of a map; only every s-th row and column is known")
        strides[axis] = step
    channels, height, width = found.axes
    if strides.get(0, 1) != 1 or strides.get(channels, 1) != 1:
        raise Unliftable(f"{at.title} leaves out channels, or images")
    both = strides.get(height, 1), strides.get(width, 1)
    if found.rows is not None:
        both = both[0] * found.rows[0], both[1] * found.rows[1]
    whole_map = replace(found, rows=None)
    if both == (1, 1):
        return whole_map
    if both[0] == both[1]:
        return at.emit(ops.Subsample(both[0]), whole_map)
    return replace(whole_map, rows=both)


def concat(at: At) -> Value:
    """A map with zeros before or behind its channels."""
    maps = [
        (place, each) for place, each in enumerate(at.inputs) if isinstance(each, Value) and not each.zero
    ]
    own, value = maps[0] if maps else (-1, None)
    if value is None or len(value.shape) != 3 or value.pads is not None or value.rows is not None:
        raise Unliftable(f"{at.title} joins values that are no feature maps")
    if at.said.get("axis", 1) % 4 != value.axes[0]:
        raise Unliftable(f"{at.title} joins along another axis than the channels")
    counts = [0, 0]
    for place, each in enumerate(at.inputs):
        if place != own:
            counts[place > own] += _zeros(at, each, value)
    return at.emit(ops.PadChannels(*counts), value)


def _zeros(at: At, each: Const | Value | None, value: Value) -> int:
    """How many channels of zeros are joined."""
    if isinstance(each, Value) and each.zero and each.layout == value.layout:
        return each.shape[0]
    axis = value.axes[0]
    if isinstance(each, Const) and len(each.dims) == 4 and each.only(0):
        others = [side for place, side in enumerate(each.dims) if place not in (0, axis)]
        wanted = [side for place, side in enumerate((1, *value.dims)) if place not in (0, axis)]
        if others == wanted:
            return each.dims[axis]
    raise Unliftable(f"{at.title} joins maps; only zeros may be joined to one, as option A does")


def flatten(at: At) -> Value:
    """A map in a row."""
    value = at.value()
    if at.said.get("axis", 1) % (1 + len(value.dims)) != 1:
        raise Unliftable(f"{at.title} flattens from another axis than the first")
    return _look(at, value, (prod(value.shape),))


def reshape(at: At) -> Value:
    """Values in another shape, where that is flattening or nothing."""
    value, wanted = at.value(), at.needed(1).whole()
    have: tuple[int | None, ...] = (None, *value.dims)
    sides = [
        have[place] if each == 0 and place < len(have) and not at.said.get("allowzero") else each
        for place, each in enumerate(wanted)
    ]
    if not 2 <= len(sides) <= 4:
        raise Unliftable(f"{at.title} gives a value {len(sides)} dimensions")
    rest = sides[1:]
    open_ = [place for place, each in enumerate(rest) if each == -1]
    known = prod(each for each in rest if isinstance(each, int) and each > 0)
    if len(open_) > 1 or None in rest or any(isinstance(each, int) and each < -1 for each in rest):
        raise Unliftable(f"{at.title} reshapes to {sides}, which mixes images")
    total = prod(value.shape)
    if open_ and known and total % known == 0:
        rest[open_[0]] = total // known
    return _look(at, value, tuple(each or 0 for each in rest))


def squeeze(at: At) -> Value:
    """Sides of 1 that are left out."""
    value, axes = at.value(), at.numbers("axes", 1)
    have = (0, *value.dims)
    gone = {each % len(have) for each in axes} if axes is not None else {
        place for place, side in enumerate(have) if side == 1
    }  # fmt: skip
    return _look(at, value, tuple(side for place, side in enumerate(have) if place and place not in gone))


def unsqueeze(at: At) -> Value:
    """Sides of 1 that are added."""
    value, axes = at.value(), at.numbers("axes", 1) or []
    rank = 1 + len(value.dims) + len(axes)
    added = {each % rank for each in axes}
    sides = iter(value.dims)
    return _look(at, value, tuple(1 if place in added else next(sides, 0) for place in range(1, rank)))


def _look(at: At, value: Value, wanted: tuple[int, ...]) -> Value:
    seen = value.seen(wanted)
    if seen is None:
        raise Unliftable(
            f"{at.title} gives {dims(value.dims)} the shape {dims(wanted)}: no layer of a spec does"
        )
    if seen.layout == "flat" and value.layout == "last" and value.shape[1:] != (1, 1):
        at.deviates(
            "flattens a map whose channels come last: the linear layer's columns stand in another order"
        )
    return seen
