"""Fills of boxes: a color for each output size that stages work at, as in the paper's Figure 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.drawing.net import side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.drawing.bands import Band
    from archspec.drawing.net import Box, Net

NEUTRAL = "#efefef"
EMPTY = "#ffffff"
# pale enough for black words, different enough in gray; the second is for a second stage at the same size
_PALETTE = (
    ("#fdf0c8", "#f6dd94"),
    ("#fbdcc0", "#f3bf92"),
    ("#ddd3ee", "#c3b3e0"),
    ("#d3e8cb", "#b2d6a5"),
    ("#f6cbcb", "#eaa5a5"),
    ("#cbdff4", "#a5c6e9"),
    ("#c9e9e6", "#9dd5d0"),
    ("#e3e3b9", "#cccc8c"),
)


class Fills:
    """The fill of every box. Layers of the stem and the head are gray, pools white."""

    def __init__(self, nets: Sequence[Net], found: Sequence[Band]) -> None:
        staged = {side(box.output) for net in nets for box in net.boxes if _colored(box)}
        sizes = list(dict.fromkeys(band.size for band in found if band.size in staged))
        # four sizes of stages, the usual number, get the paper's colors
        skipped = 2 if len(sizes) <= 4 else 0
        self.colors = {size: _PALETTE[(place + skipped) % len(_PALETTE)] for place, size in enumerate(sizes)}

    def column(self, net: Net) -> list[str]:
        """The fills of a column's boxes."""
        fills: list[str] = []
        met: dict[tuple[int, int], list[str]] = {}
        for box in net.boxes:
            if not _colored(box):
                fills.append(NEUTRAL if box.kind in ("conv", "fc") else EMPTY)
                continue
            stages = met.setdefault(side(box.output), [])
            if not stages or stages[-1] != box.stage:
                stages.append(box.stage)
            fills.append(self.colors[side(box.output)][(len(stages) - 1) % 2])
        return fills


def _colored(box: Box) -> bool:
    return bool(box.stage) and box.kind == "conv"
