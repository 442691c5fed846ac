"""What the paper prints of detection, in percent, and our results beside it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from archspec.detection.judging.average_precision import VocResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.detection.judging.coco_map import CocoResult

PAPER = Path(__file__).with_name("paper.toml")
Metric = Literal["voc", "map", "map_50"]
Number = Literal["7", "8", "9"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Table):
    """A system, and its values in percent; nan, or nothing at the end, where the paper prints none."""

    system: str
    values: tuple[float, ...]

    def value(self, column: int) -> float | None:
        """What is printed in a column."""
        value = self.values[column] if column < len(self.values) else float("nan")
        return None if isnan(value) else value


class Table(_Table):
    """Table 7, 8 or 9."""

    title: str
    columns: tuple[str, ...]
    trained_on: tuple[str, ...]
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]

    @model_validator(mode="after")
    def _even(self) -> Table:
        lengths = {len(each) for each in (self.columns, self.trained_on, self.metrics)}
        if len(lengths) > 1 or any(len(row.values) > max(lengths) for row in self.rows):
            raise ValueError("columns, what was trained on, metrics and values go together")
        return self


class OfClasses(_Table):
    """A row of Table 10 or 11: the mean, then the twenty classes of VOC in their order."""

    system: str
    net: str
    trained_on: str
    values: tuple[float, ...] = Field(min_length=21, max_length=21)


class Classes(_Table):
    """Table 10 or 11."""

    title: str
    rows: tuple[OfClasses, ...]


class Paper(_Table):
    """`paper.toml`."""

    tables: dict[Number, Table]
    classes: dict[Literal["10", "11"], Classes]


@cache
def paper() -> Paper:
    """What the paper prints."""
    return Paper.model_validate(tomllib.loads(PAPER.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Beside:
    """A row of one of the paper's tables, in percent by column, or ours; None where nothing is known."""

    system: str
    values: tuple[float | None, ...]
    ours: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"system": self.system, "values": list(self.values), "from": "here" if self.ours else "paper"}


def beside(
    number: Number, system: str, results: Sequence[VocResult | CocoResult | None]
) -> tuple[Beside, ...]:
    """The rows of a table, then ours: a result for each column, None where there is none.

    A result of another metric than its column's has no value there, so a COCO mAP never stands below VOC's.
    """
    table = paper().tables[number]
    columns = range(len(table.columns))
    printed = (Beside(row.system, tuple(map(row.value, columns)), ours=False) for row in table.rows)
    own = tuple(_percent(result, metric) for result, metric in zip(results, table.metrics, strict=True))
    return (*printed, Beside(system, own, ours=True))


def _percent(result: VocResult | CocoResult | None, metric: Metric) -> float | None:
    if result is None or isinstance(result, VocResult) != (metric == "voc"):
        return None
    value = result.mean if isinstance(result, VocResult) else result.numbers[metric]
    return None if value is None else 100 * value
