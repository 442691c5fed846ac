"""Rows that several columns share: layers of one output size lie at one height, as in the paper's Figure 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec.drawing.net import side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.drawing.net import Net


class Band(NamedTuple):
    """An output size, and for each column the boxes `start` to `end` that have it."""

    size: tuple[int, int]
    spans: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        """How many rows the fullest column needs."""
        return max(end - start for start, end in self.spans)

    @property
    def name(self) -> str:
        """The size as the paper says it: 56, or 56x48 where it is no square."""
        height, width = self.size
        return str(height) if height == width else f"{height}x{width}"


def bands(nets: Sequence[Net]) -> list[Band]:
    """The bands from the image down. Each column's boxes stay in order, whatever its sizes do."""
    waiting = [_runs(net) for net in nets]
    places = [0] * len(nets)
    result: list[Band] = []
    while any(waiting):
        # the largest size that some column goes on with
        size = max((runs[0][0] for runs in waiting if runs), key=lambda each: (each[0] * each[1], each))
        spans = []
        for column, runs in enumerate(waiting):
            count = runs.pop(0)[1] if runs and runs[0][0] == size else 0
            spans.append((places[column], places[column] + count))
            places[column] += count
        result.append(Band(size, tuple(spans)))
    return result


def _runs(net: Net) -> list[tuple[tuple[int, int], int]]:
    """The column's sizes in order, each with the number of boxes that have it in a row."""
    runs: list[tuple[tuple[int, int], int]] = []
    for box in net.boxes:
        size = side(box.output)
        if runs and runs[-1][0] == size:
            runs[-1] = (size, runs[-1][1] + 1)
        else:
            runs.append((size, 1))
    return runs
