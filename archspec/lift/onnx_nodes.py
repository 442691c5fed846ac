"""From ONNX nodes to operations: each node is read with the shapes at hand, and a node that has no words is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.ir import ops
from archspec.ir.operation import ShapeError, dims
from archspec.lift.lifted import Deviation, Unliftable, shown
from archspec.lift.onnx_file import attributes, title
from archspec.lift.onnx_shapes import fold
from archspec.lift.onnx_values import Const, Held, Value, constant, nearest_float
from archspec.passes.flatten import FlatOp

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto, NodeProto

    from archspec.ir.operation import Shape


class At:
    """One node with its inputs: what a rule sees of the graph."""

    def __init__(self, reader: Reader, node: NodeProto) -> None:
        self.reader = reader
        self.node = node
        self.inputs: list[Held | None] = [reader.held(name, node) if name else None for name in node.input]
        self.said = attributes(node, reader.opset)

    @property
    def title(self) -> str:
        """The node as messages name it."""
        return title(self.node)

    def value(self, place: int = 0, *, padded: bool = False) -> Value:
        """An input that is computed from the image. Raises `Unliftable`."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if not isinstance(found, Value):
            raise Unliftable(f"{self.title} takes a constant, or nothing, where a map is wanted")
        if found.rows is not None or (found.pads is not None and not padded):
            raise Unliftable(f"{self.title} takes a map that was padded or cut, which no layer of a spec can")
        if found.zero:
            raise Unliftable(
                f"{self.title} takes a map of zeros, which may only stand beside another's channels"
            )
        return found

    def map(self, place: int = 0, *, padded: bool = False) -> Value:
        """An input that is a feature map with its channels first. Raises `Unliftable`."""
        found = self.value(place, padded=padded)
        if len(found.shape) != 3 or found.layout == "flat":
            raise Unliftable(f"{self.title} is given {dims(found.dims)}, but wants a feature map")
        return found

    def const(self, place: int) -> Const | None:
        """A constant input, or None where it is left out. Raises `Unliftable` for a computed one."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if isinstance(found, Value):
            raise Unliftable(
                f"{self.title} computes its {'weights' if place == 1 else 'settings'}: they must be constant"
            )
        return found

    def needed(self, place: int) -> Const:
        """A constant input that cannot be left out."""
        found = self.const(place)
        if found is None:
            raise Unliftable(f"{self.title} lacks an input")
        return found

    def numbers(self, key: str, place: int) -> list[int] | None:
        """Whole numbers that are an attribute in old opsets and an input in new ones."""
        if key in self.said:
            given = self.said[key]
            return list(given) if isinstance(given, list) else [given]
        found = self.const(place)
        return None if found is None else [each or 0 for each in found.whole()]

    def real(self, key: str, default: float) -> float:
        """A number given as an attribute, as people write it."""
        return nearest_float(float(self.said[key])) if key in self.said else default

    def emit(self, op: ops.Op, *inputs: Value) -> Value:
        """Appends an operation."""
        return self.reader.emit(op, self, inputs)

    def deviates(self, what: str, *, outside: bool = True) -> None:
        """Notes what the file does and the spec does not."""
        self.reader.deviations.append(Deviation(self.title, what, outside))


class Reader:
    """Reads the nodes of a graph in their order, from the image on."""

    def __init__(self, model: ModelProto, image: Shape, opset: int, *, any_size: bool = False) -> None:
        self.graph = model.graph
        self.opset = opset
        self.any_size = any_size
        self.flat: list[FlatOp] = []
        self.shapes: list[Shape] = []
        self.image = image
        self.values: dict[str, Held] = {}
        self.deviations: list[Deviation] = []
        self.uses = Counter(name for node in self.graph.node for name in node.input)
        self.uses.update(each.name for each in self.graph.output)
        for tensor in self.graph.initializer:
            self.values[tensor.name] = constant(tensor.name, tensor)

    def run(self, rules: dict[str, Callable[[At], Value | None]]) -> None:
        """Reads every node. Raises `Unliftable` at the first that does not fit."""
        for node in self.graph.node:
            if node.domain not in ("", "ai.onnx"):
                raise Unliftable(f"{title(node)} is an operator of {shown(node.domain)}, not of ONNX itself")
            at = At(self, node)
            twice = next((name for name in node.output if name and name in self.values), None)
            if twice is not None:
                raise Unliftable(f"{at.title} gives {shown(twice)}, which is there already")
            folded = fold(node, at.inputs, at.said)
            if folded is not None:
                self.values[node.output[0]] = folded
                continue
            rule = rules.get(node.op_type)
            if rule is None:
                raise Unliftable(f"{at.title} is no operator of a residual, plain or VGG network")
            value = rule(at)
            if value is not None:
                self.values[node.output[0]] = value
            self.unused(node)

    def unused(self, node: NodeProto) -> None:
        """Refuses second outputs that something reads: indices of a pool, masks of dropout."""
        read = next((name for name in node.output[1:] if name and self.uses[name]), None)
        if read is not None:
            raise Unliftable(f"{title(node)} gives a second value, {shown(read)}, that something reads")

    def held(self, name: str, node: NodeProto) -> Held:
        """What an edge carries. Raises `Unliftable` for what no node before this one gives."""
        found = self.values.get(name)
        if found is None:
            raise Unliftable(f"{title(node)} takes {shown(name)}, which nothing before it gives")
        return found

    def emit(self, op: ops.Op, at: At, inputs: tuple[Value, ...]) -> Value:
        """Appends an operation and gives its value, in the layout of its first input."""
        shapes = tuple(value.shape for value in inputs)
        try:
            op.check()
            shape = op.shape(*shapes)
        except ShapeError as error:
            raise Unliftable(f"{at.title}: {error}") from error
        self.flat.append(
            FlatOp(at.node.name or at.node.output[0], op, tuple(value.place for value in inputs))
        )
        self.shapes.append(shape)
        layout = inputs[0].layout if len(shape) == 3 else "flat"
        return Value(len(self.flat) - 1, shape, layout)

    def sizes(self, value: Value) -> list[Shape]:
        """The shapes of a map for which its windows are to agree: more than one where the file takes any size."""
        channels, height, width = value.shape
        return [(channels, height + more, width + more) for more in range(8 if self.any_size else 1)]

    def only_reader(self, at: At, place: int) -> bool:
        """Whether an input of a node is read by it alone."""
        return self.uses[at.node.input[place]] == 1

    def change(self, value: Value, op: ops.Op) -> Value:
        """Puts another operation in place of the one that a value comes from."""
        self.flat[value.place] = self.flat[value.place]._replace(op=op)
        return value

    def op(self, value: Value) -> ops.Op | None:
        """The operation that a value comes from; None for the image."""
        return self.flat[value.place].op if value.place >= 0 else None


def biased(at: At) -> Value | None:
    """An addition of constants: a bias, or part of the image's preprocessing. None where both inputs are computed."""
    place = next((place for place, each in enumerate(at.inputs) if isinstance(each, Const)), None)
    if place is None or len(at.inputs) != 2:
        return None
    value, added = at.value(1 - place), at.needed(place)
    op = at.reader.op(value)
    if op is None:
        at.deviates(f"{at.node.op_type} by constants, before the network")
        return value
    free = isinstance(op, (ops.Conv2d, ops.Linear)) and not op.bias and at.reader.only_reader(at, 1 - place)
    if at.node.op_type not in ("Add", "Sum") or not free or not by_channel(value, added):
        raise Unliftable(f"{at.title} computes with a constant, which is no bias of the layer before it")
    assert isinstance(op, (ops.Conv2d, ops.Linear))
    return at.reader.change(value, replace(op, bias=True))


def by_channel(value: Value, const: Const) -> bool:
    """Whether a constant has one number a channel, laid out so that it is broadcast along the channels."""
    sides = [1] * (1 + len(value.dims) - len(const.dims)) + list(const.dims)
    wanted = [1] * (1 + len(value.dims))
    wanted[1 if value.layout != "last" else len(wanted) - 1] = value.shape[0]
    return sides == wanted
