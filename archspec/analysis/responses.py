"""The responses of layers, as in Figure 7 of He et al. 2015: the standard deviation of each 3x3 layer's output.

Responses are taken behind batch normalisation and before the nonlinearity or the addition. Over what the deviation is
taken the paper does not say. Here: over all values of a layer's output, that is over images, channels and places
together, summed in float64. Networks are in evaluation mode, and normalise by their running statistics; the
statistics of each batch, as in training, are an option.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from archspec.analysis.layers import CONVOLUTION
from archspec.analysis.moments import Moments

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor, nn

    from archspec.analysis.layers import Layer

QUANTITY = (
    "standard deviation over all values (images, channels and places together) of a layer's output, "
    "before the nonlinearity or the addition"
)


class NotFinite(Exception):
    """A layer's output holds values that are no numbers."""

    def __init__(self, layer: str) -> None:
        self.layer = layer
        super().__init__(f"the output of {layer} holds values that are not finite numbers")


@dataclass(frozen=True, slots=True)
class Responses:
    """What the layers of one network showed, in the original order."""

    label: str
    residual: bool
    layers: tuple[Layer, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """The places of the layers, the largest response first."""
        return tuple(sorted(range(len(self.stds)), key=lambda place: (-self.stds[place], place)))

    @property
    def sorted(self) -> tuple[float, ...]:
        """The responses, the largest first."""
        return tuple(self.stds[place] for place in self.order)

    @property
    def median(self) -> float:
        """Of the layers' responses."""
        return median(self.stds)

    @property
    def mean(self) -> float:
        """Of the layers' responses."""
        return fmean(self.stds)

    @property
    def measured(self) -> str:
        """Behind what the responses were taken, in words."""
        behind = dict.fromkeys(each.after for each in self.layers)
        return " or ".join(
            "of the convolution itself" if each == CONVOLUTION else f"after {each}" for each in behind
        )

    def as_json(self) -> dict[str, Any]:
        """Layers in both orders; `rank` counts from the largest response."""
        ranks = {place: rank for rank, place in enumerate(self.order, 1)}
        return {
            "residual": self.residual,
            "measured": self.measured,
            "median": self.median,
            "mean": self.mean,
            "layers": [
                {
                    "index": place + 1,
                    "name": layer.name,
                    "kind": layer.kind,
                    "at": layer.at,
                    "after": layer.after,
                    "std": std,
                    "mean": mean,
                    "rank": ranks[place],
                }
                for place, (layer, mean, std) in enumerate(
                    zip(self.layers, self.means, self.stds, strict=True)
                )
            ],
            "sorted": list(self.sorted),
        }


def measured(
    network: nn.Module, layers: Sequence[Layer], batches: Iterable[Tensor], *, batch_statistics: bool = False
) -> tuple[Moments, ...]:
    """The moments of each layer's output over batches (N, C, H, W) of normalised images. Raises `NotFinite`.

    The network is left in evaluation mode, and with other running statistics where batches' own are asked for.
    """
    found = [Moments() for _ in layers]
    hooks = [
        network.get_submodule(layer.at).register_forward_hook(
            lambda _, __, output, into=into: into.add(output)
        )
        for layer, into in zip(layers, found, strict=True)
    ]
    network.eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm) and batch_statistics:
            module.train()
    try:
        with torch.no_grad():
            for images in batches:
                network(images)
    finally:
        network.eval()
        for hook in hooks:
            hook.remove()
    for layer, moments in zip(layers, found, strict=True):
        if not isfinite(moments.std):
            raise NotFinite(layer.name)
    return tuple(found)
