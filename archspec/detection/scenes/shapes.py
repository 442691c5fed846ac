"""Made-up pictures that a detector can learn: shapes of any colours over a noisy ground, some half hidden.

A class is a shape, and colours tell nothing. The box is around the whole shape, the area is what is seen of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.data.order import Use, below, noise, uniform
from archspec.data.telling import silent
from archspec.detection.scenes.annotations import Objects, Scenes, Splits, joined
from archspec.errors import file_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from archspec.data.telling import Say
    from archspec.detection.scenes.annotations import Bytes

    Numbers = NDArray[np.float64]
    Masks = NDArray[np.bool_]

CLASSES = ("circle", "square", "triangle", "cross", "ring", "diamond")
MOST_BYTES = 2**32
MOST_OBJECTS = 100
SEEN = 0.6
"""The least share of each shape that is seen."""

_SHAPES = Use.SYNTHETIC + 64
_GRAIN = Use.SYNTHETIC + 65
_ATTEMPTS = 8
_DRAWS = 9
"""Numbers that an attempt to place a shape takes: class, side, aspect, x, y, three for colour, and one to spare."""


def make(  # noqa: PLR0913 - all of them have a default
    *,
    train: int = 1000,
    test: int = 200,
    size: tuple[int, int] = (128, 128),
    classes: int = 3,
    most: int = 5,
    sides: tuple[int, int] = (12, 60),
    seed: int = 0,
    say: Say = silent,
) -> Splits:
    """Pictures of `size` (H, W), each with 1 to `most` shapes whose sides are of `sides` pixels.

    A picture depends on the seed and its number alone; those for testing come after the training ones. Raises
    `FileError`: AS541 for what makes no set.
    """
    _possible(train + test, size, classes, most, sides)
    if min(train, test) < 1:
        raise file_error("shapes", "AS541", f"{train:,} and {test:,} pictures make no set")
    whole = scenes(train + test, size, classes, most=most, sides=sides, seed=seed, say=say)
    return Splits(whole.part(slice(0, train)), None, whole.part(slice(train, train + test)))


def scenes(  # noqa: PLR0913
    count: int,
    size: tuple[int, int] = (128, 128),
    classes: int = 3,
    *,
    most: int = 5,
    sides: tuple[int, int] = (12, 60),
    seed: int = 0,
    say: Say = silent,
) -> Scenes:
    """So many pictures, in memory."""
    import numpy as np

    _possible(count, size, classes, most, sides)
    pixels = np.empty((count, *size, 3), np.uint8)
    parts = []
    for number in range(count):
        pixels[number], objects = painted(number, size, classes, most=most, sides=sides, seed=seed)
        parts.append(objects)
        say(f"painting shapes: {number + 1:,} of {count:,} pictures")
    return Scenes(
        "shapes",
        CLASSES[:classes],
        tuple(range(1, classes + 1)),
        pixels,
        tuple(range(count)),
        np.tile(np.array(size, np.int64), (count, 1)),
        joined(parts),
        np.cumsum([0, *map(len, parts)], dtype=np.int64),
    )


def _possible(count: int, size: tuple[int, int], classes: int, most: int, sides: tuple[int, int]) -> None:
    """Raises `FileError`: AS541."""
    if not 1 <= classes <= len(CLASSES):
        message = f"there are {len(CLASSES)} shapes, so no set of {classes:,} classes"
        raise file_error("shapes", "AS541", message, hint=f"they are {', '.join(CLASSES)}")
    if not 1 <= most <= MOST_OBJECTS:
        raise file_error("shapes", "AS541", f"a picture has 1 to {MOST_OBJECTS} shapes, not {most:,}")
    if not 4 <= sides[0] <= sides[1] <= min(size):
        message = f"shapes of {sides[0]} to {sides[1]} pixels do not fit pictures of {size[1]}x{size[0]}"
        raise file_error("shapes", "AS541", message, hint="the smallest has 4 pixels a side")
    if not 0 < count * size[0] * size[1] * 3 <= MOST_BYTES:
        message = f"{count:,} pictures of {size[1]}x{size[0]} are none, or more than {MOST_BYTES:,} bytes"
        raise file_error("shapes", "AS541", message)


def painted(
    number: int,
    size: tuple[int, int] = (128, 128),
    classes: int = 3,
    *,
    most: int = 5,
    sides: tuple[int, int] = (12, 60),
    seed: int = 0,
) -> tuple[Bytes, Objects]:
    """One picture, (H, W, 3), and its objects."""
    import numpy as np

    per_picture = 4 + MOST_OBJECTS * _ATTEMPTS * _DRAWS
    numbers = uniform(noise(seed, 0, np.arange(per_picture) + number * per_picture, _SHAPES))
    picture, level = _ground(number, size, numbers[:3], seed)
    wanted = 1 + int(numbers[3] * most)
    tries = numbers[4:].reshape(MOST_OBJECTS, _ATTEMPTS, _DRAWS)
    masks: list[Masks] = []
    rows: list[tuple[int, Numbers]] = []
    for shape in range(wanted):
        for draw in tries[shape]:
            label = int(draw[0] * classes)
            mask = _mask(CLASSES[label], size, sides, draw[1:5])
            if all(_share(each, masks[place + 1 :], mask) >= SEEN for place, each in enumerate(masks)):
                masks.append(mask)
                rows.append((label, _colour(draw[5:8], level)))
                break
    for mask, (_, colour) in zip(masks, rows, strict=True):
        picture[mask] = colour
    grain = uniform(noise(seed, 0, np.arange(picture.size) + number * picture.size, _GRAIN))
    picture += (grain.reshape(picture.shape) - 0.5) * 0.15
    return (picture.clip(0, 1) * 255).round().astype(np.uint8), _objects(masks, [row[0] for row in rows])


def _ground(number: int, size: tuple[int, int], tint: Numbers, seed: int) -> tuple[Numbers, float]:
    """A colour from dark to light with coarse spots, and its brightness."""
    import numpy as np

    level = float(below(noise(seed, 1, np.array([number]), _SHAPES), 1001)[0]) / 1000
    base = 0.15 + 0.7 * level + (tint - 0.5) * 0.2
    rows, columns = (-(-side // 8) for side in size)
    spots = uniform(noise(seed, 2, np.arange(rows * columns * 3) + number * rows * columns * 3, _SHAPES))
    coarse = (spots.reshape(rows, columns, 3) - 0.5) * 0.2
    whole = coarse.repeat(8, axis=0).repeat(8, axis=1)[: size[0], : size[1]]
    return base + whole, level


def _colour(draw: Numbers, level: float) -> Numbers:
    """Any colour, but one channel at least stands out from the ground."""
    colour = draw.copy()
    strongest = int(abs(colour - level).argmax())
    colour[strongest] = 1.0 if level < 0.5 else 0.0
    return colour


def _mask(shape: str, size: tuple[int, int], sides: tuple[int, int], draw: Numbers) -> Masks:
    """Where a shape is: its longer side is drawn evenly, the other one is at least six tenths of it."""
    import numpy as np

    low, high = sides
    long = low + draw[0] * (high - low)
    short = max(float(low), long * (0.6 + 0.4 * abs(2 * draw[1] - 1)))
    h, w = (long, short) if draw[1] < 0.5 else (short, long)
    top, left = draw[2] * (size[0] - h), draw[3] * (size[1] - w)
    y = (np.arange(size[0])[:, None] + 0.5 - top) / h * 2 - 1
    x = (np.arange(size[1])[None, :] + 0.5 - left) / w * 2 - 1
    return _inside(shape, y, x)


def _inside(shape: str, y: Numbers, x: Numbers) -> Masks:
    """In coordinates that run from -1 to 1 within the shape."""
    import numpy as np

    square: Masks = np.maximum(abs(y), abs(x)) <= 1
    round_: Any = y * y + x * x
    masks: dict[str, Any] = {
        "circle": lambda: round_ <= 1,
        "square": lambda: square,
        "triangle": lambda: square & (y >= 2 * abs(x) - 1),
        "cross": lambda: square & (np.minimum(abs(y), abs(x)) <= 1 / 3),
        "ring": lambda: (round_ <= 1) & (round_ >= 0.3),
        "diamond": lambda: abs(y) + abs(x) <= 1,
    }
    mask: Masks = masks[shape]()
    return mask


def _share(mask: Masks, later: list[Masks], new: Masks) -> float:
    """How much of a shape would be seen below later ones and a new one."""
    seen = mask & ~new
    for each in later:
        seen &= ~each
    return float(seen.sum()) / float(mask.sum())


def _objects(masks: list[Masks], labels: list[int]) -> Objects:
    import numpy as np

    rows = []
    for place, (mask, label) in enumerate(zip(masks, labels, strict=True)):
        (ys,), (xs,) = np.nonzero(mask.any(axis=1)), np.nonzero(mask.any(axis=0))
        seen = mask.copy()
        for later in masks[place + 1 :]:
            seen &= ~later
        box = float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)
        rows.append((box, label, False, False, float(seen.sum())))
    return Objects.of(rows)
