"""Networks side by side, as the paper's Figure 3 draws them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec.drawing.bands import bands
from archspec.drawing.colors import Fills
from archspec.drawing.legend import BULGES, NAMES, STROKES, legend
from archspec.drawing.net import often
from archspec.drawing.scene import (
    PALE,
    SMALL,
    TEXT,
    TITLE,
    Bow,
    Part,
    Plate,
    Rule,
    Scene,
    Wire,
    Words,
)
from archspec.drawing.words import width
from archspec.ir.operation import dims

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.drawing.bands import Band
    from archspec.drawing.net import Box, Net, Shortcut
    from archspec.drawing.scene import Item

MARGIN = 20
BOX = 22
GAP = 18
BETWEEN = 26
"""The gap between two boxes of different output sizes."""
LEAVES, RETURNS = 8, 4
"""How far above a box a shortcut leaves the wire, and how far below one it returns."""
IMAGE = 76
"""The baseline of the word `image`."""


class _Column(NamedTuple):
    """A network with its places: the middle of its boxes, their width, the height of each, how far it reaches."""

    net: Net
    fills: list[str]
    tops: list[float]
    box: float
    left: float
    right: float
    x: float = 0


def columns(nets: Sequence[Net]) -> Scene:
    """The networks side by side, boxes of one output size at one height, shortcuts to the right of them."""
    found = bands(nets)
    starts, bottom = _heights(found)
    fills = Fills(nets, found)
    placed = []
    x = MARGIN + max((width(_rail_words(band), SMALL) for band in found), default=0) + MARGIN
    for place, net in enumerate(nets):
        column = _measured(net, fills.column(net), _tops(found, starts, place))
        placed.append(column._replace(x=x + column.left))
        x += column.left + column.right + MARGIN
    key = legend(nets, MARGIN, bottom + BETWEEN + 2)
    full = max(x, key.width + 2 * MARGIN)
    rail = Part("rail", tuple(_rail(found, starts, full)))
    parts = (Part("net", tuple(_column(column))) for column in placed)
    items = (rail, *parts, *([key.part] if key.part.items else []))
    height = max(bottom + MARGIN, key.bottom + MARGIN)
    return Scene(full, height, " | ".join(net.title for net in nets), _said(nets), items)


def _heights(found: Sequence[Band]) -> tuple[list[float], float]:
    """The top of each band, and the bottom of the last."""
    top: float = IMAGE + 6 + GAP
    starts = []
    for band in found:
        starts.append(top)
        top += band.rows * (BOX + GAP) - GAP + BETWEEN
    return starts, top - BETWEEN if found else IMAGE


def _tops(found: Sequence[Band], starts: Sequence[float], column: int) -> list[float]:
    return [
        top + row * (BOX + GAP)
        for band, top in zip(found, starts, strict=True)
        for row in range(band.spans[column][1] - band.spans[column][0])
    ]


def _measured(net: Net, fills: list[str], tops: list[float]) -> _Column:
    box = max([width(box.text, TEXT) + 16 for box in net.boxes] + [90])
    reach = max((_bulge(net, way, tops) for way in net.shortcuts), default=0)
    times = max((width(often(unit.times), TEXT, bold=True) for unit in net.units), default=0)
    right = box / 2 + (reach + 4 if reach else 0) + (times + 18 if times else 0)
    words = max(width(net.title, TITLE, bold=True), width(net.summary, SMALL)) / 2
    return _Column(net, fills, tops, box, max(box / 2, words), max(right, words))


def _edge(tops: Sequence[float], place: int) -> tuple[float, float]:
    """Where shortcuts return above the box at a place, and where they leave for around it."""
    above = tops[place - 1] + BOX if place else IMAGE + 4
    below = tops[place] if place < len(tops) else above + GAP + 6
    return above + RETURNS, below - LEAVES


def _bulge(net: Net, way: Shortcut, tops: Sequence[float]) -> float:
    """How far a shortcut goes past the boxes."""
    top, bottom = _edge(tops, way.start)[1], _edge(tops, way.end)[0]
    return min(12 + 0.1 * abs(bottom - top), 30) + (BULGES[way.kind] if _doubled(net, way) else 0)


def _doubled(net: Net, way: Shortcut) -> bool:
    """Whether there is another shortcut around the same boxes: that of the first block of a repeat."""
    around = (other for other in net.shortcuts if (other.start, other.end) == (way.start, way.end))
    return any(other != way for other in around)


def _column(column: _Column) -> Iterator[Item]:
    net, x = column.net, column.x
    yield Words(x, 30, net.title, TITLE, "middle", bold=True, name="title")
    yield Words(x, 47, net.summary, SMALL, "middle", color=PALE, name="summary")
    yield Words(x, IMAGE, _input(net), TEXT, "middle", name="input")
    above: float = IMAGE + 6
    for box, fill, top in zip(net.boxes, column.fills, column.tops, strict=True):
        yield Wire(((x, above), (x, top)))
        yield Plate(x - column.box / 2, top, column.box, BOX, box.text, fill, f"box {box.kind}", _tip(box))
        above = top + BOX
    if any(way.end == len(net.boxes) for way in net.shortcuts):
        yield Wire(((x, above), (x, above + GAP)))
    for way in net.shortcuts:
        yield _bow(column, way)
    yield from _repeats(column)


def _input(net: Net) -> str:
    return "image" if net.input[0] in (1, 3) else f"input, {dims(net.input)}"


def _tip(box: Box) -> str:
    return f"{box.path}: {dims(box.output)}"


def _bow(column: _Column, way: Shortcut) -> Bow:
    edge = column.x + column.box / 2 + 3
    top, bottom = _edge(column.tops, way.start)[1], _edge(column.tops, way.end)[0]
    if way.start == way.end:
        # around nothing: a loop in the gap itself
        top, bottom = bottom, top
    elif _doubled(column.net, way) and BULGES[way.kind]:
        top, bottom = top - 3, bottom + 3
    bulge = _bulge(column.net, way, column.tops) / 0.75
    tip = f"{way.label or 'identity'} {often(way.times)}".rstrip()
    return Bow(column.x, edge, bulge, top, bottom, STROKES[way.kind], f"arc {way.kind}", tip)


def _repeats(column: _Column) -> Iterator[Item]:
    """Brackets beside what is repeated."""
    net = column.net
    reach = max((_bulge(net, way, column.tops) for way in net.shortcuts), default=0)
    x = column.x + column.box / 2 + (reach + 4 if reach else 0) + 8
    for unit in net.units:
        if unit.times > 1:
            top, bottom = column.tops[unit.start], column.tops[unit.end - 1] + BOX
            yield Rule(((x - 4, top), (x, top), (x, bottom), (x - 4, bottom)), width=1.3)
            middle = (top + bottom) / 2 + TEXT * 0.35
            yield Words(x + 6, middle, often(unit.times), TEXT, bold=True, name="times")


def _rail_words(band: Band) -> str:
    return f"output size: {band.name}"


def _rail(found: Sequence[Band], starts: Sequence[float], full: float) -> Iterator[Item]:
    for place, (band, top) in enumerate(zip(found, starts, strict=True)):
        if place:
            line = top - BETWEEN / 2
            yield Rule(((MARGIN, line), (full - MARGIN, line)), "dashed", "#d5d5d5")
        yield Words(MARGIN, top + BOX / 2 + SMALL * 0.35, _rail_words(band), SMALL, name="size")


def _said(nets: Sequence[Net]) -> str:
    """The picture for those who cannot see it."""
    return " ".join(_sentence(net) for net in nets)


def _sentence(net: Net) -> str:
    counts = [
        f"{sum(way.times for way in net.shortcuts if way.kind == kind)} {name}"
        for kind, name in NAMES.items()
        if any(way.kind == kind for way in net.shortcuts)
    ]
    about = f" {net.about}" if net.about else ""
    return f"{net.title}:{about} {net.summary}; shortcuts: {', '.join(counts) or 'none'}."
