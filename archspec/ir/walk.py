"""One walk over a graph with its holes filled: every operation once, with shapes and how often it occurs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec.errors import Loc, Note, Problem, ProblemsFound
from archspec.ir.graph import INPUT, Call, Graph, Node, Repeat, Role, Slot
from archspec.ir.operation import Shape, ShapeError, dims
from archspec.ir.ops import Add, Op
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


class _Frame(NamedTuple):
    """Where the walk stands: the sizes and fills of the graph it is in."""

    values: Mapping[str, int]
    fills: Mapping[str, tuple[Call, _Frame]]
    path: tuple[str, ...]
    times: int
    role: Role
    row: str
    site: Loc
    """The stage that the walk is in."""

    def at(self, node: Node, times: int = 1) -> _Frame:
        """Where the walk stands at a node that calls a graph."""
        site = node.origin if node.origin[:1] == ("stages",) else self.site
        path = (*self.path, node.name)
        return _Frame(
            self.values, self.fills, path, self.times * times, self.role, node.row or self.row, site
        )


class Walk:
    """Walks a graph and calls `visit` at every operation. Problems are collected where the walk can go on."""

    def __init__(self, visit: Callable[[Visit], None] | None = None) -> None:
        self.visit = visit
        self.problems: list[Problem] = []

    def graph(self, graph: Graph, shape: Shape) -> Shape:
        """The shape that a graph without open parameters makes of an input. Raises `ProblemsFound`."""
        output = self._graph(graph, shape, _Frame({}, {}, (), 1, graph.role, "", ()))
        if self.problems:
            raise ProblemsFound(self.problems)
        return output

    def node(self, node: Node, shapes: tuple[Shape, ...]) -> Shape:
        """The shape that one node of a network makes of its inputs."""
        return self._node(node, shapes, _Frame({}, {}, (), 1, "network", "", ()))

    def _graph(self, graph: Graph, shape: Shape, frame: _Frame) -> Shape:
        shapes = {INPUT: shape}
        for node in graph.nodes:
            inputs = tuple(shapes[name] for name in node.inputs)
            shapes[node.name] = self._node(node, inputs, frame)
        return shapes[graph.output]

    def _node(self, node: Node, inputs: tuple[Shape, ...], frame: _Frame) -> Shape:
        body = node.body
        if isinstance(body, Call):
            return self._call(body, inputs[0], frame, frame.at(node))
        if isinstance(body, Repeat):
            return self._repeat(body, node, inputs[0], frame)
        if isinstance(body, Slot):
            return self._slot(body, node, inputs, frame)
        return self._op(body, node, inputs, frame)

    def _op(self, op: Op, node: Node, inputs: tuple[Shape, ...], frame: _Frame) -> Shape:
        try:
            bound = op.bind(frame.values)
            bound.check()
            output = bound.shape(*inputs)
        except (ShapeError, SizeError) as error:
            problem = _problem(error, node, frame)
            if not isinstance(op, Add):
                raise ProblemsFound([*self.problems, problem]) from error
            # an addition that does not fit still has a shape to go on with: the main path's
            self.problems.append(problem)
            return inputs[0]
        if self.visit is not None:
            path, row = (*frame.path, node.name), node.row or frame.row
            self.visit(Visit(path, bound, inputs, output, frame.times, frame.role, node.origin, row))
        return output

    def _call(self, call: Call, shape: Shape, outer: _Frame, here: _Frame) -> Shape:
        """A call with sizes and fills from `outer`, standing at `here`."""
        values = {parameter.name: parameter.default or 0 for parameter in call.graph.parameters}
        for name, size in call.arguments:
            values[name] = evaluate(size, outer.values)
        fills = {name: (filled, outer) for name, filled in call.fills}
        role = call.graph.role if call.graph.role in ("shortcut", "gate") else here.role
        inside = _Frame(values, fills, here.path, here.times, role, here.row, here.site)
        return self._graph(call.graph, shape, inside)

    def _repeat(self, repeat: Repeat, node: Node, shape: Shape, frame: _Frame) -> Shape:
        output = self._call(repeat.call, shape, frame, frame.at(node, repeat.times))
        if output != shape and repeat.times > 1 and not self.problems:
            message = f"a repeated block changes {dims(shape)} to {dims(output)}, so it cannot follow itself"
            raise ProblemsFound([*self.problems, Problem("AS301", message, node.origin)])
        return output

    def _slot(self, slot: Slot, node: Node, inputs: tuple[Shape, ...], frame: _Frame) -> Shape:
        if slot.name not in frame.fills:
            return inputs[1]
        call, outer = frame.fills[slot.name]
        return self._call(call, inputs[0], outer, frame.at(node))


def _problem(error: ShapeError | SizeError, node: Node, frame: _Frame) -> Problem:
    code = error.code if isinstance(error, ShapeError) else "AS307"
    notes = (Note(frame.site, "used by this stage"),) if frame.site not in ((), node.origin) else ()
    key = error.key if isinstance(error, ShapeError) else ""
    loc = (*node.origin, key) if key else node.origin
    return Problem(code, f"{error} (in {'.'.join((*frame.path, node.name))})", loc, notes=notes)
