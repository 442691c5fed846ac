"""The tables of a report, as words: the same for HTML and Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.studies.results import difference, spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.studies.models import Beside, Measure, Table
    from archspec.studies.results import Outcome

NAMES: dict[str, str] = {
    "test_error": "test error, %",
    "top5_error": "top-5 error, %",
    "train_error": "training error, %",
    "validation_error": "validation error, %",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "layers": "layers",
    "steps": "steps",
    "images_per_second": "images/s",
}
MARKS = "*†‡§‖¶"


@dataclass(frozen=True, slots=True)
class Shown:
    """A table to be read: all of it is words."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


class _Notes:
    """Footnotes, each told once."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    def mark(self, words: str) -> str:
        if not words:
            return ""
        number = len(self.told)
        mark = MARKS[number % len(MARKS)] * (1 + number // len(MARKS))
        return self.told.setdefault(words, mark)

    def lines(self) -> Iterator[str]:
        return (f"{mark} {words[:1].upper()}{words[1:]}." for words, mark in self.told.items())


def shown(table: Table, outcomes: Sequence[Outcome], seeds: int) -> Shown | None:
    """The table of the runs that are there; none where the budget has none of its rows."""
    rows = [each for each in outcomes if not table.rows or each.run.label in table.rows]
    if not rows:
        return None
    labels = {each.run.label for each in rows}
    beside = [each for each in table.beside if labels & set(each.values)]
    columns = [each for each in table.columns if _told(each, rows)]
    notes = _Notes()
    header = ["run", *(["seeds"] if seeds > 1 else []), *(NAMES[each] for each in columns)]
    for each in beside:
        header += [
            f"{each.name}, {each.where}",
            "ours minus it" if len(beside) == 1 else f"ours minus {each.name}",
        ]
    lines = []
    for row in rows:
        line = [row.run.label, *([_seeds(row, seeds)] if seeds > 1 else [])]
        line += [_value(row, each) for each in columns]
        for each in beside:
            line += _beside(row, each, notes)
        lines.append(tuple(line))
    said = [table.note] if table.note else []
    if seeds > 1:
        said.append(f"Mean ± sample deviation over the seeds that have finished, at most {seeds}.")
    return Shown(table.title, tuple(header), tuple(lines), (*notes.lines(), *said))


def _told(measure: Measure, rows: Sequence[Outcome]) -> bool:
    """Without held-out images there is no validation error: a column of nothing is left out."""
    return measure != "validation_error" or any(
        row.card is None or row.card.job.told.data.validation is not None for row in rows
    )


def _seeds(row: Outcome, seeds: int) -> str:
    diverged = sum(each.stage == "diverged" for each in row.states)
    return f"{row.finished} of {seeds}" + (f", {diverged} diverged" if diverged else "")


def _value(row: Outcome, measure: Measure) -> str:
    values = row.values(measure)
    if not values:
        return "diverged" if row.states and all(each.stage == "diverged" for each in row.states) else "-"
    mean, deviation = spread(values)
    if measure.endswith("error"):
        return f"{100 * mean:.2f}" + ("" if deviation is None else f" ± {100 * deviation:.2f}")
    return f"{mean:,.0f}"


def _beside(row: Outcome, beside: Beside, notes: _Notes) -> tuple[str, str]:
    printed = beside.values.get(row.run.label)
    if printed is None:
        return "-", "-"
    points, remark = difference(row, beside)
    mark = notes.mark(beside.notes.get(row.run.label, ""))
    theirs = f"{printed:.2f}{mark}"
    if points is None:
        return theirs, f"-{notes.mark(remark)}"
    return theirs, f"{points:+.2f}{notes.mark(remark)}"
