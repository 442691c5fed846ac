"""Which layers of a network are looked at, and where: out of its graph, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec.ir import ops
from archspec.ir.graph import Call, Graph, Repeat, Role, Slot
from archspec.passes.flatten import flatten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archspec.architecture import Architecture
    from archspec.passes.flatten import FlatOp

CONVOLUTION = "convolution"
_NORMS = {
    ops.BatchNorm2d: "batch normalisation",
    ops.GroupNorm: "group normalisation",
    ops.InstanceNorm2d: "instance normalisation",
    ops.RMSNorm2d: "RMS normalisation",
    ops.FilterResponseNorm2d: "filter response normalisation",
}


class Layer(NamedTuple):
    """A convolution or a linear layer. Names are those of modules, and of keys in a `state_dict`."""

    name: str
    kind: str
    """`3x3`, or `linear`."""
    role: Role
    """"shortcut" and "gate" are off the main path."""
    channels: int
    at: str
    """The module whose output is the layer's response."""
    after: str
    """What that module is: the normalisation behind the layer, or the convolution itself."""

    @property
    def main(self) -> bool:
        """Whether it lies on the main path."""
        return self.role not in ("shortcut", "gate")


def layers(architecture: Architecture) -> tuple[Layer, ...]:
    """Every layer with weights, in the order they are computed in.

    A response is taken behind the normalisation that follows a convolution, and so before the nonlinearity or the
    addition. A net of pre-activation blocks has none there: its response is the convolution's own output, and so is
    that of a convolution which no normalisation follows.
    """
    flat = flatten(architecture.graph)
    roles = dict(_roles(architecture.graph, {}, ""))
    readers = _readers(flat)
    pre = _pre_activation(flat, readers)
    found = []
    for place, (path, op, _) in enumerate(flat):
        if not isinstance(op, ops.Conv2d | ops.Linear):
            continue
        norm = None if pre else _norm(flat, readers[place])
        at, after = (path, CONVOLUTION) if norm is None else (norm.path, _NORMS[type(norm.op)])
        if isinstance(op, ops.Conv2d):
            found.append(
                Layer(
                    path, f"{op.kernel_size}x{op.kernel_size}", roles[path], int(op.out_channels), at, after
                )
            )
        else:
            found.append(Layer(path, "linear", roles[path], int(op.out_features), path, "linear layer"))
    return tuple(found)


def responding(architecture: Architecture, *, every: bool = False) -> tuple[Layer, ...]:
    """The 3x3 layers; with `every`, all convolutions but those of gates."""
    found = layers(architecture)
    if every:
        return tuple(each for each in found if each.kind != "linear" and each.role != "gate")
    return tuple(each for each in found if each.kind == "3x3" and each.role != "gate")


def residual(architecture: Architecture) -> bool:
    """Whether a network adds shortcuts at all."""
    return any(isinstance(each.op, ops.Add) for each in flatten(architecture.graph))


def _readers(flat: Sequence[FlatOp]) -> list[list[int]]:
    """The places of those that read each operation's output."""
    readers: list[list[int]] = [[] for _ in flat]
    for place, each in enumerate(flat):
        for source in each.inputs:
            if source >= 0:
                readers[source].append(place)
    return readers


def _norm(flat: Sequence[FlatOp], readers: Sequence[int]) -> FlatOp | None:
    """The normalisation that alone reads an output."""
    if len(readers) != 1 or type(flat[readers[0]].op) not in _NORMS:
        return None
    return flat[readers[0]]


def _pre_activation(flat: Sequence[FlatOp], readers: Sequence[Sequence[int]]) -> bool:
    """Whether sums are normalised: the mark of He et al. 2016."""
    sums = (place for place, each in enumerate(flat) if isinstance(each.op, ops.Add))
    return any(type(flat[reader].op) in _NORMS for place in sums for reader in readers[place])


def _roles(
    graph: Graph, fills: Mapping[str, Call], path: str, role: Role = "network"
) -> Iterator[tuple[str, Role]]:
    """The role of each operation by its path, as `flatten` spells it."""
    own = graph.role if graph.role in ("shortcut", "gate") else role
    for node in graph.nodes:
        body, here = node.body, f"{path}{node.name}"
        match body:
            case Call():
                yield from _roles(body.graph, dict(body.fills), f"{here}.", own)
            case Repeat():
                for step in range(body.times):
                    inside = f"{path}{int(node.name) + step}."
                    yield from _roles(body.call.graph, dict(body.call.fills), inside, own)
            case Slot():
                if body.name in fills:
                    filled = fills[body.name]
                    yield from _roles(filled.graph, dict(filled.fills), f"{here}.", own)
            case _:
                yield here, own
