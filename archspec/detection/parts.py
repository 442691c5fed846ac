"""A network cut in two, as graphs: what all regions of an image share, and what is run for each of them.

Both are made of the network's own nodes, under their own names, so that counts, keys and weights stay the network's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from archspec.errors import Problem, ProblemsFound, did_you_mean
from archspec.ir import ops
from archspec.ir.graph import INPUT, Call, Graph, Node, Repeat
from archspec.ir.operation import dims
from archspec.ir.walk import Walk
from archspec.passes.measure import measure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archspec.architecture import Architecture
    from archspec.errors import Loc
    from archspec.ir.graph import Body
    from archspec.ir.operation import Shape

_POOLS = (ops.MaxPool2d, ops.AvgPool2d, ops.AdaptiveAvgPool2d)
_CUT = ("detector", "cut")
_PROBED = 1024
_ODD = (37, 21)


@dataclass(frozen=True, slots=True)
class Parts:
    """A network without its classifier, in two."""

    shared: Graph
    region: Graph
    image_channels: int
    channels: int
    """Of the shared map."""
    stride: int
    """Pixels of the image from one place of the shared map to the next."""
    cells: int
    """Cells on a side of what is cut out for a region."""
    features: int
    """Values that a region comes down to."""

    @property
    def region_shape(self) -> Shape:
        """What the part that is run for each region is given."""
        return (self.channels, self.cells, self.cells)


class _Leaf(NamedTuple):
    """A layer or a stage of a network: a node, or one in a chain of the network's (VGG's `features`)."""

    top: Node
    inner: Node | None

    @property
    def node(self) -> Node:
        return self.inner or self.top


def divided(architecture: Architecture, cut: str, cells: int) -> Parts:
    """The two parts. Raises `ProblemsFound` for a cut that the network does not allow, placed in a detector's file.

    The last linear layer and what is behind it go: a detector has a classifier of its own. So do pools at the end of
    the last shared stage: regions are pooled instead (Girshick 2015, 2.2).
    """
    leaves = list(_leaves(architecture.graph))
    stages = [stage.name for stage in architecture.declared.spec.stages]
    if cut not in stages:
        message = f'no stage of {architecture.name} is called "{cut}"'
        # of a stem and a head, too, whose names are no slips
        own = cut in {leaf.node.row for leaf in leaves}
        hint = f"it is cut behind a stage: {', '.join(stages)}" if own else did_you_mean(cut, stages)
        raise _refused(message, hint)
    start = 1 + max(place for place, leaf in enumerate(leaves) if leaf.node.row == cut)
    end = start
    while end and isinstance(leaves[end - 1].node.body, _POOLS):
        end -= 1
    last = max((place for place, leaf in enumerate(leaves) if _linear(leaf)), default=-1)
    if last < start:
        raise _refused(
            f"{architecture.name} has no linear layer behind {cut}, whose place a detector's takes"
        )
    if not end:
        raise _refused(f"{cut} is pools alone")
    shared = _graph("shared", leaves[:end], {INPUT: INPUT})
    gone = {leaf.top.name: INPUT for leaf in leaves[end - 1 : start]}
    region = _graph("region", leaves[start:last], gone)
    channels = architecture.input_shape[0]
    return _measured(shared, region, channels, cells)


def _measured(shared: Graph, region: Graph, image_channels: int, cells: int) -> Parts:
    channels, height, width = _map(shared, (image_channels, _PROBED, _PROBED))
    stride = _PROBED // height
    odd = (image_channels, *(side * stride for side in _ODD))
    if height != width or height * stride != _PROBED or _map(shared, odd)[1:] != _ODD:
        message = f"an image of {dims(odd[1:])} should make a map of {dims(_ODD)} there, and it does not"
        hint = "layers in front of the cut keep a map's size or divide it evenly: padding is the usual cause"
        raise _refused(message, hint)
    try:
        output = Walk().graph(region, (channels, cells, cells))
    except ProblemsFound as found:
        message = f"regions of {cells}x{cells} do not fit what is run for each: {found.problems[0].message}"
        raise ProblemsFound([Problem("AS571", message, ("detector", "regions", "size"))]) from found
    assert len(output) == 1, "what stood before a linear layer is flat"
    return Parts(shared, region, image_channels, channels, stride, cells, output[0])


def _map(graph: Graph, shape: Shape) -> Shape:
    try:
        output = Walk().graph(graph, shape)
    except ProblemsFound as found:
        raise _refused(f"images of {dims(shape[1:])} do not fit: {found.problems[0].message}") from found
    if len(output) != 3:
        raise _refused("what is in front of the cut makes no map")
    return output


def _refused(message: str, hint: str = "", loc: Loc = _CUT) -> ProblemsFound:
    return ProblemsFound([Problem("AS571", message, loc, hint)])


def _chain(node: Node) -> tuple[Node, ...]:
    """The layers of a chain of the network's own."""
    body = node.body
    if isinstance(body, Call) and body.graph.role == "network" and body.graph.chain:
        return body.graph.nodes
    return ()


def _leaves(graph: Graph) -> Iterator[_Leaf]:
    for node in graph.nodes:
        inner = _chain(node)
        yield from (_Leaf(node, each) for each in inner) if inner else (_Leaf(node, None),)


def _linear(leaf: _Leaf) -> bool:
    return isinstance(leaf.node.body, ops.Linear)


def _graph(name: str, leaves: Sequence[_Leaf], known: Mapping[str, str]) -> Graph:
    """A graph of some consecutive leaves. `known` says what values from in front of it are called."""
    names, nodes = dict(known), []
    for _, group in groupby(leaves, key=lambda leaf: leaf.top.name):
        members = list(group)
        top = members[0].top
        if not all(each in names for each in top.inputs) and top.name not in names:
            raise _refused("what is behind the cut also needs what is in front of it")
        # the rest of a chain that the cut goes through takes the shared map
        inputs = (INPUT,) if names.get(top.name) == INPUT else tuple(names[each] for each in top.inputs)
        nodes.append(replace(top, body=_body(top, members), inputs=inputs))
        names[top.name] = top.name
    return Graph(name, "network", tuple(nodes))


def _body(top: Node, members: Sequence[_Leaf]) -> Body:
    """A node's body, with those layers of a chain alone that are among the members."""
    inner = [leaf.inner for leaf in members if leaf.inner is not None]
    if not inner or len(inner) == len(_chain(top)):
        return top.body
    assert isinstance(top.body, Call)
    nodes = (replace(inner[0], inputs=(INPUT,)), *inner[1:])
    return replace(top.body, graph=replace(top.body.graph, nodes=nodes))


def slice_of(node: Node) -> slice | None:
    """Which modules of a chain a node of a part holds; None for what is no chain of the network's own."""
    inner = _chain(node)
    if not inner:
        return None
    last = inner[-1]
    times = last.body.times if isinstance(last.body, Repeat) else 1
    return slice(int(inner[0].name), int(last.name) + times)


def keys(graph: Graph, row: str) -> list[str]:
    """The modules of a part, by key, that are counted in a row."""
    return [
        leaf.top.name if leaf.inner is None else f"{leaf.top.name}.{leaf.inner.name}"
        for leaf in _leaves(graph)
        if leaf.node.row == row
    ]


def rows(parts: Parts) -> list[str]:
    """The rows of the stage table that have weights, in both parts."""
    image = (parts.image_channels, _PROBED, _PROBED)
    measured = (measure(parts.shared, image), measure(parts.region, parts.region_shape))
    return list(dict.fromkeys(row.name for each in measured for row in each.rows if row.counts.params))
