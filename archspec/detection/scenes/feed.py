"""Pictures with objects for training and validation: the same for any number of workers and ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from archspec.data.feed import Batch, shares, tested
from archspec.data.stream import Damaged, Loader
from archspec.detection.modules import real
from archspec.detection.scenes.views import Varying, varied
from archspec.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.data.order import Plan
    from archspec.data.stream import Item
    from archspec.detection.scenes.annotations import Scenes
    from archspec.detection.scenes.views import Shown

PLACE = "place"
"""In a target: which picture of the set it is of."""


@dataclass(frozen=True, slots=True)
class _Pictures:
    """Pictures varied as they are decoded. A pure function of its items."""

    scenes: Scenes
    varying: Varying
    seed: int

    def __getitems__(self, items: list[Item]) -> list[Shown] | Damaged:
        import numpy as np

        if not items:
            return []
        indices = np.array([index for _, index in items], np.int64)
        try:
            return varied(self.scenes, self.varying, self.seed, items[0][0], indices)
        except FileError as error:
            return Damaged(tuple(error.diagnostics))


class Pictures:
    """A set of pictures with objects, decoded by `workers` processes; 0 decodes in this one.

    Each keeps its size, for the detector itself resizes: images are (3, h, w) from 0 to 1, targets have `boxes` (n, 4),
    `labels` (n,) from 1, and `place` (), in the set.
    """

    def __init__(
        self, scenes: Scenes, plan: Plan, *, flip: bool, device: Any = "cpu", workers: int = 0
    ) -> None:
        self.scenes, self.plan, self.device, self.workers = scenes, plan, device, workers
        self.flip = flip
        self._loader: Loader | None = None

    def __len__(self) -> int:
        return len(self.scenes)

    def training(self, epoch: int, *, rank: int = 0, ranks: int = 1, start: int = 0) -> Iterator[Batch]:
        """A rank's pieces of one epoch's batches, from batch `start` on. Raises `FileError`: AS532."""
        self._loader = self._loader or self._made(flip=self.flip)
        own = list(shares(self, epoch, rank=rank, ranks=ranks, start=start))
        made = self._loader.batches([(epoch, int(index)) for index in share.indices] for share in own)
        for share, pictures in zip(own, made, strict=True):
            yield self._batch(pictures, share.indices, share.whole)

    def testing(self, *, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """A rank's pieces of all pictures, in their order, one at a time, not varied."""
        own = list(tested(len(self), ranks, rank=rank, ranks=ranks))
        items = ([(0, int(index)) for index in share.indices] for share in own)
        for share, pictures in zip(own, self._made(flip=False).batches(items), strict=True):
            yield self._batch(pictures, share.indices, share.whole)

    def _made(self, *, flip: bool) -> Loader:
        pictures = _Pictures(self.scenes, Varying(sides=(), flip=flip), self.plan.seed)
        return Loader(pictures, self.workers, pinned=False)  # pictures are numpy's until they are here

    def _batch(self, pictures: list[Shown], places: Any, whole: int) -> Batch:
        images = [self._image(each) for each in pictures]
        targets = [self._target(each, int(place)) for each, place in zip(pictures, places, strict=True)]
        return Batch(images, targets, whole)

    def _image(self, picture: Shown) -> torch.Tensor:
        return real(torch.tensor(picture.pixels).to(self.device, non_blocking=True))

    def _target(self, picture: Shown, place: int) -> dict[str, torch.Tensor]:
        found = picture.objects
        return {
            "boxes": torch.tensor(found.boxes, dtype=torch.float32, device=self.device).reshape(-1, 4),
            "labels": torch.tensor(found.labels + 1, dtype=torch.int64, device=self.device),
            PLACE: torch.tensor(place),
        }
