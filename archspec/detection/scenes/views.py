"""What is shown of a picture, and its boxes with it; what is random is a function of (seed, epoch, index)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archspec.data.order import Use, batches, below, noise
from archspec.preprocessing import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from archspec.data.order import Indices
    from archspec.detection.scenes.annotations import Annotated, Bytes, Floats, Id, Objects, Scenes


@dataclass(frozen=True, slots=True)
class Varying:
    """How pictures vary in training. The shorter side is one of `sides`, unless the longer one would pass `longest`.

    Without sides a picture keeps its size. Faster R-CNN has one side of 600, at most 1000, and flips.
    """

    sides: tuple[int, ...] = (600,)
    longest: int = 1000
    flip: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A picture as a network sees it: `pixels` uint8 (h, w, 3), objects in its pixels.

    `size` is the (H, W) it had, in whose pixels `restored` puts boxes back.
    """

    pixels: Bytes
    objects: Objects
    image_id: Id
    size: tuple[int, int]
    flipped: bool = False

    def restored(self, boxes: Floats) -> Floats:
        """Boxes (n, 4) found in `pixels`, in the picture's own."""
        back = mirrored_boxes(boxes, self.pixels.shape[1]) if self.flipped else boxes
        return scaled_boxes(back, (self.pixels.shape[0], self.pixels.shape[1]), self.size)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn for some pictures: shorter sides, 0 to keep the size, and whether to flip."""

    side: NDArray[np.int64]
    flip: NDArray[np.bool_]


def drawn(varying: Varying, seed: int, epoch: int, indices: Indices) -> Drawn:
    """For pictures of the training split, by their indices in it."""
    import numpy as np

    bits = noise(seed, epoch, indices, Use.SIDE)
    sides = np.array(varying.sides or (0,), np.int64)
    flip = below(noise(seed, epoch, indices, Use.FLIP), 2).astype(bool) & varying.flip
    return Drawn(sides[below(bits, len(sides))], flip)


def shown(annotated: Annotated, side: int, longest: int, *, flip: bool = False) -> Shown:
    """A picture resized, then flipped. Raises `FileError`: AS532."""
    import numpy as np

    picture = fitted(annotated.decoded(), side, longest)
    size = (picture.height, picture.width)
    boxes = scaled_boxes(annotated.boxes, annotated.size, size)
    pixels = np.asarray(picture)
    if flip:
        pixels, boxes = np.ascontiguousarray(pixels[:, ::-1]), mirrored_boxes(boxes, size[1])
    ratio = size[0] * size[1] / (annotated.size[0] * annotated.size[1])
    objects = replace(annotated.objects, boxes=boxes, area=annotated.objects.area * ratio)
    return Shown(pixels, objects, annotated.image_id, annotated.size, flip)


def varied(scenes: Scenes, varying: Varying, seed: int, epoch: int, indices: Indices) -> list[Shown]:
    """Some pictures as an epoch shows them. Raises `FileError`: AS532."""
    what = drawn(varying, seed, epoch, indices)
    return [
        shown(scenes[int(each)], int(side), varying.longest, flip=bool(flip))
        for each, side, flip in zip(indices, what.side, what.flip, strict=True)
    ]


def fitted(picture: Image, side: int, longest: int) -> Image:
    """With a shorter side of `side` pixels, or less where the longer one would pass `longest`; 0 keeps the size."""
    from PIL.Image import Resampling

    if not side:
        return picture
    short, long = sorted(picture.size)
    scale = min(side / short, longest / long)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    assert size[0] * size[1] <= MAX_PIXELS
    return picture if size == picture.size else picture.resize(size, Resampling.BILINEAR)


def scaled_boxes(boxes: Floats, was: tuple[int, int], now: tuple[int, int]) -> Floats:
    """Boxes (n, 4) of a picture of (H, W), in the pixels of another size."""
    import numpy as np

    down, right = now[0] / was[0], now[1] / was[1]
    scaled: Floats = boxes * np.array([right, down, right, down])
    return scaled


def mirrored_boxes(boxes: Floats, width: int) -> Floats:
    """Boxes (n, 4) of a picture that is flipped from left to right."""
    import numpy as np

    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def streamed(  # noqa: PLR0913 - an epoch is all of these
    scenes: Scenes,
    varying: Varying,
    *,
    seed: int,
    epoch: int,
    batch: int,
    rank: int = 0,
    ranks: int = 1,
    start: int = 0,
) -> Iterator[list[Shown]]:
    """One epoch's batches, from batch `start` on, decoded as they are asked for. Raises `FileError`: AS532."""
    pieces = batches(seed, epoch, len(scenes), batch, rank=rank, ranks=ranks, start=start)
    for indices in pieces:
        yield varied(scenes, varying, seed, epoch, indices)
