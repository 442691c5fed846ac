"""Curves of detectors: 1 - mAP of validation above, the losses below.

A detector has no training error. Of one run all losses are drawn, of several only the sum of each: in the colour of its
run. Where no images were held out, there are losses alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.runs.canvas import SIZE, WIDTH, fit, plain
from archspec.runs.figure import (
    BOLD,
    BOTTOM,
    GAP,
    HEIGHT,
    LEFT,
    MARKS,
    THIN,
    TITLE,
    TOP,
    draw_line,
    ends,
    key,
    look_of,
    mark_drops,
    named,
    place_labels,
    quiet,
    x_axis,
    y_axis,
)
from archspec.runs.series import SUM

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from archspec.runs.curves import Curve, Point
    from archspec.runs.figure import Look

LOSSES = 1.7
"""The height of the panel below, in inches."""
BETWEEN = 0.42
_WORDS = {SUM: "sum of all", "proposal_boxes": "proposals' boxes"}


def panels(curves: Sequence[Curve], look: Look) -> Figure:
    """The figure; each panel with labels of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    judged = [curve for curve in curves if curve.validation]
    losing = [curve for curve in curves if curve.losses and (SUM in curve.losses or len(curves) == 1)]
    both = bool(judged) and bool(losing)
    height = HEIGHT + (LOSSES + BETWEEN) * both
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    marked = any(curve.changes for curve in curves)
    title, bottom = (TITLE if plain(look.title) else 0.0), BOTTOM + marked * MARKS
    lower = bottom, LOSSES if both else height - bottom - TOP - title
    upper = bottom + (LOSSES + BETWEEN) * both, height - bottom - TOP - title - (LOSSES + BETWEEN) * both
    made: list[tuple[_Panel, tuple[float, float]]] = []
    if judged:
        made.append((_judged(figure, curves, look, alone=not losing), upper))
    if losing:
        made.append((_losing(figure, curves, look), lower))
    right = max(panel.right for panel, _ in made)
    for panel, (start, tall) in made:
        panel.axes.set_position((LEFT / WIDTH, start / height, (WIDTH - LEFT - right) / WIDTH, tall / height))
        place_labels(panel.axes, panel.names, panel.places)
    if title:
        text = figure.text(LEFT / WIDTH, 1 - 0.24 / height, plain(look.title), size=SIZE + 1.5, weight="bold")
        fit(text, WIDTH - LEFT - 0.1)
    return figure


@dataclass(frozen=True, slots=True)
class _Panel:
    """Axes, the labels of its lines, where these end in the axes' units, and the inches that the labels take."""

    axes: Axes
    names: list[Text]
    places: list[tuple[float, float]]
    right: float


def _judged(figure: Figure, curves: Sequence[Curve], look: Look, *, alone: bool) -> _Panel:
    axes = figure.add_axes((0, 0, 1, 1), label="judged")
    scales = x_axis(axes, curves, look.unit, marked=alone and any(curve.changes for curve in curves))
    drawn = [place for place, curve in enumerate(curves) if curve.validation]
    shown, own = [curves[place] for place in drawn], [scales[place] for place in drawn]
    y_axis(axes, shown, look, "1 \N{MINUS SIGN} mAP (%)")
    for place, curve, scale in zip(drawn, shown, own, strict=True):
        draw_line(axes, curve.validation, scale, *look_of(place), bold=True)
    mark_drops(axes, curves, scales, told=alone)
    if not alone:
        axes.set_xlabel("")
        axes.tick_params(labelbottom=False)
    key(
        axes,
        [("1 \N{MINUS SIGN} mAP of validation", BOLD)],
        spread=_spread(curve.validation for curve in shown),
    )
    names = [figure.text(0, 0, "", color=look_of(place)[0], va="center") for place in drawn]
    return _Panel(axes, names, ends(shown, own), named(names, shown, axes.get_ylim()[1]))


def _losing(figure: Figure, curves: Sequence[Curve], look: Look) -> _Panel:
    axes = figure.add_axes((0, 0, 1, 1), label="losing")
    scales = x_axis(axes, curves, look.unit, marked=any(curve.changes for curve in curves))
    lines = _of_one(curves[0], scales[0]) if len(curves) == 1 else _of_several(curves, scales)
    for line in lines:
        draw_line(axes, line.points, line.scale, line.colour, line.style, bold=line.bold, times=1)
    axes.set_ylim(0, _top([line.points for line in lines]))
    axes.set_ylabel("loss")
    quiet(axes)
    mark_drops(axes, curves, scales)
    what = [(f"losses of {curves[0].label}" if len(curves) == 1 else "sum of the losses", THIN)]
    key(axes, what, spread=_spread(line.points for line in lines))
    names = [figure.text(0, 0, "", color=line.colour, va="center") for line in lines]
    widths = [_written(text, line) for text, line in zip(names, lines, strict=True)]
    places = [(line.points[-1].step / line.scale, line.points[-1].mean) for line in lines]
    return _Panel(axes, names, places, max(widths) + 2 * GAP)


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    points: tuple[Point, ...]
    scale: float
    colour: str
    style: Any
    bold: bool = False


def _of_one(curve: Curve, scale: float) -> list[_Line]:
    """Every loss in a colour of its own; the sum in that of the run."""
    return [
        _Line(_WORDS.get(name, name.replace("_", " ")), points, scale, *look_of(place))
        for place, (name, points) in enumerate(curve.losses.items())
    ]


def _of_several(curves: Sequence[Curve], scales: Sequence[float]) -> list[_Line]:
    """The sum of each run. Its name stands above, where all runs have one there."""
    unnamed = all(curve.validation for curve in curves)
    return [
        _Line("" if unnamed else curve.label, curve.losses[SUM], scale, *look_of(place))
        for place, (curve, scale) in enumerate(zip(curves, scales, strict=True))
        if SUM in curve.losses
    ]


def _written(text: Text, line: _Line) -> float:
    """Writes a label with the loss that its line ends at. Returns how wide it is, in inches."""
    value = f"{line.points[-1].mean:.3g}"
    value = f"\N{EN SPACE}{value}" if line.name else value
    text.set_text(line.name + value)
    return fit(text, 0.36 * WIDTH, value)


def _top(lines: Sequence[Sequence[Point]]) -> float:
    """What all but the first tenth of each line is below, and a little more: losses begin with a peak."""
    highest = max(point.high for points in lines for point in points[len(points) // 10 :])
    return 1.08 * highest or 1.0


def _spread(lines: Iterable[Sequence[Point]]) -> bool:
    return any(point.low < point.high for points in lines for point in points)
