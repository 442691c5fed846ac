"""What the lines of a drawing mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec.drawing.scene import SMALL, Part, Rule, Words
from archspec.drawing.words import width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.drawing.net import Net, ShortcutKind
    from archspec.drawing.scene import Item, Stroke

STROKES: dict[ShortcutKind, Stroke] = {"identity": "solid", "dimensions": "dotted", "projection": "dashed"}
NAMES: dict[ShortcutKind, str] = {
    "identity": "identity",
    "dimensions": "with a change of dimensions",
    "projection": "projection of equal dimensions",
}
# of two shortcuts around the same boxes this much farther out
BULGES: dict[ShortcutKind, float] = {"identity": 0, "projection": 0, "dimensions": 12}
_WORDS: dict[ShortcutKind, str] = {
    "identity": "identity shortcut",
    "dimensions": "shortcut that changes dimensions",
    "projection": "projection that leaves dimensions as they are",
}
_REPEATS = "n times over; the outer of two shortcuts is the first one's"
LINE = 18
SAMPLE = 34


class Legend(NamedTuple):
    """The legend, and the room that it takes."""

    part: Part
    width: float
    bottom: float


def legend(nets: Sequence[Net], x: float, y: float) -> Legend:
    """A line for each kind of shortcut that is drawn, and one about repeats."""
    met = {way.kind for net in nets for way in net.shortcuts}
    items: list[Item] = []
    widest: float = 0
    for kind in (kind for kind in _WORDS if kind in met):
        y += LINE
        items.append(Rule(((x, y - 4), (x + SAMPLE, y - 4)), STROKES[kind], width=1.3))
        items.append(Words(x + SAMPLE + 10, y, _WORDS[kind], SMALL))
        widest = max(widest, SAMPLE + 10 + width(_WORDS[kind], SMALL))
    if any(unit.times > 1 for net in nets for unit in net.units):
        y += LINE
        items.append(Words(x + SAMPLE / 2, y, "\N{MULTIPLICATION SIGN}n", SMALL, "middle", bold=True))
        items.append(Words(x + SAMPLE + 10, y, _REPEATS, SMALL))
        widest = max(widest, SAMPLE + 10 + width(_REPEATS, SMALL))
    return Legend(Part("legend", tuple(items)), widest, y)
