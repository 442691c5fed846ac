"""Made-up images that can be learnt: a shape in a colour, somewhere, in some size, over a noisy ground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.data.order import Use, below, noise, uniform
from archspec.data.sets import Images, Splits, room
from archspec.errors import file_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SHAPES = ("disc", "square", "cross", "ring", "bars", "triangle", "frame", "stripes")
COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta", "white", "orange")
_RGB = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1), (1, 0.5, 0))
# in grey images: lighter and darker than the ground by turns
_GREY = (1.0, 0.0, 0.8, 0.1, 0.9, 0.05, 0.7, 0.15)
MOST_CLASSES = 1000
MOST_BYTES = 2**33
_AT_ONCE = 2**22
"""Pixels that are worked on at a time."""


def make(
    shape: tuple[int, int, int] = (3, 32, 32),
    classes: int = 10,
    *,
    train: int = 5000,
    test: int = 1000,
    seed: int = 0,
    grain: float = 0.15,
) -> Splits:
    """A set for a network that takes `shape`, (C, H, W). `grain` is the noise, as a share of the full range.

    Raises `FileError`: AS541 past what fits.
    """
    if not 1 <= classes <= MOST_CLASSES or min(train, test, *shape) < 1:
        message = f"{classes:,} classes, {train:,} and {test:,} images of {shape} make no set"
        raise file_error("synthetic", "AS541", message, hint=f"there are at most {MOST_CLASSES:,} classes")
    if (train + test) * shape[0] * shape[1] * shape[2] > MOST_BYTES:
        message = f"{train + test:,} images of {shape} take more than {MOST_BYTES:,} bytes"
        raise file_error("synthetic", "AS541", message)
    whole = _drawn(shape, classes, train + test, seed, grain)
    return Splits(whole.part(slice(0, train)), None, whole.part(slice(train, train + test)))


def names(classes: int) -> tuple[str, ...]:
    """What the classes are called: a colour, as RGB images have it, and a shape; a number past 64 of them."""
    pairs = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]
    return tuple(
        pairs[_look(label)] + (f" {label // 64 + 1}" if label >= 64 else "") for label in range(classes)
    )


def _look(label: int) -> int:
    """Neighbouring classes differ in shape and colour, so that a few already need both."""
    shape, colour = label % 8, (label // 8 + label) % 8
    return colour * len(SHAPES) + shape


def _drawn(shape: tuple[int, int, int], classes: int, count: int, seed: int, grain: float) -> Images:
    import numpy as np
    import torch

    channels, height, width = shape
    pixels = room(count, shape)
    labels = below(noise(seed, 0, np.arange(count), Use.SYNTHETIC), classes)
    step = max(1, _AT_ONCE // (channels * height * width))
    for start in range(0, count, step):
        here = np.arange(start, min(start + step, count))
        values = _painted(shape, labels[here], here, seed)
        spots = np.arange(values[0].size) + here[:, None] * values[0].size
        speckle = uniform(noise(seed, 0, spots, Use.SYNTHETIC + 9)).astype(np.float32).reshape(values.shape)
        values += (speckle - np.float32(0.5)) * np.float32(grain * 12**0.5)
        pixels.numpy()[here] = (values * 255).clip(0, 255).astype(np.uint8)
    return Images("synthetic", pixels, torch.from_numpy(labels), names(classes))


def _painted(shape: tuple[int, int, int], labels: NDArray[Any], indices: NDArray[Any], seed: int) -> Floats:
    """The images before the noise, in [0, 1]."""
    import numpy as np

    channels, height, width = shape
    draw = [
        uniform(noise(seed, 0, indices, Use.SYNTHETIC + 1 + use)).astype(np.float32)[:, None, None]
        for use in range(5)
    ]
    looks = np.array([_look(int(label)) for label in labels], np.int64)
    radius = (np.float32(0.22) + np.float32(0.2) * draw[0]) * min(height, width)
    rows = np.arange(height, dtype=np.float32)[None, :, None] + np.float32(0.5)
    columns = np.arange(width, dtype=np.float32)[None, None, :] + np.float32(0.5)
    # a shape stays within the image
    y = (rows - radius - draw[1] * (height - 2 * radius)) / radius
    x = (columns - radius - draw[2] * (width - 2 * radius)) / radius
    inside = _inside(y, x, looks % len(SHAPES))[:, None]
    ground = (np.float32(0.3) + np.float32(0.2) * draw[3])[:, None]
    # from the 65th class on, colours come in darker shades
    shade = (np.float32(1) / (1 + labels // 64)).astype(np.float32)[:, None, None, None]
    colours = _RGB if channels == 3 else [[grey] * channels for grey in _GREY]
    paint = np.array(colours, np.float32)[looks // len(SHAPES)]
    bright = np.float32(0.75) + np.float32(0.25) * draw[4][:, None]
    painted: Floats = np.where(inside, paint[:, :, None, None] * bright * shade, ground)
    return painted


def _inside(y: Floats, x: Floats, kinds: NDArray[Any]) -> NDArray[Any]:
    """Where each image's shape is, in coordinates that run from -1 to 1 within it."""
    import numpy as np

    square, round_ = np.maximum(abs(y), abs(x)), y * y + x * x
    masks = (
        round_ <= 1,
        square <= 0.85,
        (square <= 1) & (np.minimum(abs(y), abs(x)) <= 0.3),
        (round_ <= 1) & (round_ >= 0.35),
        (square <= 1) & (np.floor((y + 1) * 2.5) % 2 == 0),
        (y <= 0.9) & (y >= 2 * abs(x) - 0.9),
        (square <= 0.95) & (square >= 0.6),
        (square <= 1) & (np.floor((x + 1) * 2.5) % 2 == 0),
    )
    which = kinds[:, None, None]
    inside = np.zeros(square.shape, bool)
    for kind, mask in enumerate(masks):
        inside |= (which == kind) & mask
    return inside
