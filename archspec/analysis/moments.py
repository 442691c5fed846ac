"""The mean and the standard deviation of many values, a tensor after another."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_AT_ONCE = 2**22
"""Values that are turned into wider ones at a time."""


@dataclass(slots=True)
class Moments:
    """Of all values that were added, in float64: merged as Chan et al. 1979 do it, so nothing cancels.

    The deviation is that of the values themselves (divided by n), and exactly 0 where all are the same.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """The sum of the squared distances from the mean."""

    def add(self, values: Tensor) -> None:
        """Adds all values of a tensor of any shape."""
        # Apple's GPUs have no float64
        there = values.detach().cpu() if values.device.type == "mps" else values.detach()
        for piece in torch.split(there.flatten(), _AT_ONCE):
            self._add(piece.double())

    def _add(self, values: Tensor) -> None:
        if not len(values):
            return
        mean = values.mean()
        own = Moments(len(values), float(mean), float((values - mean).square().sum()))
        total = self.count + own.count
        distance = own.mean - self.mean
        self.mean += distance * own.count / total
        self.squares += own.squares + distance * distance * self.count * own.count / total
        self.count = total

    @property
    def std(self) -> float:
        """Not a number where a value is none, or is infinite."""
        return sqrt(self.squares / self.count) if self.count else float("nan")


def deviation(values: Tensor) -> float:
    """The standard deviation of all values of a tensor."""
    moments = Moments()
    moments.add(values)
    return moments.std


def norm(values: Tensor) -> float:
    """The Euclidean norm, in float64."""
    there = values.detach().cpu() if values.device.type == "mps" else values.detach()
    return float(torch.linalg.vector_norm(there, dtype=torch.float64))
