"""Exact counts in closed form: every block once, times how often it occurs.

The convention is the paper's (3.3): one FLOP is one multiply-add of a convolution or a linear layer,
projections included. Normalisations, activations, pools and biases are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from archspec.ir import ops
from archspec.ir.walk import Visit, Walk

if TYPE_CHECKING:
    from archspec.ir.graph import Graph
    from archspec.ir.operation import Shape

CONVENTION = "multiply-adds of convolutions and linear layers, projections included (He et al. 2015, 3.3)"


@dataclass(slots=True)
class Counts:
    """What is counted, for one image. `activations` is the number of values that operations put out."""

    params: int = 0
    macs: int = 0
    conv_macs: int = 0
    layers: int = 0
    projections: int = 0
    activations: int = 0
    buffers: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self

    def visit(self, visit: Visit) -> None:
        """Adds one operation, as often as it occurs."""
        op, times = visit.op, visit.times
        macs = op.macs(visit.output) * times
        self.params += op.count() * times
        self.macs += macs
        self.activations += prod(visit.output) * times
        if isinstance(op, ops.BatchNorm2d):
            self.buffers += 2 * op.channels * times
        if not op.weighted:
            return
        if isinstance(op, ops.Conv2d):
            self.conv_macs += macs
        # the paper's "layers" lie on the main path: not on shortcuts, not in gates
        if visit.role == "shortcut":
            self.projections += times
        elif visit.role != "gate":
            self.layers += times


@dataclass(slots=True)
class Row:
    """One line of the paper's Table 1: a stage, or a layer of the stem or the head."""

    name: str
    output: Shape
    counts: Counts


class Measure(NamedTuple):
    """The counts of a network and of each of its rows."""

    total: Counts
    rows: tuple[Row, ...]
    output: Shape

    def row(self, name: str) -> Row | None:
        """A row by name."""
        return next((row for row in self.rows if row.name == name), None)


def count(graph: Graph, shape: Shape) -> Counts:
    """The totals alone, for an input of a shape `(C, H, W)`."""
    total = Counts()
    Walk(total.visit).graph(graph, shape)
    return total


def measure(graph: Graph, shape: Shape) -> Measure:
    """The counts of a network for an input of a shape `(C, H, W)`, row by row. Raises `ProblemsFound`."""
    rows: dict[str, Row] = {}

    def visit(visit: Visit) -> None:
        row = rows.setdefault(visit.row, Row(visit.row, visit.output, Counts()))
        row.counts.visit(visit)
        if visit.role not in ("shortcut", "gate"):
            row.output = visit.output

    output = Walk(visit).graph(graph, shape)
    total = Counts()
    for row in rows.values():
        total += row.counts
    return Measure(total, tuple(rows.values()), output)
