"""How good detections are, by the metric that a set is judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.detection.judging.average_precision import VocResult, average_precision
from archspec.detection.judging.coco_map import CocoResult, coco_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.detection.judging.average_precision import Detected, Year
    from archspec.detection.scenes.annotations import Scenes

_YEARS: dict[str, Year] = {"voc2007": 2007, "07+12": 2007, "voc2012": 2012, "07++12": 2012, "shapes": 2012}
"""Sets that VOC's metric judges, and whose year's; all others are judged by COCO's."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The mean average precision as a share, None where there are no objects; what was measured, in words."""

    value: float | None
    words: str
    result: VocResult | CocoResult

    def as_json(self) -> dict[str, Any]:
        """`measure` and `map`, and class by class."""
        return {**self.result.as_json(), "measure": self.words, "map": self.value}


def words(name: str) -> str:
    """What a set of this name is judged by."""
    year = _YEARS.get(name)
    return "mAP@[.5,.95] (COCO)" if year is None else f"mAP@.5 (VOC {year})"


def judged(scenes: Scenes, found: Sequence[Detected]) -> Judged:
    """Detections, one for each picture. Raises `FileError`: AS523 for some that are not numbers."""
    year = _YEARS.get(scenes.name)
    if year is None:
        coco = coco_map(scenes, found)
        return Judged(coco.numbers["map"], words(scenes.name), coco)
    voc = average_precision(scenes, found, year)
    return Judged(voc.mean, words(scenes.name), voc)
