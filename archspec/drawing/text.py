"""Networks as plain text: the columns of Figure 3 in characters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import category, east_asian_width

from archspec.drawing.bands import bands
from archspec.drawing.net import often

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.drawing.net import Net, Shortcut, ShortcutKind

# the first box, those between, the last, and the only one
_WAYS: dict[ShortcutKind, tuple[str, str, str, str]] = {
    "identity": ("╮", "│", "╯", ")"),
    "projection": ("┓", "┃", "┛", "]"),
    "dimensions": ("┐", "┊", "┘", ":"),
}
_KEYS: dict[ShortcutKind, str] = {
    "identity": "╮│╯ or )  identity shortcut",
    "dimensions": "┐┊┘ or :  shortcut that changes dimensions",
    "projection": "┓┃┛ or ]  projection that leaves dimensions as they are",
}


def text(nets: Sequence[Net]) -> str:
    """The columns side by side, boxes of one output size in the same lines, with a key below."""
    cells = [[net.title, net.summary, ""] for net in nets]
    sizes = ["output size", "", ""]
    lines = [_lines(net) for net in nets]
    for band in bands(nets):
        sizes += [band.name, *[""] * (band.rows - 1)]
        for column, (start, end) in enumerate(band.spans):
            cells[column] += [*lines[column][start:end], *[""] * (band.rows - (end - start))]
    widths = [max(map(_width, column)) for column in cells]
    out = []
    for size, *row in zip(sizes, *cells, strict=True):
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        out.append("   ".join([size.ljust(11), *padded]).rstrip())
    return "\n".join([*out, *_key(nets)]) + "\n"


def _lines(net: Net) -> list[str]:
    """A line a box: its words, the shortcuts that go around it, how often it is repeated."""
    widest = max((_width(box.text) for box in net.boxes), default=0)
    gutters = [""] * len(net.boxes)
    for way in net.shortcuts:
        span = range(way.start, way.end)
        # a second shortcut around the same boxes stands to the right of the first
        room = max((len(gutters[place]) for place in span), default=0)
        for place in span:
            gutters[place] = gutters[place].ljust(room) + _mark(way, place)
    gutter = max(map(len, gutters), default=0)
    times = _times(net)
    return [
        f"{box.text}{' ' * (widest - _width(box.text))} {around.ljust(gutter)} {repeated}".rstrip()
        for box, around, repeated in zip(net.boxes, gutters, times, strict=True)
    ]


def _mark(way: Shortcut, place: int) -> str:
    first, between, last, only = _WAYS[way.kind]
    if way.end - way.start == 1:
        return only
    return {way.start: first, way.end - 1: last}.get(place, between)


def _times(net: Net) -> list[str]:
    """What stands behind a box: how often the boxes around it are repeated, at the first of them."""
    said = []
    for unit in net.units:
        said += [often(unit.times), *["" for _ in range(unit.end - unit.start - 1)]]
    return said


def _key(nets: Sequence[Net]) -> Iterator[str]:
    met = {way.kind for net in nets for way in net.shortcuts}
    yield from ["", *(words for kind, words in _KEYS.items() if kind in met)] if met else []


def _width(text: str) -> int:
    """Columns on a terminal: two for wide characters, none for accents that sit on the one before."""
    return sum(0 if category(char) in ("Mn", "Me") else 1 + (east_asian_width(char) in "WF") for char in text)
