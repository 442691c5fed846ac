"""The figures of a report: drawn beside it as SVG, and the same SVG as part of a page."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archspec.runs.curves import read_curves
from archspec.runs.figure import Look, draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.runs.curves import Curve
    from archspec.studies.models import Plot
    from archspec.studies.plan import Plan
    from archspec.studies.results import Outcome

_ID = re.compile(r'(\bid="|url\(#|href="#)')


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure that was drawn, or the reason why none is."""

    title: str
    file: str | None
    svg: str
    words: str
    """What is in it, for those who do not see it."""


def pictures(plan: Plan, outcomes: Sequence[Outcome], out: Path) -> tuple[Picture, ...]:
    """Draws the figures of a plan into its folder: of all runs that have begun."""
    return tuple(
        _picture(plot, number, outcomes, out) for number, plot in enumerate(_of_runs(plan, outcomes), 1)
    )


def _of_runs(plan: Plan, outcomes: Sequence[Outcome]) -> list[Plot]:
    """The plots that hold a run of the budget, those that show the same runs in the same way once."""
    known = [each.run.label for each in outcomes]
    found: dict[tuple[object, ...], Plot] = {}
    for plot in plan.plots:
        runs = tuple(label for label in known if not plot.runs or label in plot.runs)
        if runs:
            found.setdefault((runs, plot.unit, plot.log, plot.y_max), plot)
    return list(found.values())


def _picture(plot: Plot, number: int, outcomes: Sequence[Outcome], out: Path) -> Picture:
    wanted = [each for each in outcomes if not plot.runs or each.run.label in plot.runs]
    curves = [curve for each in wanted for curve in _curve(each, out)]
    if plot.unit == "epoch":
        curves = [curve for curve in curves if curve.steps_per_epoch is not None]
    if not curves:
        return Picture(plot.title, None, "", "No run of this figure has a record yet.")
    name = f"curves-{number}.svg"
    # a page says the title above the figure
    draw(curves, Look(plot.unit, plot.y_max, "", plot.log), out / name)
    return Picture(
        plot.title, name, inlined((out / name).read_text(encoding="utf-8"), f"c{number}-"), _words(curves)
    )


def _curve(outcome: Outcome, out: Path) -> list[Curve]:
    if outcome.card is None or not any(_has_records(each.folder) for each in outcome.states):
        return []
    return [replace(curve, label=outcome.run.label) for curve in read_curves([out / outcome.run.slug])]


def _has_records(folder: Path) -> bool:
    file = folder / "metrics.jsonl"
    return file.is_file() and file.stat().st_size > 0


def _words(curves: Sequence[Curve]) -> str:
    ends = ", ".join(f"{curve.label} {100 * _end(curve):.1f} %" for curve in curves)
    return f"Errors over training. At the end: {ends}."


def _end(curve: Curve) -> float:
    return (curve.validation or curve.train)[-1].mean


def inlined(svg: str, prefix: str) -> str:
    """A figure of ours as part of a page: its names are its own, and its style stays inside."""
    body = svg[svg.index("<svg") :]
    body = re.sub(
        r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*<style[^>]*>.*?</style>\s*</defs>",
        "",
        body,
        flags=re.DOTALL,
    )
    body = _ID.sub(lambda match: f"{match[0]}{prefix}", body)
    style = 'style="stroke-linejoin:round;stroke-linecap:butt" aria-hidden="true" '
    return body.replace("<svg ", f"<svg {style}", 1).strip()
