"""A study's report as Markdown. No word of what its files say is more than a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.runs.markdown import escaped, fenced
from archspec.studies.results import RULE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.studies.report import Report
    from archspec.studies.tables import Shown


def markdown(report: Report) -> str:
    """The whole report."""
    return "\n\n".join(part for part in _parts(report) if part) + "\n"


def _parts(report: Report) -> Iterator[str]:
    plan = report.plan
    yield f"# {escaped(plan.study)}"
    yield escaped(plan.about)
    yield _items(
        f"{name}: {escaped(words)}"
        for name, words in (
            ("Question", plan.question),
            ("Source", plan.source),
            ("Budget", ". ".join(each for each in (plan.budget, plan.budget_about) if each)),
            ("Data", plan.data),
            ("Seeds of each run", str(plan.seeds)),
            ("Runs", ", ".join(f"{count} {stage}" for stage, count in report.counts.items() if count)),
        )
        if words
    )
    if report.missing:
        yield "**Unfinished.** What is missing is listed below."
    if report.claims:
        yield "## What was to be seen"
        rows = [(each.claim.says, each.verdict, each.found) for each in report.claims]
        yield _table(("claim", "it", "found"), rows)
        yield RULE
    for picture in report.pictures:
        yield f"## {escaped(picture.title)}"
        yield f"![{escaped(picture.words)}]({picture.file})" if picture.file else escaped(picture.words)
    for table in report.tables:
        yield from _shown(table)
    yield from _shown(report.runs)
    if report.missing:
        yield "## What is missing"
        yield _items(map(escaped, report.missing))
    if report.protocol:
        yield f"Held against {escaped(report.protocol)}:"
    for shown in (report.deviations, report.readings, report.computed):
        if shown is not None:
            yield from _shown(shown)
    yield "## To repeat it"
    yield fenced(report.command, "sh")
    yield "Each run by itself:"
    yield fenced(report.commands, "sh")


def _shown(table: Shown) -> Iterator[str]:
    yield f"## {escaped(table.title)}"
    yield _table(table.header, table.rows)
    yield "\n\n".join(map(escaped, table.notes))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    words = [[escaped(cell) for cell in row] for row in (header, *rows)]
    lines = [words[0], ["---"] * len(header), *words[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _items(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
