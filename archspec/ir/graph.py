"""Graphs with holes: the one idea that carries blocks, stages and networks.

A graph has parameters and nodes. A node is an operation, a call of another graph, a repetition of a call, or
a slot: a hole that the caller may fill with a call (a block's shortcut). A block is built once, with symbolic
sizes; a stage of 36 equal blocks is one `Repeat`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from archspec.ir.ops import Op
from archspec.sizes import Size, names

if TYPE_CHECKING:
    from archspec.errors import Loc

INPUT = "x"
"""The name of a graph's own input."""

Role = Literal["network", "stage", "block", "shortcut", "gate"]


class Parameter(NamedTuple):
    """A size that a graph is built with; `default` is used where a call does not say."""

    name: str
    default: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A graph with sizes for its parameters and, by name, calls for its slots."""

    graph: Graph
    arguments: tuple[tuple[str, Size], ...] = ()
    fills: tuple[tuple[str, Call], ...] = ()

    def fill(self, slot: str) -> Call | None:
        """The call that fills a slot, or None when it is left empty."""
        return next((call for name, call in self.fills if name == slot), None)


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same call several times over, each with its own weights; the shape must come out as it went in."""

    call: Call
    times: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A hole. Filled, it applies its call to the node's first input; empty, it passes the second on."""

    name: str


Body = Op | Call | Repeat | Slot


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a graph. The name is the value's, and the module's in `state_dict` where there is one.

    `origin` is the field of the spec it comes from, `row` the line of a stage table it is counted in.
    """

    name: str
    body: Body
    inputs: tuple[str, ...] = (INPUT,)
    origin: Loc = field(default=(), compare=False)
    row: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order they are computed. In a `chain` each node takes the one before, and keys are numbers."""

    name: str
    role: Role
    nodes: tuple[Node, ...]
    parameters: tuple[Parameter, ...] = ()
    chain: bool = False
    last_norm: str | None = None
    about: str = ""

    @property
    def output(self) -> str:
        """The name of the value that comes out."""
        return self.nodes[-1].name if self.nodes else INPUT

    @property
    def slots(self) -> tuple[str, ...]:
        """The holes of this graph."""
        return tuple(node.body.name for node in self.nodes if isinstance(node.body, Slot))


# a graph's parameters stand in this order; only a stride has a default
_ORDER = ("in", "out", "width", "stride")


def parameters_of(nodes: tuple[Node, ...]) -> tuple[Parameter, ...]:
    """The sizes that some nodes leave open, as the parameters of their graph."""
    open_names = {name for node in nodes for size in _sizes(node.body) for name in names(size)}
    return tuple(Parameter(name, 1 if name == "stride" else None) for name in _ORDER if name in open_names)


def _sizes(body: Body) -> list[Size]:
    if isinstance(body, Slot):
        return []
    if isinstance(body, Repeat):
        return _sizes(body.call)
    if isinstance(body, Call):
        own: list[Size] = [size for _, size in body.arguments]
        return own + [size for _, filled in body.fills for size in _sizes(filled)]
    return list(body.sizes().values())
