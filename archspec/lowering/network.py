"""The whole network: stem, stages, head, with the keys that published weights have."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from archspec.errors import Loc, Note, Problem, ProblemsFound
from archspec.ir import ops
from archspec.ir.graph import INPUT, Call, Graph, Node, Repeat
from archspec.ir.operation import Operation
from archspec.ir.walk import Walk
from archspec.lowering.blocks import BlockType, block_call, block_type
from archspec.lowering.builder import Builder, Context, numbered
from archspec.lowering.slots import without_empty_slots
from archspec.sizes import SizeError, evaluate
from archspec.spec import models

if TYPE_CHECKING:
    from archspec.ir.operation import Shape
    from archspec.spec.declaration import Declaration

MAX_DEPTH = 10_000
MAX_WIDTH = 65_536
MAX_STRIDE = 64
MAX_SPELLED = 5_000


def lower(architecture: Declaration) -> Graph:
    """The graph of an architecture. Raises `ProblemsFound` with every problem that can be told."""
    network = _Network(architecture)
    network.stem()
    for place, stage in enumerate(architecture.spec.stages):
        network.stage(place, stage)
    network.head()
    if network.walk.problems:
        raise ProblemsFound(network.walk.problems)
    return network.graph()


class _Network:
    """Lowers one architecture, knowing the real shape at every step (a linear layer needs it)."""

    def __init__(self, architecture: Declaration) -> None:
        self.architecture = architecture
        self.spec = architecture.spec
        self.shapes: dict[str, Shape] = {INPUT: architecture.input_shape}
        self.context = Context(self.spec.defaults, self.spec.norm, architecture.fixed)
        self.builder = Builder(self.context, architecture.input_shape[0])
        self.walk = Walk()
        self.types: dict[str, BlockType] = {}
        self.rows: Counter[str] = Counter()
        self.stage_names = {stage.name for stage in self.spec.stages}
        self.linears = sum(isinstance(layer, models.Linear) for layer in self.spec.head.layers)

    def stem(self) -> None:
        self._layers(self.spec.stem.layers, ("stem", "layers"))

    def head(self) -> None:
        self._layers(self.spec.head.layers, ("head", "layers"))

    def graph(self) -> Graph:
        nodes = tuple(self.builder.nodes)
        if self.spec.keys == "sequential":
            nodes = _sequential(nodes)
        return without_empty_slots(Graph(self.spec.name, "network", nodes, about=self.spec.about))

    def _layers(self, layers: models.Layers, loc: Loc) -> None:
        for place, layer in enumerate(layers):
            if loc[0] != "stages":
                self.builder.row = self._row(layer)
            if isinstance(layer, models.Linear) and loc[0] == "head":
                self._linear(layer, (*loc, place))
            else:
                self.builder.layer(layer, (*loc, place))
            self._follow()

    def _row(self, layer: models.Layer) -> str:
        """The name of a layer's line in a stage table: conv1, maxpool, avgpool, fc."""
        kind = "fc" if isinstance(layer, models.Linear) else type(layer).__name__.lower()
        if isinstance(layer, models.Pool):
            kind = "maxpool" if layer.pool == "max" else "avgpool"
        self.rows[kind] += 1
        alone = self.linears == 1 if kind == "fc" else kind not in ("conv", "fc") and self.rows[kind] == 1
        name = kind if alone else f"{kind}{self.rows[kind]}"
        # a stage may carry a layer's name; lines of the table are told apart
        return f"{name}_" if name in self.stage_names else name

    def _follow(self) -> None:
        """Follows the shape through the nodes added since the last time."""
        for node in self.builder.nodes[len(self.shapes) - 1 :]:
            self.shapes[node.name] = self.walk.node(node, tuple(self.shapes[name] for name in node.inputs))
        self.builder.channels = self.shape[0]

    @property
    def shape(self) -> Shape:
        """The shape of the current value."""
        return self.shapes[self.builder.value]

    def _linear(self, layer: models.Linear, loc: Loc) -> None:
        if len(self.shape) == 3:
            self.builder.op(ops.Flatten(), loc)
            self._follow()
        out = self.architecture.size(layer.linear, (*loc, "linear"), 1, 10**6)
        number = self.builder.count("fc") + 1 if self.linears > 1 else 0
        self.builder.op(ops.Linear(self.shape[0], out, layer.bias), loc, number)
        self._follow()
        if layer.act is not False:
            self.builder.layer(models.Act(act=layer.act), loc)
        if layer.dropout:
            self.builder.op(ops.Dropout(layer.dropout), loc)

    def stage(self, place: int, stage: models.Stage) -> None:
        loc = ("stages", place)
        self.builder.row = stage.name
        self._layers(stage.before, (*loc, "before"))
        name = stage.block or self.spec.defaults.block
        if name is None:
            hint = "[defaults] block = ... names one for all stages"
            raise ProblemsFound(
                [
                    *self.walk.problems,
                    Problem("AS102", f'"block" is missing in stage "{stage.name}"', loc, hint, "key"),
                ]
            )
        node = Node(f"layer{place + 1}", self._blocks(name, stage, loc), origin=loc)
        if self.spec.keys == "sequential":
            self._inline(node, stage, loc)
        else:
            self.builder.add(node.body, node.name, loc)
        self._follow()
        self._layers(stage.after, (*loc, "after"))

    def _blocks(self, name: str, stage: models.Stage, loc: Loc) -> Call:
        size = self.architecture.size
        depth = size(stage.depth, (*loc, "depth"), 1, MAX_DEPTH)
        width = size(stage.width, (*loc, "width"), 1, MAX_WIDTH)
        stride = size(stage.stride, (*loc, "stride"), 1, MAX_STRIDE)
        if len(self.shape) != 3:
            raise ProblemsFound(
                [Problem("AS306", "a stage needs a feature map, but what comes in is already flat", loc)]
            )
        block = self._type(name)
        if stride != 1 and not block.strides:
            message = f'no layer of block "{name}" takes the stage\'s stride'
            own = (Note(("blocks", name), "the block"),) if name in self.spec.blocks else ()
            hint = 'a layer takes it with stride = "stride"'
            self.walk.problems.append(Problem("AS112", message, (*loc, "stride"), hint, notes=own))
            stride = 1
        kind = stage.shortcut or self.spec.defaults.shortcut
        first = {"in": self.shape[0], "width": width, "stride": stride}
        try:
            rest = {"in": block.channels(self.shape[0], width), "width": width, "stride": 1}
            calls = [self._block(block, kind, first, loc)]
            calls += [self._block(block, kind, rest, loc)] if depth > 1 else []
        except SizeError as error:
            raise ProblemsFound(
                [Problem("AS307", f"a size of the block has no value: {error}", loc)]
            ) from error
        return Call(_stage_graph(stage.name, calls, depth, loc))

    def _block(self, block: BlockType, kind: models.Shortcut, sizes: dict[str, int], loc: Loc) -> Call:
        try:
            return block_call(block, kind, sizes)
        except ProblemsFound as found:
            # a projection fits everywhere: what comes behind this stage can still be checked
            notes = (Note((*loc, "width"), f"width {sizes['width']}"),)
            self.walk.problems += [each._replace(loc=loc, at="key", notes=notes) for each in found.problems]
            return block_call(block, "B", sizes)

    def _type(self, name: str) -> BlockType:
        if name not in self.types:
            self.types[name] = block_type(self.architecture, name, self.context)
        return self.types[name]

    def _inline(self, node: Node, stage: models.Stage, loc: Loc) -> None:
        """With sequential keys a block without an addition is spelled out; others stay blocks."""
        assert isinstance(node.body, Call)
        for inner in node.body.graph.nodes:
            repeat = inner.body if isinstance(inner.body, Repeat) else Repeat(_call_of(inner), 1)
            if repeat.call.graph.slots:
                self.builder.add(inner.body, stage.name, loc)
                continue
            written = len(self.builder.nodes) + repeat.times * len(repeat.call.graph.nodes)
            if written > MAX_SPELLED:
                message = f'keys = "sequential" writes every layer out, and these are {written:,}'
                raise ProblemsFound([Problem("AS403", message, loc, f"{MAX_SPELLED:,} at most", "key")])
            for _ in range(repeat.times):
                self._spell_out(repeat.call, loc)

    def _spell_out(self, call: Call, loc: Loc) -> None:
        values = {parameter.name: parameter.default or 0 for parameter in call.graph.parameters}
        values |= {name: evaluate(size) for name, size in call.arguments}
        renamed = {INPUT: self.builder.value}
        for node in call.graph.nodes:
            inputs = tuple(renamed[name] for name in node.inputs)
            body = node.body
            if not isinstance(body, Operation):
                raise ProblemsFound([_no_place_for_a_gate(loc)])
            renamed[node.name] = self.builder.op(body.bind(values), loc, inputs=inputs)


def _no_place_for_a_gate(origin: Loc) -> Problem:
    hint = 'keys = "resnet" keeps blocks, and gates in them'
    return Problem("AS311", 'keys = "sequential" has no place for a gate', origin, hint, "key")


def _call_of(node: Node) -> Call:
    assert isinstance(node.body, Call)
    return node.body


def _stage_graph(name: str, calls: list[Call], depth: int, loc: Loc) -> Graph:
    if depth > 1 and calls[0] == calls[1]:
        bodies: list[Call | Repeat] = [Repeat(calls[0], depth)]
    elif depth > 2:
        bodies = [calls[0], Repeat(calls[1], depth - 1)]
    else:
        bodies = list(calls)
    return Graph(name, "stage", numbered([Node("", body, origin=loc) for body in bodies]), chain=True)


def _sequential(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """VGG's layout: `features` up to the last map, `classifier` behind the flattening."""
    refused = next((node for node in nodes if isinstance(node.body, (ops.Multiply, ops.Add))), None)
    if refused is not None:
        raise ProblemsFound([_no_place_for_a_gate(refused.origin)])
    flatten = next(
        (place for place, node in enumerate(nodes) if isinstance(node.body, ops.Flatten)), len(nodes)
    )
    pooled = (
        flatten - 1 if flatten and isinstance(nodes[flatten - 1].body, ops.AdaptiveAvgPool2d) else flatten
    )
    parts = [
        _part("features", nodes[:pooled]),
        *nodes[pooled : flatten + 1],
        _part("classifier", nodes[flatten + 1 :]),
    ]
    result: list[Node] = []
    for node in parts:
        if node is not None:
            result.append(
                Node(node.name, node.body, (result[-1].name if result else INPUT,), node.origin, node.row)
            )
    return tuple(result)


def _part(name: str, nodes: tuple[Node, ...]) -> Node | None:
    if not nodes:
        return None
    return Node(name, Call(Graph(name, "network", numbered(nodes), chain=True)), origin=nodes[0].origin)
