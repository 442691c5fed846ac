"""What of an image is looked at in a test: its middle, ten crops of it, or the whole of it at several scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.preprocessing import MAX_PIXELS
from archspec.train.scores import Untestable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from archspec.preprocessing import Interpolation

SCALES = (224, 256, 384, 480, 640)
"""The shorter sides of He et al. 2015, 3.4."""

Size = int | tuple[int, int]


@dataclass(frozen=True, slots=True)
class View:
    """Crops of (H, W), or the whole image without `crop`, at each shorter side; without sides the image as it is.

    `ten` are the four corners and the middle, and their mirror images; `mirrored` adds a mirror image to the rest.
    """

    crop: tuple[int, int] | None = None
    sides: tuple[int, ...] = ()
    ten: bool = False
    mirrored: bool = False
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.ten and self.crop is None:
            raise ValueError("ten crops have a size")
        if min((*(self.crop or ()), *self.sides, 1)) < 1:
            raise ValueError("a side has at least one pixel")

    def __len__(self) -> int:
        """How many looks there are at an image."""
        return max(len(self.sides), 1) * (5 if self.ten else 1) * (2 if self.ten or self.mirrored else 1)

    def looks(self, images: Tensor) -> Iterator[Tensor]:
        """Each look at uint8 images (N, C, H, W), one after the other. Raises `Untestable` where there is none.

        A mirror image comes behind its look; of the ten, the corners come from the top left on, the middle last.
        """
        for side in self.sides or (None,):
            whole = images if side is None else resized(images, side, self.interpolation)
            for look in self._cut(whole):
                yield look
                if self.ten or self.mirrored:
                    yield look.flip(-1)

    def _cut(self, images: Tensor) -> Iterator[Tensor]:
        if self.crop is None:
            yield images
            return
        (height, width), (h, w) = images.shape[-2:], self.crop
        if h > height or w > width:
            raise Untestable(f"an image of {height}x{width} is smaller than a crop of {h}x{w}")
        # Python's rounding of halves, as torchvision's
        middle = round((height - h) / 2), round((width - w) / 2)
        corners = (0, 0), (0, width - w), (height - h, 0), (height - h, width - w)
        for top, left in (*corners, middle) if self.ten else (middle,):
            yield images[..., top : top + h, left : left + w]

    def __str__(self) -> str:
        """In words: `10 crops of 224x224 at 256`."""
        crop = "" if self.crop is None else f" of {self.crop[0]}x{self.crop[1]}"
        what = "10 crops" if self.ten else "the middle" if self.crop else "the whole image"
        mirrored = " and its mirror image" if self.mirrored and not self.ten else ""
        sides = f" at {', '.join(map(str, self.sides))}" if self.sides else ""
        return f"{what}{crop}{mirrored}{sides}"


def single(size: Size, sides: tuple[int, ...] = ()) -> View:
    """The middle."""
    return View(_pair(size), sides)


def ten(size: Size, sides: tuple[int, ...] = ()) -> View:
    """The four corners and the middle, and their mirror images (Krizhevsky et al. 2012)."""
    return View(_pair(size), sides, ten=True)


def scales(sizes: tuple[int, ...] = SCALES, *, mirrored: bool = False) -> View:
    """The whole image with each shorter side, for a network that is fully convolutional (He et al. 2015, 3.4).

    Whether the authors added mirror images is not said; the two papers whose form they adopt did.
    """
    return View(sides=sizes, mirrored=mirrored)


def resized(images: Tensor, side: int, interpolation: Interpolation = "bilinear") -> Tensor:
    """Bytes (N, C, H, W) with a shorter side of so many pixels; the longer one rounds down, as torchvision's does.

    Antialiased, and computed in float32 on every device, so that all give the same but for a rounded half.
    """
    import torch
    from torch.nn.functional import interpolate

    height, width = images.shape[-2:]
    short, long = sorted((height, width))
    if short == side:
        return images
    longer = int(side * long / short)
    if side * longer > MAX_PIXELS:
        raise Untestable(
            f"an image of {height}x{width}, resized to a shorter side of {side}, has too many pixels"
        )
    size = (side, longer) if height <= width else (longer, side)
    if interpolation == "nearest":
        return interpolate(images, size, mode="nearest-exact")
    values = interpolate(images.float(), size, mode=interpolation, antialias=True)
    return values.round_().clamp_(0, 255).to(torch.uint8)


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size
