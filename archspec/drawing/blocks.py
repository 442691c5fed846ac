"""Blocks one by one, as the paper's Figures 2 and 5 draw them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from archspec.drawing.colors import EMPTY
from archspec.drawing.legend import STROKES
from archspec.drawing.net import DrawingError
from archspec.drawing.scene import PALE, SMALL, TEXT, TITLE, Bow, Part, Plate, Plus, Scene, Wire, Words
from archspec.drawing.words import width
from archspec.ir.operation import dims

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.drawing.net import Box, Net, Shortcut
    from archspec.drawing.scene import Item
    from archspec.ir.operation import Shape

MARGIN = 24
MAX_WIDTH = 1_200
TOP = 84
PLATE = 26
GAP = 20
LINE = 18
"""Room for the name of a layer without a box, beside the wire."""
RADIUS = 9


class Block(NamedTuple):
    """A block type with one kind of shortcut, at the sizes where it occurs first."""

    name: str
    net: str
    input: Shape
    boxes: tuple[Box, ...]
    shortcut: Shortcut | None
    stages: tuple[str, ...]
    times: int

    @property
    def where(self) -> str:
        """Where it occurs: `12 in conv2_x to conv5_x`."""
        ends = self.stages if len(self.stages) < 2 else (self.stages[0], self.stages[-1])
        return (
            f"{self.net}: {self.times} in {' to '.join(ends)}" if any(ends) else f"{self.net}: {self.times}"
        )


def blocks(nets: Sequence[Net], *, norms: bool = False) -> Scene:
    """Every block type of some networks, each with each kind of shortcut that it has.

    The networks are read with everything. Norms are left out where they are not asked for, as the paper does.
    """
    found = [block for net in nets for block in _found(net)]
    if not found:
        raise DrawingError(
            f"{', '.join(net.title for net in nets)}: no blocks, only layers", "leave out --blocks"
        )
    parts: list[Part] = []
    x, top, bottom, widest = float(MARGIN), 0.0, 0.0, 0.0
    for block in found:
        figure = _Figure(_shown(block, norms=norms), top)
        if x > MARGIN and x + figure.left + figure.right > MAX_WIDTH:
            x, top = float(MARGIN), bottom + MARGIN
            figure = _Figure(figure.block, top)
        parts.append(Part("block", tuple(figure.items(x + figure.left))))
        x += figure.left + figure.right + MARGIN
        bottom, widest = max(bottom, figure.bottom), max(widest, x)
    about = "; ".join(f"{block.name} ({block.where})" for block in found)
    title = " | ".join(net.title for net in nets)
    return Scene(widest, bottom + MARGIN, title, f"Blocks: {about}.", tuple(parts))


def _found(net: Net) -> list[Block]:
    met: dict[tuple[str, str], Block] = {}
    for unit in net.units:
        if not unit.block:
            continue
        ways = [way for way in net.shortcuts if unit.start <= way.start and way.end <= unit.end]
        boxes = net.boxes[unit.start : unit.end]
        key = (unit.block, ways[0].kind if ways else "")
        if key not in met:
            way = (
                replace(ways[0], start=ways[0].start - unit.start, end=ways[0].end - unit.start)
                if ways
                else None
            )
            incoming = net.boxes[unit.start - 1].output if unit.start else net.input
            met[key] = Block(unit.block, net.title, incoming, boxes, way, (), 0)
        block = met[key]
        stages = dict.fromkeys((*block.stages, boxes[0].stage))
        met[key] = block._replace(stages=tuple(stages), times=block.times + unit.times)
    return list(met.values())


def _shown(block: Block, *, norms: bool) -> Block:
    """The block without norms, where they are not asked for, and its shortcut moved along."""
    if norms:
        return block
    kept = [place for place, box in enumerate(block.boxes) if box.kind != "norm"]
    way = block.shortcut
    if way is not None:
        start, end = (sum(place < limit for place in kept) for limit in (way.start, way.end))
        way = replace(way, start=start, end=end)
    return block._replace(boxes=tuple(block.boxes[place] for place in kept), shortcut=way)


def _boxed(box: Box) -> bool:
    return box.kind in ("conv", "pool", "fc", "gate")


def _short(text: str) -> str:
    """As Figure 5 says it: `3x3, 64`."""
    return text.replace(" conv", "")


class _Figure:
    """One block: its places down the page, and how far it reaches to both sides of the wire."""

    def __init__(self, block: Block, top: float) -> None:
        self.block = block
        self.top = top
        self.way = block.shortcut
        self.before: list[float] = []
        self.plus = 0.0
        y = self._branch()
        self.before.append(y)
        self.bottom = y + GAP
        self.box = max([width(_short(box.text), TEXT) + 24 for box in block.boxes if _boxed(box)] + [80])
        captions = (width(block.name, TITLE, bold=True) / 2, width(block.where, SMALL) / 2)
        self.left = max(self.box / 2 + width("F(x) + Wx ", TEXT) + 8, *captions)
        beside = max((width(box.text, SMALL) + 12 for box in block.boxes if not _boxed(box)), default=0)
        self.right = max(self.box / 2, beside, *captions)
        if self.way:
            self.edge = max(self.box / 2, beside) + 4
            self.right = max(self.right, self.edge + 44 + max(width(line, SMALL) for line in _said(self.way)))

    def _branch(self) -> float:
        """Gives every layer its height; returns where the last wire begins."""
        y = self.top + TOP + 14
        for place, box in enumerate(self.block.boxes):
            y = self._add(place, y)
            # a shortcut that leaves behind some words beside the wire needs room of its own
            y += 10 if self.way and self.way.start == place > 0 else 0
            self.before.append(y)
            y += PLATE + GAP if _boxed(box) else LINE
        return self._add(len(self.block.boxes), y)

    def _add(self, place: int, y: float) -> float:
        if self.way is None or self.way.end != place:
            return y
        self.plus = y + RADIUS
        return y + 2 * RADIUS + 12

    def items(self, x: float) -> Iterator[Item]:
        """Everything to draw, with the wire at `x`."""
        block = self.block
        yield Words(x, self.top + 30, block.name, TITLE, "middle", bold=True, name="title")
        yield Words(x, self.top + 47, block.where, SMALL, "middle", color=PALE, name="summary")
        yield Words(x + 8, self.top + TOP - 4, _channels(block.input), SMALL, name="size")
        yield Words(x - 8, self.top + TOP - 4, "x", TEXT, "end", name="size")
        yield from self._column(x)
        if self.way is not None:
            yield from self._around(x, self.way)

    def _column(self, x: float) -> Iterator[Item]:
        block, above = self.block, self.top + TOP - 14
        added = self.way is None
        for place, (box, y) in enumerate(zip(block.boxes, self.before, strict=False)):
            if not added and self.way is not None and place >= self.way.end:
                added = True
                yield Wire(((x, above), (x, self.plus - RADIUS)))
                above = self.plus + RADIUS
            if not _boxed(box):
                yield Words(x + 8, y + LINE - 7, box.text, SMALL, name=box.kind)
                continue
            yield Wire(((x, above), (x, y)))
            words = _short(box.text)
            tip = f"{box.path}: {dims(box.output)}"
            yield Plate(x - self.box / 2, y, self.box, PLATE, words, EMPTY, f"box {box.kind}", tip)
            above = y + PLATE
        if not added:
            yield Wire(((x, above), (x, self.plus - RADIUS)))
            above = self.plus + RADIUS
        yield Wire(((x, above), (x, self.bottom)))
        if block.boxes and block.boxes[-1].output[0] != block.input[0]:
            yield Words(x + 8, self.bottom, _channels(block.boxes[-1].output), SMALL, name="size")

    def _around(self, x: float, way: Shortcut) -> Iterator[Item]:
        top = self.top + TOP + 4 if way.start == 0 else self.before[way.start] - 8
        bow = Bow(x, x + self.edge, 40, top, self.plus, STROKES[way.kind], f"arc {way.kind}", "", RADIUS)
        yield bow
        yield Plus(x, self.plus, RADIUS)
        middle = (top + self.plus) / 2 + SMALL * 0.35
        for line, words in enumerate(_said(way)):
            yield Words(x + self.edge + 36, middle + 14 * line, words, SMALL, name="shortcut")
        yield Words(x - self.box / 2 - 10, middle, "F(x)", TEXT, "end", name="size")
        total = "F(x) + Wx" if "conv" in way.label else "F(x) + x"
        yield Words(x - RADIUS - 8, self.plus + TEXT * 0.35, total, TEXT, "end", name="size")


def _said(way: Shortcut) -> list[str]:
    """What a shortcut does, a line each."""
    return _short(way.label).split("; ") if way.label else ["identity"]


def _channels(shape: Shape) -> str:
    return f"{shape[0]}-d"
