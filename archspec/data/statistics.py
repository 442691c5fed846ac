"""What is known of the training split: means, deviations, and the directions in which its colours vary.

Sums are of whole numbers, so they do not depend on the order of addition: every machine gets the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.recipes.models import Normalise

    Floats = NDArray[np.float64]

_AT_ONCE = 2**17
"""Values that are turned into wider ones at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Of `images` training images, with a full pixel being 255: `pixel_mean` (C, H, W), the rest by channel."""

    images: int
    pixel_mean: Floats
    mean: Floats
    covariance: Floats

    @property
    def std(self) -> Floats:
        """(C,)."""
        import numpy as np

        deviations: Floats = np.sqrt(np.diagonal(self.covariance))
        return deviations

    def colours(self) -> Colours:
        """The principal components of the colours, for a full pixel of 1."""
        import numpy as np

        values, vectors = np.linalg.eigh(self.covariance / 255**2)
        values, vectors = values[::-1].clip(0), vectors[:, ::-1]
        # a direction has no sign of its own
        largest = np.abs(vectors).argmax(axis=0)
        vectors = vectors * np.sign(vectors[largest, range(len(vectors))])
        return Colours(tuple(values.tolist()), tuple(map(tuple, vectors.tolist())))


@dataclass(frozen=True, slots=True)
class Colours:
    """Eigenvalues of the colours' covariance, the largest first, and eigenvectors in columns; a full pixel is 1."""

    values: tuple[float, ...]
    vectors: tuple[tuple[float, ...], ...]


# of a random part of ImageNet's training images: facebookarchive/fb.resnet.torch, datasets/imagenet.lua
IMAGENET_COLOURS = Colours(
    values=(0.2175, 0.0188, 0.0045),
    vectors=((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203)),
)


def measure(batches: Iterable[Tensor], name: str = "images") -> Statistics:
    """Of uint8 images (N, C, H, W), all of one size, a batch after another. Raises `FileError`: AS531 for none."""
    import numpy as np
    import torch

    count, sums, products = 0, torch.zeros(()), torch.zeros(())
    for batch in batches:
        for piece in torch.split(batch, max(1, _AT_ONCE // batch[:1].numel())):
            sums = sums + piece.sum(0, dtype=torch.int64)
            rows = piece.transpose(0, 1).flatten(1).to(torch.float64)
            # of whole numbers below 2**53: exact
            products = products + rows @ rows.T
            count += len(piece)
    if not count:
        raise file_error(name, "AS531", "there are no images to train on")
    pixels = np.asarray(sums.cpu().numpy(), np.float64)
    n = count * pixels[0].size
    mean = pixels.sum(axis=(1, 2)) / n
    return Statistics(count, pixels / count, mean, products.cpu().numpy() / n - np.outer(mean, mean))


@dataclass(frozen=True, slots=True, eq=False)
class Normaliser:
    """`(x - mean) * factor` of bytes x. Both are float32 (C, H, W), or (C, 1, 1) where a channel has one value."""

    mean: Tensor
    factor: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"mean": self.mean, "factor": self.factor}

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], file: str | PathLike[str]) -> Self:
        """From a checkpoint, bit for bit. Raises `FileError`: AS552 where they are no normalisation."""
        import torch

        mean, factor = tensors.get("mean"), tensors.get("factor")
        if mean is None or factor is None:
            raise file_error(file, "AS552", "it does not say how images are normalised")
        for each in (mean, factor):
            if each.dtype != torch.float32 or each.dim() != 3 or not each.isfinite().all():
                raise file_error(
                    file, "AS552", "its mean image or its factor is not one of finite float32 (C, H, W)"
                )
        if len(mean) != len(factor) or factor.shape[1:] != (1, 1):
            shapes = " and ".join(str(tuple(each.shape)) for each in (mean, factor))
            raise file_error(file, "AS552", f"a mean and a factor of {shapes} do not go together")
        return cls(mean, factor)


def needs_images(normalise: Normalise) -> bool:
    """Whether a normalisation asks anything of the training images."""
    return normalise.kind not in ("none", "fixed")


def normaliser(
    normalise: Normalise, statistics: Statistics | None, channels: int, name: str = "images"
) -> Normaliser:
    """What a normalisation does, with the statistics that it asks for. Raises `FileError`: AS541 about `name`."""
    import numpy as np
    import torch

    unit = normalise.range / 255
    mean, std = np.zeros(channels), np.full(channels, 1 / unit)
    if normalise.kind == "fixed":
        if len(normalise.mean) != channels:
            message = f"the recipe has {len(normalise.mean)} means, and an image {channels} channels"
            hint = (
                'say normalise.mean and normalise.std for each channel, or normalise.kind = "per-channel-std"'
            )
            raise file_error(name, "AS541", message, hint=hint)
        mean, std = np.array(normalise.mean) / unit, np.array(normalise.std) / unit
    elif needs_images(normalise):
        assert statistics is not None
        mean = statistics.pixel_mean if normalise.kind == "per-pixel-mean" else statistics.mean
        std = statistics.std if normalise.kind == "per-channel-std" else std
    if not std.all():
        message = "a channel is the same in all training images, and cannot be divided by its deviation"
        raise file_error(name, "AS541", message, hint='say normalise.kind = "per-channel"')
    mean = mean if mean.ndim == 3 else mean[:, None, None]
    factor = 1 / std[:, None, None]
    return Normaliser(torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(factor.astype(np.float32)))
