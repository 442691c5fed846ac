"""A network as a drawing shows it: boxes in a column, shortcuts around them, repeats. From the graph alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from archspec.ir.operation import Shape

BoxKind = Literal["conv", "pool", "fc", "gate", "norm", "act", "other"]
ShortcutKind = Literal["identity", "projection", "dimensions"]

MAX_BOXES = 4_000


class DrawingError(ValueError):
    """A drawing that cannot be made as it was asked for, and what to ask for instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Box:
    """A layer with a box of its own. `stage` is the spec's, empty in the stem and the head."""

    label: str
    kind: BoxKind
    path: str
    output: Shape
    stage: str = ""
    stride: int = 1

    @property
    def text(self) -> str:
        """What stands in the box: `3x3 conv, 64, /2`."""
        return self.label if self.stride == 1 else f"{self.label}, /{self.stride}"


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A way around the boxes `start` to `end`. "projection" has weights, but leaves the dimensions alone."""

    start: int
    end: int
    kind: ShortcutKind
    label: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True)
class Unit:
    """What may be repeated: the boxes `start` to `end` of a block of a type, or one layer, which has none."""

    start: int
    end: int
    times: int = 1
    block: str = ""


@dataclass(frozen=True, slots=True)
class Net:
    """A column of a drawing. `units` cover the boxes in order."""

    title: str
    about: str
    summary: str
    input: Shape
    boxes: tuple[Box, ...]
    shortcuts: tuple[Shortcut, ...]
    units: tuple[Unit, ...]


def often(times: int) -> str:
    """How a drawing says that something is repeated: nothing for once, else a sign and the number."""
    return f"\N{MULTIPLICATION SIGN}{times}" if times > 1 else ""


def side(shape: Shape) -> tuple[int, int]:
    """Height and width of a map; what is flat is 1 by 1."""
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


def collapsed(net: Net) -> Net:
    """The column with equal neighbours drawn once, times how often they occur.

    The first of them may differ in its stride and its shortcut, as the first block of a stage does; the box
    says so and both shortcuts are kept.
    """
    runs: list[list[Unit]] = []
    for unit in net.units:
        if runs and _continues(net, runs[-1], unit):
            runs[-1].append(unit)
        else:
            runs.append([unit])
    return _folded(net, runs)


def _continues(net: Net, run: list[Unit], unit: Unit) -> bool:
    last = run[-1]
    ours, theirs = (net.boxes[each.start : each.end] for each in (last, unit))
    if [_look(box) for box in ours] != [_look(box) for box in theirs] or ours[-1].output != theirs[-1].output:
        return False
    alone = len(run) == 1 and last.times == 1
    if alone and all(box.stride == 1 for box in theirs) and bool(_of(net, last)) == bool(_of(net, unit)):
        return True
    return [box.stride for box in ours] == [box.stride for box in theirs] and _ways(net, last) == _ways(
        net, unit
    )


def _look(box: Box) -> tuple[str, str, str]:
    return (box.label, box.kind, box.stage)


def _ways(net: Net, unit: Unit) -> list[tuple[int, int, str]]:
    return [(way.start - unit.start, way.end - unit.start, way.kind) for way in _of(net, unit)]


def _of(net: Net, unit: Unit) -> list[Shortcut]:
    return [
        way
        for way in net.shortcuts
        if unit.start <= way.start and way.end <= unit.end and not _of_before(net, way, unit)
    ]


def _of_before(net: Net, way: Shortcut, unit: Unit) -> bool:
    """Whether a shortcut around no box, where one unit ends and this one begins, is the other's."""
    around_nothing = way.start == way.end == unit.start
    return around_nothing and any(other.end == unit.start for other in net.units if other is not unit)


def _folded(net: Net, runs: list[list[Unit]]) -> Net:
    boxes: list[Box] = []
    shortcuts: list[Shortcut] = []
    units: list[Unit] = []
    for run in runs:
        start = len(boxes)
        first, last = run[0], run[-1]
        for ours, theirs in zip(
            net.boxes[first.start : first.end], net.boxes[last.start : last.end], strict=True
        ):
            boxes.append(theirs if ours.stride == theirs.stride else _first(ours, theirs))
        shortcuts += _merged(net, run, start)
        units.append(Unit(start, len(boxes), sum(unit.times for unit in run), first.block))
    return replace(net, boxes=tuple(boxes), shortcuts=tuple(shortcuts), units=tuple(units))


def _first(first: Box, rest: Box) -> Box:
    return replace(rest, label=f"{rest.text}, first /{first.stride}", stride=1)


def _merged(net: Net, run: list[Unit], start: int) -> list[Shortcut]:
    """The shortcuts of a run around its one drawn unit, equal ones counted together."""
    counts: dict[Shortcut, int] = {}
    for unit in run:
        for way in _of(net, unit):
            moved = replace(
                way, start=way.start - unit.start + start, end=way.end - unit.start + start, times=0
            )
            counts[moved] = counts.get(moved, 0) + way.times * unit.times
    return [replace(way, times=times) for way, times in counts.items()]
