"""Modules as a `state_dict` shows them: convolutions, norms and linear layers by the shapes of their tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.ir import ops
from archspec.lift.layers import Context, Layer, conv_layer, usual_bias
from archspec.lift.lifted import Unliftable, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_SIDE = 10**6


@dataclass(frozen=True, slots=True)
class Tensors:
    """The shapes of a `state_dict`, asked by module."""

    shapes: Mapping[str, tuple[int, ...]]

    def has(self, module: str) -> bool:
        """Whether a module has a weight."""
        return f"{module}.weight" in self.shapes

    def conv(self, module: str) -> tuple[int, int, int]:
        """Output channels, input channels of a group, and kernel of a convolution. Raises `Unliftable`."""
        shape = self._shape(f"{module}.weight", 4)
        if shape[2] != shape[3]:
            raise Unliftable(
                f"{shown(module)} has a kernel of {shape[2]}x{shape[3]}; a spec says one number for both"
            )
        return shape[0], shape[1], shape[2]

    def linear(self, module: str) -> tuple[int, int]:
        """Outputs and inputs of a linear layer. Raises `Unliftable`."""
        out, inside = self._shape(f"{module}.weight", 2)
        return out, inside

    def biased(self, module: str) -> bool:
        """Whether a module has a bias."""
        return f"{module}.bias" in self.shapes

    def normed(self, norm: str, channels: int) -> bool:
        """Whether there is a batch normalisation of a name. Raises `Unliftable` where it has other channels."""
        if f"{norm}.running_mean" not in self.shapes:
            if self.has(norm):
                raise Unliftable(
                    f"{shown(norm)} normalises without running statistics: how it groups does not show"
                )
            return False
        found = self.shapes[f"{norm}.running_mean"]
        if found != (channels,):
            raise Unliftable(
                f"{shown(norm)} has {found[0] if found else 0} channels behind a convolution of {channels}: "
                "weights of pre-activation networks are not lifted"
            )
        return True

    def _shape(self, key: str, rank: int) -> tuple[int, ...]:
        shape = tuple(self.shapes.get(key, ()))
        if len(shape) != rank or any(not 0 < side <= MAX_SIDE for side in shape):
            raise Unliftable(
                f"{shown(key)} is {list(shape)[:8]}, which is no tensor of {rank} sides of a layer"
            )
        return shape


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution with the norm behind it, as its tensors show it. `incoming` is what reaches it."""

    module: str
    out: int
    incoming: int
    groups: int
    kernel: int
    biased: bool
    normed: bool

    def layer(self, common: Context, *, act: bool | str, stride: int = 1, gate: bool = False) -> Layer:
        """The layer it is, padded so that the size is kept."""
        op = ops.Conv2d(
            self.incoming,
            self.out,
            self.kernel,
            stride,
            (self.kernel - 1) // 2,
            1,
            self.groups,
            bias=self.biased,
        )
        return conv_layer(op, common, normed=self.normed, act=act, gate=gate)


def conv(tensors: Tensors, module: str, norm: str, incoming: int | None) -> Conv:
    """A convolution and the norm of another name. Raises `Unliftable` where channels do not fit."""
    out, inner, kernel = tensors.conv(module)
    incoming = inner if incoming is None else incoming
    if incoming % inner or out % (incoming // inner):
        raise Unliftable(f"{shown(module)} takes {inner} channels of {incoming}")
    return Conv(
        module, out, incoming, incoming // inner, kernel, tensors.biased(module), tensors.normed(norm, out)
    )


def context(convolutions: Sequence[Conv]) -> Context:
    """What the layers of a network have in common, as far as tensors show it."""
    norm = ops.BatchNorm2d(1) if any(each.normed for each in convolutions) else None
    return Context(norm, "relu", usual_bias([(each.normed, each.biased) for each in convolutions]))
