"""Networks applied to whole images of any size: the head becomes convolutions over the map, and shares its weights.

Simonyan and Zisserman 2014, 3.2, whose form the paper adopts (3.4): a linear layer over an h x w map is a convolution
of h x w, those behind it are 1x1, and the map of scores is averaged over its positions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from archspec.backends.plan import plan
from archspec.backends.torch.modules import Block
from archspec.ir import ops
from archspec.ir.graph import INPUT, Call, Node
from archspec.ir.operation import dims
from archspec.ir.walk import Walk
from archspec.passes.flatten import flatten
from archspec.train.scores import Untestable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.architecture import Architecture
    from archspec.backends.plan import Plan, Step
    from archspec.ir.operation import Shape

_TAIL = (ops.Linear, ops.Activation, ops.Dropout, ops.Flatten)


class _Layer(NamedTuple):
    """A layer of the head: what it does, and the key of its module where it has one."""

    op: Any
    key: str | None


class _Head(NamedTuple):
    """Where a network's body ends, and what is done to each window of its map."""

    body: int
    """How many of the network's steps it has."""
    window: tuple[int, int]
    pooled: bool
    """Whether the window is averaged before anything else."""
    layers: tuple[_Layer, ...]


class FullyConvolutional(nn.Module):
    """`(N, C, H, W)` of any size to `(N, classes)`: a network's own modules, the head slid over the map."""

    def __init__(self, network: nn.Module, made: Plan, head: _Head) -> None:
        super().__init__()
        steps = made.steps[: head.body]
        keys = dict.fromkeys(step.action for step in steps if isinstance(step.action, str))
        shortened = replace(made, steps=steps, result=steps[-1].target if steps else INPUT)
        self.body = Block("Body", shortened, {key: _held(network, key) for key in keys})
        self.head = nn.ModuleList(_held(network, layer.key) for layer in head.layers if layer.key)
        self.window, self.pooled = head.window, head.pooled

    def forward(self, x: Tensor) -> Tensor:
        """The scores, averaged over the positions of the map. Raises `Untestable` for an image that is too small."""
        maps = self.body(x)
        (height, width), (h, w) = maps.shape[-2:], self.window
        if height < h or width < w:
            message = f"an image of {dims(tuple(x.shape[2:]))} makes a map of {height}x{width}"
            raise Untestable(f"{message}, and the head needs at least {h}x{w}")
        if self.pooled:
            maps, h, w = F.avg_pool2d(maps, self.window, stride=1), 1, 1
        for module in self.head:
            if isinstance(module, nn.Linear):
                kernel = module.weight.view(module.out_features, -1, h, w)
                maps, h, w = F.conv2d(maps, kernel, module.bias), 1, 1
            else:
                maps = module(maps)
        scores: Tensor = maps.mean((2, 3))
        return scores


def fully_convolutional(network: nn.Module, architecture: Architecture) -> FullyConvolutional:
    """The network for images of other sizes than its own; at its own size it computes the same.

    Behind a global average pool a head that is linear is applied to each position of the map. One that is not is
    applied to the average of each window as large as the map of the declared size; so is one without a pool, to
    each window. Nothing is copied: the network's modules are used. Raises `Untestable` for any other head.
    """
    made = plan(architecture.graph)
    return FullyConvolutional(network, made, _head(architecture, made.steps))


def _head(architecture: Architecture, steps: Sequence[Step]) -> _Head:
    """What stands at the end, split from the body. A global pool before a linear head goes: a mean commutes with it."""
    body = len(steps)
    while body and _layers(steps[body - 1]):
        body -= 1
    layers = tuple(layer for step in steps[body:] for layer in _layers(step))
    if not any(isinstance(layer.op, ops.Linear) for layer in layers):
        raise _refused(architecture, "it has no linear layer at its end")
    shapes, fixed = _shapes(architecture), _fixed_pools(architecture)
    last = steps[body - 1].node if body else Node(INPUT, ops.Dropout())
    pool, seen = last.body, shapes[last.name]
    if not isinstance(pool, ops.AdaptiveAvgPool2d):
        return _Head(body, _sides(architecture, seen, fixed), False, layers)
    before = shapes[last.inputs[0]]
    if pool.output_size == 1:
        curved = any(isinstance(layer.op, ops.Activation) for layer in layers)
        sides = _sides(architecture, before, fixed)
        return _Head(body - 1, sides if curved else (1, 1), curved, layers)
    if before == seen:  # as torchvision's VGGs have it, it does nothing at the declared size
        fixed -= 1
    return _Head(body - 1, _sides(architecture, before, fixed), False, layers)


def _layers(step: Step) -> tuple[_Layer, ...]:
    """The layers of a step that can stand in a head; none where another one is among them."""
    body = step.node.body
    if isinstance(body, _TAIL):
        return (_Layer(body, step.action if isinstance(step.action, str) else None),)
    if not isinstance(body, Call) or not body.graph.chain:
        return ()
    if not all(isinstance(node.body, _TAIL) for node in body.graph.nodes):
        return ()
    return tuple(_Layer(node.body, f"{step.action}.{node.name}") for node in body.graph.nodes)


def _sides(architecture: Architecture, shape: Shape, fixed_pools: int) -> tuple[int, int]:
    """Of the map that a head is given, where it is one that grows with the image."""
    if fixed_pools:
        raise _refused(architecture, "it pools maps of any size to one size, which no convolution does")
    if len(shape) != 3:
        raise _refused(architecture, "what comes before its head is no map")
    return shape[1], shape[2]


def _fixed_pools(architecture: Architecture) -> int:
    """How many pools make a map of one size, other than 1x1, of any other."""
    pools = [flat.op for flat in flatten(architecture.graph) if isinstance(flat.op, ops.AdaptiveAvgPool2d)]
    return sum(pool.output_size != 1 for pool in pools)


def _shapes(architecture: Architecture) -> dict[str, Shape]:
    """Of every value of the network, at the declared size."""
    walk, shapes = Walk(), {INPUT: architecture.input_shape}
    for node in architecture.graph.nodes:
        shapes[node.name] = walk.node(node, tuple(shapes[name] for name in node.inputs))
    return shapes


def _refused(architecture: Architecture, why: str) -> Untestable:
    hint = "a head is a pool or none, then linear layers; single and ten crops work with any"
    return Untestable(f"{architecture.name} cannot be made fully convolutional: {why}", hint)


def _held(network: nn.Module, key: str) -> nn.Module:
    try:
        return network.get_submodule(key)
    except AttributeError as error:
        raise Untestable(f'the network has no module "{key}": it is not of this spec') from error
