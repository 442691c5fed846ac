"""A net written by hand, and layers that point into it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archspec.analysis.layers import CONVOLUTION, Layer


class ByHand(nn.Module):
    """A convolution, a residual block with activations in place, and a classifier."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 5)
        for norm in (self.bn1, self.bn2):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn1(self.conv1(x)))
        y = self.act(self.bn2(self.conv2(x)))
        y = self.act(self.conv3(y))  # overwrites what the convolution put out
        return self.fc((x + y).mean((2, 3)))


def layer(
    name: str, at: str | None = None, kind: str = "3x3", role: str = "network", channels: int = 8
) -> Layer:
    after = CONVOLUTION if at is None else "batch normalisation"
    return Layer(name, kind, role, channels, at or name, after)  # type: ignore[arg-type]


LAYERS = (layer("conv1", "bn1"), layer("conv2", "bn2"), layer("conv3"))
ALL = (layer("conv1"), layer("conv2"), layer("conv3"), layer("fc", kind="linear"))


def images(count: int = 10, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
