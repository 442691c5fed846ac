"""A scene as PNG, drawn by Pillow with the font that comes with matplotlib: no browser, no fonts of the machine."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from itertools import pairwise
from math import hypot
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from archspec.drawing.net import DrawingError
from archspec.drawing.scene import DASHES, INK, TEXT, Bow, Part, Plate, Plus, Rule, Wire, Words, bends, head

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import ImageDraw, ImageFont

    from archspec.drawing.scene import Item, Point, Scene

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

MAX_PIXELS = 80_000_000
FINER = 3
"""Lines are drawn this much larger and shrunk: that is what smooths them."""
STRIP = 1_024
"""Rows of pixels drawn at a time, so that a tall picture needs little memory."""


def png(scene: Scene, scale: float = 2) -> bytes:
    """The picture with `scale` pixels for each unit of the scene. Raises `DrawingError`."""
    from PIL import Image, ImageDraw

    width, height = round(scene.width * scale), round(scene.height * scale)
    if width * height > MAX_PIXELS:
        hint = "--format svg has no pixels; --collapse draws what is repeated once; --scale makes it smaller"
        raise DrawingError(f"a picture of {width:,} x {height:,} pixels is too large", hint)
    picture = Image.new("RGB", (width, height), "white")
    items = [(_reach(item), item) for item in _flat(scene.items)]
    fonts = _Fonts(scale * FINER)
    for top in range(0, height, STRIP):
        rows = min(STRIP, height - top)
        strip = Image.new("RGB", (width * FINER, rows * FINER), "white")
        pen = _Pen(ImageDraw.Draw(strip), scale * FINER, top * FINER, fonts)
        for (above, below), item in items:
            if above * scale <= top + rows and below * scale >= top:
                pen.item(item)
        picture.paste(strip.reduce(FINER), (0, top))
    stream = BytesIO()
    picture.save(stream, "PNG", dpi=(96 * scale, 96 * scale))
    return stream.getvalue()


def _flat(items: Sequence[Item]) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Part):
            yield from _flat(item.items)
        else:
            yield item


def _reach(item: Item) -> tuple[float, float]:
    """The heights between which an item lies, with room for its strokes."""
    match item:
        case Plate():
            return item.y - 2, item.y + item.height + 2
        case Wire() | Rule():
            heights = [y for _, y in item.points]
            return min(heights) - 4, max(heights) + 4
        case Bow():
            return min(item.top, item.bottom) - 4, max(item.top, item.bottom) + 4
        case Words():
            return item.y - 1.5 * item.size, item.y + item.size
        case Plus():
            return item.y - item.radius - 2, item.y + item.radius + 2
        case Part():
            return 0, float("inf")
        case _:
            assert_never(item)


class _Fonts:
    """DejaVu Sans in the sizes asked for; Pillow's own font where matplotlib is missing."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        found = find_spec("matplotlib")
        self.folder = Path(found.origin or "").parent / "mpl-data/fonts/ttf" if found else None
        self.met: dict[tuple[float, bool], Font] = {}

    def font(self, size: float, *, bold: bool) -> Font:
        from PIL import ImageFont

        if (size, bold) not in self.met:
            file = self.folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf" if self.folder else None
            pixels = size * self.scale
            known = file is not None and file.is_file()
            self.met[size, bold] = (
                ImageFont.truetype(str(file), pixels) if known else ImageFont.load_default(pixels)
            )
        return self.met[size, bold]


class _Pen:
    """Draws items onto one strip."""

    def __init__(self, draw: ImageDraw.ImageDraw, scale: float, top: int, fonts: _Fonts) -> None:
        self.draw = draw
        self.scale = scale
        self.top = top
        self.fonts = fonts

    def item(self, item: Item) -> None:
        match item:
            case Plate():
                self._plate(item)
            case Wire():
                self._line(item.points, 1)
                if item.arrow:
                    self._head(item.points[-2], item.points[-1])
            case Rule():
                self._line(item.points, item.width, item.color, DASHES[item.stroke])
            case Bow():
                end = (item.x + item.short, item.bottom)
                self._line([(item.x, item.top), *_curve(item), end], 1.3, INK, DASHES[item.stroke])
                self._head((item.edge, item.bottom), end)
            case Words():
                anchor = {"start": "ls", "middle": "ms", "end": "rs"}[item.anchor]
                self._text((item.x, item.y), item.text, item.size, anchor, item.color, bold=item.bold)
            case Plus():
                self._plus(item)
            case Part():
                raise AssertionError("parts are flattened before")
            case _:
                assert_never(item)

    def _at(self, point: Point) -> Point:
        return point[0] * self.scale, point[1] * self.scale - self.top

    def _plate(self, plate: Plate) -> None:
        corners = [self._at((plate.x, plate.y)), self._at((plate.x + plate.width, plate.y + plate.height))]
        stroke = max(1, round(self.scale))
        self.draw.rounded_rectangle(corners, 3 * self.scale, plate.fill, INK, stroke)
        middle = (plate.x + plate.width / 2, plate.y + plate.height / 2 + TEXT * 0.35)
        self._text(middle, plate.text, TEXT, "ms", INK)

    def _line(
        self, points: Sequence[Point], width: float, color: str = INK, dashes: tuple[float, ...] = ()
    ) -> None:
        pieces = _dashed(points, dashes) if dashes else [list(points)]
        stroke = max(1, round(width * self.scale))
        for piece in pieces:
            self.draw.line([self._at(point) for point in piece], color, stroke, joint="curve")

    def _head(self, before: Point, tip: Point) -> None:
        self.draw.polygon([self._at(point) for point in head(before, tip)], INK)

    def _plus(self, plus: Plus) -> None:
        x, y, radius = plus.x, plus.y, plus.radius
        corners = [self._at((x - radius, y - radius)), self._at((x + radius, y + radius))]
        self.draw.ellipse(corners, "white", INK, max(1, round(self.scale)))
        arm = radius * 0.6
        self._line([(x - arm, y), (x + arm, y)], 1)
        self._line([(x, y - arm), (x, y + arm)], 1)

    def _text(
        self, at: Point, text: str, size: float, anchor: str, color: str, *, bold: bool = False
    ) -> None:
        self.draw.text(self._at(at), text, color, self.fonts.font(size, bold=bold), anchor)


def _curve(bow: Bow, steps: int = 32) -> list[Point]:
    """The bow's curve as short straight lines."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = bends(bow)
    points = []
    for step in range(steps + 1):
        t = step / steps
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        points.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return points


def _dashed(points: Sequence[Point], dashes: tuple[float, ...]) -> list[list[Point]]:
    """A line cut into its dashes: inked and left out in turn."""
    pieces: list[list[Point]] = []
    turn, left, inked = 0, dashes[0], True
    piece = [points[0]]
    for start, end in pairwise(points):
        length = hypot(end[0] - start[0], end[1] - start[1])
        done = 0.0
        while length - done > left:
            done += left
            share = done / length
            cut = (start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1]))
            if inked:
                pieces.append([*piece, cut])
            piece, inked, turn = [cut], not inked, turn + 1
            left = dashes[turn % len(dashes)]
        left -= length - done
        piece.append(end)
    return [*pieces, piece] if inked and len(piece) > 1 else pieces
