"""Foreign graphs that no spec can say, or that are another function than they look: refused by name, or said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import helper

from archspec.errors import FileError
from archspec.lift.onnx_graph import lift_onnx
from tests.lift.graphs import Graph, lifted, refused, small, spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda g, x: g.node("LeakyRelu", x, alpha=0.2), "leaky-relu has 0.01"),
        (lambda g, x: g.node("Clip", x, g.hold(-1.0, np.float32)), "clips to -1.0"),
        (lambda g, x: g.node("HardSigmoid", x), "alpha 0.2"),
        (lambda g, x: g.node("PRelu", x, g.tensor(16, 1, 1)), "PRelu"),
        (lambda g, x: g.node("Gelu", x, approximate="tanh"), "approximation"),
        (lambda g, x: g.node("Mul", x, g.tensor(16, 1, 1)), "computes with a constant"),
        (lambda g, x: g.node("Mul", x, x), "only batch normalisation is lifted"),
        (lambda g, x: g.node("Max", x, g.tensor(16, 1, 1)), "Max"),
        (lambda g, x: g.node("InstanceNormalization", x, g.tensor(16), g.tensor(16)), "InstanceNorm"),
        (lambda g, x: g.node("LRN", x, size=5), "LRN"),
        (lambda g, x: g.node("Conv", x, g.tensor(16, 16, 3, 1)), "kernel of [3, 1]"),
        (lambda g, x: g.node("Conv", x, g.tensor(16, 16, 3, 3), strides=[2, 1]), "stride of [2, 1]"),
        (lambda g, x: g.node("Conv", x, x), "weights"),
        (lambda g, x: g.node("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4), "does not count"),
        (lambda g, x: g.node("MaxPool", x, kernel_shape=[3, 3], pads=[1, 0, 1, 1]), "lay its windows"),
        (lambda g, x: g.node("Softmax", x), "inside the network"),
        (lambda g, x: g.node("Transpose", x, perm=[0, 1, 3, 2]), "turns axes"),
        (lambda g, x: g.node("Reshape", x, g.ints(0, 32, 16, 16)), "no layer of a spec"),
        (lambda g, x: g.node("Slice", x, g.ints(1), g.ints(9), g.ints(2)), "cuts a part"),
        (lambda g, x: g.node("Concat", x, x, axis=1), "only zeros"),
        (lambda g, x: g.node("Add", x, g.node("Mul", x, g.hold(0.0, np.float32))), "map of zeros"),
    ],
)
def test_what_no_spec_can_say_is_refused_by_name(
    tmp_path: Path, write: Callable[[Graph, str], str], says: str
) -> None:
    graph = Graph(20)
    x = write(graph, graph.unit("x", 3, 16))
    assert says in refused(tmp_path, graph, graph.head(x, 16))


@pytest.mark.parametrize("pads", [[2, 2, 3, 3], [0, 0, 1, 1]])
def test_tensorflows_padding_of_a_strided_convolution_is_another_function(
    tmp_path: Path, pads: list[int]
) -> None:
    kernel = 7 if pads[0] else 3
    graph = Graph()
    conv = graph.node("Conv", "x", graph.tensor(16, 3, kernel, kernel), strides=[2, 2], pads=pads)
    x = graph.node("Relu", graph.bn(conv, 16))
    found = lifted(tmp_path, graph, graph.head(x, 16))
    assert not found.exact
    assert found.known_as == ()
    assert "other values come out" in found.deviations[0].what
    assert "The file differs" in found.text


def test_rows_that_no_window_reads_make_no_difference(tmp_path: Path) -> None:
    """Padding 1 below an even map at stride 2 is never looked at."""
    graph = Graph()
    conv = graph.node("Conv", "x", graph.tensor(16, 3, 3, 3), strides=[2, 2], pads=[1, 1, 0, 0])
    found = lifted(tmp_path, graph, graph.head(graph.node("Relu", graph.bn(conv, 16)), 16))
    assert found.exact
    assert not found.deviations


def test_at_any_size_those_rows_do(tmp_path: Path) -> None:
    graph = Graph(shape=("batch", 3, "height", "width"))
    conv = graph.node("Conv", "x", graph.tensor(16, 3, 3, 3), strides=[2, 2], pads=[1, 1, 0, 0])
    found = lifted(tmp_path, graph, graph.head(graph.node("Relu", graph.bn(conv, 16)), 16))
    assert not found.exact
    assert [each.field for each in found.ambiguous] == ["input.size"]


def test_zeros_around_a_map_that_may_be_negative_are_no_padding_of_a_max_pool(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.node("Pad", graph.bn(graph.conv("x", 3, 16), 16), graph.ints(0, 0, 1, 1, 0, 0, 1, 1))
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    assert "padded with zeros" in refused(tmp_path, graph, graph.head(x, 16))


def test_integers_are_refused_because_relu_may_hide_in_them(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.conv("x", 3, 16, bias=True)
    x = graph.node("QuantizeLinear", x, graph.hold(0.1, np.float32), graph.hold(0, np.uint8))
    x = graph.node("DequantizeLinear", x, graph.hold(0.1, np.float32), graph.hold(0, np.uint8))
    assert "lift the float model" in refused(tmp_path, graph, graph.head(x, 16))


def test_eps_and_momentum_are_read_as_people_write_them(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.bn(graph.conv("x", 3, 16), 16, epsilon=1.001e-5, momentum=0.99)
    norm = lifted(tmp_path, graph, graph.head(graph.node("Relu", x), 16)).architecture.declared.spec.norm
    assert (norm.eps, norm.momentum) == (1.001e-05, 0.01)


def test_norms_of_two_kinds_have_no_words(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.bn(graph.conv("x", 3, 16), 16, epsilon=1e-3)
    assert "other settings" in refused(tmp_path, graph, graph.head(graph.bn(x, 16), 16))


def test_the_order_of_an_addition_makes_no_difference(tmp_path: Path) -> None:
    graph = Graph()
    output = small(graph)
    for node in graph.nodes:
        if node.op_type == "Add":
            node.input[:] = reversed(node.input)
    assert lifted(tmp_path, graph, output).architecture.hash == spec().hash


def test_a_network_without_a_head_keeps_its_map(tmp_path: Path) -> None:
    graph = Graph()
    found = lifted(tmp_path, graph, graph.unit("x", 3, 16), rank=4)
    assert found.architecture.measure.output == (16, 32, 32)


def test_nodes_that_nothing_reads_are_left_out(tmp_path: Path) -> None:
    graph = Graph()
    output = small(graph)
    graph.unit("x", 3, 64)
    assert lifted(tmp_path, graph, output).architecture.hash == spec().hash


def test_a_stride_in_an_odd_place_gets_a_block_of_its_own(tmp_path: Path) -> None:
    """The stride on the second convolution is no built-in block's."""
    graph = Graph()
    x = graph.unit("x", 3, 16)
    inner = graph.unit(x, 16, 32)
    branch = graph.bn(graph.conv(inner, 32, 32, s=2), 32)
    x = graph.node("Relu", graph.node("Add", branch, graph.projection(x, 16, 32)))
    found = lifted(tmp_path, graph, graph.head(graph.block(x, 32, 32), 32))
    assert set(found.architecture.declared.spec.blocks) == {"own-basic"}
    assert '{ conv = 3, out = "width", stride = "stride", act = false }' in found.text


def test_option_c_in_one_stage_alone(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.unit("x", 3, 16)
    x = graph.block(x, 16, 16, 1, graph.projection(x, 16, 16, 1))
    x = graph.block(x, 16, 16)
    x = graph.block(x, 16, 32, 2, graph.projection(x, 16, 32))
    stages = lifted(tmp_path, graph, graph.head(x, 32)).architecture.declared.spec.stages
    assert [(stage.shortcut, stage.depth) for stage in stages] == [("C", 1), (None, 1), (None, 1)]


def test_a_gate_is_lifted_as_a_gate(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.unit("x", 3, 16)
    branch = graph.bn(graph.conv(graph.unit(x, 16, 16), 16, 16), 16)
    gate = graph.node("Relu", graph.conv(graph.node("GlobalAveragePool", branch), 16, 4, 1, bias=True))
    gate = graph.node("Sigmoid", graph.conv(gate, 4, 16, 1, bias=True))
    x = graph.node("Relu", graph.node("Add", graph.node("Mul", gate, branch), x))
    text = lifted(tmp_path, graph, graph.head(x, 16)).text
    assert '{ gate = [{ pool = "average" }, { conv = 1, out = "width // 4" }' in text


def test_a_value_that_three_nodes_read_is_no_shortcut(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.unit("x", 3, 16)
    ways = [graph.conv(x, 16, 16) for _ in range(3)]
    x = graph.node("Add", graph.node("Add", ways[0], ways[1]), ways[2])
    assert "no shortcut and no gate" in refused(tmp_path, graph, graph.head(x, 16))


def test_two_outputs_and_two_images_are_refused(tmp_path: Path) -> None:
    graph = Graph()
    model = graph.model(small(graph))
    second = replace_name(model.graph.input[0], "second")
    model.graph.input.append(second)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match="2 inputs"):
        lift_onnx(path)
    del model.graph.input[1]
    model.graph.output.append(replace_name(model.graph.output[0], "v0"))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match="2 outputs"):
        lift_onnx(path)


def replace_name(info: Any, name: str) -> Any:
    copy = type(info)()
    copy.CopyFrom(info)
    copy.name = name
    return copy


def test_the_proof_notices_a_spec_of_another_function(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the recogniser errs, nothing is given back: the proof stands behind it."""
    from archspec.lift import drafts, residual

    def wrong(*arguments: Any) -> dict[str, Any]:
        tables = residual.residual_tables(*arguments)
        tables["stages"][1].pop("stride")
        return tables

    monkeypatch.setattr(drafts, "residual_tables", wrong)
    graph = Graph()
    assert "no spec was found" in refused(tmp_path, graph, small(graph))


def test_shapes_that_the_file_says_are_held_against_its_operations(tmp_path: Path) -> None:
    graph = Graph()
    model = graph.model(small(graph))
    says = helper.make_tensor_value_info("v2", 1, ["batch", 16, 31, 32])
    model.graph.value_info.append(says)
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileError) as error:
        lift_onnx(path)
    assert "31" in str(error.value) or "contradictory" in str(error.value)


def test_deviations_read_as_sentences(tmp_path: Path) -> None:
    graph = Graph()
    found = lifted(tmp_path, graph, graph.node("Softmax", small(graph)))
    assert str(found.deviations[0]).startswith('Softmax "softmax_')
    assert found.exact
    assert not replace(found, deviations=(replace(found.deviations[0], outside=False),)).exact
