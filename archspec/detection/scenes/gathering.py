"""Scenes as a reader gathers them: boxes put right, and what is wrong with the files told many at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from archspec.data.sets import Paths
from archspec.detection.scenes.annotations import Objects, Scenes
from archspec.errors import Diagnostic, FileError, Span
from archspec.preprocessing import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from archspec.detection.scenes.annotations import Id

MOST_PROBLEMS = 20
_SLACK = 1e-6
"""Pixels that a box may reach past the edge by rounding alone."""


class Problems:
    """What is wrong with the files of a set: many are told at once, and past `MOST_PROBLEMS` nothing more is read."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, file: str | PathLike[str], message: str, line: int = 0, *, hint: str = "") -> None:
        """One more. Raises `FileError` with all of them when they are enough."""
        span = Span(str(file), line, min(line, 1), line, min(line, 1))
        if len(self._found) < MOST_PROBLEMS:
            self._found.append(Diagnostic("AS532", message, span, hint))
            return
        last = self._found[-1]
        more = f"{last.hint}; " if last.hint else ""
        self._found[-1] = last._replace(hint=f"{more}there are more, and no further files were read")
        self.settle()

    def settle(self) -> None:
        """Nothing more comes. Raises `FileError` if there was anything."""
        if self._found:
            raise FileError(self._found)


class Gathering:
    """Pictures and their objects, one after another."""

    def __init__(self, name: str, folder: str, classes: Sequence[str], category_ids: Sequence[int]) -> None:
        self.name, self.folder = name, folder
        self.classes, self.category_ids = tuple(classes), tuple(category_ids)
        self.problems = Problems()
        self._names: list[str] = []
        self._ids: list[Id] = []
        self._sizes: list[tuple[int, int]] = []
        self._rows: list[tuple[Sequence[float], int, bool, bool, float]] = []
        self._ends = [0]
        self._clipped: list[str] = []
        self._left_out: list[str] = []

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, image_id: Id, size: tuple[int, int]) -> None:
        """A picture, by its path within the folder and its (H, W); the objects that come next are its own."""
        self._names.append(name)
        self._ids.append(image_id)
        self._sizes.append(size)
        self._ends.append(len(self._rows))

    def put(
        self,
        box: tuple[float, float, float, float],
        label: int,
        *,
        difficult: bool = False,
        crowd: bool = False,
        area: float | None = None,
    ) -> None:
        """An object of the last picture: x1, y1, x2, y2. It is cut at the edges; one without any area is left out."""
        x1, y1, x2, y2 = box
        height, width = self._sizes[-1]
        cut = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
        if cut[2] <= cut[0] or cut[3] <= cut[1]:
            self._left_out.append(self._names[-1])
            return
        if max(abs(a - b) for a, b in zip(box, cut, strict=True)) > _SLACK:
            self._clipped.append(self._names[-1])
        own = (cut[2] - cut[0]) * (cut[3] - cut[1])
        self._rows.append((cut, label, difficult, crowd, own if area is None else area))
        self._ends[-1] = len(self._rows)

    def scenes(self) -> Scenes:
        """All that was gathered. Raises `FileError` where there were problems."""
        import numpy as np

        self.problems.settle()
        return Scenes(
            self.name,
            self.classes,
            self.category_ids,
            Paths(self.folder, self._names),
            tuple(self._ids),
            np.array(self._sizes, np.int64).reshape(-1, 2),
            Objects.of(self._rows),
            np.array(self._ends, np.int64),
            tuple(
                f"{len(where):,} boxes {what}, the first in {where[0][:200]}"
                for where, what in (
                    (self._clipped, "reach past the edges of their pictures and are cut there"),
                    (self._left_out, "have no area within their pictures and are left out"),
                )
                if where
            ),
        )


def sensible(size: tuple[int, int]) -> bool:
    """Whether a picture may have so many pixels."""
    return min(size) > 0 and size[0] * size[1] <= MAX_PIXELS


def finite(values: Sequence[float]) -> bool:
    """Whether these are numbers that boxes can have."""
    return all(math.isfinite(each) and abs(each) < 2**31 for each in values)
