"""What weights cannot tell of the network they were trained in: fields that change its function and no tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.ir import ops
from archspec.passes.flatten import flatten
from archspec.spec.models import Conv, Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archspec.architecture import Architecture
    from archspec.passes.flatten import FlatOp
    from archspec.spec.models import Block, Layers, Stage

_NORMS = (ops.BatchNorm2d, ops.GroupNorm, ops.InstanceNorm2d, ops.RMSNorm2d, ops.FilterResponseNorm2d)
_ACTIVATIONS = ("relu", "leaky-relu", "silu", "gelu")
_EPSILONS = (1e-5, 1e-3, 2e-5)
"""Torch's and Caffe's, TensorFlow's, MXNet's."""


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """A field of a spec, what it says, what it could say with the same tensors, and why they do not show it."""

    field: str
    value: str
    alternatives: tuple[str, ...]
    why: str
    training_only: bool = False
    """Whether it changes no output in evaluation."""


@dataclass(frozen=True, slots=True)
class _Network:
    architecture: Architecture
    flat: tuple[FlatOp, ...]

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.architecture.declared.spec.stages

    def block(self, stage: Stage) -> tuple[str, Block]:
        name = stage.block or self.architecture.declared.spec.defaults.block or ""
        return name, self.architecture.declared.block(name)

    def stride(self, stage: Stage) -> int:
        return self.architecture.declared.size(stage.stride, ("stages",), 0, 10**6)

    def has(self, *kinds: type[ops.Op]) -> bool:
        return any(isinstance(each.op, kinds) for each in self.flat)


def ambiguous(architecture: Architecture) -> tuple[Ambiguity, ...]:
    """The fields of a spec that its weights cannot vouch for, with what the spec says."""
    network = _Network(architecture, flatten(architecture.graph))
    return tuple(each for rule in _RULES for each in rule(network))


def _strides(network: _Network) -> Iterator[Ambiguity]:
    values = [network.stride(stage) for stage in network.stages]
    if any(value != 1 for value in values):
        said = ", ".join(map(str, values))
        why = "a convolution has the same weight whatever its stride, padding by zeros or dilation"
        yield Ambiguity("stages.*.stride", said, ("1 with a dilation",), why)


def _stride_place(network: _Network) -> Iterator[Ambiguity]:
    wanted = network.architecture.declared.spec.defaults.stride_on
    seen: set[str] = set()
    for stage in network.stages:
        if network.stride(stage) == 1:
            continue
        name, block = network.block(stage)
        convs = [(place, layer) for place, layer in enumerate(block.layers) if isinstance(layer, Conv)]
        kernels = [f"{layer.conv}x{layer.conv}" for _, layer in convs]
        if len(set(kernels)) < 2 or name in seen:
            continue
        seen.add(name)
        said = next((at for at, (_, layer) in enumerate(convs) if layer.stride is not None), None)
        chosen = said if said is not None else 0 if wanted == "first" else kernels.index(wanted)
        field = "defaults.stride_on" if said is None else f"blocks.{name}.layers.{convs[said][0]}.stride"
        others = tuple(dict.fromkeys(kernel for kernel in kernels if kernel != kernels[chosen]))
        why = "every convolution of a block could take the stride: its weight would be the same"
        yield Ambiguity(field, kernels[chosen], others, why)


def _option_a(network: _Network) -> Iterator[Ambiguity]:
    defaults = network.architecture.declared.spec.defaults
    if not network.has(ops.PadChannels, ops.Subsample):
        return
    if network.has(ops.PadChannels):
        other = {"end": "both", "both": "end"}[defaults.pad]
        yield Ambiguity(
            "defaults.pad", defaults.pad, (other,), "option A has no weights: the zeros may stand anywhere"
        )
    if any(network.stride(stage) != 1 for stage in network.stages):
        other = {"stride": "average", "average": "stride"}[defaults.subsample]
        why = "option A has no weights: a map may be halved in either way"
        yield Ambiguity("defaults.subsample", defaults.subsample, (other,), why)


def _pools(network: _Network) -> Iterator[Ambiguity]:
    spec = network.architecture.declared.spec
    places: list[tuple[str, Layers]] = [("stem.layers", spec.stem.layers)]
    places += [(f"stages.{stage.name}.before", stage.before) for stage in spec.stages]
    places += [(f"stages.{stage.name}.after", stage.after) for stage in spec.stages]
    for path, layers in places:
        for place, layer in enumerate(layers):
            if isinstance(layer, Pool) and layer.pool == "max":
                yield from _pool(network, f"{path}.{place}", layer)


def _pool(network: _Network, path: str, pool: Pool) -> Iterator[Ambiguity]:
    """A window that overlaps its neighbours can be laid from the edge or from outside of it."""
    size, stride, padding = (
        None if each is None else network.architecture.declared.size(each, ("stem",), 0, 10**6)
        for each in (pool.size, pool.stride, pool.padding)
    )
    if size is None or stride is None or size <= stride:
        return
    if padding is None:
        padding = (size - 1) // 2 if pool.rounding == "floor" else 0
    said = f"padding {padding}, {pool.rounding}"
    known = (f"padding {(size - 1) // 2}, floor", "padding 0, ceil")
    why = "a pool has no weights: where its windows lie and how it rounds leave no trace"
    yield Ambiguity(path, said, tuple(each for each in known if each != said), why)


def _activation(network: _Network) -> Iterator[Ambiguity]:
    said = network.architecture.declared.spec.defaults.act
    if network.has(ops.Activation) and said != "tlu":
        others = tuple(each for each in _ACTIVATIONS if each != said)
        yield Ambiguity(
            "defaults.act", said, others, "an activation has no weights: neither its kind nor its place shows"
        )


def _epsilon(network: _Network) -> Iterator[Ambiguity]:
    norm = network.architecture.declared.spec.norm
    if network.has(*_NORMS):
        others = tuple(f"{each:g}" for each in _EPSILONS if each != norm.eps)
        yield Ambiguity("norm.eps", f"{norm.eps:g}", others, "what is added to the variance is no tensor")
    if network.has(ops.GroupNorm, ops.InstanceNorm2d, ops.FilterResponseNorm2d):
        said = f"{norm.kind} ({norm.groups} groups)" if norm.kind == "group" else norm.kind
        others = tuple(each for each in ("group", "layer", "instance", "frn") if each != norm.kind)
        yield Ambiguity(
            "norm.kind", said, others, "these norms have the same tensors: one scale and shift a channel"
        )


def _standardised(network: _Network) -> Iterator[Ambiguity]:
    if network.has(ops.StandardisedConv2d):
        why = "what is trained is a convolution's weight as it was before it was standardised, or as it is"
        yield Ambiguity("defaults.standardise", "true", ("false",), why)


def _order(network: _Network) -> Iterator[Ambiguity]:
    """Norms before or behind their convolutions: only where no convolution changes the channels do shapes not tell."""
    convs = [each.op for each in network.flat if isinstance(each.op, ops.Conv2d) and "." in each.path]
    norms = network.has(*_NORMS)
    if norms and convs and all(conv.in_channels == conv.out_channels for conv in convs):
        said = network.architecture.declared.spec.defaults.order
        other = {"post": "pre", "pre": "post"}[said]
        why = "no block changes the channels, so a norm fits before its convolution and behind it"
        yield Ambiguity("defaults.order", said, (other,), why)


def _dropout(network: _Network) -> Iterator[Ambiguity]:
    found = [each.op.p for each in network.flat if isinstance(each.op, ops.Dropout)]
    if found:
        said = ", ".join(f"{p:g}" for p in dict.fromkeys(found))
        yield Ambiguity("head.layers.*.dropout", said, ("0",), "dropout has no weights", training_only=True)


_RULES: tuple[Callable[[_Network], Iterator[Ambiguity]], ...] = (
    _stride_place,
    _option_a,
    _pools,
    _activation,
    _epsilon,
    _standardised,
    _order,
    _strides,
    _dropout,
)
