"""Responses as in Figure 7 of the paper, and the signals of networks, as figures in the manner of `runs/figure.py`.

Networks of one depth have one colour; plain ones are dashed, residual ones solid. The same numbers make the same bytes.
"""

from __future__ import annotations

from math import isfinite, log10
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archspec.runs.canvas import COLOURS, FAINT, GRID, SIZE, WIDTH, fit, plain, save

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from archspec.analysis.health import Health, Signal
    from archspec.analysis.responses import Responses

LINE, THIN, MANY = 1.3, 0.7, 300
"""Widths of lines, and the layers from which on they are thin."""
_RAISED = str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}⁰¹²³⁴⁵⁶⁷⁸⁹")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.6)), (0, (1, 1.2)), (0, (6, 1.2, 1.2, 1.2)))
"""Of residual nets, of plain ones, and of those that share a depth with such a one."""
LEFT, RIGHT, BOTTOM, GAP, TITLE = 0.72, 0.16, 0.5, 0.52, 0.34  # inches
PANEL, SHORT = 1.75, 1.65  # heights
ROW = 0.175  # of a legend
MOST_COLUMNS = 5


class Shown(NamedTuple):
    """A network in the key, and how its line looks."""

    label: str
    colour: str
    dashes: Any


def draw_responses(
    several: Sequence[Responses], path: Path, *, title: str = "", y_max: float | None = None
) -> None:
    """Writes the figure, whole or not at all, as what the name ends with: one of `FORMATS`.

    Above, the layers as they are computed; below, the largest response first. What is past `y_max` is cut off.
    """
    looks = styles([(each.label, len(each.stds), each.residual) for each in several])

    def make() -> Figure:
        figure, panels = _panels(2, 1, PANEL, looks, title)
        (above,), (below,) = panels
        longest = max(len(each.stds) for each in several)
        for axes, order in ((above, "original"), (below, "sorted by magnitude")):
            for each, look in zip(several, looks, strict=True):
                _line(axes, each.stds if order == "original" else each.sorted, look)
            _layers(axes, longest, f"layer index ({order})")
            axes.set_ylim(0, y_max or 1.06 * max(max(each.stds) for each in several) or 1)
            _grid(axes, "std")
        return figure

    save(make, path, title or "Layer responses")


def draw_health(nets: Sequence[tuple[str, bool, Sequence[Health]]], path: Path, *, title: str = "") -> None:
    """Writes the figure: three signals below each other, the states side by side. `nets`: label, residual, states.

    A cross marks the layer from which on, as the signal passes, it is no finite number.
    """
    looks = styles([(label, len(states[0].path), residual) for label, residual, states in nets])
    names = list(dict.fromkeys(state.state for _, _, states in nets for state in states))

    def make() -> Figure:
        figure, panels = _panels(len(_SIGNALS), len(names), SHORT, looks, title)
        longest = max(len(state.path) for _, _, states in nets for state in states)
        for row, (name, value, back) in zip(panels, _SIGNALS, strict=True):
            for axes, wanted in zip(row, names, strict=True):
                for (_, _, states), look in zip(nets, looks, strict=True):
                    for state in (state for state in states if state.state == wanted):
                        _signal(axes, [value(each) for each in state.path], look, back=back)
                _layers(axes, longest, "convolution, from the image on" if row is panels[-1] else "")
                _grid(axes, name if axes is row[0] else "")
                if row is panels[0]:
                    axes.set_title(wanted, size=SIZE, loc="left", pad=6)
            _logarithmic(row)
        return figure

    save(make, path, title or "Signals")


_SIGNALS: tuple[tuple[str, Callable[[Signal], float], bool], ...] = (
    ("std of activations", lambda each: each.activation, False),
    ("std of gradients", lambda each: each.gradient, True),
    ("gradient / weight", lambda each: each.ratio, True),
)
"""What is drawn, of what, and whether it passes from the loss back."""


def styles(named: Sequence[tuple[str, int, bool]]) -> tuple[Shown, ...]:
    """Of labels, depths and whether there are shortcuts: a colour for a depth, dashes for a kind."""
    depths = list(dict.fromkeys(depth for _, depth, _ in named))
    used: set[tuple[str, int]] = set()
    found = []
    for label, depth, residual in named:
        colour = COLOURS[depths.index(depth) % len(COLOURS)]
        wanted = 0 if residual else 1
        free = [each for each in (wanted, 2, 3) if (colour, each) not in used]
        if not free:  # more of one depth than there are dashes
            colour = next((each for each in COLOURS if (each, wanted) not in used), colour)
        dashes = free[0] if free else wanted
        used.add((colour, dashes))
        found.append(Shown(label, colour, DASHES[dashes]))
    return tuple(found)


def _panels(
    rows: int, columns: int, height: float, looks: Sequence[Shown], title: str
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with rows of axes, its title and its key above them; sizes are in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    per_row = _columns(looks)
    key = ROW * -(-len(looks) // per_row) + 0.1
    head = (TITLE if plain(title) else 0.08) + key + (0.24 if columns > 1 or rows > 2 else 0.0)
    tall = head + rows * height + (rows - 1) * GAP + BOTTOM
    figure = Figure(figsize=(WIDTH, tall))
    FigureCanvasAgg(figure)
    width = (WIDTH - LEFT - RIGHT - (columns - 1) * RIGHT) / columns
    panels = [
        [
            figure.add_axes(
                (
                    (LEFT + column * (width + RIGHT)) / WIDTH,
                    (BOTTOM + (rows - 1 - row) * (height + GAP)) / tall,
                    width / WIDTH,
                    height / tall,
                )
            )
            for column in range(columns)
        ]
        for row in range(rows)
    ]
    if plain(title):
        text = figure.text(LEFT / WIDTH, 1 - 0.24 / tall, plain(title), size=SIZE + 1.5, weight="bold")
        fit(text, WIDTH - LEFT - 0.1)
    _key(figure, looks, per_row, 1 - (TITLE if plain(title) else 0.08) / tall)
    return figure, panels


def _columns(looks: Sequence[Shown]) -> int:
    """How many labels stand beside each other: as many as have room, and rows that are equally full."""
    longest = max(len(plain(look.label)) for look in looks)
    fitting = max(1, min(MOST_COLUMNS, int((WIDTH - LEFT - RIGHT) / (0.62 + 0.085 * longest))))
    return -(-len(looks) // -(-len(looks) // fitting))


def _key(figure: Figure, looks: Sequence[Shown], columns: int, top: float) -> None:
    from matplotlib.lines import Line2D

    # a legend is filled column by column, and read row by row
    looks = [look for column in range(columns) for look in looks[column::columns]]
    lines = [Line2D([], [], color=look.colour, linestyle=look.dashes, linewidth=LINE) for look in looks]
    legend = figure.legend(
        lines,
        [plain(look.label) or "-" for look in looks],
        loc="upper left",
        bbox_to_anchor=(LEFT / WIDTH, top),
        borderaxespad=0,
        borderpad=0,
        ncols=columns,
        frameon=False,
        fontsize=SIZE - 0.5,
        handlelength=2.6,
        columnspacing=1.6,
    )
    for text in legend.get_texts():
        fit(text, (WIDTH - LEFT - RIGHT) / columns - 0.6)


def _line(axes: Axes, values: Sequence[float], look: Shown) -> None:
    marker = "o" if len(values) == 1 else None  # a line of one point is none
    places = range(1, len(values) + 1)
    axes.plot(
        places,
        values,
        color=look.colour,
        linestyle=look.dashes,
        linewidth=LINE if len(values) < MANY else THIN,
        marker=marker,
        solid_joinstyle="round",
        zorder=2 if look.dashes == "-" else 3,
    )


def _signal(axes: Axes, values: Sequence[float], look: Shown, *, back: bool) -> None:
    """A line where there are numbers above 0, which alone a logarithm has, and a cross where they end."""
    number = [value if isfinite(value) and value > 0 else float("nan") for value in values]
    _line(axes, number, look)
    order = list(range(len(values)))[:: -1 if back else 1]
    broken = next((place for place in order if not isfinite(values[place])), None)
    if broken is None:
        return
    before = order[max(order.index(broken) - 1, 0)]
    height = values[before] if isfinite(values[before]) and values[before] > 0 else 1.0
    axes.plot(
        [before + 1],
        [height],
        "x",
        color=look.colour,
        markersize=7,
        markeredgewidth=1.6,
        clip_on=False,
        zorder=5,
    )


def _layers(axes: Axes, longest: int, label: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    margin = max(0.01 * longest, 0.3)
    axes.set_xlim(1 - margin, max(longest, 2) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=(1, 2, 5, 10), integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel(label, labelpad=3)


def _grid(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(which="both", length=3)


def _logarithmic(row: Sequence[Axes]) -> None:
    """One logarithmic axis for the panels of a row; at least a decade, so that flat lines look flat."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    lines = [line for axes in row for line in axes.get_lines()]
    values = [float(value) for line in lines for value in np.asarray(line.get_ydata()) if isfinite(value)]
    low, high = min(values, default=1.0), max(values, default=1.0)
    if high < 10 * low:
        low, high = low / 3, high * 3
    for axes in row:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.6, high * 1.6)
        axes.yaxis.set_major_locator(LogLocator(numticks=6))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.tick_params(labelleft=axes is row[0])
    if not values:
        row[0].text(0.5, 0.5, "nothing above 0", transform=row[0].transAxes, color=FAINT, ha="center")


def _power(value: float) -> str:
    """`10⁻⁴`, in letters: nothing is set as mathematics."""
    return f"10{str(round(log10(value))).translate(_RAISED)}"
