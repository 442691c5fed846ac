"""Images varied and normalised by the batch, where they are: bytes in, float32 out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.data.colour import jittered, jitters, shifts
from archspec.data.order import Use, below, noise
from archspec.errors import file_error
from archspec.preprocessing import middle

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from archspec.data.order import Indices
    from archspec.data.statistics import Colours, Normaliser
    from archspec.recipes.models import Augment as Augmentation


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What was drawn for the images of a batch; None where nothing is."""

    top: Tensor | None
    left: Tensor | None
    flip: Tensor | None
    shifts: Tensor | None
    strengths: Tensor | None
    kinds: Tensor | None


class Augment:
    """Augmentation and normalisation for images of (C, H, W), on one device and in one memory format."""

    def __init__(  # noqa: PLR0913 - an augmentation is all of these
        self,
        augmentation: Augmentation,
        normaliser: Normaliser,
        shape: tuple[int, int, int],
        *,
        colours: Colours | None = None,
        device: str | torch.device = "cpu",
        channels_last: bool = False,
        name: str = "images",
    ) -> None:
        """`name` is what an error is about. Raises `FileError`: AS541."""
        _, height, width = shape
        self.settings = augmentation
        self.colours = colours
        self.crop = (augmentation.crop or height, augmentation.crop or width)
        self.device = device
        self.channels_last = channels_last
        self.crops_first = augmentation.fill == "black"
        self.rows = height + 2 * augmentation.pad - self.crop[0] + 1
        self.columns = width + 2 * augmentation.pad - self.crop[1] + 1
        if self.crop[0] > height or self.crop[1] > width:
            message = f"a crop of {self.crop[0]}x{self.crop[1]} is larger than images of {height}x{width}"
            raise file_error(name, "AS541", message, hint=f"say augment.crop = {min(height, width)}, or less")
        if augmentation.colour == "pca" and colours is None:
            raise ValueError("noise of colours needs their principal components")
        # a mean for each pixel, even where a channel has one: broadcasting over channels last is slow
        self.mean, self.factor = (
            self.placed(values.expand(shape)[None])[0] for values in (normaliser.mean, normaliser.factor)
        )

    def placed(self, values: Tensor) -> Tensor:
        """A batch (N, C, H, W) on the device, in the memory format."""
        import torch

        form = torch.channels_last if self.channels_last else torch.contiguous_format
        return values.to(self.device).contiguous(memory_format=form)

    def draws(self, seed: int, epoch: int, indices: Indices) -> Draws:
        """Of images by their indices in the training split; the same for an index, whatever else is in the batch."""
        settings = self.settings
        strengths, kinds = jitters(settings.jitter, seed, epoch, indices) if settings.jitter else (None, None)
        shifted = None
        if settings.colour == "pca":
            assert self.colours is not None
            shifted = shifts(self.colours, settings.pca_sigma, seed, epoch, indices)

        def drawn(use: Use, limit: int) -> Tensor | None:
            return self._there(below(noise(seed, epoch, indices, use), limit)) if limit > 1 else None

        return Draws(
            top=drawn(Use.TOP, self.rows),
            left=drawn(Use.LEFT, self.columns),
            flip=drawn(Use.FLIP, 2 if settings.flip else 1),
            shifts=self._there(shifted),
            strengths=self._there(strengths),
            kinds=self._there(kinds),
        )

    def _there(self, values: Any) -> Tensor | None:
        import torch

        return None if values is None else torch.from_numpy(values).to(self.device, non_blocking=True)

    def training(self, images: Tensor, draws: Draws) -> Tensor:
        """Varied: uint8 (B, C, H, W) in, float32 (B, C, h, w) out."""
        if self.crops_first:
            return self._normalised(self._coloured(self._cropped(images, draws), draws))
        return self._cropped(self._normalised(self._coloured(images, draws)), draws)

    def testing(self, images: Tensor) -> Tensor:
        """The middle, normalised: uint8 (B, C, H, W) in, float32 (B, C, h, w) out."""
        return cut(self._normalised(self._coloured(images, None)), self.crop)

    def streamed(self, images: Tensor, draws: Draws | None) -> Tensor:
        """Colours and normalisation alone, of images that were cut while they were decoded."""
        return self._normalised(self._coloured(images, draws))

    def _coloured(self, images: Tensor, draws: Draws | None) -> Tensor:
        import torch

        values = images.to(torch.float32)
        if draws is not None and draws.strengths is not None:
            assert draws.kinds is not None
            values = jittered(values, draws.strengths, draws.kinds)
        if draws is not None and draws.shifts is not None:
            values = values + draws.shifts[:, :, None, None]
        return values

    def _normalised(self, values: Tensor) -> Tensor:
        (height, width), (h, w) = self.mean.shape[-2:], values.shape[-2:]
        if h <= height and w <= width:
            mean, factor = cut(self.mean, (h, w)), cut(self.factor, (h, w))
        else:
            # of a larger image, the mean that its channel has
            mean, factor = self.mean.mean((1, 2), keepdim=True), self.factor[:, :1, :1]
        return values.sub_(mean).mul_(factor)

    def _cropped(self, images: Tensor, draws: Draws) -> Tensor:
        if draws.top is None and draws.left is None and draws.flip is None:
            return images
        if self.channels_last:
            planes = images.permute(0, 2, 3, 1)[:, None]
            return windows(planes, self.settings.pad, self.crop, draws)[:, 0].permute(0, 3, 1, 2)
        return windows(images[..., None], self.settings.pad, self.crop, draws)[..., 0]


def cut(values: Tensor, size: tuple[int, int]) -> Tensor:
    """The middle of (..., H, W), with torchvision's rounding; the whole has no copy."""
    (height, width), (h, w) = values.shape[-2:], size
    top, left = middle(height, h), middle(width, w)
    return values[..., top : top + h, left : left + w]


def windows(planes: Tensor, pad: int, size: tuple[int, int], draws: Draws) -> Tensor:
    """Each image padded with zeros, mirrored or not, and its window cut: (B, P, H, W, Q) in, (B, P, h, w, Q) out.

    All windows' rows are gathered at once, from the padded batch seen as one row after another.
    """
    import torch

    batch, groups, height, width, deep = planes.shape
    if not batch:
        return planes.new_empty((0, groups, *size, deep))
    tall, wide = height + 2 * pad, width + 2 * pad
    mirrored = 1 if draws.flip is None else 2
    padded = planes.new_zeros((mirrored, batch, groups, tall, wide, deep))
    padded[0, :, :, pad : pad + height, pad : pad + width] = planes
    if draws.flip is not None:
        padded[1, :, :, pad : pad + height, pad : pad + width] = planes.flip(3)

    def counted(n: int) -> Tensor:
        return torch.arange(n, device=planes.device)

    image = counted(batch) if draws.flip is None else counted(batch) + batch * draws.flip
    corner = image * (groups * tall * wide)
    corner = corner if draws.top is None else corner + draws.top * wide
    corner = corner if draws.left is None else corner + draws.left
    rows = counted(groups)[:, None] * (tall * wide) + counted(size[0]) * wide
    starts = (corner[:, None, None] + rows) * deep
    length = size[1] * deep
    lines = padded.as_strided((padded.numel() - length + 1, length), (1, 1))
    return lines.index_select(0, starts.flatten()).view(batch, groups, *size, deep)
