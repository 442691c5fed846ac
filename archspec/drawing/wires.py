"""A column as nodes and edges with names: what Mermaid and DOT are written from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from archspec.drawing.net import often

if TYPE_CHECKING:
    from archspec.drawing.net import Net, ShortcutKind

Style = Literal["wire", "identity", "projection", "dimensions"]


class Joint(NamedTuple):
    """The image, a box or an addition."""

    id: str
    text: str
    kind: str


class Edge(NamedTuple):
    """From one joint to another."""

    start: str
    end: str
    style: Style
    label: str = ""


class Repeated(NamedTuple):
    """Joints that stand for several of their kind."""

    id: str
    times: int
    joints: tuple[Joint, ...]


@dataclass(slots=True)
class Wires:
    """All joints in order, those of a repeat together, and all edges."""

    joints: list[Joint | Repeated] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)


def wires(net: Net, prefix: str) -> Wires:
    """The joints and edges of a column. Identifiers are letters, digits and `_`, whatever the spec says."""
    return _Writer(net, prefix).write()


class _Writer:
    def __init__(self, net: Net, prefix: str) -> None:
        self.net = net
        self.prefix = prefix
        self.wires = Wires()
        self.current = f"{prefix}_image"
        self.values: list[str] = []
        self.group: list[Joint] = []
        self.ends: dict[int, list[tuple[int, ShortcutKind, str]]] = {}
        for way in net.shortcuts:
            label = often(way.times)
            self.ends.setdefault(way.end, []).append((way.start, way.kind, label))

    def write(self) -> Wires:
        """Everything, unit by unit."""
        self.wires.joints.append(Joint(self.current, "image", "image"))
        self._additions(0)
        self._flush(1, 0)
        for place, unit in enumerate(self.net.units):
            for index in range(unit.start, unit.end):
                box = self.net.boxes[index]
                self._follow(Joint(f"{self.prefix}_{index}", box.text, box.kind))
                self._additions(index + 1)
            self._flush(unit.times, place)
        return self.wires

    def _flush(self, times: int, place: int) -> None:
        if times > 1:
            self.wires.joints.append(Repeated(f"{self.prefix}_times{place}", times, tuple(self.group)))
        else:
            self.wires.joints += self.group
        self.group = []

    def _follow(self, joint: Joint) -> None:
        self.group.append(joint)
        self.wires.edges.append(Edge(self.current, joint.id, "wire"))
        self.current = joint.id

    def _additions(self, place: int) -> None:
        """The additions behind a number of boxes. Shortcuts around the same boxes end in one."""
        ways = self.ends.get(place, [])
        for start in dict.fromkeys(start for start, _, _ in ways):
            source = self.values[start] if start < place else self.current
            plus = Joint(f"{self.prefix}_plus{place}_{start}", "+", "plus")
            self._follow(plus)
            same = [(kind, label) for begin, kind, label in ways if begin == start]
            self.wires.edges += [Edge(source, plus.id, kind, label) for kind, label in same]
        self.values.append(self.current)
