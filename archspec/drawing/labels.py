"""What the paper calls a layer: `3x3 conv, 64`, `pool`, `avg pool`, `fc 1000`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

from archspec.ir import ops

if TYPE_CHECKING:
    from archspec.drawing.net import BoxKind
    from archspec.ir.ops import Op

_BOXED = (ops.Conv2d, ops.Linear, ops.MaxPool2d, ops.AvgPool2d, ops.AdaptiveAvgPool2d)


class Label(NamedTuple):
    """A layer's words, without its stride."""

    text: str
    kind: BoxKind
    stride: int = 1


def has_box(op: Op) -> bool:
    """Whether the paper's figures give it a box: convolutions, pools and linear layers."""
    return isinstance(op, _BOXED)


def label(op: Op) -> Label:
    """The words for an operation with integers for its sizes."""
    match op:
        case ops.Conv2d():
            return Label(_conv(op), "conv", op.stride)
        case ops.Linear():
            return Label(f"fc {op.out_features}", "fc")
        case ops.MaxPool2d() | ops.AvgPool2d():
            name = "pool" if isinstance(op, ops.MaxPool2d) else "avg pool"
            # with a stride the paper leaves the window out; without one it is all there is to say
            window = "" if op.stride > 1 else f"{op.kernel_size}x{op.kernel_size} "
            return Label(f"{window}{name}", "pool", op.stride)
        case ops.AdaptiveAvgPool2d():
            size = op.output_size
            return Label("avg pool" if size == 1 else f"avg pool, {size}x{size}", "pool")
        case (
            ops.BatchNorm2d()
            | ops.GroupNorm()
            | ops.InstanceNorm2d()
            | ops.RMSNorm2d()
            | ops.FilterResponseNorm2d()
        ):
            return Label(_norm(op), "norm")
        case ops.Activation():
            return Label(op.kind, "act")
        case ops.ThresholdedLinearUnit():
            return Label("tlu", "act")
    return _moved(op)


def _moved(op: ops.Dropout | ops.Flatten | ops.Add | ops.Multiply | ops.Subsample | ops.PadChannels) -> Label:
    match op:
        case ops.Dropout():
            return Label(f"dropout, {op.p:g}", "other")
        case ops.Flatten():
            return Label("flatten", "other")
        case ops.Add():
            return Label("+", "other")
        case ops.Multiply():
            return Label("\N{MULTIPLICATION SIGN} gate", "gate")
        case ops.Subsample():
            return Label("subsample", "other", op.stride)
        case ops.PadChannels():
            return Label(f"{op.before + op.after} zero channels", "other")
        case _:
            assert_never(op)


def _norm(op: ops.Norm) -> str:
    match op:
        case ops.BatchNorm2d():
            return "batch norm"
        case ops.GroupNorm():
            return "layer norm" if op.groups == 1 else f"group norm, {op.groups}"
        case ops.InstanceNorm2d():
            return "instance norm"
        case ops.RMSNorm2d():
            return "rms norm"
        case ops.FilterResponseNorm2d():
            return "filter response norm"
        case _:
            assert_never(op)


def _conv(op: ops.Conv2d) -> str:
    size = f"{op.kernel_size}x{op.kernel_size}"
    depthwise = op.groups > 1 and op.groups == op.in_channels
    words = [f"{size} {'depthwise ' if depthwise else ''}conv, {op.out_channels}"]
    if op.groups > 1 and not depthwise:
        words.append(f"{op.groups} groups")
    if op.dilation > 1:
        words.append(f"dilation {op.dilation}")
    return ", ".join(words)
