"""One walk over a graph with its holes filled: every operation once, with shapes and how often it occurs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from archspec.errors import Loc, Problem, ProblemsFound
from archspec.ir.graph import INPUT, Call, Graph, Node, Repeat, Role, Slot
from archspec.ir.ops import Add, Op, Shape, ShapeError, dims
from archspec.sizes import SizeError, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Visit(NamedTuple):
    """An operation met on the walk. `times` counts its copies; `role` is "shortcut" or "gate" off the main path."""

    path: tuple[str, ...]
    op: Op
    inputs: tuple[Shape, ...]
    output: Shape
    times: int
    role: Role
    origin: Loc
    row: str


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the walk stands: the sizes and fills of the graph it is in."""

    values: Mapping[str, int]
    fills: Mapping[str, tuple[Call, _Frame]]
    path: tuple[str, ...]
    times: int
    role: Role
    row: str


class Walk:
    """Walks a graph and calls `visit` at every operation. Problems are collected where the walk can go on."""

    def __init__(self, visit: Callable[[Visit], None] | None = None) -> None:
        self.visit = visit
        self.problems: list[Problem] = []

    def graph(self, graph: Graph, shape: Shape) -> Shape:
        """The shape that a graph without open parameters makes of an input. Raises `ProblemsFound`."""
        output = self._graph(graph, shape, _Frame({}, {}, (), 1, graph.role, ""))
        if self.problems:
            raise ProblemsFound(self.problems)
        return output

    def node(self, node: Node, shapes: tuple[Shape, ...]) -> Shape:
        """The shape that one node of a network makes of its inputs."""
        return self._node(node, shapes, _Frame({}, {}, (), 1, "network", ""))

    def _graph(self, graph: Graph, shape: Shape, frame: _Frame) -> Shape:
        shapes = {INPUT: shape}
        for node in graph.nodes:
            inputs = tuple(shapes[name] for name in node.inputs)
            shapes[node.name] = self._node(node, inputs, frame)
        return shapes[graph.output]

    def _node(self, node: Node, inputs: tuple[Shape, ...], frame: _Frame) -> Shape:
        body = node.body
        if isinstance(body, Call):
            return self._call(body, inputs[0], frame, (*frame.path, node.name), frame.times, node.row)
        if isinstance(body, Repeat):
            return self._repeat(body, node, inputs[0], frame)
        if isinstance(body, Slot):
            return self._slot(body, node, inputs, frame)
        return self._op(body, node, inputs, frame)

    def _op(self, op: Op, node: Node, inputs: tuple[Shape, ...], frame: _Frame) -> Shape:
        try:
            bound = op.bind(frame.values)
            output = bound.shape(*inputs)
        except (ShapeError, SizeError) as error:
            code = error.code if isinstance(error, ShapeError) else "AS307"
            problem = Problem(code, f"{error} (in {'.'.join((*frame.path, node.name))})", node.origin)
            if not isinstance(op, Add):
                raise ProblemsFound([*self.problems, problem]) from error
            # an addition that does not fit still has a shape to go on with: the main path's
            self.problems.append(problem)
            return inputs[0]
        if self.visit is not None:
            path = (*frame.path, node.name)
            self.visit(Visit(path, bound, inputs, output, frame.times, frame.role, node.origin, node.row or frame.row))
        return output

    def _call(self, call: Call, shape: Shape, frame: _Frame, path: tuple[str, ...], times: int, row: str) -> Shape:
        values = {parameter.name: parameter.default or 0 for parameter in call.graph.parameters}
        for name, size in call.arguments:
            values[name] = evaluate(size, frame.values)
        fills = {name: (filled, frame) for name, filled in call.fills}
        role = call.graph.role if call.graph.role in ("shortcut", "gate") else frame.role
        return self._graph(call.graph, shape, _Frame(values, fills, path, times, role, row or frame.row))

    def _repeat(self, repeat: Repeat, node: Node, shape: Shape, frame: _Frame) -> Shape:
        output = self._call(repeat.call, shape, frame, (*frame.path, node.name), frame.times * repeat.times, node.row)
        if output != shape and repeat.times > 1:
            message = f"a repeated block changes {dims(shape)} to {dims(output)}, so it cannot follow itself"
            raise ProblemsFound([*self.problems, Problem("AS301", message, node.origin)])
        return output

    def _slot(self, slot: Slot, node: Node, inputs: tuple[Shape, ...], frame: _Frame) -> Shape:
        if slot.name not in frame.fills:
            return inputs[1]
        call, outer = frame.fills[slot.name]
        path = (*frame.path, node.name)
        inside = _Frame(outer.values, outer.fills, path, frame.times, frame.role, frame.row)
        return self._call(call, inputs[0], inside, path, frame.times, "")
