"""One rule an operator: what a node of ONNX is among the operations of a spec."""

from __future__ import annotations

from dataclasses import replace
from math import isinf, prod
from typing import TYPE_CHECKING

from archspec.ir import ops
from archspec.ir.operation import dims
from archspec.lift import onnx_moves as moves
from archspec.lift.lifted import Unliftable
from archspec.lift.onnx_nodes import At, biased
from archspec.lift.onnx_values import Const, Value, nearest_float, whole
from archspec.lift.onnx_windows import conv_padding, max_op, mean_op, window

if TYPE_CHECKING:
    from collections.abc import Callable


def conv(at: At) -> Value:
    """A convolution, with the padding that was written before it."""
    value, weight = at.map(padded=True), at.needed(1)
    if len(weight.dims) != 4:
        raise Unliftable(
            f"{at.title} has weights of {len(weight.dims)} dimensions: only 2-D convolutions are known"
        )
    out, inner, *size = weight.dims
    _channels_first(at, value)
    if at.said.get("kernel_shape", size) != size:
        raise Unliftable(f"{at.title} says another kernel than its weights have, {dims(tuple(size))}")
    one = window(at.title, at.said, value, size)
    groups = whole(at.said.get("group", 1), at.title)
    if groups < 1 or inner * groups != value.shape[0]:
        raise Unliftable(
            f"{at.title} has weights for {inner * groups} channels, but is given {value.shape[0]}"
        )
    if value.pads is not None and value.pads.value != 0:
        raise Unliftable(f"{at.title} takes a map that was padded with {value.pads.value}, not with zeros")
    bias = at.const(2)
    if bias is not None and bias.count != out:
        raise Unliftable(f"{at.title} has {bias.count} biases for {out} channels")
    padding, differs = conv_padding(at.title, one, at.reader.sizes(value))
    op = ops.Conv2d(
        value.shape[0], out, one.size, one.stride, padding, one.dilation, groups, bias=bias is not None
    )
    if differs:
        at.deviates(differs, outside=False)
    return at.emit(op, replace(value, pads=None))


def _channels_first(at: At, value: Value) -> None:
    if value.layout != "first":
        raise Unliftable(f"{at.title} is given a map whose channels come last")


def batch_norm(at: At) -> Value:
    """Batch normalisation with the statistics of training."""
    value = at.map()
    _channels_first(at, value)
    if at.said.get("training_mode", 0) or not at.said.get("spatial", 1):
        raise Unliftable(f"{at.title} normalises by the batch it is given, or pixel by pixel")
    if any(at.needed(place).count != value.shape[0] for place in range(1, 5)):
        raise Unliftable(f"{at.title} has statistics for another number of channels than {value.shape[0]}")
    # ONNX counts the share of the old average, torch that of the new value
    momentum = round(1 - at.real("momentum", 0.9), 6)
    eps = at.real("epsilon", 1e-5)
    if not 0 < momentum <= 1 or not 0 < eps <= 1:
        raise Unliftable(f"{at.title} has eps {eps} and momentum {momentum}: a spec's lie between 0 and 1")
    return at.emit(ops.BatchNorm2d(value.shape[0], eps, momentum), value)


def _activation(kind: ops.ActivationKind, **wanted: float) -> Callable[[At], Value]:
    """A nonlinearity whose settings are torch's; a pair is ONNX's default and torch's."""

    def rule(at: At) -> Value:
        for key, number in wanted.items():
            given = at.real(key, _DEFAULTS[at.node.op_type][key])
            if abs(given - number) > 1e-6:
                raise Unliftable(f"{at.title} has {key} {given}; the spec's {kind} has {number:.6g}")
        if at.said.get("approximate", b"none") != b"none":
            raise Unliftable(f"{at.title} is an approximation of gelu")
        return at.emit(ops.Activation(kind), at.value())

    return rule


_DEFAULTS = {"LeakyRelu": {"alpha": 0.01}, "Elu": {"alpha": 1.0}, "HardSigmoid": {"alpha": 0.2, "beta": 0.5}}


def clip(at: At) -> Value:
    """Clipping, where it is relu or relu6."""
    bounds = []
    for place, key in ((1, "min"), (2, "max")):
        const = at.const(place)
        numbers = const.numbers() if const is not None else [at.said[key]] if key in at.said else []
        bounds.append(nearest_float(numbers[0]) if numbers and not isinf(numbers[0]) else None)
    low, high = bounds
    if low == 0 and high == 6:
        return at.emit(ops.Activation("relu6"), at.value())
    if low == 0 and (high is None or high > 3e38):
        return at.emit(ops.Activation("relu"), at.value())
    raise Unliftable(f"{at.title} clips to {low} and {high}: only relu and relu6 are known")


def max_pool(at: At) -> Value:
    """A max pool, with the padding that was written before it."""
    value = at.map(padded=True)
    _channels_first(at, value)
    one = window(at.title, at.said, value, at.said.get("kernel_shape", []))
    if one.dilation != 1:
        raise Unliftable(f"{at.title} is a dilated pool")
    pads = value.pads
    if pads is not None and pads.value == 0 and not _is_positive(at, value):
        raise Unliftable(f"{at.title} takes a map padded with zeros, which may be larger than what is there")
    if pads is not None and pads.value > 0:
        raise Unliftable(f"{at.title} takes a map that was padded with {pads.value}")
    return at.emit(max_op(at.title, one, at.reader.sizes(value)), replace(value, pads=None))


def _is_positive(at: At, value: Value) -> bool:
    """Whether nothing in a map lies below zero, so that zeros around it change no maximum."""
    op = at.reader.op(value)
    return isinstance(op, ops.Activation) and op.kind in ("relu", "relu6", "sigmoid", "hardsigmoid")


def average_pool(at: At) -> Value:
    """An average pool, with the zeros that were written before it."""
    value = at.map(padded=True)
    _channels_first(at, value)
    one = window(at.title, at.said, value, at.said.get("kernel_shape", []))
    if one.dilation != 1:
        raise Unliftable(f"{at.title} is a dilated pool")
    written = value.pads is not None and not value.pads.none
    if written and value.pads is not None and value.pads.value != 0:
        raise Unliftable(f"{at.title} takes a map that was padded with {value.pads.value}, not with zeros")
    counted = bool(at.said.get("count_include_pad", 0)) or written
    return at.emit(mean_op(at.title, one, at.reader.sizes(value), counted=counted), replace(value, pads=None))


def global_average(at: At) -> Value:
    """The mean of the whole map."""
    return at.emit(ops.AdaptiveAvgPool2d(1), at.map())


def reduce_mean(at: At) -> Value:
    """A mean over height and width, as TensorFlow writes a global pool."""
    value = at.map()
    axes = at.numbers("axes", 1) or []
    if sorted(each % 4 for each in axes) != sorted(value.axes[1:]):
        raise Unliftable(
            f"{at.title} takes the mean over axes {axes}: only the mean of the whole map is known"
        )
    pooled = at.emit(ops.AdaptiveAvgPool2d(1), value)
    return pooled if at.said.get("keepdims", 1) else replace(pooled, layout="flat")


def add(at: At) -> Value:
    """A residual addition, or a bias."""
    known = biased(at)
    if known is not None:
        return known
    if len(at.inputs) != 2:
        raise Unliftable(f"{at.title} adds {len(at.inputs)} values; a residual addition has two")
    left, right = at.value(0), at.value(1)
    if left.dims != right.dims or left.layout != right.layout:
        raise Unliftable(f"{at.title} adds values of {dims(left.dims)} and {dims(right.dims)}")
    return at.emit(ops.Add(), left, right)


def multiply(at: At) -> Value:
    """A gate, an activation that is a product, or zeros."""
    zero = next(
        (each for each in at.inputs if isinstance(each, Const) and each.count == 1 and each.only(0)), None
    )
    if zero is not None:
        return replace(at.value(1 if at.inputs[0] is zero else 0), zero=True)
    known = biased(at)
    if known is not None:
        return known
    left, right = at.value(0), at.value(1)
    if left == right:
        message = f"{at.title} squares what it is given, as norms by a mean square do"
        raise Unliftable(f"{message}: only batch normalisation is lifted")
    silu = _silu(at, left, right) or _silu(at, right, left)
    if silu is not None:
        return silu
    # the gate has one value a channel, or comes out of a squashing activation
    gate, value = (left, right) if prod(left.shape) < prod(right.shape) else (right, left)
    if gate.shape == value.shape and _squashes(at, value):
        gate, value = value, gate
    if len(gate.shape) == 3 and gate.layout != value.layout and gate.shape[1:] != (1, 1):
        raise Unliftable(f"{at.title} multiplies maps of different layouts")
    return at.emit(ops.Multiply(), value, gate)


def _squashes(at: At, value: Value) -> bool:
    op = at.reader.op(value)
    return isinstance(op, ops.Activation) and op.kind in ("sigmoid", "hardsigmoid")


def _silu(at: At, value: Value, gate: Value) -> Value | None:
    """`x * sigmoid(x)` is silu, `x * hardsigmoid(x)` is hardswish."""
    op = at.reader.op(gate)
    place = 1 if at.inputs[1] is gate else 0
    if not isinstance(op, ops.Activation) or gate.place < 0 or not at.reader.only_reader(at, place):
        return None
    kinds: dict[str, ops.ActivationKind] = {"sigmoid": "silu", "hardsigmoid": "hardswish"}
    if op.kind not in kinds or at.reader.flat[gate.place].inputs != (value.place,):
        return None
    return at.reader.change(gate, ops.Activation(kinds[op.kind]))


def preprocessing(at: At) -> Value:
    """Arithmetic with constants on the image itself."""
    known = biased(at)
    if known is None:
        raise Unliftable(f"{at.title} is no operator of a residual, plain or VGG network")
    return known


def passed(at: At) -> Value:
    """Nothing, as far as the network is concerned."""
    found = at.inputs[0] if at.inputs else None
    if not isinstance(found, Value):
        raise Unliftable(f"{at.title} lacks an input")
    return found


def quantised(at: At) -> Value:
    """A step into integers and back: refused, because runtimes let relu vanish into the range of the integers."""
    raise Unliftable(
        f"{at.title} computes in integers, where activations may hide in a range: lift the float model"
    )


def dropout(at: At) -> Value:
    """Dropout, which does nothing in evaluation but belongs to the net."""
    value = at.value()
    const = at.const(1)
    p = const.numbers()[:1] if const is not None else [at.real("ratio", 0.5)]
    training = at.const(2)
    if training is not None and not training.only(0):
        raise Unliftable(f"{at.title} drops values in evaluation")
    if not p or not 0 <= p[0] < 1:
        raise Unliftable(f"{at.title} has no ratio between 0 and 1")
    return at.emit(ops.Dropout(nearest_float(p[0])), value) if p[0] else value


def linear(at: At) -> Value:
    """A linear layer, flattening the map before it."""
    value, weight = at.value(), at.needed(1)
    if len(value.dims) != 1 or len(weight.dims) != 2:
        raise Unliftable(f"{at.title} multiplies {dims(value.dims)} by {dims(weight.dims)}: no linear layer")
    gemm = at.node.op_type == "Gemm"
    usual = at.real("alpha", 1.0) == at.real("beta", 1.0) == 1 and not at.said.get("transA", 0)
    if gemm and not usual:
        raise Unliftable(f"{at.title} scales or transposes what it multiplies")
    turned = gemm and bool(at.said.get("transB", 0))
    inside, out = reversed(weight.dims) if turned else weight.dims
    bias = at.const(2) if gemm else None
    if inside != value.dims[0] or (bias is not None and bias.count != out):
        raise Unliftable(f"{at.title} has weights {dims(weight.dims)} for {value.dims[0]} values")
    if len(value.shape) == 3:
        value = at.emit(ops.Flatten(), value)
    return at.emit(ops.Linear(inside, out, bias is not None), value)


def ending(at: At) -> Value:
    """What stands behind the network."""
    value = at.value()
    if at.node.output[0] not in {each.name for each in at.reader.graph.output}:
        raise Unliftable(f"{at.title} stands inside the network")
    at.deviates(f"{at.node.op_type} on the output; the spec ends before it")
    return value


RULES: dict[str, Callable[[At], Value | None]] = {
    "Conv": conv, "BatchNormalization": batch_norm, "Clip": clip, "MaxPool": max_pool,
    "AveragePool": average_pool, "GlobalAveragePool": global_average, "ReduceMean": reduce_mean,
    "Add": add, "Sum": add, "Mul": multiply, "Sub": preprocessing, "Div": preprocessing,
    "Identity": passed, "Cast": passed, "QuantizeLinear": quantised, "DequantizeLinear": quantised,
    "Dropout": dropout, "Transpose": moves.transpose, "Pad": moves.pad, "Slice": moves.cut, "Concat": moves.concat,
    "Flatten": moves.flatten, "Reshape": moves.reshape, "Squeeze": moves.squeeze, "Unsqueeze": moves.unsqueeze,
    "Gemm": linear, "MatMul": linear,
    "Softmax": ending, "LogSoftmax": ending, "ArgMax": ending,
    "Relu": _activation("relu"), "Sigmoid": _activation("sigmoid"), "Tanh": _activation("tanh"),
    "LeakyRelu": _activation("leaky-relu", alpha=0.01), "Elu": _activation("elu", alpha=1.0),
    "HardSigmoid": _activation("hardsigmoid", alpha=1 / 6, beta=0.5),
    "HardSwish": _activation("hardswish"), "Gelu": _activation("gelu"),
}  # fmt: skip
