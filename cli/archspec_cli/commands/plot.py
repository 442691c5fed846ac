"""`archspec plot`: the errors of runs over their iterations, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archspec.runs.curves import read_curves
from archspec.runs.figure import MOST_CURVES, Look, draw
from archspec_cli.loading import figure_file
from archspec_cli.output import emit_json, fail, say, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.runs.curves import Curve
    from archspec.runs.figure import Unit

FILE = "curves.svg"
LEAST = 0.01


def run(
    runs: Sequence[Path],
    *,
    output: Path | None = None,
    unit: Unit = "iteration",
    y_max: float | None = None,
    log: bool = False,
    title: str | None = None,
    as_json: bool = False,
) -> None:
    if output is not None:
        figure_file(output)
    if y_max is not None and not LEAST <= y_max <= 100:
        fail(f"--y-max {y_max:g} is no error in per cent", f"it is from {LEAST} to 100")
    curves = read_curves(runs)
    if len(curves) > MOST_CURVES:
        fail(f"{len(curves)} runs are too many to tell apart", f"at most {MOST_CURVES} fit into a figure")
    without = [curve.label for curve in curves if curve.steps_per_epoch is None]
    if unit == "epoch" and without:
        fail(f"how long an epoch of {without[0]} is, nothing tells yet", "--unit iteration draws it")
    if as_json and output is None:
        emit_json({"runs": [curve.as_json() for curve in curves]})
        return
    file = output or (curves[0].path / FILE if len(curves) == 1 else Path(FILE))
    draw(curves, Look(unit, y_max, _title(curves) if title is None else title, log), file)
    for curve in curves:
        if not curve.finished:
            say(f"{curve.label} has not ended: drawn up to step {curve.end:,}")
    if as_json:
        emit_json({"file": str(file), "runs": [curve.as_json() for curve in curves]})
    else:
        tell(f"drawn to {file}")


def _title(curves: Sequence[Curve]) -> str:
    """What all runs have in common: data and recipe."""
    common = [{curve.data for curve in curves}, {curve.recipe for curve in curves}]
    return ", ".join(dict.fromkeys(next(iter(names)) for names in common if len(names) == 1))
