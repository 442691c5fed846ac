"""Modules that torch lacks. The live network uses these classes; a printed one carries their source.

They import only torch, so that a copy stands alone. This file is read as text by the source backend.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RMSNorm2d(nn.Module):
    """Divides by the root mean square over C, H, W; one scale a channel."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scales of one."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(dim=(1, 2, 3), keepdim=True) + self.eps)
        return x * scale * self.weight.view(1, -1, 1, 1)


class FilterResponseNorm2d(nn.Module):
    """Divides each channel by its root mean square over H, W; one scale and one shift a channel."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scales of one, shifts of zero."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.square().mean(dim=(2, 3), keepdim=True) + self.eps)
        # one pass over the map, and one gradient that is kept
        return torch.addcmul(self.bias.view(1, -1, 1, 1), x, scale * self.weight.view(1, -1, 1, 1))


class StandardisedConv2d(nn.Conv2d):
    """A convolution by its weights with mean 0 and variance 1 in each filter."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        weight = (self.weight - mean) * torch.rsqrt(variance + 1e-5)
        made: Tensor = self._conv_forward(x, weight, self.bias)
        return made


class ThresholdedLinearUnit(nn.Module):
    """The larger of a value and a trained threshold, one a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.tau = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Thresholds of zero: a ReLU."""
        nn.init.zeros_(self.tau)

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.tau.view(-1, *(1 for _ in x.shape[2:])))
