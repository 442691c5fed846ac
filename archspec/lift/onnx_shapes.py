"""Arithmetic on shapes inside an ONNX graph: what exporters write to flatten a map, or to say how far to pad."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from archspec.lift.lifted import Unliftable
from archspec.lift.onnx_file import title
from archspec.lift.onnx_values import MAX_RANK, Const, Held, Value, constant, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from onnx import NodeProto

MAX_SMALL = 64


def fold(node: NodeProto, inputs: list[Held | None], said: dict[str, Any]) -> Const | None:
    """The constant that a node makes of constants, or of a value's shape; None where it is no such node."""
    kind = node.op_type
    if kind == "Constant":
        return _constant(node, said)
    if kind == "Shape" and isinstance(inputs[0], Value):
        return _shape(node, inputs[0], said)
    if not inputs or not all(isinstance(each, Const) or each is None for each in inputs):
        return None
    if kind == "ConstantOfShape":
        return _filled(node, _const(inputs, 0, node), said)
    message = f"{title(node)} computes with constants in a way that is not followed"
    if kind not in _RULES:
        raise Unliftable(message)
    try:
        return _RULES[kind](node, inputs, said)
    except (ValueError, IndexError, TypeError, ZeroDivisionError) as error:
        # sizes that do not fit each other, or more numbers than shapes have
        raise Unliftable(message) from error


def _const(inputs: list[Held | None], place: int, node: NodeProto) -> Const:
    found = inputs[place] if place < len(inputs) else None
    if not isinstance(found, Const):
        raise Unliftable(f"{title(node)} lacks an input, or takes one that is no constant")
    return found


def _constant(node: NodeProto, said: dict[str, Any]) -> Const:
    name = node.output[0]
    if "value" in said:
        return constant(name, said["value"])
    for key in ("value_int", "value_ints"):
        if key in said:
            values = said[key] if isinstance(said[key], list) else [said[key]]
            dims = (len(values),) if isinstance(said[key], list) else ()
            return Const(name, dims, ints=tuple(values))
    if "value_float" in said:
        return Const(name, (), fill=float(said["value_float"]))
    raise Unliftable(f"{title(node)} holds a constant of a kind that is not read")


def _shape(node: NodeProto, value: Value, said: dict[str, Any]) -> Const:
    if value.pads is not None or value.rows is not None:
        raise Unliftable(f"{title(node)} asks for the shape of a map that was padded or cut")
    whole_shape: tuple[int | None, ...] = (None, *value.dims)
    start, end = said.get("start", 0), said.get("end", len(whole_shape))
    dims = whole_shape[start:end]
    return Const(node.output[0], (len(dims),), ints=dims)


def _filled(node: NodeProto, shape: Const, said: dict[str, Any]) -> Const:
    numbers = shape.whole()
    # the batch is one image here; whatever is this large cannot be held by anyone
    dims = tuple(1 if each is None else whole(each, node.output[0]) for each in numbers)
    if len(dims) > MAX_RANK or min(dims, default=0) < 0:
        raise Unliftable(f"{title(node)} makes a tensor of shape {dims[:MAX_RANK]}")
    fill = constant("value", said["value"]).numbers() if "value" in said else [0.0]
    return Const(node.output[0], dims, fill=fill[0] if fill else 0.0)


def _passed(node: NodeProto, inputs: list[Held | None], said: dict[str, Any]) -> Const:  # noqa: ARG001 - rules are called alike
    return replace(_const(inputs, 0, node), name=node.output[0])


def _gather(node: NodeProto, inputs: list[Held | None], said: dict[str, Any]) -> Const:
    values, index = _table(_const(inputs, 0, node)), _const(inputs, 1, node)
    places = _table(index).astype(int)
    return _made(node, values.take(places, axis=said.get("axis", 0)))


def _joined(node: NodeProto, inputs: list[Held | None], said: dict[str, Any]) -> Const:
    from numpy import concatenate

    parts = [_table(_const(inputs, place, node)) for place in range(len(inputs))]
    return _made(node, concatenate(parts, axis=said["axis"]))


def _sliced(node: NodeProto, inputs: list[Held | None], said: dict[str, Any]) -> Const:
    values = _table(_const(inputs, 0, node))
    if "starts" in said:
        starts, ends, axes, steps = said["starts"], said["ends"], said.get("axes"), None
    else:
        given = [
            None if len(inputs) <= place else _const(inputs, place, node).whole() for place in range(1, 5)
        ]
        starts, ends, axes, steps = given
    axes = range(len(starts)) if axes is None else axes
    spans = [slice(None)] * values.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps or [1] * len(starts), strict=True):
        spans[axis] = slice(start, end, step)
    return _made(node, values[tuple(spans)])


def _turned(node: NodeProto, inputs: list[Held | None], said: dict[str, Any]) -> Const:
    """A transposed constant: small ones are turned, of a matrix of weights only the shape is ever looked at."""
    found = _const(inputs, 0, node)
    order = said.get("perm") or list(reversed(range(len(found.dims))))
    if found.whole_numbers and found.count <= MAX_SMALL:
        return _made(node, _table(found).transpose(order))
    if sorted(order) != list(range(len(found.dims))):
        raise ValueError(order)
    return Const(node.output[0], tuple(found.dims[each] for each in order), fill=found.fill)


def _reshaped(node: NodeProto, inputs: list[Held | None], said: dict[str, Any]) -> Const:
    """Constants in another shape: what they hold stays where it is."""
    found = _const(inputs, 0, node)
    if node.op_type == "Reshape":
        wanted = [
            found.dims[place] if each == 0 and place < len(found.dims) else each or 0
            for place, each in enumerate(_const(inputs, 1, node).whole())
        ]
        known = prod(each for each in wanted if each > 0)
        dims = tuple(found.count // known if each == -1 and known else each for each in wanted)
    else:
        dims = _squeezed(node, found, inputs, said)
    if prod(dims) != found.count or any(each < 0 for each in dims) or len(dims) > MAX_RANK:
        raise ValueError(dims)
    return replace(found, name=node.output[0], dims=dims)


def _squeezed(
    node: NodeProto, found: Const, inputs: list[Held | None], said: dict[str, Any]
) -> tuple[int, ...]:
    axes = said.get("axes")
    if axes is None and len(inputs) > 1:
        axes = [each or 0 for each in _const(inputs, 1, node).whole()]
    if node.op_type == "Squeeze":
        gone = {each % max(len(found.dims), 1) for each in axes} if axes is not None else None
        return tuple(
            side
            for place, side in enumerate(found.dims)
            if side != 1 or (gone is not None and place not in gone)
        )
    axes = axes or []
    rank = len(axes) + len(found.dims)
    added = {each % rank for each in axes}
    sides = iter(found.dims)
    return tuple(1 if place in added else next(sides, 1) for place in range(rank))


def _table(found: Const) -> NDArray[Any]:
    """A small constant as whole numbers in its shape; the batch is None among them."""
    from numpy import empty

    if found.count > MAX_SMALL or not found.whole_numbers:
        raise ValueError(found.name)
    table = empty(found.count, object)
    table[:] = found.whole()
    return table.reshape(found.dims)


def _made(node: NodeProto, values: Any) -> Const:
    from numpy import asarray

    table = asarray(values, object)  # one number alone comes out of numpy bare
    return Const(node.output[0], table.shape, ints=tuple(table.reshape(-1).tolist()))


_RULES: dict[str, Callable[[NodeProto, list[Held | None], dict[str, Any]], Const]] = {
    "Identity": _passed,
    "Cast": _passed,
    "DequantizeLinear": _passed,
    "QuantizeLinear": _passed,
    "Dropout": _passed,
    "Gather": _gather,
    "Concat": _joined,
    "Slice": _sliced,
    "Reshape": _reshaped,
    "Transpose": _turned,
    "Squeeze": _reshaped,
    "Unsqueeze": _reshaped,
}
