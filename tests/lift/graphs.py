"""ONNX graphs by hand, as exporters of several frameworks write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from archspec.architecture import Architecture, compiled
from archspec.errors import FileError
from archspec.lift.onnx_graph import lift_onnx
from archspec.spec.documents import parse
from archspec.spec.load import resolve

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.lift.lifted import Lifted


class Graph:
    """Collects nodes. Every method gives the name of its value."""

    def __init__(self, opset: int = 17, shape: tuple[Any, ...] = ("batch", 3, 32, 32)) -> None:
        self.opset = opset
        self.shape = shape
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.metadata: dict[str, str] = {}
        self.ir = 8

    def node(self, kind: str, *inputs: str, outputs: int = 1, **said: Any) -> str:
        number = len(self.nodes)
        names = [f"v{number}", *(f"v{number}_{each}" for each in range(1, outputs))]
        self.nodes.append(helper.make_node(kind, list(inputs), names, f"{kind.lower()}_{number}", **said))
        return names[0]

    def tensor(self, *shape: int, fill: float = 0.1) -> str:
        return self.hold(np.full(shape, fill, np.float32))

    def hold(self, values: Any, dtype: Any = None) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        return self.hold(values, np.int64)

    def conv(
        self, x: str, ins: int, out: int, k: int = 3, s: int = 1, *, bias: bool = False, **said: Any
    ) -> str:
        inputs = [x, self.tensor(out, ins // said.get("group", 1), k, k)]
        inputs += [self.tensor(out)] if bias else []
        pads = {} if "auto_pad" in said else {"pads": [k // 2] * 4}
        return self.node("Conv", *inputs, **{"kernel_shape": [k, k], "strides": [s, s], **pads, **said})

    def bn(self, x: str, channels: int, **said: Any) -> str:
        return self.node("BatchNormalization", x, *(self.tensor(channels) for _ in range(4)), **said)

    def unit(self, x: str, ins: int, out: int, k: int = 3, s: int = 1) -> str:
        return self.node("Relu", self.bn(self.conv(x, ins, out, k, s), out))

    def block(self, x: str, ins: int, out: int, s: int = 1, shortcut: str | None = None) -> str:
        inner = self.unit(x, ins, out, s=s)
        branch = self.bn(self.conv(inner, out, out), out)
        return self.node("Relu", self.node("Add", branch, shortcut or x))

    def projection(self, x: str, ins: int, out: int, s: int = 2) -> str:
        return self.bn(self.conv(x, ins, out, 1, s), out)

    def halved(self, x: str) -> str:
        """Every second row and column, as torch exports `x[:, :, ::2, ::2]`."""
        big = 2**63 - 1
        rows = self.node("Slice", x, self.ints(0), self.ints(big), self.ints(2), self.ints(2))
        return self.node("Slice", rows, self.ints(0), self.ints(big), self.ints(3), self.ints(2))

    def padded(self, x: str, before: int, after: int) -> str:
        return self.node("Pad", x, self.ints(0, before, 0, 0, 0, after, 0, 0))

    def head(self, x: str, channels: int, classes: int = 10) -> str:
        flat = self.node("Flatten", self.node("GlobalAveragePool", x))
        return self.node("Gemm", flat, self.tensor(classes, channels), self.tensor(classes), transB=1)

    def model(self, output: str, rank: int = 2) -> ModelProto:
        image = helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * rank)
        graph = helper.make_graph(self.nodes, "g", [image], [result], self.tensors)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=self.ir
        )
        helper.set_model_props(model, self.metadata)
        return model

    def save(self, folder: Path, output: str, rank: int = 2) -> Path:
        path = folder / "net.onnx"
        path.write_bytes(self.model(output, rank).SerializeToString())
        return path


def small(graph: Graph, *, projection: bool = True) -> str:
    """A residual net of two stages: 16 channels, then 32."""
    x = graph.unit("x", 3, 16)
    x = graph.block(x, 16, 16)
    shortcut = graph.projection(x, 16, 32) if projection else graph.padded(graph.halved(x), 0, 16)
    x = graph.block(x, 16, 32, 2, shortcut)
    return graph.head(graph.block(x, 32, 32), 32)


SMALL = """\
format = 1
name = "small"
[input]
size = [32, 32]
[stem]
layers = [{ conv = 3, out = 16 }]
[defaults]
block = "basic"
shortcut = "B"
[[stages]]
name = "a"
width = 16
[[stages]]
name = "b"
depth = 2
width = 32
stride = 2
[head]
layers = [{ pool = "average" }, { linear = 10 }]
"""


def spec(text: str = SMALL, *changes: tuple[str, str]) -> Architecture:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return compiled(resolve(parse(text.encode(), "small.toml", None)))


def lifted(folder: Path, graph: Graph, output: str, rank: int = 2, **said: Any) -> Lifted:
    return lift_onnx(graph.save(folder, output, rank), **said)


def refused(folder: Path, graph: Graph, output: str, rank: int = 2) -> str:
    with pytest.raises(FileError) as error:
        lift_onnx(graph.save(folder, output, rank))
    assert [each.code for each in error.value.diagnostics] == ["AS512"]
    return error.value.diagnostics[0].message


def keras(graph: Graph) -> str:
    """As tf2onnx writes Keras: NHWC in, Pad before the window, biases by Add, Transposes between."""
    x = graph.node("Pad", "x", graph.ints(0, 3, 3, 0, 0, 3, 3, 0))
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.node("Conv", x, graph.tensor(16, 3, 7, 7), strides=[2, 2], auto_pad="VALID")
    x = graph.node("Relu", graph.node("Add", x, graph.tensor(1, 16, 1, 1)))
    x = graph.node("Transpose", x, perm=[0, 2, 3, 1])
    x = graph.node("Pad", x, graph.ints(0, 1, 1, 0, 0, 1, 1, 0))
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])
    inner = graph.node("Relu", graph.conv(x, 16, 16, bias=True, auto_pad="SAME_UPPER"))
    x = graph.node("Relu", graph.node("Sum", graph.conv(inner, 16, 16, bias=True), x))
    x = graph.node("ReduceMean", graph.node("Transpose", x, perm=[0, 2, 3, 1]), axes=[1, 2], keepdims=0)
    x = graph.node("Add", graph.node("MatMul", x, graph.tensor(16, 10)), graph.tensor(10))
    return graph.node("Softmax", x)
