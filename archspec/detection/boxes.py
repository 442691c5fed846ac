"""Boxes drawn on pictures, by Pillow alone: what was found, and the truth beside it.

A class has one colour, whatever else a picture shows. Its name is a stranger's text: it becomes one short line.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from math import ceil, floor, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archspec.runs.canvas import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import ImageFont
    from PIL.Image import Image

    from archspec.detection.judging.average_precision import Detected
    from archspec.detection.scenes.annotations import Floats

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""What a picture is written as, by the end of its file's name."""
LEGIBLE = 320
"""Pixels of the longer side that words need: smaller pictures are enlarged."""
LONGEST = 32
"""Characters of a class's name."""

Colour = tuple[int, int, int]
_HUES: tuple[Colour, ...] = (
    *((0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167)),
    *((213, 94, 0), (86, 180, 233), (240, 228, 66)),
)
"""Okabe and Ito's, told apart by the colour-blind, too. Their black, and white, are the truth's."""
_SHADES = (0.0, -0.4, 0.55, -0.2, 0.28, -0.6, 0.74, -0.3, 0.42, -0.5, 0.65, -0.1)
"""Of the hues when all are taken: how far each goes to black (less than 0) or to white."""
_BLACK, _WHITE, _INK = (0, 0, 0), (255, 255, 255), "#222222"
_TEXT, _LEAST_TEXT = 1 / 36, 11
_LINE = 1 / 170
"""Of the square root of a picture's pixels: the height of its words, the thickness of its lines."""


class Place(NamedTuple):
    """Pixels from the first to the one behind the last."""

    left: int
    top: int
    right: int
    bottom: int

    def meets(self, other: Place) -> bool:
        """Whether two share a pixel."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


class Captioned(NamedTuple):
    """A picture of a sheet."""

    picture: Image
    caption: str


class _Mark(NamedTuple):
    place: Place
    label: int
    score: float


def colour(label: int) -> Colour:
    """Of a class, by its number. The first 84 are different."""
    hue, shade = _HUES[label % len(_HUES)], _SHADES[label // len(_HUES) % len(_SHADES)]
    end = 255 if shade > 0 else 0
    red, green, blue = (round(each + abs(shade) * (end - each)) for each in hue)
    return red, green, blue


def drawn(picture: Image, found: Detected, classes: Sequence[str], truth: Floats | None = None) -> Image:
    """A new picture in RGB: boxes with classes and scores, the best on top; a `truth` (n, 4) is dashed.

    Boxes are in the pixels of the picture that is given. A small one is enlarged, by a whole factor.
    """
    from PIL.Image import Resampling

    scale = ceil(LEGIBLE / max(picture.size))
    size = picture.width * scale, picture.height * scale
    canvas = picture.convert("RGB").resize(size, Resampling.NEAREST)
    pen = _Pen(canvas)
    marks = [
        _Mark(_inside(found.boxes[each] * scale, size), int(found.labels[each]), float(found.scores[each]))
        for each in found.scores.argsort(kind="stable").tolist()
    ]
    for mark in marks:
        pen.outline(mark.place, colour(mark.label))
    for box in () if truth is None else truth:
        pen.dashes(_inside(box * scale, size))
    pen.labels(marks, [_name(classes, mark.label) for mark in marks])
    return canvas


def sheet(pictures: Sequence[Captioned], columns: int) -> Image:
    """Pictures side by side with their captions below, row by row, each in a cell of the largest one's size."""
    from PIL import Image, ImageDraw

    if not pictures or columns < 1:
        raise ValueError("a sheet has a picture and a column at least")
    width, height = (max(each.picture.size[side] for each in pictures) for side in (0, 1))
    font = _font(_text_size(width, height))
    gap, line = _text_size(width, height), ceil(font.getbbox("Ág")[3]) * 2
    columns, rows = min(columns, len(pictures)), ceil(len(pictures) / columns)
    whole = Image.new("RGB", (gap + columns * (width + gap), gap + rows * (height + line)), "white")
    pen = ImageDraw.Draw(whole)
    for number, (picture, caption) in enumerate(pictures):
        left = gap + number % columns * (width + gap)
        top = gap + number // columns * (height + line)
        whole.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        pen.text((left, top + height + line // 6), _fitting(plain(caption), "", width, font), _INK, font)
    return whole


def encoded(picture: Image, suffix: str) -> bytes:
    """A file's content, by one of the `FORMATS`' endings."""
    kind, stream = FORMATS[suffix.lower()], BytesIO()
    # thin coloured lines do not survive a JPEG that halves colours
    options = {"optimize": True} if kind == "PNG" else {"quality": 92, "subsampling": 0}
    picture.save(stream, kind, **options)
    return stream.getvalue()


class _Pen:
    """Draws on a picture, in proportion to it."""

    def __init__(self, canvas: Image) -> None:
        from PIL import ImageDraw

        self.canvas, self.draw = canvas, ImageDraw.Draw(canvas)
        self.line = max(3, round(sqrt(canvas.width * canvas.height) * _LINE))
        self.font = _font(_text_size(*canvas.size))

    def outline(self, place: Place, colour: Colour) -> None:
        """In its colour, between two thin lines that show it on a ground of the same."""
        edge = max(1, self.line // 4)
        left, top, right, bottom = place
        around = left - edge, top - edge, right - 1 + edge, bottom - 1 + edge
        self.draw.rectangle(around, outline=_ink(colour), width=self.line + 2 * edge)
        self.draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=self.line)

    def dashes(self, place: Place) -> None:
        """White on black, so that one of the two is seen, and thin: a box below shows through."""
        width = max(1, self.line // 2)
        left, top, right, bottom = place
        self.draw.rectangle((left, top, right - 1, bottom - 1), outline=_BLACK, width=width)
        for start, end in _pieces(left, right, 4 * width):
            for edge in (top, max(top, bottom - width)):
                self.draw.rectangle((start, edge, end - 1, min(edge + width, bottom) - 1), _WHITE)
        for start, end in _pieces(top, bottom, 4 * width):
            for edge in (left, max(left, right - width)):
                self.draw.rectangle((edge, start, min(edge + width, right) - 1, end - 1), _WHITE)

    def labels(self, marks: Sequence[_Mark], names: Sequence[str]) -> None:
        """The best score chooses its place first. Where no place is free, the colour has to do."""
        taken: list[Place] = []
        for mark, name in zip(reversed(marks), reversed(names), strict=True):
            plate = self._plate(name, mark)
            spot = self._spot(plate.size, mark.place, taken)
            if spot is not None:
                taken.append(spot)
                self.canvas.paste(plate, (spot.left, spot.top))

    def _plate(self, name: str, mark: _Mark) -> Image:
        """Class and score, as a picture of its own: whatever the words are, nothing leaves it."""
        from PIL import Image, ImageDraw

        ground, pad = colour(mark.label), max(2, self.line)
        text = _fitting(name, f" {mark.score:.2f}", self.canvas.width - 2 * pad, self.font)
        size = ceil(self.font.getlength(text)) + 2 * pad, ceil(self.font.getbbox("Ág")[3]) + pad
        plate = Image.new("RGB", size, ground)
        ImageDraw.Draw(plate).text((pad, pad // 2), text, _ink(ground), self.font)
        return plate

    def _spot(self, size: tuple[int, int], box: Place, taken: Sequence[Place]) -> Place | None:
        """Where a label lies inside the picture and on no better one's."""
        right, bottom = max(0, self.canvas.width - size[0]), max(0, self.canvas.height - size[1])
        for x, y in _choices(size, box):
            left, top = max(0, min(x, right)), max(0, min(y, bottom))
            spot = Place(left, top, left + size[0], top + size[1])
            if not any(map(spot.meets, taken)):
                return spot
        return None


def _choices(size: tuple[int, int], box: Place) -> Iterator[tuple[int, int]]:
    """Left and top of a label, the best first: above a box, below it, in it, beside it."""
    width, height = size
    for left in (box.left, box.right - width):
        yield left, box.top - height
        yield left, box.bottom
        yield left, box.top
        yield left, box.bottom - height
    for left in (box.right, box.left - width):
        yield left, box.top


def _pieces(start: int, end: int, length: int) -> Iterator[tuple[int, int]]:
    """Every second piece of a line."""
    for each in range(start, end, 2 * length):
        yield each, min(each + length, end)


def _inside(box: Floats, size: tuple[int, int]) -> Place:
    """The pixels of a picture that a box touches: one at least."""
    x1, y1, x2, y2 = box.tolist()
    left, top = (floor(max(0, min(low, side - 1))) for low, side in zip((x1, y1), size, strict=True))
    right, bottom = (ceil(max(0, min(high, side))) for high, side in zip((x2, y2), size, strict=True))
    return Place(left, top, max(right, left + 1), max(bottom, top + 1))


def _name(classes: Sequence[str], label: int) -> str:
    name = plain(classes[label]) or f"class {label}"
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _fitting(text: str, tail: str, room: float, font: Font) -> str:
    """A text and its tail; what is too wide loses its end, but not the tail."""
    whole, kept = text + tail, len(text)
    while font.getlength(whole) > room and kept > 1:
        kept -= 1
        whole = f"{text[:kept]}…{tail}"
    return whole


def _ink(ground: Colour) -> Colour:
    """Black or white, whichever is seen better on a colour (WCAG's contrast)."""
    linear = [((each / 255 + 0.055) / 1.055) ** 2.4 if each > 10 else each / 3295 for each in ground]
    light = sum(share * each for share, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return _BLACK if (light + 0.05) ** 2 > 1.05 * 0.05 else _WHITE


def _text_size(width: int, height: int) -> int:
    return max(_LEAST_TEXT, round(sqrt(width * height) * _TEXT))


@lru_cache(maxsize=16)
def _font(size: int) -> Font:
    """DejaVu Sans, which has more letters, from matplotlib's files; without them Pillow's own."""
    from PIL import ImageFont

    found = find_spec("matplotlib")
    file = Path(found.origin or "").parent / "mpl-data/fonts/ttf/DejaVuSans.ttf" if found else None
    if file is not None and file.is_file():
        return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)
