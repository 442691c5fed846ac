"""The operations a network is made of. The set is closed: a new one makes the type checker name its readers.

Each operation owns its shape rule, its parameters and its multiply-adds. Shapes are `(C, H, W)` for one
image, or `(F,)` after flattening; the batch is never part of them. Fields typed `Dim` may be symbolic until
`bind` fills them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from archspec.ir.operation import Dim, Operation, Shape, ShapeError, dims

ActivationKind = Literal[
    "relu", "relu6", "leaky-relu", "elu", "silu", "gelu", "hardswish", "hardsigmoid", "sigmoid", "tanh"
]


def _map(shape: Shape, what: str) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ShapeError(
            "AS306", f"{what} needs a feature map, but what comes in is already flat ({shape[0]} values)"
        )
    return shape[0], shape[1], shape[2]


def _window(
    size: int, kernel: int, stride: int, padding: int, dilation: int = 1, *, ceil: bool = False
) -> int:
    """How many windows fit: the arithmetic of torch's convolutions and pools."""
    reach = size + 2 * padding - dilation * (kernel - 1) - 1
    if reach < 0:
        return 0
    if not ceil:
        return reach // stride + 1
    count = -(-reach // stride) + 1
    # torch drops a last window that would start past the padded input
    return count - 1 if (count - 1) * stride >= size + padding else count


def _fits(what: str, incoming: Shape, output: Shape) -> Shape:
    if min(output) < 1:
        raise ShapeError("AS303", f"{what} shrinks a {incoming[1]}x{incoming[2]} map to nothing")
    return output


@dataclass(frozen=True, slots=True)
class Conv2d(Operation):
    """A convolution with a square kernel: `(C, H, W)` to `(out_channels, H', W')`."""

    window_key: ClassVar[str] = "conv"
    in_channels: Dim
    out_channels: Dim
    kernel_size: Dim
    stride: Dim = 1
    padding: Dim = 0
    dilation: Dim = 1
    groups: Dim = 1
    bias: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        channels, height, width = _map(inputs[0], "a convolution")
        if channels != self.in_channels:
            raise ShapeError("AS301", f"a convolution of {self.in_channels} channels is given {channels}")
        if channels % self.groups or self.out_channels % self.groups:
            raise ShapeError(
                "AS304",
                f"{self.groups} groups do not divide {channels} input and {self.out_channels} output channels",
            )
        window = (self.kernel_size, self.stride, self.padding, self.dilation)
        output = (self.out_channels, _window(height, *window), _window(width, *window))
        return _fits(f"a {self.kernel_size}x{self.kernel_size} convolution", inputs[0], output)

    def parameters(self) -> dict[str, Shape]:
        weight = (self.out_channels, self.in_channels // self.groups, self.kernel_size, self.kernel_size)
        return {"weight": weight, "bias": (self.out_channels,)} if self.bias else {"weight": weight}

    def macs(self, output: Shape) -> int:
        return int(prod(output) * (self.in_channels // self.groups) * self.kernel_size**2)

    weighted: ClassVar[bool] = True
    has_state: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class StandardisedConv2d(Conv2d):
    """A convolution whose filters have mean 0 and variance 1, whatever is trained (Qiao et al. 2019).

    `w = (v - mean(v)) / sqrt(var(v) + eps)` over the inputs and places of each output channel's filter.
    """

    eps: ClassVar[float] = 1e-5

    def shape(self, *inputs: Shape) -> Shape:
        output = Conv2d.shape(self, *inputs)
        if prod(self.parameters()["weight"][1:]) == 1:
            raise ShapeError(
                "AS303", "standardising a filter of one weight leaves nothing: it is its own mean"
            )
        return output


@dataclass(frozen=True, slots=True)
class Linear(Operation):
    """`y = W x + b`: `(F,)` to `(out_features,)`."""

    in_features: Dim
    out_features: Dim
    bias: bool = True

    def shape(self, *inputs: Shape) -> Shape:
        if inputs[0] != (self.in_features,):
            raise ShapeError(
                "AS306", f"a linear layer of {self.in_features} inputs is given a shape of {inputs[0]}"
            )
        return (self.out_features,)

    def parameters(self) -> dict[str, Shape]:
        weight = (self.out_features, self.in_features)
        return {"weight": weight, "bias": (self.out_features,)} if self.bias else {"weight": weight}

    def macs(self, output: Shape) -> int:
        return int(output[0] * self.in_features)

    weighted: ClassVar[bool] = True
    has_state: ClassVar[bool] = True


class _ChannelNorm(Operation):
    """A normalisation with one scale and one shift a channel."""

    __slots__ = ()
    has_state: ClassVar[bool] = True
    channels: Dim
    names: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def shape(self, *inputs: Shape) -> Shape:
        channels, _, _ = _map(inputs[0], "a normalisation")
        if channels != self.channels:
            raise ShapeError("AS301", f"a normalisation of {self.channels} channels is given {channels}")
        return inputs[0]

    def parameters(self) -> dict[str, Shape]:
        return dict.fromkeys(self.names, (self.channels,))


@dataclass(frozen=True, slots=True)
class BatchNorm2d(_ChannelNorm):
    """Batch normalisation over N, H, W, affine (Ioffe and Szegedy 2015)."""

    channels: Dim
    eps: float = 1e-5
    momentum: float = 0.1

    def buffers(self) -> dict[str, Shape]:
        return {
            "running_mean": (self.channels,),
            "running_var": (self.channels,),
            "num_batches_tracked": (),
        }


@dataclass(frozen=True, slots=True)
class GroupNorm(_ChannelNorm):
    """Group normalisation over H, W and a group's channels, affine. One group is layer normalisation."""

    groups: int
    channels: Dim
    eps: float = 1e-5

    def shape(self, *inputs: Shape) -> Shape:
        output = _ChannelNorm.shape(self, *inputs)
        if output[0] % self.groups:
            raise ShapeError(
                "AS304", f"{self.groups} normalisation groups do not divide {output[0]} channels"
            )
        return output


@dataclass(frozen=True, slots=True)
class InstanceNorm2d(_ChannelNorm):
    """Instance normalisation over H and W, affine."""

    channels: Dim
    eps: float = 1e-5

    def shape(self, *inputs: Shape) -> Shape:
        output = _ChannelNorm.shape(self, *inputs)
        if output[1] * output[2] == 1:
            raise ShapeError("AS303", "instance normalisation of a 1x1 map leaves nothing: its variance is 0")
        return output


@dataclass(frozen=True, slots=True)
class RMSNorm2d(_ChannelNorm):
    """Division by the root mean square over C, H, W, with one scale a channel (Zhang and Sennrich 2019)."""

    channels: Dim
    eps: float = 1e-5
    names: ClassVar[tuple[str, ...]] = ("weight",)


@dataclass(frozen=True, slots=True)
class FilterResponseNorm2d(_ChannelNorm):
    """Division by the root mean square over H and W, affine (Singh and Krishnan 2020). No mean is subtracted."""

    channels: Dim
    eps: float = 1e-6


@dataclass(frozen=True, slots=True)
class Activation(Operation):
    """An elementwise nonlinearity without parameters."""

    kind: ActivationKind


@dataclass(frozen=True, slots=True)
class ThresholdedLinearUnit(Operation):
    """`max(x, tau)` with a trained threshold a channel: TLU (Singh and Krishnan 2020). Flat values are channels."""

    channels: Dim
    has_state: ClassVar[bool] = True

    def shape(self, *inputs: Shape) -> Shape:
        if inputs[0][0] != self.channels:
            raise ShapeError("AS301", f"thresholds of {self.channels} channels are given {inputs[0][0]}")
        return inputs[0]

    def parameters(self) -> dict[str, Shape]:
        return {"tau": (self.channels,)}


@dataclass(frozen=True, slots=True)
class MaxPool2d(Operation):
    """Maximum over square windows. `ceil` is Caffe's rounding of the output's size."""

    kernel_size: Dim
    stride: Dim
    padding: Dim = 0
    ceil: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        return _pooled(self, inputs[0])


@dataclass(frozen=True, slots=True)
class AvgPool2d(Operation):
    """Mean over square windows, zero padding counted, as torch does by default."""

    kernel_size: Dim
    stride: Dim
    padding: Dim = 0
    ceil: bool = False

    def shape(self, *inputs: Shape) -> Shape:
        return _pooled(self, inputs[0])


def _pooled(pool: MaxPool2d | AvgPool2d, incoming: Shape) -> Shape:
    channels, height, width = _map(incoming, "a pool")
    if 2 * pool.padding > pool.kernel_size:
        raise ShapeError(
            "AS305",
            f"a pool's padding ({pool.padding}) is at most half its size ({pool.kernel_size}) in torch",
        )
    window = (pool.kernel_size, pool.stride, pool.padding)
    output = (channels, _window(height, *window, ceil=pool.ceil), _window(width, *window, ceil=pool.ceil))
    return _fits(f"a {pool.kernel_size}x{pool.kernel_size} pool", incoming, output)


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool2d(Operation):
    """Mean to a fixed output size; size 1 is the global average pool."""

    output_size: Dim = 1

    def shape(self, *inputs: Shape) -> Shape:
        channels, _, _ = _map(inputs[0], "a pool")
        return (channels, self.output_size, self.output_size)


@dataclass(frozen=True, slots=True)
class Dropout(Operation):
    """Zeroes values with probability p in training; identity in evaluation."""

    p: float = 0.5


@dataclass(frozen=True, slots=True)
class Flatten(Operation):
    """`(C, H, W)` to `(C * H * W,)`."""

    def shape(self, *inputs: Shape) -> Shape:
        return (prod(inputs[0]),)


@dataclass(frozen=True, slots=True)
class Add(Operation):
    """The residual addition `F(x) + x`, equation 1 of the paper."""

    def shape(self, *inputs: Shape) -> Shape:
        if inputs[0] != inputs[1]:
            raise ShapeError("AS301", f"a residual addition of {dims(inputs[0])} and {dims(inputs[1])}")
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Multiply(Operation):
    """The gate `x * g(x)`: `g` has x's shape or one value a channel."""

    def shape(self, *inputs: Shape) -> Shape:
        value, gate = inputs
        if gate not in (value, (value[0], *(1 for _ in value[1:]))):
            raise ShapeError("AS301", f"a gate of {dims(gate)} for a value of {dims(value)}")
        return value


@dataclass(frozen=True, slots=True)
class Subsample(Operation):
    """Every stride-th row and column, `x[:, :, ::s, ::s]`: how option A halves a map."""

    stride: Dim

    def shape(self, *inputs: Shape) -> Shape:
        channels, height, width = _map(inputs[0], "sub-sampling")
        return (channels, -(-height // self.stride), -(-width // self.stride))


@dataclass(frozen=True, slots=True)
class PadChannels(Operation):
    """Zero channels before and after the existing ones: option A's "extra zero entries" (3.3)."""

    before: Dim
    after: Dim

    def shape(self, *inputs: Shape) -> Shape:
        channels, height, width = _map(inputs[0], "channel padding")
        if self.before < 0 or self.after < 0:
            narrow = channels + self.before + self.after
            raise ShapeError(
                "AS302", f"option A can only add channels, but {channels} are to become {narrow}"
            )
        return (channels + self.before + self.after, height, width)


Norm = BatchNorm2d | GroupNorm | InstanceNorm2d | RMSNorm2d | FilterResponseNorm2d
Op = (
    Conv2d
    | Linear
    | BatchNorm2d
    | GroupNorm
    | InstanceNorm2d
    | RMSNorm2d
    | FilterResponseNorm2d
    | Activation
    | ThresholdedLinearUnit
    | MaxPool2d
    | AvgPool2d
    | AdaptiveAvgPool2d
    | Dropout
    | Flatten
    | Add
    | Multiply
    | Subsample
    | PadChannels
)
