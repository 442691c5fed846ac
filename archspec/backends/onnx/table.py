"""The one table from operations to ONNX nodes. Every entry writes nodes that any runtime of opset 14 or later knows."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from archspec.ir import ops

if TYPE_CHECKING:
    from archspec.backends.onnx.nodes import Nodes, Site

# one node with these attributes; the numbers are torch's defaults
_ACTIVATIONS: dict[str, tuple[str, dict[str, float]]] = {
    "relu": ("Relu", {}),
    "leaky-relu": ("LeakyRelu", {"alpha": 0.01}),
    "elu": ("Elu", {"alpha": 1.0}),
    "hardswish": ("HardSwish", {}),
    "hardsigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}
_LARGEST = 2**63 - 1


def write(op: ops.Op, at: Site, nodes: Nodes) -> str:  # noqa: PLR0912 - a branch an operation
    """Writes an operation's nodes and names its value. An operation that does nothing passes its input's name on."""
    match op:
        case ops.Conv2d():
            return nodes.add("Conv", [at.source, *_held(at, nodes)], at.path, at.output, **_conv(op))
        case ops.Linear():
            return nodes.add("Gemm", [at.source, *_held(at, nodes)], at.path, at.output, transB=1)
        case ops.BatchNorm2d():
            inputs = [at.source, *_held(at, nodes)]
            # ONNX counts momentum the other way round; only training would read it
            said = {"epsilon": op.eps, "momentum": 1 - op.momentum}
            return nodes.add("BatchNormalization", inputs, at.path, at.output, **said)
        case ops.InstanceNorm2d():
            inputs = [at.source, *_held(at, nodes)]
            return nodes.add("InstanceNormalization", inputs, at.path, at.output, epsilon=op.eps)
        case ops.GroupNorm():
            return _group_norm(op, at, nodes)
        case ops.RMSNorm2d():
            return _rms_norm(op, at, nodes)
        case ops.FilterResponseNorm2d():
            return _filter_response_norm(op, at, nodes)
        case ops.ThresholdedLinearUnit():
            tau = _held(at, nodes)[0] if len(at.shapes[0]) == 1 else _by_channel(at, "tau", nodes)
            return nodes.add("Max", [at.source, tau], at.path, at.output)
        case ops.Activation():
            return _activation(op, at, nodes)
        case ops.MaxPool2d():
            return nodes.add("MaxPool", [at.source], at.path, at.output, **_max_pool(op, at, nodes))
        case ops.AvgPool2d():
            return _average_pool(op, at, nodes)
        case ops.AdaptiveAvgPool2d():
            return _adaptive_pool(op, at, nodes)
        case ops.Dropout():
            return at.source  # nothing, in evaluation
        case ops.Flatten():
            return nodes.add("Flatten", [at.source], at.path, at.output, axis=1)
        case ops.Add():
            return nodes.add("Add", list(at.inputs), at.path, at.output)
        case ops.Multiply():
            return nodes.add("Mul", list(at.inputs), at.path, at.output)
        case ops.Subsample():
            return _subsample(op, at, nodes)
        case ops.PadChannels():
            pads = nodes.integers(at.part("pads"), 0, op.before, 0, 0, 0, op.after, 0, 0)
            return nodes.add("Pad", [at.source, pads], at.path, at.output)
        case _:
            assert_never(op)


def _held(at: Site, nodes: Nodes) -> list[str]:
    """The operation's own tensors, named by their `state_dict` keys."""
    return [nodes.hold(f"{at.path}.{name}", values) for name, values in at.tensors.items()]


def _conv(op: ops.Conv2d) -> dict[str, Any]:
    return {
        "kernel_shape": [op.kernel_size] * 2,
        "strides": [op.stride] * 2,
        "pads": [op.padding] * 4,
        "dilations": [op.dilation] * 2,
        "group": op.groups,
    }


def _overhang(op: ops.MaxPool2d | ops.AvgPool2d, at: Site) -> tuple[int, int]:
    """How far the last window reaches past the padded map, by height and width: what rounding up asks for."""
    (_, *sides), (_, *counts) = at.shapes[0], op.shape(at.shapes[0])
    reaches = ((count - 1) * op.stride + op.kernel_size for count in counts)
    bottom, right = (
        max(0, reach - side - 2 * op.padding) for reach, side in zip(reaches, sides, strict=True)
    )
    return bottom, right


def _max_pool(op: ops.MaxPool2d, at: Site, nodes: Nodes) -> dict[str, Any]:
    window = {"kernel_shape": [op.kernel_size] * 2, "strides": [op.stride] * 2}
    if not op.ceil:
        return {**window, "pads": [op.padding] * 4}
    if nodes.dynamic_size:
        return {**window, "pads": [op.padding] * 4, "ceil_mode": 1}
    # runtimes have disagreed on ceil_mode; windows past the edge are the same function and leave no doubt
    bottom, right = _overhang(op, at)
    return {**window, "pads": [op.padding, op.padding, op.padding + bottom, op.padding + right]}


def _average_pool(op: ops.AvgPool2d, at: Site, nodes: Nodes) -> str:
    window = {"kernel_shape": [op.kernel_size] * 2, "strides": [op.stride] * 2}
    if not op.ceil:
        counted = int(op.padding > 0)
        return nodes.add(
            "AveragePool", [at.source], at.path, at.output, **window,
            pads=[op.padding] * 4, count_include_pad=counted,
        )  # fmt: skip
    # torch counts its zero padding, but not what lies past it: the zeros are written, the rest is left uncounted
    source, (bottom, right) = at.source, _overhang(op, at)
    if op.padding:
        pads = nodes.integers(at.part("pads"), 0, 0, op.padding, op.padding, 0, 0, op.padding, op.padding)
        source = nodes.add("Pad", [source, pads], at.part("pad"))
    return nodes.add("AveragePool", [source], at.path, at.output, **window, pads=[0, 0, bottom, right])


def _adaptive_pool(op: ops.AdaptiveAvgPool2d, at: Site, nodes: Nodes) -> str:
    _, height, width = at.shapes[0]
    size = op.output_size
    if size == 1:
        return nodes.add("GlobalAveragePool", [at.source], at.path, at.output)
    if (height, width) == (size, size):
        return at.source
    if height % size == width % size == 0:
        window = [height // size, width // size]
        return nodes.add("AveragePool", [at.source], at.path, at.output, kernel_shape=window, strides=window)
    # windows of unequal size: a mean over rows, then over columns, is two products with fixed matrices
    rows = nodes.hold(at.part("rows"), _windows(height, size))
    columns = nodes.hold(at.part("columns"), _windows(width, size).T)
    by_row = nodes.add("MatMul", [rows, at.source], at.part("by_row"))
    return nodes.add("MatMul", [by_row, columns], at.path, at.output)


def _windows(size: int, count: int) -> np.ndarray[Any, Any]:
    """`(count, size)`: row i averages torch's window from floor(i size / count) to ceil((i + 1) size / count)."""
    matrix = np.zeros((count, size))
    for place in range(count):
        start, end = place * size // count, -(-(place + 1) * size // count)
        matrix[place, start:end] = 1 / (end - start)
    return matrix


def _by_channel(at: Site, name: str, nodes: Nodes) -> str:
    """A vector with one value a channel, shaped to be broadcast over a map."""
    return nodes.hold(f"{at.path}.{name}", at.tensors[name].reshape(-1, 1, 1))


def _group_norm(op: ops.GroupNorm, at: Site, nodes: Nodes) -> str:
    # GroupNormalization changed its meaning with opset 21; instance normalisation of groups has been one thing always
    channels, height, width = at.shapes[0]
    grouped = nodes.add(
        "Reshape", [at.source, nodes.integers(at.part("groups"), 0, op.groups, -1)], at.part("grouped")
    )
    ones, zeros = np.ones(op.groups), np.zeros(op.groups)
    scale = [nodes.hold(f"ones_{op.groups}", ones), nodes.hold(f"zeros_{op.groups}", zeros)]
    even = nodes.add("InstanceNormalization", [grouped, *scale], at.part("normalised"), epsilon=op.eps)
    if nodes.dynamic_size:
        shape = nodes.add("Shape", [at.source], at.part("shape"))
    else:
        shape = nodes.integers(at.part("shape"), 0, channels, height, width)
    back = nodes.add("Reshape", [even, shape], at.part("ungrouped"))
    scaled = nodes.add("Mul", [back, _by_channel(at, "weight", nodes)], at.part("scaled"))
    return nodes.add("Add", [scaled, _by_channel(at, "bias", nodes)], at.path, at.output)


def _rms_norm(op: ops.RMSNorm2d, at: Site, nodes: Nodes) -> str:
    even = _over_root_mean_square(op.eps, (1, 2, 3), at, nodes)
    return nodes.add("Mul", [even, _by_channel(at, "weight", nodes)], at.path, at.output)


def _filter_response_norm(op: ops.FilterResponseNorm2d, at: Site, nodes: Nodes) -> str:
    even = _over_root_mean_square(op.eps, (2, 3), at, nodes)
    scaled = nodes.add("Mul", [even, _by_channel(at, "weight", nodes)], at.part("scaled"))
    return nodes.add("Add", [scaled, _by_channel(at, "bias", nodes)], at.path, at.output)


def _over_root_mean_square(eps: float, axes: tuple[int, ...], at: Site, nodes: Nodes) -> str:
    """`x / sqrt(mean(x^2) + eps)` with the mean over some axes."""
    squares = nodes.add("Mul", [at.source, at.source], at.part("squares"))
    if nodes.opset < 18:
        mean = nodes.add("ReduceMean", [squares], at.part("mean"), axes=[*axes])
    else:
        name = f"axes_{'chw'[axes[0] - 1 :]}"
        mean = nodes.add("ReduceMean", [squares, nodes.integers(name, *axes)], at.part("mean"))
    shifted = nodes.add("Add", [mean, nodes.number(at.part("eps"), eps)], at.part("shifted"))
    root = nodes.add("Sqrt", [shifted], at.part("root"))
    return nodes.add("Div", [at.source, root], at.part("normalised"))


def _activation(op: ops.Activation, at: Site, nodes: Nodes) -> str:
    match op.kind:
        case "relu6":
            limits = [nodes.number("zero", 0), nodes.number("six", 6)]
            return nodes.add("Clip", [at.source, *limits], at.path, at.output)
        case "silu":
            gate = nodes.add("Sigmoid", [at.source], at.part("gate"))
            return nodes.add("Mul", [at.source, gate], at.path, at.output)
        case "gelu":
            return _gelu(at, nodes)
    kind, attributes = _ACTIVATIONS[op.kind]
    return nodes.add(kind, [at.source], at.path, at.output, **attributes)


def _gelu(at: Site, nodes: Nodes) -> str:
    """`x (1 + erf(x / sqrt(2))) / 2`; a node of its own from opset 20."""
    if nodes.opset >= 20:
        return nodes.add("Gelu", [at.source], at.path, at.output)
    scaled = nodes.add("Div", [at.source, nodes.number("sqrt_two", sqrt(2))], at.part("scaled"))
    error = nodes.add("Erf", [scaled], at.part("erf"))
    shifted = nodes.add("Add", [error, nodes.number("one", 1)], at.part("shifted"))
    half = nodes.add("Mul", [at.source, nodes.number("half", 0.5)], at.part("half"))
    return nodes.add("Mul", [half, shifted], at.path, at.output)


def _subsample(op: ops.Subsample, at: Site, nodes: Nodes) -> str:
    spans = [
        nodes.integers("slice_starts", 0, 0),
        nodes.integers("slice_ends", _LARGEST, _LARGEST),
        nodes.integers("slice_axes", 2, 3),
        nodes.integers(f"slice_steps_{op.stride}", op.stride, op.stride),
    ]
    return nodes.add("Slice", [at.source, *spans], at.path, at.output)
