"""Batches for training and testing, from memory or from disk: the same whoever carries them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from archspec.data.order import batches, pieces, sizes
from archspec.recipes.schedule import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from archspec.data.augment import Augment
    from archspec.data.order import Indices, Plan
    from archspec.data.sets import Images

_AT_ONCE = 2**26
"""Bytes of float32 images that an accelerator varies at once, so that a step does not wait for small kernels."""


class Batch(NamedTuple):
    """A rank's images of one step, float32 (B, C, h, w), and labels, int64 (B,), on the device.

    Of pictures with objects both are lists: (C, h, w) of any size, and tables of tensors. The last batch of an epoch
    may leave nothing to a rank: then B is 0, for every rank takes every step.
    """

    images: Any
    labels: Any
    whole: int
    """How many images the step has on all ranks together: what a loss summed over B is divided by."""


class Share(NamedTuple):
    """A rank's indices of one batch, and how many the batch has on all ranks together."""

    indices: Indices
    whole: int


class Feed(Protocol):
    """What the loop asks of a set."""

    plan: Plan

    def __len__(self) -> int:
        """How many images there are."""

    def training(self, epoch: int, *, rank: int = 0, ranks: int = 1, start: int = 0) -> Iterator[Batch]:
        """A rank's pieces of one epoch's batches, from batch `start` on: as many for every rank."""

    def testing(self, *, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """A rank's pieces of all images, in their order, not varied; none that is empty."""


def steps_of(feed: Feed) -> int:
    """How many steps an epoch has."""
    return steps(len(feed), feed.plan.batch, feed.plan.last)


def shares(feed: Feed, epoch: int, *, rank: int, ranks: int, start: int) -> Iterator[Share]:
    """A rank's share of each batch of one epoch, empty ones too."""
    n, plan = len(feed), feed.plan
    own = batches(plan.seed, epoch, n, plan.batch, rank=rank, ranks=ranks, start=start, last=plan.last)
    return map(Share, own, sizes(n, plan.batch, start=start, last=plan.last))


def tested(n: int, batch: int, *, rank: int, ranks: int) -> Iterator[Share]:
    """A rank's share of n images, so many at a time, in their order; none that is empty."""
    import numpy as np

    own = map(Share, pieces(np.arange(n), batch, rank=rank, ranks=ranks), sizes(n, batch))
    return (share for share in own if len(share.indices))


class Resident:
    """A set that lives on the device as bytes and is varied there."""

    def __init__(self, images: Images, augment: Augment, plan: Plan) -> None:
        import torch

        # as they lie: a copy in another order would stand beside what the caller still holds
        self.pixels = images.pixels.to(augment.device)
        self.labels = images.labels.to(augment.device)
        self.augment, self.plan = augment, plan
        self.interleaved = self.pixels.is_contiguous(memory_format=torch.channels_last)
        one = 4 * plan.batch * self.pixels[0].numel()
        self.together = max(1, _AT_ONCE // one) if self.pixels.device.type != "cpu" else 1

    def __len__(self) -> int:
        return len(self.labels)

    def training(self, epoch: int, *, rank: int = 0, ranks: int = 1, start: int = 0) -> Iterator[Batch]:
        """A rank's pieces of one epoch's batches, from batch `start` on."""
        own = shares(self, epoch, rank=rank, ranks=ranks, start=start)
        while group := list(islice(own, self.together)):
            yield from self._varied(epoch, group)

    def _varied(self, epoch: int, group: list[Share]) -> Iterator[Batch]:
        import numpy as np
        import torch

        indices = np.concatenate([each.indices for each in group])
        chosen = torch.from_numpy(indices).to(self.pixels.device, non_blocking=True)
        draws = self.augment.draws(self.plan.seed, epoch, indices)
        images = self.augment.training(self._chosen(chosen), draws)
        lengths = [len(each.indices) for each in group]
        labels = self.labels.index_select(0, chosen)
        wholes = [each.whole for each in group]
        yield from map(Batch, torch.split(images, lengths), torch.split(labels, lengths), wholes)

    def _chosen(self, indices: Tensor) -> Tensor:
        """Images by their indices, in the memory format of the augmentation."""
        if self.interleaved:
            chosen = self.pixels.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)
        else:
            chosen = self.pixels.index_select(0, indices)
        return self.augment.placed(chosen)

    def testing(self, *, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """A rank's pieces of all images, in their order, not varied; none that is empty."""
        for share in tested(len(self), self.plan.batch, rank=rank, ranks=ranks):
            here = slice(int(share.indices[0]), int(share.indices[-1]) + 1)
            yield Batch(
                self.augment.testing(self.augment.placed(self.pixels[here])), self.labels[here], share.whole
            )
