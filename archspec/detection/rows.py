"""Table 9's rows (He et al. 2015, appendix B): each adds to the one above it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.detection.modules import RegionDetector
    from archspec.detection.testing import Improvements


class Row(NamedTuple):
    """A row: what it is called in the table, and what finds the boxes."""

    name: str
    detectors: Sequence[RegionDetector]
    improvements: Improvements


def rows(detectors: Sequence[RegionDetector], improvements: Improvements) -> list[Row]:
    """The rows that what is asked for has; all but "ensemble" are of the first detector.

    A detector is trained with a context or without, so the context is no row: all of a detector's rows have it.
    """
    first = detectors[:1]
    made = replace(improvements, refine=False, sides=())
    found = [Row("baseline with context" if first[0].context else "baseline", first, made)]
    if improvements.refine:
        made = replace(made, refine=True)
        found.append(Row("+box refinement", first, made))
    if improvements.sides:
        made = replace(made, sides=improvements.sides)
        found.append(Row("+multi-scale testing", first, made))
    if len(detectors) > 1:
        found.append(Row("ensemble", detectors, made))
    return found
