"""The network as one flat list of operations: what hashing, comparing and layer-by-layer work start from."""

from __future__ import annotations

from dataclasses import fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.ir.graph import INPUT, Call, Graph, Node, Repeat, Slot
from archspec.sizes import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.ir.ops import Op

FUNCTION_VERSION = 1
"""Raised when the meaning of an operation changes, so that old hashes stop matching."""


class FlatOp(NamedTuple):
    """One operation of the expanded network. Inputs are places in the list; -1 is the image."""

    path: str
    op: Op
    inputs: tuple[int, ...]


def flatten(graph: Graph) -> tuple[FlatOp, ...]:
    """Every operation of a network, with repeated blocks written out and slots filled."""
    flat: list[FlatOp] = []
    _Flattener(flat).graph(graph, -1, {}, {}, "")
    return tuple(flat)


class _Flattener:
    def __init__(self, flat: list[FlatOp]) -> None:
        self.flat = flat

    def graph(
        self, graph: Graph, source: int, values: Mapping[str, int], fills: Mapping[str, Any], path: str
    ) -> int:
        places = {INPUT: source}
        for node in graph.nodes:
            inputs = tuple(places[name] for name in node.inputs)
            places[node.name] = self.node(node, inputs, values, fills, path)
        return places[graph.output]

    def node(
        self,
        node: Node,
        inputs: tuple[int, ...],
        values: Mapping[str, int],
        fills: Mapping[str, Any],
        path: str,
    ) -> int:
        body, here = node.body, f"{path}{node.name}"
        match body:
            case Call():
                return self.call(body, inputs[0], values, f"{here}.")
            case Repeat():
                place = inputs[0]
                for step in range(body.times):
                    place = self.call(body.call, place, values, f"{path}{int(node.name) + step}.")
                return place
            case Slot():
                if body.name not in fills:
                    return inputs[1]
                filled, outer = fills[body.name]
                return self.call(filled, inputs[0], outer, f"{here}.")
        self.flat.append(FlatOp(here, body.bind(values), inputs))
        return len(self.flat) - 1

    def call(self, call: Call, source: int, outer: Mapping[str, int], path: str) -> int:
        values = {parameter.name: parameter.default or 0 for parameter in call.graph.parameters}
        values |= {name: evaluate(size, outer) for name, size in call.arguments}
        fills = {name: (filled, outer) for name, filled in call.fills}
        return self.graph(call.graph, source, values, fills, path)


def parameters(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The trained tensors of a network by `state_dict` key, with their shapes."""
    return {
        f"{flat.path}.{name}": shape
        for flat in flatten(graph)
        for name, shape in flat.op.parameters().items()
    }


def state(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Every tensor of a network's `state_dict` by key, in its order: trained ones and running statistics."""
    held: dict[str, tuple[int, ...]] = {}
    for flat in flatten(graph):
        held |= {f"{flat.path}.{name}": shape for name, shape in flat.op.parameters().items()}
        held |= {f"{flat.path}.{name}": shape for name, shape in flat.op.buffers().items()}
    return held


def function_hash(graph: Graph) -> str:
    """SHA-256 of what the network computes: every operation, its settings and its wiring, and no names.

    Two specs have one hash when equal weights give equal outputs, in training and in evaluation. Names, texts,
    the image's size and the initialisation are not part of it.
    """
    steps = [[type(flat.op).__name__, *_settings(flat.op), *flat.inputs] for flat in flatten(graph)]
    # numbers, booleans and plain words: Python writes them in one way only
    return sha256(repr([FUNCTION_VERSION, steps]).encode()).hexdigest()


def _settings(op: Op) -> list[Any]:
    return [getattr(op, field.name) for field in fields(op)]
