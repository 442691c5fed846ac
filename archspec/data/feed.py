"""Batches for training and testing, from memory or from disk: the same whoever carries them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

from archspec.data.order import batches, pieces, steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from archspec.data.augment import Augment
    from archspec.data.order import Indices, Plan
    from archspec.data.sets import Images

_AT_ONCE = 2**26
"""Bytes of float32 images that an accelerator varies at once, so that a step does not wait for small kernels."""


class Batch(NamedTuple):
    """One step's images, float32 (B, C, h, w), and labels, int64 (B,), on the device."""

    images: Tensor
    labels: Tensor


class Feed(Protocol):
    """What the loop asks of a set."""

    plan: Plan

    def __len__(self) -> int:
        """How many images there are."""

    def training(self, epoch: int, *, rank: int = 0, ranks: int = 1, start: int = 0) -> Iterator[Batch]:
        """A rank's pieces of one epoch's batches, from batch `start` on."""

    def testing(self, *, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """A rank's pieces of all images, in their order, not varied."""


def steps_of(feed: Feed) -> int:
    """How many steps an epoch has."""
    return steps(len(feed), feed.plan.batch, feed.plan.last)


def shares(feed: Feed, epoch: int, *, rank: int, ranks: int, start: int) -> Iterator[Indices]:
    """A rank's pieces of one epoch's batches, those that are empty left out."""
    plan = feed.plan
    pieces_of = batches(
        plan.seed, epoch, len(feed), plan.batch, rank=rank, ranks=ranks, start=start, last=plan.last
    )
    return (piece for piece in pieces_of if len(piece))


class Resident:
    """A set that lives on the device as bytes and is varied there."""

    def __init__(self, images: Images, augment: Augment, plan: Plan) -> None:
        self.pixels = augment.placed(images.pixels)
        self.labels = images.labels.to(augment.device)
        self.augment, self.plan = augment, plan
        one = 4 * plan.batch * self.pixels[0].numel()
        self.together = max(1, _AT_ONCE // one) if self.pixels.device.type != "cpu" else 1

    def __len__(self) -> int:
        return len(self.labels)

    def training(self, epoch: int, *, rank: int = 0, ranks: int = 1, start: int = 0) -> Iterator[Batch]:
        """A rank's pieces of one epoch's batches, from batch `start` on."""
        own = shares(self, epoch, rank=rank, ranks=ranks, start=start)
        while group := list(islice(own, self.together)):
            yield from self._varied(epoch, group)

    def _varied(self, epoch: int, group: list[Indices]) -> Iterator[Batch]:
        import numpy as np
        import torch

        indices = np.concatenate(group)
        chosen = torch.from_numpy(indices).to(self.pixels.device, non_blocking=True)
        draws = self.augment.draws(self.plan.seed, epoch, indices)
        images = self.augment.training(self._chosen(chosen), draws)
        lengths = [len(each) for each in group]
        labels = self.labels.index_select(0, chosen)
        yield from map(Batch, torch.split(images, lengths), torch.split(labels, lengths))

    def _chosen(self, indices: Tensor) -> Tensor:
        """Images by their indices, in the memory format of all."""
        if not self.augment.channels_last:
            return self.pixels.index_select(0, indices)
        return self.pixels.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)

    def testing(self, *, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """A rank's pieces of all images, in their order, not varied."""
        import numpy as np

        for share in pieces(np.arange(len(self)), self.plan.batch, rank=rank, ranks=ranks):
            if len(share):
                here = slice(int(share[0]), int(share[-1]) + 1)
                yield Batch(self.augment.testing(self.pixels[here]), self.labels[here])
