"""From an architecture and its tensors to an ONNX model: no tracing, no torch, the same bytes every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper

from archspec.backends.onnx import table
from archspec.backends.onnx.nodes import Nodes, Site
from archspec.errors import ProblemsFound, file_error
from archspec.ir import ops
from archspec.ir.operation import ShapeError
from archspec.ir.walk import Visit, Walk
from archspec.passes.flatten import FlatOp, flatten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import GraphProto

    from archspec.architecture import Architecture
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
        _check_sizes(architecture)
    model = ModelProto(producer_name="archspec", doc_string=architecture.declared.spec.about)
    model.opset_import.append(helper.make_opsetid("", form.opset))
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))
    model.graph.name = architecture.name
    model.graph.input.append(_input(architecture, form))
    writer = _Writer(architecture, tensors, form, model.graph)
    output = writer.run()
    model.graph.output.append(_output(architecture, output, form))
    # sorted: a map of protobuf has no order of its own
    helper.set_model_props(model, dict(sorted(metadata.items())))
    return Written(model, writer.values)


def _check_sizes(architecture: Architecture) -> None:
    """Refuses a dynamic size where an operation is written for one size of its map."""
    channels, height, width = architecture.input_shape
    try:
        # twice as large: a little larger may come out of strides at the same size
        Walk(_any_size).graph(architecture.graph, (channels, height * 2, width * 2))
    except (ProblemsFound, ShapeError) as error:
        message = f"it takes images of {height}x{width} only: {error}"
        raise file_error(architecture.name, "AS514", message, hint="leave --dynamic-size") from error


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


class _Writer:
    def __init__(
        self,
        architecture: Architecture,
        tensors: Mapping[str, np.ndarray[Any, Any]],
        form: Form,
        graph: GraphProto,
    ) -> None:
        self.flat = flatten(architecture.graph)
        self.shapes = _shapes(self.flat, architecture.input_shape)
        self.input_shape = architecture.input_shape
        self.tensors = tensors
        self.form = form
        real = np.dtype(np.float16 if form.precision == "fp16" else np.float32)
        self.nodes = Nodes(graph, form.opset, real, form.dynamic_size)
        self.uses = Counter(place for step in self.flat for place in step.inputs)
        self.values: dict[str, str] = {}

    def run(self) -> str:
        """Writes every operation and names the output."""
        named = {-1: self._taken()}
        folded = self._folded() if self.form.fold else {}
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
        return self._given(named[len(self.flat) - 1])

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

    def _taken(self) -> str:
        """The value that the first operation reads: the input, normalised and cast where the form says so."""
        value, normalisation = self.form.input, self.form.normalisation
        if normalisation is not None:
            value = self._normalised(value, normalisation)
        if self.form.precision == "fp16":
            value = self.nodes.add("Cast", [value], "to_half", to=TensorProto.FLOAT16)
        return value

    def _normalised(self, value: str, by: Normalisation) -> str:
        nodes = replace(self.nodes, real=np.dtype(np.float32))
        # cast first: TensorRT lets nothing else be done to bytes
        value = nodes.add("Cast", [value], "preprocess.real", to=TensorProto.FLOAT)
        value = nodes.add("Transpose", [value], "preprocess.nchw", perm=[0, 3, 1, 2])
        mean, std = np.array(by.mean), np.array(by.std)
        per_pixel = 255.0 / by.range
        shift = nodes.hold("preprocess.mean", (mean * per_pixel).reshape(-1, 1, 1))
        scale = nodes.hold("preprocess.std", (std * per_pixel).reshape(-1, 1, 1))
        value = nodes.add("Sub", [value, shift], "preprocess.centred")
        return nodes.add("Div", [value, scale], "preprocess.normalised")

    def _given(self, value: str) -> str:
        """The output, under its own name."""
        if self.form.precision == "fp16":
            value = self.nodes.add("Cast", [value], "to_single", to=TensorProto.FLOAT)
        if self.form.softmax:
            return self.nodes.add("Softmax", [value], "softmax", "probabilities", axis=1)
        name = "logits" if len(self.shapes[len(self.flat) - 1]) == 1 else "features"
        last = next((node for node in reversed(self.nodes.graph.node) if node.output[0] == value), None)
        if last is None:
            return self.nodes.add("Identity", [value], name)
        last.output[0] = name
        self.values = {path: name if held == value else held for path, held in self.values.items()}
        return name


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
