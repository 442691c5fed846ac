"""From an architecture and its tensors to an ONNX model: no tracing, no torch, the same bytes every time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper

from archspec.backends.onnx.graph import GraphWriter
from archspec.backends.onnx.nodes import Nodes
from archspec.errors import ProblemsFound, file_error
from archspec.ir import ops
from archspec.ir.operation import ShapeError
from archspec.ir.walk import Visit, Walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.architecture import Architecture
    from archspec.ir.graph import Graph
    from archspec.ir.operation import Shape

OPSETS = range(14, 26)
"""What onnxruntime 1.31 and TensorRT's parser (ONNX Opset Guide, 11.x: 9 to 25) both take, and the table needs."""
DEFAULT_OPSET = 20


class Normalisation(NamedTuple):
    """`(x range / 255 - mean) / std` by channel, computed inside the graph from uint8 pictures `(N, H, W, C)`."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    range: float


@dataclass(frozen=True, slots=True)
class Form:
    """What an exported file looks like."""

    opset: int = DEFAULT_OPSET
    fold: bool = True
    dynamic_size: bool = False
    softmax: bool = False
    precision: Literal["fp32", "fp16"] = "fp32"
    normalisation: Normalisation | None = None

    @property
    def real(self) -> np.dtype[Any]:
        """The type of the weights."""
        return np.dtype(np.float16 if self.precision == "fp16" else np.float32)

    @property
    def input(self) -> str:
        """The name of the input."""
        return "image" if self.normalisation else "input"


class Written(NamedTuple):
    """A model, and the name of the value that holds each operation's result; folded ones have none of their own."""

    model: ModelProto
    values: dict[str, str]


def write_model(
    architecture: Architecture,
    tensors: Mapping[str, np.ndarray[Any, Any]],
    form: Form,
    metadata: Mapping[str, str],
) -> Written:
    """The model of an architecture. `tensors` holds its `state_dict` as float arrays. Raises `FileError`."""
    if form.opset not in OPSETS:
        raise file_error(architecture.name, "AS514", f"opset {form.opset} is not {OPSETS[0]} to {OPSETS[-1]}")
    if form.dynamic_size:
        check_sizes(architecture.graph, architecture.input_shape, architecture.name)
    model = ModelProto(producer_name="archspec", doc_string=architecture.declared.spec.about)
    model.opset_import.append(helper.make_opsetid("", form.opset))
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
    model.graph.name = architecture.name
    model.graph.input.append(_input(architecture, form))
    nodes = Nodes(model.graph, form.opset, form.real, form.dynamic_size)
    writer = GraphWriter(architecture.graph, architecture.input_shape, tensors, nodes, fold=form.fold)
    last = writer.run(_taken(nodes, form))
    output, renamed = _given(last, nodes, form, flat=len(architecture.measure.output) == 1)
    values = {path: renamed.get(held, held) for path, held in writer.values.items()}
    model.graph.output.append(_output(architecture, output, form))
    # sorted: a map of protobuf has no order of its own
    helper.set_model_props(model, dict(sorted(metadata.items())))
    return Written(model, values)


def check_sizes(graph: Graph, shape: Shape, name: str) -> None:
    """Refuses a dynamic size where an operation is written for one size of its map."""
    channels, height, width = shape
    try:
        # twice as large: a little larger may come out of strides at the same size
        Walk(_any_size).graph(graph, (channels, height * 2, width * 2))
    except (ProblemsFound, ShapeError) as error:
        message = f"it takes images of {height}x{width} only: {error}"
        raise file_error(name, "AS514", message, hint="leave --dynamic-size") from error


def _any_size(visit: Visit) -> None:
    op, where = visit.op, ".".join(visit.path)
    if isinstance(op, ops.AdaptiveAvgPool2d) and op.output_size != 1:
        raise ShapeError("AS514", f"{where} pools to {op.output_size}x{op.output_size}")
    if isinstance(op, ops.AvgPool2d) and op.ceil:
        raise ShapeError("AS514", f"{where} is an average pool that rounds up")


def _input(architecture: Architecture, form: Form) -> Any:
    channels, height, width = architecture.input_shape
    sides: list[str | int] = ["height", "width"] if form.dynamic_size else [height, width]
    if form.normalisation is not None:
        return helper.make_tensor_value_info(form.input, TensorProto.UINT8, ["batch", *sides, channels])
    return helper.make_tensor_value_info(form.input, TensorProto.FLOAT, ["batch", channels, *sides])


def _output(architecture: Architecture, name: str, form: Form) -> Any:
    shape = architecture.measure.output
    sides = [None] * (len(shape) - 1) if form.dynamic_size else list(shape[1:])
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", shape[0], *sides])


def _taken(nodes: Nodes, form: Form) -> str:
    """The value that the first operation reads: the input, normalised and cast where the form says so."""
    value = form.input
    if form.normalisation is not None:
        value = _normalised(value, form.normalisation, nodes)
    if form.precision == "fp16":
        value = nodes.add("Cast", [value], "to_half", to=TensorProto.FLOAT16)
    return value


def _normalised(value: str, by: Normalisation, nodes: Nodes) -> str:
    nodes = replace(nodes, real=np.dtype(np.float32))
    # cast first: TensorRT lets nothing else be done to bytes
    value = nodes.add("Cast", [value], "preprocess.real", to=TensorProto.FLOAT)
    value = nodes.add("Transpose", [value], "preprocess.nchw", perm=[0, 3, 1, 2])
    mean, std = np.array(by.mean), np.array(by.std)
    per_pixel = 255.0 / by.range
    shift = nodes.hold("preprocess.mean", (mean * per_pixel).reshape(-1, 1, 1))
    scale = nodes.hold("preprocess.std", (std * per_pixel).reshape(-1, 1, 1))
    value = nodes.add("Sub", [value, shift], "preprocess.centred")
    return nodes.add("Div", [value, scale], "preprocess.normalised")


def _given(value: str, nodes: Nodes, form: Form, *, flat: bool) -> tuple[str, dict[str, str]]:
    """The output's name, and what is called otherwise for it."""
    if form.precision == "fp16":
        value = nodes.add("Cast", [value], "to_single", to=TensorProto.FLOAT)
    if form.softmax:
        return nodes.add("Softmax", [value], "softmax", "probabilities", axis=1), {}
    name = "logits" if flat else "features"
    last = next((node for node in reversed(nodes.graph.node) if node.output[0] == value), None)
    if last is None:
        return nodes.add("Identity", [value], name), {}
    last.output[0] = name
    return name, {value: name}
