"""One graph of operations, written as nodes into a model that others share."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from archspec.backends.onnx import table
from archspec.backends.onnx.nodes import Site
from archspec.ir import ops
from archspec.passes.flatten import FlatOp, flatten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.backends.onnx.nodes import Nodes
    from archspec.ir.graph import Graph
    from archspec.ir.operation import Shape


class GraphWriter:
    """Writes a graph's operations; behind `prefix` their paths are those of a larger module.

    `tensors` holds the module's `state_dict`. With `fold` a normalisation vanishes into the convolution before it.
    """

    def __init__(
        self,
        graph: Graph,
        shape: Shape,
        tensors: Mapping[str, np.ndarray[Any, Any]],
        nodes: Nodes,
        *,
        fold: bool,
        prefix: str = "",
    ) -> None:
        self.flat = tuple(step._replace(path=f"{prefix}{step.path}") for step in flatten(graph))
        self.shapes = _shapes(self.flat, shape)
        self.tensors = tensors
        self.nodes = nodes
        self.fold = fold
        self.uses = Counter(place for step in self.flat for place in step.inputs)
        self.values: dict[str, str] = {}
        """The name of the value that holds each operation's result; folded ones have none of their own."""

    def run(self, source: str) -> str:
        """Writes every operation on a value and names the output."""
        named = {-1: source}
        folded = self._folded() if self.fold else {}
        norms = {conv: norm for norm, conv in folded.items()}
        for place, step in enumerate(self.flat):
            if place in folded:
                named[place] = named[folded[place]]
                self.values[step.path] = named[place]
                continue
            norm = norms.get(place)
            named[place] = self._step(step, named, norm)
            if norm is None:
                self.values[step.path] = named[place]
        return named[len(self.flat) - 1]

    def _step(self, step: FlatOp, named: Mapping[int, str], norm: int | None) -> str:
        shapes = tuple(self.shapes[each] for each in step.inputs)
        inputs = tuple(named[each] for each in step.inputs)
        own = {
            name: self.tensors[f"{step.path}.{name}"]
            for name in (*step.op.parameters(), *_statistics(step.op))
        }
        output = self.flat[norm].path if norm is not None else step.path
        op: ops.Op = step.op
        if isinstance(op, ops.StandardisedConv2d):
            own["weight"] = _standardised(own["weight"], op.eps)
        if norm is not None:
            assert isinstance(op, ops.Conv2d)
            own = self._fold(own, self.flat[norm])
            op = replace(op, bias=True)
        return table.write(op, Site(step.path, inputs, shapes, own, output), self.nodes)

    def _folded(self) -> dict[int, int]:
        """Batch normalisations that vanish into the convolution before them, which nothing else reads."""
        return {
            place: step.inputs[0]
            for place, step in enumerate(self.flat)
            if isinstance(step.op, ops.BatchNorm2d)
            and step.inputs[0] >= 0
            and isinstance(self.flat[step.inputs[0]].op, ops.Conv2d)
            and self.uses[step.inputs[0]] == 1
        }

    def _fold(self, conv: dict[str, np.ndarray[Any, Any]], norm: FlatOp) -> dict[str, np.ndarray[Any, Any]]:
        """`s W` and `s (b - mean) + beta` with `s = gamma / sqrt(var + eps)`, in double precision."""
        assert isinstance(norm.op, ops.BatchNorm2d)
        gamma, beta, mean, variance = (
            self.tensors[f"{norm.path}.{name}"].astype(np.float64)
            for name in (*norm.op.parameters(), *_statistics(norm.op))
        )
        scale = gamma / np.sqrt(variance + norm.op.eps)
        weight = conv["weight"]
        shift = conv["bias"].astype(np.float64) - mean if "bias" in conv else -mean
        # computed in fp64 and rounded once, a few thousand values at a time
        folded = np.empty(weight.shape, np.float32)
        np.multiply(weight, scale.reshape(-1, 1, 1, 1), out=folded, dtype=np.float64, casting="same_kind")
        return {"weight": folded, "bias": (scale * shift + beta).astype(np.float32)}


def _standardised(weight: np.ndarray[Any, Any], eps: float) -> np.ndarray[Any, Any]:
    """What a convolution of standardised weights computes with; a file holds this, as training is over."""
    exact = weight.astype(np.float64)
    exact -= exact.mean((1, 2, 3), keepdims=True)
    exact /= np.sqrt(np.square(exact).mean((1, 2, 3), keepdims=True) + eps)
    return exact.astype(np.float32)


def _statistics(op: ops.Op) -> tuple[str, ...]:
    return ("running_mean", "running_var") if isinstance(op, ops.BatchNorm2d) else ()


def _shapes(flat: tuple[FlatOp, ...], image: Shape) -> dict[int, Shape]:
    """The shape of every value, for one image."""
    shapes: dict[int, Shape] = {-1: image}
    for place, step in enumerate(flat):
        shapes[place] = step.op.shape(*(shapes[each] for each in step.inputs))
    return shapes
