"""Curves as a figure in the manner of the paper's Figures 1, 4 and 6: training thin, validation bold.

Figure 6 dashes training errors, Figure 4 draws them thin. They are thin here, because dashes of a noisy line are hard
to follow. The same curves make the same bytes. Names are a stranger's text: nothing in them is markup or mathematics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from archspec.runs.canvas import COLOURS, FAINT, GRID, INK, SIZE, SMALL, WIDTH, fit, plain, save
from archspec.runs.curves import NEAR, agreed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from archspec.runs.curves import Curve, Point

Unit = Literal["iteration", "epoch"]
MOST_CURVES = 2 * len(COLOURS)
MOST_POINTS = 1000
HEIGHT = 4.2  # inches, as all that follows
LEFT, BOTTOM, TOP, GAP = 0.62, 0.56, 0.36, 0.14
TITLE, MARKS = 0.32, 0.18
_LINE = 1.35 * SIZE / 72  # the height of a label
BOLD, THIN = 2.0, 0.9
_MANY = 40
_STEPS = (1, 2, 5, 10)
_NICE = (1, 2, 5, 10, 20, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True, slots=True)
class Look:
    """How curves are drawn. `y_max` is in per cent; without it, the curves' ends fill a good part of the height."""

    unit: Unit = "iteration"
    y_max: float | None = None
    title: str = ""
    log: bool = False


def draw(curves: Sequence[Curve], look: Look, path: Path) -> None:
    """Writes the figure, whole or not at all, as what the name ends with: one of `FORMATS`."""
    from archspec.runs.panels import panels

    make = panels if curves[0].detector else _figure
    save(lambda: make(curves, look), path, plain(look.title) or "Training curves")


def top(curves: Sequence[Curve]) -> float:
    """Per cent at the top: twice what the curves end at, and at least what most of the points are below."""
    ends, most = [0.0], [0.0]
    for points in _lines(curves):
        means = sorted(point.mean for point in points)
        ends.append(points[-1].mean)
        share = 0.65 if len(means) >= _MANY else 0.85
        most.append(means[int(share * (len(means) - 1))])
    wanted = 100 * max(2.1 * max(ends), *most)
    return next((float(nice) for nice in _NICE if nice >= wanted), 100.0)


def _figure(curves: Sequence[Curve], look: Look) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    marked = any(curve.changes for curve in curves)
    scales = x_axis(axes, curves, look.unit, marked=marked)
    y_axis(axes, curves, look)
    bold_train = not any(curve.held_out for curve in curves)
    for place, (curve, scale) in enumerate(zip(curves, scales, strict=True)):
        colour, style = look_of(place)
        draw_line(axes, curve.train, scale, colour, style, bold=bold_train)
        draw_line(axes, curve.validation, scale, colour, style, bold=True)
    names = [figure.text(0, 0, "", color=look_of(place)[0], va="center") for place in range(len(curves))]
    right = named(names, curves, axes.get_ylim()[1])
    title, bottom = (TITLE if plain(look.title) else 0.0), BOTTOM + marked * MARKS
    width, height = WIDTH - LEFT - right, HEIGHT - bottom - TOP - title
    axes.set_position((LEFT / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))
    place_labels(axes, names, ends(curves, scales))
    mark_drops(axes, curves, scales)
    _key(axes, curves, bold_train=bold_train)
    if title:
        text = figure.text(LEFT / WIDTH, 1 - 0.24 / HEIGHT, plain(look.title), size=SIZE + 1.5, weight="bold")
        fit(text, WIDTH - LEFT - 0.1)
    return figure


def x_axis(axes: Axes, curves: Sequence[Curve], unit: Unit, *, marked: bool) -> list[float]:
    """Labels the axis. Returns what a step is divided by, for each curve."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    longest = max(curve.end for curve in curves)
    thousands = unit == "iteration" and longest >= 10_000
    divisor = 1e4 if thousands else 1.0
    scales = [(curve.steps_per_epoch or 1.0) if unit == "epoch" else divisor for curve in curves]
    axes.set_xlabel("iter. (1e4)" if thousands else unit, labelpad=4 + marked * MARKS * 72)
    axes.set_xlim(0, max(curve.end / scale for curve, scale in zip(curves, scales, strict=True)))
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=_STEPS, integer=not thousands))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    return scales


def y_axis(axes: Axes, curves: Sequence[Curve], look: Look, what: str = "error (%)") -> None:
    """Scales the axis of errors in per cent, and labels it."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    highest = look.y_max or (100.0 if look.log else top(curves))
    if look.log:
        axes.set_yscale("log", nonpositive="clip")
        lowest = min(
            (100 * point.mean for points in _lines(curves) for point in points if point.mean), default=1
        )
        axes.set_ylim(min(max(lowest / 1.5, 1e-3), highest / 10), highest)
    else:
        axes.set_ylim(0, highest)
        axes.yaxis.set_major_locator(MaxNLocator(8, steps=_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axes.set_ylabel(what)
    quiet(axes)


def quiet(axes: Axes) -> None:
    """No frame, and a faint grid."""
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", length=3)


def draw_line(  # noqa: PLR0913 - a line is all of these
    axes: Axes,
    points: Sequence[Point],
    scale: float,
    colour: str,
    style: Any,
    *,
    bold: bool,
    times: float = 100,
) -> None:
    """A line through the means, over the range of the seeds; a single point is a dot."""
    if not points:
        return
    shown = _thinned(points)
    x, y = [point.step / scale for point in shown], [times * point.mean for point in shown]
    width = BOLD if bold else THIN
    if len(shown) == 1:
        size = 7 if bold else 4
        axes.plot(x, y, "o", color=colour, markersize=size, markeredgewidth=0, clip_on=False, zorder=4)
        return
    low, high = [times * point.low for point in shown], [times * point.high for point in shown]
    if low != high:
        axes.fill_between(x, low, high, color=colour, alpha=0.2 if bold else 0.12, linewidth=0, zorder=2)
    alpha, order = (1.0, 4) if bold else (0.8, 3)
    axes.plot(
        x,
        y,
        color=colour,
        linestyle=style,
        linewidth=width,
        alpha=alpha,
        zorder=order,
        solid_joinstyle="round",
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most so many of them, as far apart as can be, the last among them."""
    count = len(points)
    if count <= MOST_POINTS:
        return list(points)
    return [points[place * (count - 1) // (MOST_POINTS - 1)] for place in range(MOST_POINTS)]


def named(names: Sequence[Text], curves: Sequence[Curve], highest: float) -> float:
    """Writes the labels, each with the error that its curve ends at. Returns the inches that they take."""
    widths = []
    for text, curve in zip(names, curves, strict=True):
        percent = 100 * last_point(curve).mean
        error = f"\N{EN SPACE}{'↑ ' if percent > highest else ''}{percent:.{1 if percent >= 10 else 2}f} %"
        text.set_text(curve.label + error)
        widths.append(fit(text, 0.36 * WIDTH, error))
    return max(widths) + 2 * GAP


def ends(curves: Sequence[Curve], scales: Sequence[float]) -> list[tuple[float, float]]:
    """Where the bold lines end, in the axes' units."""
    found = []
    for curve, scale in zip(curves, scales, strict=True):
        last = last_point(curve)
        found.append((last.step / scale, 100 * last.mean))
    return found


def place_labels(axes: Axes, names: Sequence[Text], places: Sequence[tuple[float, float]]) -> None:
    """Puts each label right of where its curve ends, or as near as the others leave room."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes are made by their figure"
    tall = figure.get_figheight()
    box, inches = axes.get_position(), figure.dpi_scale_trans.inverted()
    found = []
    for across, up in places:
        x, y = inches.transform(axes.transData.transform((across, min(up, axes.get_ylim()[1]))))
        found.append((float(x), max(float(y), box.y0 * tall)))
    order = sorted(range(len(found)), key=lambda place: (found[place][1], place))
    heights = _spread([found[place][1] for place in order], box.y0 * tall, box.y1 * tall)
    edge = box.x1 * WIDTH
    for place, height in zip(order, heights, strict=True):
        x, y = found[place]
        names[place].set_position(((edge + GAP) / WIDTH, height / tall))
        if abs(height - y) < 0.02 and edge - x < 0.02:
            continue
        line = [((x + 0.03) / WIDTH, y / tall), ((edge + GAP - 0.03) / WIDTH, height / tall)]
        _leader(axes, line, str(names[place].get_color()))


def _leader(axes: Axes, line: Sequence[tuple[float, float]], colour: str) -> None:
    """A faint line from the end of a curve to its label."""
    from matplotlib.lines import Line2D

    assert axes.figure is not None, "axes are made by their figure"
    (x0, y0), (x1, y1) = line
    axes.figure.add_artist(Line2D((x0, x1), (y0, y1), color=colour, linewidth=0.7, linestyle=":", alpha=0.9))


def _spread(heights: Sequence[float], floor: float, ceiling: float) -> list[float]:
    """Rising heights moved apart by the height of a label, as little as may be; below the ceiling in any case."""
    groups: list[list[float]] = []  # of labels that touch: the sum of what they want, and how many they are
    for height in heights:
        groups.append([height, 1])
        while len(groups) > 1 and _centre(groups[-2]) + _reach(groups[-2:]) > _centre(groups[-1]):
            total, count = groups.pop()
            groups[-1][0] += total
            groups[-1][1] += count
    out = [
        _centre(group) + (place - (group[1] - 1) / 2) * _LINE
        for group in groups
        for place in range(int(group[1]))
    ]
    out = [max(height, floor + place * _LINE) for place, height in enumerate(out)]
    return [min(height, ceiling - (len(out) - 1 - place) * _LINE) for place, height in enumerate(out)]


def _centre(group: Sequence[float]) -> float:
    return group[0] / group[1]


def _reach(groups: Sequence[Sequence[float]]) -> float:
    """How far apart the middles of two groups have to be."""
    return sum(count for _, count in groups) * _LINE / 2


def mark_drops(axes: Axes, curves: Sequence[Curve], scales: Sequence[float], *, told: bool = True) -> None:
    """Thin lines where the rate changed: one for all runs that agree, in its own colour for a run that is alone."""
    longest = max(curve.end for curve in curves)
    found = agreed({place: curve.changes for place, curve in enumerate(curves)}, NEAR * longest)
    used = float("-inf")
    for change, owners in found:
        first = min(owners)
        reached = [place for place, curve in enumerate(curves) if curve.end > change.step]
        colour = look_of(first)[0] if len(owners) == 1 < len(reached) else FAINT
        x = change.step / scales[first]
        axes.axvline(x, color=colour, linewidth=0.8, linestyle=(0, (4, 3)), alpha=0.8, zorder=1)
        share = x / axes.get_xlim()[1]
        if not told or share - used < 0.09:
            continue
        used = share
        axes.annotate(
            _said(change.ratio),
            (x, 0),
            (0, -18),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            va="top",
            size=SMALL,
            color=colour,
        )


def _said(ratio: float) -> str:
    if ratio == float("inf"):
        return "lr = 0"
    return f"lr / {ratio:.3g}" if ratio > 1 else f"lr * {1 / ratio:.3g}" if ratio else "lr > 0"


def _key(axes: Axes, curves: Sequence[Curve], *, bold_train: bool) -> None:
    """What thin and bold are, above the axes."""
    lines = [("training error", BOLD if bold_train else THIN)]
    lines += [] if bold_train else [("validation error", BOLD)]
    key(axes, lines, spread=any(point.low < point.high for points in _lines(curves) for point in points))


def key(axes: Axes, lines: Sequence[tuple[str, float]], *, spread: bool) -> None:
    """Lines by what they are and how wide they are, above the axes; and the band of the seeds."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [Line2D([], [], color=INK, linewidth=width, label=what) for what, width in lines]
    if spread:
        handles.append(Patch(color=INK, alpha=0.2, linewidth=0, label="lowest to highest of the seeds"))
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0, 1.015),
        borderaxespad=0,
        borderpad=0,
        ncols=len(handles),
        frameon=False,
        fontsize=SIZE - 0.5,
        handlelength=1.8,
        columnspacing=1.6,
    )


def _lines(curves: Sequence[Curve]) -> Iterator[Sequence[Point]]:
    for curve in curves:
        yield from (points for points in (curve.train, curve.validation) if points)


def last_point(curve: Curve) -> Point:
    """Where the bold line ends."""
    return (curve.validation or curve.train)[-1]


def look_of(place: int) -> tuple[str, Any]:
    """Colour and line of a curve."""
    return COLOURS[place % len(COLOURS)], "-" if place < len(COLOURS) else (0, (6, 1.5))
