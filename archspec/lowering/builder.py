"""Turns layers of a spec into nodes of a graph, and gives them torchvision's names."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, assert_never

from archspec.errors import Note, Problem, ProblemsFound
from archspec.ir import ops
from archspec.ir.graph import INPUT, Body, Call, Graph, Node, Repeat, Role, Slot, parameters_of
from archspec.sizes import Size, SizeError, Var, combine
from archspec.spec import models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archspec.errors import Loc
    from archspec.spec.fields import ActKind, NormKind
    from archspec.spec.models import Defaults, NormTable

# what a chain (an `nn.Sequential`) cannot hold, because torch has no module for it
_EXPRESSIONS = (ops.Add, ops.Multiply, ops.Subsample, ops.PadChannels, Slot)
_PREFIXES: dict[type, str] = {
    ops.Conv2d: "conv",
    ops.StandardisedConv2d: "conv",
    ops.Linear: "fc",
    ops.BatchNorm2d: "bn",
    ops.GroupNorm: "norm",
    ops.InstanceNorm2d: "norm",
    ops.RMSNorm2d: "norm",
    ops.FilterResponseNorm2d: "norm",
    ops.ThresholdedLinearUnit: "tlu",
    ops.MaxPool2d: "maxpool",
    ops.AvgPool2d: "avgpool",
    ops.AdaptiveAvgPool2d: "avgpool",
    ops.Dropout: "dropout",
    ops.Flatten: "flatten",
    ops.Add: "add",
    ops.Multiply: "scaled",
    ops.Subsample: "subsample",
    ops.PadChannels: "pad",
}
MAX_GATES = 3
NUMBERED = ("conv", "bn", "norm", "tlu")


class Context(NamedTuple):
    """What the layers of one spec have in common. `fixed` fills in the spec's parameters."""

    defaults: Defaults
    norm: NormTable
    fixed: Callable[[Size], Size]


class Builder:
    """Collects the nodes of one graph, keeping track of the current value and its channels."""

    def __init__(self, context: Context, channels: Size, *, gates: int = 0) -> None:
        self.context = context
        self.channels = channels
        self.gates = gates
        self.nodes: list[Node] = []
        self.value = INPUT
        self.last_norm: str | None = None
        self.row = ""
        self._names: set[str] = {INPUT}
        self._last: Counter[str] = Counter()
        self._convs = 0

    def add(
        self, body: Body, prefix: str, origin: Loc, inputs: tuple[str, ...] | None = None, number: int = 0
    ) -> str:
        """Appends a node and makes its value the current one."""
        name = self._name(prefix, number)
        self.nodes.append(Node(name, body, inputs if inputs is not None else (self.value,), origin, self.row))
        self.value = name
        return name

    def op(self, op: ops.Op, origin: Loc, number: int = 0, inputs: tuple[str, ...] | None = None) -> str:
        """Appends an operation under its usual name."""
        prefix = op.kind.replace("-", "_") if isinstance(op, ops.Activation) else _PREFIXES[type(op)]
        return self.add(op, prefix, origin, inputs, number)

    def _name(self, prefix: str, number: int) -> str:
        number = number or (1 if prefix in NUMBERED else 0)
        name = f"{prefix}{number or ''}"
        while name in self._names:
            # numbers only grow, so that ten thousand layers of a kind are named in one go
            self._last[prefix] = max(number, self._last[prefix], 1) + 1
            name = f"{prefix}{self._last[prefix]}"
        self._names.add(name)
        return name

    def count(self, prefix: str) -> int:
        """How many nodes carry a prefix."""
        return sum(name.startswith(prefix) for name in self._names)

    def graph(self, name: str, role: Role, *, chain: bool = False, about: str = "") -> Graph:
        """The graph of what was collected. A chain's nodes are named by their place, as `nn.Sequential` does."""
        chain = chain and not any(isinstance(node.body, _EXPRESSIONS) for node in self.nodes)
        nodes = numbered(self.nodes) if chain else tuple(self.nodes)
        return Graph(name, role, nodes, parameters_of(nodes), chain, about=about)

    def layers(self, layers: Sequence[models.Layer], loc: Loc) -> None:
        """Appends a list of layers."""
        for place, layer in enumerate(layers):
            self.layer(layer, (*loc, place))

    def layer(self, layer: models.Layer, loc: Loc, stride: Size = 1) -> None:
        """Appends one layer. `stride` is a convolution's where it does not say."""
        try:
            self._layer(layer, loc, stride)
        except SizeError as error:
            raise ProblemsFound([Problem("AS307", f"a size has no value: {error}", loc)]) from error

    def _layer(self, layer: models.Layer, loc: Loc, stride: Size) -> None:
        match layer:
            case models.Conv():
                self._conv(layer, loc, stride)
            case models.Pool():
                self.op(self._pool(layer, loc), loc)
            case models.Dropout():
                self.op(ops.Dropout(layer.dropout), loc)
            case models.Gate():
                self._gate(layer, loc)
            case models.Norm():
                if layer.norm is False:
                    raise ProblemsFound([Problem("AS112", "this layer does nothing", (*loc, "norm"))])
                self._normalise(layer.norm, loc)
                self._activate(layer.act, loc)
            case models.Act():
                if layer.act is False:
                    raise ProblemsFound([Problem("AS112", "this layer does nothing", (*loc, "act"))])
                self._activate(layer.act, loc)
            case models.Linear():
                message = "a linear layer belongs into the head: a feature map would be flattened here"
                raise ProblemsFound([Problem("AS310", message, loc, "a 1x1 convolution keeps the map")])
            case _:
                assert_never(layer)

    def _conv(self, layer: models.Conv, loc: Loc, stride: Size) -> None:
        defaults, fixed = self.context.defaults, self.context.fixed
        norm = self.gates == 0 if layer.norm is None else layer.norm
        act = True if layer.act is None else layer.act
        kernel, dilation, out = fixed(layer.conv), fixed(layer.dilation), fixed(layer.out)
        same = combine("//", combine("*", dilation, combine("-", kernel, 1)), 2)
        self._convs += 1
        standardise = self.gates == 0 and defaults.standardise
        if layer.standardise is not None:
            standardise = layer.standardise
        conv = (ops.StandardisedConv2d if standardise else ops.Conv2d)(
            in_channels=self.channels,
            out_channels=out,
            kernel_size=kernel,
            stride=stride if layer.stride is None else fixed(layer.stride),
            padding=same if layer.padding is None else fixed(layer.padding),
            dilation=dilation,
            groups=fixed(layer.groups),
            bias=self._bias(layer, normalised=self._norm_kind(norm) != "none"),
        )
        number = self._convs
        before = (layer.order or defaults.order) == "pre"
        if before:
            self._normalise(norm, loc, number)
            self._activate(act, loc)
        self.op(conv, loc, number)
        self.channels = out
        if not before:
            self._normalise(norm, loc, number)
            self._activate(act, loc)

    def _bias(self, layer: models.Conv, *, normalised: bool) -> bool:
        if layer.bias is not None:
            return layer.bias
        bias = self.context.defaults.bias
        return not normalised if bias == "auto" else bias

    def _norm_kind(self, switch: bool | NormKind) -> NormKind:
        if switch is True:
            return self.context.norm.kind
        return switch or "none"

    def _normalise(self, switch: bool | NormKind, loc: Loc, number: int = 0) -> None:
        table, channels = self.context.norm, self.channels
        kind = self._norm_kind(switch)
        match kind:
            case "none":
                return
            case "batch":
                op: ops.Op = ops.BatchNorm2d(channels, table.eps, table.momentum)
            case "layer":
                op = ops.GroupNorm(1, channels, table.eps)
            case "group":
                op = ops.GroupNorm(table.groups, channels, table.eps)
            case "instance":
                op = ops.InstanceNorm2d(channels, table.eps)
            case "rms":
                op = ops.RMSNorm2d(channels, table.eps)
            case "frn":
                op = ops.FilterResponseNorm2d(channels, table.eps)
            case _:
                assert_never(kind)
        self.last_norm = self.op(op, loc, number)

    def _activate(self, switch: bool | ActKind, loc: Loc) -> None:
        if switch is False:
            return
        kind = self.context.defaults.act if switch is True else switch
        self.op(ops.ThresholdedLinearUnit(self.channels) if kind == "tlu" else ops.Activation(kind), loc)

    def _pool(self, layer: models.Pool, loc: Loc) -> ops.Op:
        fixed = self.context.fixed
        if layer.pool == "max" and layer.size is None:
            raise ProblemsFound([Problem("AS102", '"size" is missing: a max pool has a window', loc)])
        given = {
            "stride": layer.stride is not None,
            "padding": layer.padding is not None,
            "rounding": layer.rounding != "floor",
        }
        unread = [key for key, said in given.items() if said]
        if layer.size is None and unread:
            message = f"{unread[0]} needs a window: this pool takes the whole map"
            raise ProblemsFound([Problem("AS112", message, (*loc, unread[0]), "size = ... gives it one")])
        if layer.size is None:
            return ops.AdaptiveAvgPool2d(1 if layer.output is None else fixed(layer.output))
        if layer.output is not None:
            message = "a pool has a window (size) or an output size, not both"
            notes = (Note((*loc, "size"), "the window"),)
            raise ProblemsFound([Problem("AS112", message, (*loc, "output"), notes=notes)])
        size, ceil = fixed(layer.size), layer.rounding == "ceil"
        # a mean over padding is nobody's intention; a max pool's padding is what keeps n/2
        usual = 0 if ceil or layer.pool == "average" else combine("//", combine("-", size, 1), 2)
        stride = size if layer.stride is None else fixed(layer.stride)
        padding = usual if layer.padding is None else fixed(layer.padding)
        kind = ops.MaxPool2d if layer.pool == "max" else ops.AvgPool2d
        return kind(size, stride, padding, ceil)

    def _gate(self, layer: models.Gate, loc: Loc) -> None:
        if self.gates == MAX_GATES:
            raise ProblemsFound([Problem("AS104", f"gates are nested more than {MAX_GATES} deep", loc)])
        if not layer.gate:
            raise ProblemsFound([Problem("AS104", "a gate has at least one layer", (*loc, "gate"))])
        value = self.value
        inner = Builder(self.context, self.channels, gates=self.gates + 1)
        inner.layers(layer.gate, (*loc, "gate"))
        graph = inner.graph("gate", "gate", chain=True)
        # a gate is part of its block: it has the block's sizes for its own
        arguments = tuple((parameter.name, Var(parameter.name)) for parameter in graph.parameters)
        gate = self.add(Call(graph, arguments), "gate", loc)
        self.op(ops.Multiply(), loc, inputs=(value, gate))


def numbered(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes of a chain, named by their place."""
    result: list[Node] = []
    place, value = 0, INPUT
    for node in nodes:
        result.append(Node(str(place), node.body, (value,), node.origin, node.row))
        value = str(place)
        place += node.body.times if isinstance(node.body, Repeat) else 1
    return tuple(result)
