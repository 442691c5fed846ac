"""One function in the words of many exporters: each has to be lifted to it, or refused by the node's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import helper

from tests.lift.graphs import SMALL, Graph, keras, lifted, refused, small, spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("opset", [7, 9, 13, 17, 20, 23])
def test_a_residual_net_is_the_same_in_every_opset(tmp_path: Path, opset: int) -> None:
    graph = Graph(opset)
    assert lifted(tmp_path, graph, small(graph)).architecture.hash == spec().hash


def test_option_a_as_torch_writes_it(tmp_path: Path) -> None:
    graph = Graph()
    found = lifted(tmp_path, graph, small(graph, projection=False))
    assert found.architecture.hash == spec(SMALL, ('"B"', '"A"')).hash


def _concatenated(graph: Graph, x: str, before: int, after: int) -> str:
    zeros = [graph.tensor(1, each, 16, 16, fill=0.0) if each else "" for each in (before, after)]
    parts = [part for part in (zeros[0], graph.halved(x), zeros[1]) if part]
    return graph.node("Concat", *parts, axis=1)


def _times_zero(graph: Graph, x: str) -> str:
    half = graph.node("AveragePool", x, kernel_shape=[1, 1], strides=[2, 2])
    return graph.node("Concat", half, graph.node("Mul", half, graph.hold(0.0, np.float32)), axis=1)


def _both_axes(graph: Graph, x: str) -> str:
    ends = graph.ints(2**31 - 1, 32)
    cut = graph.node("Slice", x, graph.ints(0, 0), ends, graph.ints(-1, 2), graph.ints(2, 2))
    return graph.padded(cut, 0, 16)


def _computed_pads(graph: Graph, x: str) -> str:
    """`F.pad` as torch's tracing exporter writes it: pads are filled up, turned around and transposed in the graph."""
    given = graph.ints(0, 0, 0, 0, 8, 8)
    rest = graph.node("ConstantOfShape", graph.ints(2), value=helper.make_tensor("v", 7, [1], [0]))
    pairs = graph.node("Reshape", graph.node("Concat", given, rest, axis=0), graph.ints(-1, 2))
    turned = graph.node(
        "Slice", pairs, graph.ints(-1), graph.ints(-(2**63) + 1), graph.ints(0), graph.ints(-1)
    )
    flat = graph.node("Reshape", graph.node("Transpose", turned, perm=[1, 0]), graph.ints(-1))
    return graph.node("Pad", graph.halved(x), graph.node("Cast", flat, to=7), mode="constant")


OPTION_A: dict[str, tuple[Callable[[Graph, str], str], tuple[tuple[str, str], ...]]] = {
    "zeros behind, by Concat": (lambda g, x: _concatenated(g, x, 0, 16), ()),
    "zeros around, by Concat": (lambda g, x: _concatenated(g, x, 8, 8), (('"A"', '"A"\npad = "both"'),)),
    "zeros around, by Pad": (lambda g, x: g.padded(g.halved(x), 8, 8), (('"A"', '"A"\npad = "both"'),)),
    "zeros around, by computed pads": (_computed_pads, (('"A"', '"A"\npad = "both"'),)),
    "zeros before the halving": (lambda g, x: g.halved(g.padded(x, 0, 16)), ()),
    "Torch-7: a pool of one pixel, and x times zero": (_times_zero, ()),
    "a max pool of one pixel": (
        lambda g, x: g.padded(g.node("MaxPool", x, kernel_shape=[1, 1], strides=[2, 2]), 0, 16),
        (),
    ),
    "a slice of both axes, one with its end": (_both_axes, ()),
    "a mean of four pixels": (
        lambda g, x: g.padded(g.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), 0, 16),
        (('"A"', '"A"\nsubsample = "average"'),),
    ),
}


@pytest.mark.parametrize("way", OPTION_A)
def test_option_a_in_other_words(tmp_path: Path, way: str) -> None:
    write, changes = OPTION_A[way]
    graph = Graph()
    x = graph.block(graph.unit("x", 3, 16), 16, 16)
    x = graph.block(x, 16, 32, 2, write(graph, x))
    output = graph.head(graph.block(x, 32, 32), 32)
    found = lifted(tmp_path, graph, output)
    expected = spec(SMALL, ('"B"', '"A"'), *changes)
    # a plain concatenation of halved maps needs halving even where a spec would not say it
    assert found.architecture.hash == expected.hash


def test_zeros_in_odd_places_are_refused(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.unit("x", 3, 16)
    x = graph.block(x, 16, 32, 2, graph.padded(graph.halved(x), 4, 12))
    assert "option A has no place for it" in refused(tmp_path, graph, graph.head(x, 32))


def _gather_shape(graph: Graph, x: str) -> str:
    """`x.view(x.size(0), -1)` as torch's old exporter wrote it."""
    batch = graph.node("Gather", graph.node("Shape", x), graph.hold(0, np.int64), axis=0)
    sides = [graph.node("Unsqueeze", batch, graph.ints(0)), graph.ints(-1)]
    return graph.node("Reshape", x, graph.node("Concat", *sides, axis=0))


def _pool(graph: Graph, x: str) -> str:
    return graph.node("GlobalAveragePool", x)


HEADS: dict[str, Callable[[Graph, str], str]] = {
    "Flatten": lambda g, x: g.node("Flatten", _pool(g, x)),
    "Reshape to 0, -1": lambda g, x: g.node("Reshape", _pool(g, x), g.ints(0, -1)),
    "Reshape to 1, 32": lambda g, x: g.node("Reshape", _pool(g, x), g.ints(1, 32)),
    "Reshape by Shape and Gather": lambda g, x: _gather_shape(g, _pool(g, x)),
    "Squeeze": lambda g, x: g.node("Squeeze", _pool(g, x), g.ints(2, 3)),
    "ReduceMean without its sides": lambda g, x: g.node("ReduceMean", x, axes=[2, 3], keepdims=0),
    "ReduceMean of negative axes": lambda g, x: g.node("Flatten", g.node("ReduceMean", x, axes=[-1, -2])),
    "Dropout, Identity and Cast": lambda g, x: g.node(
        "Cast", g.node("Identity", g.node("Flatten", _pool(g, x))), to=1
    ),
}


@pytest.mark.parametrize("way", HEADS)
@pytest.mark.parametrize("matmul", [False, True])
def test_heads_in_other_words(tmp_path: Path, way: str, matmul: bool) -> None:
    graph = Graph()
    x = graph.block(graph.unit("x", 3, 16), 16, 16)
    x = graph.block(x, 16, 32, 2, graph.projection(x, 16, 32))
    flat = HEADS[way](graph, graph.block(x, 32, 32))
    if matmul:
        output = graph.node("Add", graph.node("MatMul", flat, graph.tensor(32, 10)), graph.tensor(10))
    else:
        output = graph.node("Gemm", flat, graph.tensor(32, 10), graph.tensor(10))
    assert lifted(tmp_path, graph, output).architecture.hash == spec().hash


KERAS = """\
format = 1
name = "keras"
[input]
size = [64, 64]
[stem]
layers = [{ conv = 7, out = 16, stride = 2 }, { pool = "max", size = 3, stride = 2 }]
[defaults]
block = "basic"
shortcut = "identity"
[norm]
kind = "none"
[[stages]]
name = "a"
width = 16
[head]
layers = [{ pool = "average" }, { linear = 10 }]
"""


def test_a_graph_of_keras_with_channels_last(tmp_path: Path) -> None:
    graph = Graph(shape=("batch", 64, 64, 3))
    found = lifted(tmp_path, graph, keras(graph))
    assert found.architecture.hash == spec(KERAS).hash
    assert [each.what.split()[0] for each in found.deviations] == ["takes", "Softmax"]
    assert found.exact


def test_weights_made_by_nodes_count_as_weights(tmp_path: Path) -> None:
    graph = Graph(9)
    kernel = graph.node("ConstantOfShape", graph.ints(16, 3, 3, 3))
    constant = helper.make_tensor("bias", 1, [16], [0.5] * 16)
    bias = graph.node("Constant", value=constant)
    x = graph.node("Relu", graph.node("Conv", "x", kernel, bias, pads=[1, 1, 1, 1]))
    found = lifted(tmp_path, graph, graph.head(x, 16))
    assert found.params == 16 * 27 + 16 + 170


def test_preprocessing_in_the_graph_is_said(tmp_path: Path) -> None:
    graph = Graph(shape=("batch", 32, 32, 3))
    x = graph.node("Transpose", "x", perm=[0, 3, 1, 2])
    x = graph.node("Div", graph.node("Sub", x, graph.tensor(3, 1, 1)), graph.tensor(3, 1, 1))
    found = lifted(tmp_path, graph, graph.head(graph.unit(x, 3, 16), 16))
    said = [each.what for each in found.deviations]
    assert said[1:] == ["Sub by constants, before the network", "Div by constants, before the network"]
    assert found.exact


ACTIVATIONS: dict[str, tuple[Callable[[Graph, str], str], str]] = {
    "Clip with inputs": (
        lambda g, x: g.node("Clip", x, g.hold(0.0, np.float32), g.hold(6.0, np.float32)),
        "relu6",
    ),
    "Clip from zero": (lambda g, x: g.node("Clip", x, g.hold(0.0, np.float32)), "relu"),
    "LeakyRelu": (lambda g, x: g.node("LeakyRelu", x, alpha=0.01), "leaky-relu"),
    "Elu": (lambda g, x: g.node("Elu", x), "elu"),
    "Tanh": (lambda g, x: g.node("Tanh", x), "tanh"),
    "HardSwish": (lambda g, x: g.node("HardSwish", x), "hardswish"),
    "x times hardsigmoid": (
        lambda g, x: g.node("Mul", x, g.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)),
        "hardswish",
    ),
    "x times sigmoid": (lambda g, x: g.node("Mul", g.node("Sigmoid", x), x), "silu"),
    "Gelu": (lambda g, x: g.node("Gelu", x), "gelu"),
}


@pytest.mark.parametrize("way", ACTIVATIONS)
def test_activations(tmp_path: Path, way: str) -> None:
    write, kind = ACTIVATIONS[way]
    graph = Graph(20)
    x = write(graph, graph.bn(graph.conv("x", 3, 16), 16))
    inner = write(graph, graph.bn(graph.conv(x, 16, 16), 16))
    x = write(graph, graph.node("Add", graph.bn(graph.conv(inner, 16, 16), 16), x))
    found = lifted(tmp_path, graph, graph.head(x, 16))
    assert found.architecture.declared.spec.defaults.act == kind
