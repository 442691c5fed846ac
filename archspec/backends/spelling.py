"""The one table from operations to PyTorch. It is free of torch: one reader evaluates it, another prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from archspec.ir import ops
from archspec.sizes import Size

Value = Size | float | bool


@dataclass(frozen=True, slots=True)
class Module:
    """A `torch.nn` module: `nn.Conv2d(64, 128, 3, stride=2)`. A support class has no `nn.` before its name."""

    path: str
    arguments: tuple[Value, ...] = ()
    keywords: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Operator:
    """`a + b`, or `a += b` where nothing else needs `a`."""

    symbol: str
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class Flattened:
    """`x.flatten(1)`: everything but the batch."""


@dataclass(frozen=True, slots=True)
class Strided:
    """`x[:, :, ::step, ::step]`."""

    step: Size


@dataclass(frozen=True, slots=True)
class ChannelPad:
    """`F.pad(x, (0, 0, 0, 0, before, after))`: torch counts padding from the last dimension."""

    before: Size
    after: Size


Expression = Operator | Flattened | Strided | ChannelPad
Spelling = Module | Expression

_ACTIVATIONS: dict[ops.ActivationKind, str] = {
    "relu": "nn.ReLU",
    "relu6": "nn.ReLU6",
    "leaky-relu": "nn.LeakyReLU",
    "elu": "nn.ELU",
    "silu": "nn.SiLU",
    "gelu": "nn.GELU",
    "hardswish": "nn.Hardswish",
    "hardsigmoid": "nn.Hardsigmoid",
    "sigmoid": "nn.Sigmoid",
    "tanh": "nn.Tanh",
}
# their gradients follow from the output, so the input may be overwritten
_IN_PLACE = ("relu", "relu6", "leaky-relu")


def can_overwrite(op: ops.Activation) -> bool:
    """Whether an activation may work in place."""
    return op.kind in _IN_PLACE


def spell(op: ops.Op, *, in_place: bool = False) -> Spelling:  # noqa: PLR0912 - one case for each operation
    """What an operation is called in PyTorch. Arguments that equal torch's defaults are left out."""
    match op:
        case ops.Conv2d():
            said: tuple[tuple[str, Value, Value], ...] = (
                ("stride", op.stride, 1),
                ("padding", op.padding, 0),
                ("dilation", op.dilation, 1),
                ("groups", op.groups, 1),
                ("bias", op.bias, True),
            )
            path = "StandardisedConv2d" if isinstance(op, ops.StandardisedConv2d) else "nn.Conv2d"
            return Module(path, (op.in_channels, op.out_channels, op.kernel_size), _unusual(said))
        case ops.Linear():
            return Module(
                "nn.Linear", (op.in_features, op.out_features), _unusual((("bias", op.bias, True),))
            )
        case ops.BatchNorm2d():
            said = (("eps", op.eps, 1e-5), ("momentum", op.momentum, 0.1))
            return Module("nn.BatchNorm2d", (op.channels,), _unusual(said))
        case ops.GroupNorm():
            return Module("nn.GroupNorm", (op.groups, op.channels), _unusual((("eps", op.eps, 1e-5),)))
        case ops.InstanceNorm2d():
            said = (("eps", op.eps, 1e-5), ("affine", True, False))
            return Module("nn.InstanceNorm2d", (op.channels,), _unusual(said))
        case ops.RMSNorm2d():
            return Module("RMSNorm2d", (op.channels,), _unusual((("eps", op.eps, 1e-5),)))
        case ops.FilterResponseNorm2d():
            return Module("FilterResponseNorm2d", (op.channels,), _unusual((("eps", op.eps, 1e-6),)))
        case ops.ThresholdedLinearUnit():
            return Module("ThresholdedLinearUnit", (op.channels,))
        case ops.Activation():
            return Module(_ACTIVATIONS[op.kind], (), _unusual((("inplace", in_place, False),)))
        case ops.MaxPool2d():
            return Module("nn.MaxPool2d", (op.kernel_size,), _pool(op))
        case ops.AvgPool2d():
            return Module("nn.AvgPool2d", (op.kernel_size,), _pool(op))
        case ops.AdaptiveAvgPool2d():
            return Module("nn.AdaptiveAvgPool2d", (op.output_size,))
        case ops.Dropout():
            return Module("nn.Dropout", (op.p,))
        case ops.Flatten():
            return Flattened()
        case ops.Add():
            return Operator("+", in_place)
        case ops.Multiply():
            return Operator("*")
        case ops.Subsample():
            return Strided(op.stride)
        case ops.PadChannels():
            return ChannelPad(op.before, op.after)
        case _:
            assert_never(op)


def _unusual(said: tuple[tuple[str, Value, Value], ...]) -> tuple[tuple[str, Value], ...]:
    return tuple((name, value) for name, value, usual in said if value != usual)


def _pool(op: ops.MaxPool2d | ops.AvgPool2d) -> tuple[tuple[str, Value], ...]:
    return _unusual(
        (("stride", op.stride, op.kernel_size), ("padding", op.padding, 0), ("ceil_mode", op.ceil, False))
    )
