"""Colours varied by the batch, on images of float32 (B, C, H, W) with a full pixel being 255."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from archspec.data.order import Use, below, noise, normal, uniform

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.data.order import Indices
    from archspec.data.statistics import Colours

_ORDERS = tuple(permutations(range(3)))
_BRIGHTNESS, _CONTRAST = 0, 1
# of red, green and blue: ITU-R BT.601, as torchvision and facebook have it
_GREY = (0.299, 0.587, 0.114)


def shifts(colours: Colours, sigma: float, seed: int, epoch: int, indices: Indices) -> NDArray[np.float32]:
    """What is added to each channel of an image, (B, C): AlexNet's sum of p_i * alpha_i * lambda_i.

    Krizhevsky et al. 2012, 4.1; alpha is normal with the deviation sigma. The eigenvalues belong to pixels in
    [0, 1], as in facebook's code: the product is not free of the unit, and the paper does not say it.
    """
    import numpy as np

    vectors = np.array(colours.vectors)
    total = np.zeros((len(indices), len(vectors)))
    for each, value in enumerate(colours.values):
        alpha = sigma * normal(seed, epoch, indices, Use.COLOUR + 2 * each)
        total += alpha[:, None] * value * vectors[None, :, each]
    return (255 * total).astype(np.float32)


def jitters(
    width: float, seed: int, epoch: int, indices: Indices
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Three strengths in 1 +- width for each image, (B, 3), and which change comes when, (B, 3)."""
    import numpy as np

    drawn = [uniform(noise(seed, epoch, indices, Use.JITTER + each)) for each in range(3)]
    which = below(noise(seed, epoch, indices, Use.JITTER + 3), len(_ORDERS))
    return (1 + width * (2 * np.stack(drawn, axis=1) - 1)).astype(np.float32), np.array(_ORDERS)[which]


def jittered(images: Tensor, strengths: Tensor, kinds: Tensor) -> Tensor:
    """Brightness, contrast and saturation of each image, in its own order; values are not clipped."""
    import torch

    for turn in range(3):
        kind = kinds[:, turn, None, None, None]
        strength = strengths.gather(1, kinds[:, turn, None])[:, :, None, None]
        grey = _grey(images)
        # in double precision, so that a mean does not depend on how the batch is cut
        level = grey.mean((1, 2, 3), keepdim=True, dtype=torch.float64).to(grey.dtype)
        other = torch.where(kind == _BRIGHTNESS, 0.0, torch.where(kind == _CONTRAST, level, grey))
        images = images * strength + other * (1 - strength)
    return images


def _grey(images: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    red, green, blue = (images[:, channel, None] * share for channel, share in enumerate(_GREY))
    return red + green + blue
