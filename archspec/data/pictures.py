"""Pictures of streamed sets: decoded, then cut as training draws it or as testing asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.data.order import Use, below, noise, uniform
from archspec.data.reading import damaged
from archspec.deploy.pictures import read_picture
from archspec.errors import FileError
from archspec.preprocessing import MAX_PIXELS, Preprocessing, colored, middle, upright

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from archspec.data.order import Indices
    from archspec.recipes.models import Augment as Augmentation

    Bytes = NDArray[np.uint8]

ATTEMPTS = 10
"""To find a rectangle that lies within the picture; facebook's and torchvision's number."""


@dataclass(frozen=True, slots=True)
class View:
    """What of a picture is tested: its shorter side resized, then the middle, ten crops, or all of it."""

    resize: int | None
    crop: int | None
    ten: bool = False

    def __post_init__(self) -> None:
        if self.ten and not self.crop:
            raise ValueError("ten crops have a size")
        if self.ten and self.resize and self.crop and self.crop > self.resize:
            raise ValueError(f"there are no crops of {self.crop} within a shorter side of {self.resize}")


def decoded(file: str, channels: int) -> Image:
    """A picture, upright, in grey or RGB. Raises `FileError`: AS532."""
    try:
        return colored(upright(read_picture(file)), "L" if channels == 1 else "RGB")
    except FileError as error:
        raise damaged(file, *(each.message for each in error.diagnostics)) from error
    except ValueError as error:
        raise damaged(file, str(error)) from error


def pixels(picture: Image) -> Bytes:
    """A picture's bytes, (H, W, C)."""
    import numpy as np

    values = np.asarray(picture)
    return values if values.ndim == 3 else values[:, :, None]


@dataclass(frozen=True, slots=True)
class Cuts:
    """What was drawn for some images. Places stay bits until a picture's size is known."""

    side: NDArray[np.int64] | None
    top: NDArray[np.uint64]
    left: NDArray[np.uint64]
    flip: NDArray[np.bool_]
    rectangles: NDArray[np.uint64] | None
    """(images, attempts, 4): area, aspect, top, left."""


def drawn(augmentation: Augmentation, seed: int, epoch: int, indices: Indices) -> Cuts:
    """What is drawn for images in one epoch, by their indices in the training split."""
    import numpy as np

    top, left, flip, side = (
        noise(seed, epoch, indices, use) for use in (Use.TOP, Use.LEFT, Use.FLIP, Use.SIDE)
    )
    low, high = augmentation.resize or (0, 0)
    rectangles = None
    if augmentation.area:
        uses = range(Use.RECTANGLE, Use.RECTANGLE + 4 * ATTEMPTS)
        rectangles = np.stack([noise(seed, epoch, indices, use) for use in uses], axis=1)
    return Cuts(
        side=low + below(side, high - low + 1) if augmentation.resize else None,
        top=top,
        left=left,
        flip=below(flip, 2).astype(bool) & augmentation.flip,
        rectangles=None if rectangles is None else rectangles.reshape(len(top), ATTEMPTS, 4),
    )


def varied(picture: Image, augmentation: Augmentation, cuts: Cuts, place: int) -> Bytes:
    """A picture cut and flipped as it was drawn: (h, w, C). Raises `ValueError` where it is too small."""
    import numpy as np

    if cuts.rectangles is not None:
        cut = pixels(_rectangle(picture, augmentation, cuts.rectangles[place]))
    else:
        whole = pixels(picture if cuts.side is None else resized(picture, int(cuts.side[place])))
        pad = augmentation.pad
        whole = np.pad(whole, ((pad, pad), (pad, pad), (0, 0))) if pad else whole
        side = augmentation.crop
        cut = whole if side is None else _at(whole, side, cuts.top[place], cuts.left[place])
    return cut[:, ::-1] if cuts.flip[place] else cut


def _at(whole: Bytes, side: int, top: Any, left: Any) -> Bytes:
    height, width = whole.shape[:2]
    if min(height, width) < side:
        raise ValueError(f"a picture of {height}x{width} has no crop of {side}x{side}")
    y, x = int(below(top, height - side + 1)), int(below(left, width - side + 1))
    return whole[y : y + side, x : x + side]


def _rectangle(picture: Image, augmentation: Augmentation, bits: NDArray[np.uint64]) -> Image:
    """A part of the picture with the drawn area and aspect, at the crop's size; its middle, if none fits."""
    from PIL.Image import Resampling

    side = augmentation.crop
    assert side is not None
    for attempt in bits:
        w, h = _sides(augmentation, picture.width * picture.height, attempt)
        if 0 < w <= picture.width and 0 < h <= picture.height:
            y, x = (
                int(below(attempt[2], picture.height - h + 1)),
                int(below(attempt[3], picture.width - w + 1)),
            )
            return picture.crop((x, y, x + w, y + h)).resize((side, side), Resampling.BILINEAR)
    whole = resized(picture, side)
    top, left = middle(whole.height, side), middle(whole.width, side)
    return whole.crop((left, top, left + side, top + side))


def _sides(augmentation: Augmentation, whole: int, bits: NDArray[np.uint64]) -> tuple[int, int]:
    """Width and height of one attempt."""
    assert augmentation.area is not None
    (low, high), (narrow, wide) = augmentation.area, augmentation.aspect
    area = whole * (low + (high - low) * float(uniform(bits[0])))
    aspect = narrow * (wide / narrow) ** float(uniform(bits[1]))
    return round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)


def resized(picture: Image, side: int) -> Image:
    """With a shorter side of so many pixels, antialiased; the longer one rounds down, as torchvision's does."""
    from PIL.Image import Resampling

    short, long = sorted(picture.size)
    if short == side:
        return picture
    other = int(side * long / short)
    if side * other > MAX_PIXELS:
        raise ValueError(
            f"{picture.width}x{picture.height} pixels, with a shorter side of {side}, are too many"
        )
    size = (side, other) if picture.width <= picture.height else (other, side)
    return picture.resize(size, Resampling.BILINEAR)


def seen(picture: Image, view: View) -> Bytes:
    """What is tested of a picture: (h, w, C), or (10, h, w, C) for ten crops.

    The middle is cut by the same code that prepares pictures for a deployed model.
    """
    import numpy as np

    if view.crop and not view.ten:
        return _preprocessing(view, len(picture.getbands())).apply(picture)
    whole = pixels(resized(picture, view.resize) if view.resize else picture)
    return np.stack(list(_ten(whole, view.crop))) if view.crop else whole


def _preprocessing(view: View, channels: int) -> Preprocessing:
    assert view.crop is not None
    return Preprocessing(
        size=(view.crop, view.crop),
        resize=view.resize,
        color="L" if channels == 1 else "RGB",
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        layout="NHWC",
        in_graph=True,
    )


def _ten(whole: Bytes, side: int) -> Iterator[Bytes]:
    """The corners and the middle, then the same of the mirrored picture: torchvision's order."""
    down, right = whole.shape[0] - side, whole.shape[1] - side
    if min(down, right) < 0:
        raise ValueError(f"a picture of {whole.shape[0]}x{whole.shape[1]} has no crops of {side}x{side}")
    centre = middle(whole.shape[0], side), middle(whole.shape[1], side)
    corners = (0, 0), (0, right), (down, 0), (down, right)
    for picture in (whole, whole[:, ::-1]):
        for top, left in (*corners, centre):
            yield picture[top : top + side, left : left + side]
