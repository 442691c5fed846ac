"""Reads a graph once, in the order it is computed, and tells a listener what it meets: layers, additions, blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec.drawing.labels import has_box, label
from archspec.drawing.net import MAX_BOXES, Box, DrawingError, Net, Shortcut, Unit
from archspec.drawing.words import plain
from archspec.ir import ops
from archspec.ir.graph import INPUT, Call, Repeat, Slot
from archspec.sizes import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.architecture import Architecture
    from archspec.drawing.net import ShortcutKind
    from archspec.ir.graph import Graph, Node
    from archspec.ir.operation import Shape

MAX_OPERATIONS = 200_000
MAX_TITLE = 60


class _Value(NamedTuple):
    """A value of the graph: its shape, how many boxes lie before it, and what a shortcut or a gate did to it."""

    shape: Shape
    place: int
    way: tuple[ShortcutKind, str] | None = None
    gate: tuple[str, ...] = ()


class _Frame(NamedTuple):
    """Where the reader stands: the sizes and fills of the graph it is in, its path, its line of the stage table."""

    values: Mapping[str, int]
    fills: Mapping[str, tuple[Call, _Frame]]
    path: str = ""
    row: str = ""


def read(architecture: Architecture, title: str = "", *, once: bool = False, everything: bool = False) -> Net:
    """The column of an architecture. With `once` a repeat is read once; `collapsed` then folds what is equal.

    With `everything` norms, activations and dropout have boxes, too.

    Raises `DrawingError` where there are more boxes than anyone can look at.
    """
    reader = _Reader({stage.name for stage in architecture.declared.spec.stages}, once, everything)
    reader.graph(architecture.graph, _Value(architecture.input_shape, 0), _Frame({}, {}))
    return Net(
        plain(title or architecture.name, MAX_TITLE),
        plain(architecture.declared.spec.about),
        _summary(architecture),
        architecture.input_shape,
        tuple(reader.boxes),
        tuple(reader.shortcuts),
        tuple(reader.covered()),
    )


def _summary(architecture: Architecture) -> str:
    total = architecture.measure.total
    return f"{_plural(total.layers, 'layer')}, {_amount(total.macs)} multiply-adds"


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _amount(number: int) -> str:
    """As the paper says it: 3.6 billion."""
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number:,}"


class _Reader:
    """Collects boxes, shortcuts and units. With `once` the body of a repeat is read once."""

    def __init__(self, stages: set[str], once: bool, everything: bool) -> None:
        self.stages = stages
        self.once = once
        self.everything = everything
        self.boxes: list[Box] = []
        self.shortcuts: list[Shortcut] = []
        self.units: list[Unit] = []
        self.aside: list[ops.Op] | None = None
        self.unboxed: list[str] = []
        self.block = 0
        self.operations = 0

    def covered(self) -> list[Unit]:
        """The units, with one for every box that is in no block."""
        units: list[Unit] = []
        for unit in [*self.units, Unit(len(self.boxes), len(self.boxes))]:
            behind = units[-1].end if units else 0
            units += [Unit(place, place + 1) for place in range(behind, unit.start)]
            units += [unit] if unit.end > unit.start else []
        return units

    def graph(self, graph: Graph, value: _Value, frame: _Frame) -> _Value:
        values = {INPUT: value}
        for node in graph.nodes:
            here = frame._replace(row=node.row or frame.row)
            values[node.name] = self._node(node, tuple(values[name] for name in node.inputs), here)
        return values[graph.output]

    def _node(self, node: Node, inputs: tuple[_Value, ...], frame: _Frame) -> _Value:
        match node.body:
            case Call():
                return self._call(node.body, inputs[0], frame, f"{frame.path}{node.name}.")
            case Repeat():
                return self._repeat(node.body, int(node.name), inputs[0], frame)
            case Slot():
                return self._slot(node.body, inputs, frame)
        return self._op(node.body.bind(frame.values), inputs, f"{frame.path}{node.name}", frame.row)

    def _call(self, call: Call, value: _Value, outer: _Frame, path: str, times: int = 1) -> _Value:
        values = {parameter.name: parameter.default or 0 for parameter in call.graph.parameters}
        values |= {name: evaluate(size, outer.values) for name, size in call.arguments}
        fills = {name: (filled, outer) for name, filled in call.fills}
        frame = _Frame(values, fills, path, outer.row)
        if call.graph.role == "gate":
            return self._gate(call.graph, value, frame)
        if call.graph.role != "block" or self.aside is not None:
            return self.graph(call.graph, value, frame)
        self.block = len(self.boxes)
        self.unboxed.clear()
        result = self.graph(call.graph, value, frame)
        self.units.append(Unit(self.block, len(self.boxes), times, call.graph.name))
        return result

    def _repeat(self, repeat: Repeat, first: int, value: _Value, frame: _Frame) -> _Value:
        if self.once:
            return self._call(repeat.call, value, frame, f"{frame.path}{first}.", repeat.times)
        for step in range(repeat.times):
            value = self._call(repeat.call, value, frame, f"{frame.path}{first + step}.")
        return value

    def _slot(self, slot: Slot, inputs: tuple[_Value, ...], frame: _Frame) -> _Value:
        if slot.name not in frame.fills:
            return inputs[1]
        call, outer = frame.fills[slot.name]
        held, self.aside = self.aside, []
        shape = self._call(call, inputs[0], outer, frame.path).shape
        done, self.aside = self.aside, held
        words = "; ".join(_spoken(op) for op in done if has_box(op) or _of_option_a(op))
        kind: ShortcutKind = "projection" if shape == inputs[0].shape else "dimensions"
        return _Value(shape, inputs[0].place, (kind, words))

    def _gate(self, graph: Graph, value: _Value, frame: _Frame) -> _Value:
        held, self.aside = self.aside, []
        shape = self.graph(graph, value, frame).shape
        done, self.aside = self.aside, held
        return _Value(shape, value.place, gate=tuple(_width(op) for op in done if op.weighted))

    def _op(self, op: ops.Op, inputs: tuple[_Value, ...], path: str, row: str) -> _Value:
        self.operations += 1
        if self.operations > MAX_OPERATIONS:
            raise self._too_large(f"{MAX_OPERATIONS:,} operations")
        shape = op.shape(*(value.shape for value in inputs))
        if self.aside is not None:
            self.aside.append(op)
            return _Value(shape, inputs[0].place)
        if isinstance(op, ops.Add):
            return self._add(inputs[1], shape, path, row)
        said = label(op)
        if isinstance(op, ops.Multiply):
            said = said._replace(text=", ".join((said.text, *inputs[1].gate)))
        if not (self.everything or has_box(op) or isinstance(op, ops.Multiply)):
            self.unboxed.append(said.text)
            return _Value(shape, len(self.boxes))
        stage = row if row in self.stages else ""
        self._box(Box(said.text, said.kind, path, shape, stage, said.stride))
        return _Value(shape, len(self.boxes))

    def _add(self, shortcut: _Value, shape: Shape, path: str, row: str) -> _Value:
        if len(self.boxes) == self.block:
            # a branch whose layers have no boxes: without one the shortcut would lead around nothing
            words = ", ".join(self.unboxed[:3]) or "identity"
            self._box(Box(words, "other", path, shape, row))
        kind, words = shortcut.way or ("identity", "")
        self.shortcuts.append(Shortcut(shortcut.place, len(self.boxes), kind, words))
        return _Value(shape, len(self.boxes))

    def _box(self, box: Box) -> None:
        if len(self.boxes) == MAX_BOXES:
            raise self._too_large(f"{MAX_BOXES:,} boxes")
        self.boxes.append(box)

    def _too_large(self, most: str) -> DrawingError:
        hint = "" if self.once else "--collapse draws what is repeated once"
        return DrawingError(f"the network has more than {most} to draw", hint)


def _of_option_a(op: ops.Op) -> bool:
    return isinstance(op, (ops.PadChannels, ops.Subsample))


def _spoken(op: ops.Op) -> str:
    text, _, stride = label(op)
    return text if stride == 1 else f"{text}, /{stride}"


def _width(op: ops.Op) -> str:
    return str(op.out_features if isinstance(op, ops.Linear) else getattr(op, "out_channels", ""))
