"""What a picture is made of, before it is SVG or PNG: seven kinds of things at places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

INK = "#222222"
PALE = "#6b6b6b"

Stroke = Literal["solid", "dotted", "dashed"]
Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Plate:
    """A box with words in its middle. `tip` is shown when the mouse rests on it."""

    x: float
    y: float
    width: float
    height: float
    text: str
    fill: str
    name: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Wire:
    """A straight line from one corner to the next, with an arrow's head at its end."""

    points: tuple[Point, ...]
    arrow: bool = True
    name: str = "wire"


@dataclass(frozen=True, slots=True)
class Bow:
    """A way around boxes: out of the wire at `(x, top)`, past `edge`, and back at `(x + short, bottom)`."""

    x: float
    edge: float
    bulge: float
    top: float
    bottom: float
    stroke: Stroke
    name: str
    tip: str = ""
    short: float = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """A line that is no part of a network: between sizes, beside what is repeated, in the legend."""

    points: tuple[Point, ...]
    stroke: Stroke = "solid"
    color: str = INK
    width: float = 1


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text. `y` is its baseline."""

    x: float
    y: float
    text: str
    size: float
    anchor: Anchor = "start"
    bold: bool = False
    color: str = INK
    name: str = "words"


@dataclass(frozen=True, slots=True)
class Plus:
    """The addition: a plus sign in a ring."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True)
class Part:
    """Things that belong together: a network, the rail, the legend."""

    name: str
    items: tuple[Item, ...]


Item = Plate | Wire | Bow | Rule | Words | Plus | Part


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture on white. `title` and `about` are for those who cannot see it."""

    width: float
    height: float
    title: str
    about: str
    items: tuple[Item, ...]


SMALL = 11
TEXT = 12
TITLE = 15
HEAD = 5
"""Length of an arrow's head."""

DASHES: dict[Stroke, tuple[float, ...]] = {"solid": (), "dotted": (1.5, 3), "dashed": (7, 3)}


def bends(bow: Bow) -> tuple[Point, Point, Point, Point]:
    """The four points of the curve in a bow."""
    out = bow.edge + bow.bulge
    return (bow.edge, bow.top), (out, bow.top), (out, bow.bottom), (bow.edge, bow.bottom)


def head(before: Point, tip: Point) -> tuple[Point, Point, Point]:
    """An arrow's head at the end of an upright or a level line."""
    dx, dy = (float((new > old) - (new < old)) for old, new in zip(before, tip, strict=True))
    x, y = tip[0] - HEAD * dx, tip[1] - HEAD * dy
    half = HEAD * 0.55
    return tip, (x - half * dy, y - half * dx), (x + half * dy, y + half * dx)
