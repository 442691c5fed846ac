"""Sets that do not fit into memory: decoded and cut by worker processes, coloured and normalised on the device."""

from __future__ import annotations

import atexit
import os
import signal
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

from archspec.data.feed import Batch, shares, tested
from archspec.data.order import pieces, spaced
from archspec.data.pictures import decoded, drawn, seen, varied
from archspec.data.reading import damaged
from archspec.data.sets import Images, room
from archspec.data.telling import silent
from archspec.errors import FileError, file_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from PIL.Image import Image
    from torch import Tensor

    from archspec.data.augment import Augment
    from archspec.data.order import Indices, Plan
    from archspec.data.pictures import Bytes, View
    from archspec.data.sets import Files
    from archspec.data.telling import Say
    from archspec.errors import Diagnostic
    from archspec.recipes.models import Augment as Augmentation

MOST_IN_MEMORY = 2**33
_AHEAD = 2

Item = tuple[int, int]
"""An epoch and an index: all that what is drawn depends on."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """What is wrong with a picture, as a value: an exception would lose its parts on the way from a worker.

    Not a bare tuple: where memory is pinned, torch makes a list of one.
    """

    diagnostics: tuple[Diagnostic, ...]


class _Training:
    """Images varied as they are decoded, a batch at a time; a pure function of its items."""

    def __init__(self, files: Files, augmentation: Augmentation, seed: int) -> None:
        self.files, self.augmentation, self.seed = files, augmentation, seed

    def __getitems__(self, items: list[Item]) -> Any:
        import numpy as np

        if not items:
            return self._nothing()
        indices = np.array([index for _, index in items], np.int64)
        cuts = drawn(self.augmentation, self.seed, items[0][0], indices)

        def image(picture: Image, place: int) -> Bytes:
            return varied(picture, self.augmentation, cuts, place)

        return _made(self.files, items, image)

    def _nothing(self) -> Tensor:
        """The batch of a rank that the last batch left nothing to."""
        import torch

        side = self.augmentation.crop
        assert side is not None, "a recipe that streams crops"
        return torch.empty((0, side, side, self.files.channels), dtype=torch.uint8)


class _Testing:
    """The views of images that are tested."""

    def __init__(self, files: Files, view: View) -> None:
        self.files, self.view = files, view

    def __getitems__(self, items: list[Item]) -> Any:
        return _made(self.files, items, lambda picture, _: seen(picture, self.view))


def _made(files: Files, items: list[Item], cut: Callable[[Image, int], Bytes]) -> Tensor | Damaged:
    """A batch of bytes (B, ..., H, W, C), or what is wrong."""
    import numpy as np
    import torch

    made = []
    for place, (_, index) in enumerate(items):
        path = files.paths[index]
        try:
            made.append(cut(decoded(path, files.channels), place))
        except FileError as error:
            return Damaged(tuple(error.diagnostics))
        except ValueError as error:
            return Damaged(tuple(damaged(path, str(error)).diagnostics))
    return torch.from_numpy(np.stack(made))


class _Items:
    """Which items a loader is to make next. It is asked anew for each epoch, and its workers stay."""

    def __init__(self) -> None:
        self.next: Iterable[list[Item]] = ()

    def __iter__(self) -> Iterator[list[Item]]:
        yield from self.next


@cache
def _over() -> Any:
    """A byte that this process and its workers share: 1 once this process is at its end."""
    from multiprocessing.sharedctypes import RawValue

    byte = RawValue("b", 0)
    atexit.register(setattr, byte, "value", 1)
    return byte


def _started(over: Any, _: int) -> None:
    """In a worker: it works on while the process that reads from it answers a signal with a checkpoint.

    Terminals and schedulers signal every process of a job. A worker ends when its reader does, or says so.
    """

    def asked(*_: object) -> None:
        if over.value:
            os._exit(0)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, asked)


def _same(values: Any) -> Any:
    return values


@contextmanager
def _unremarked() -> Iterator[None]:
    """Without torch's opinion of the number of workers, which is the user's choice."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        yield


class Made(Protocol):
    """What makes a batch of items, in a worker or here; `Damaged` where it cannot."""

    def __getitems__(self, items: list[Item]) -> Any:
        """The batch."""


class Loader:
    """torch's loader over items that change with each epoch."""

    def __init__(self, images: Made, workers: int, *, pinned: bool) -> None:
        self.images, self.workers, self.pinned = images, workers, pinned
        self.items = _Items()
        self.loader: Any = None

    def batches(self, items: Iterable[list[Item]]) -> Iterator[Any]:
        """A batch for each list of items. Raises `FileError` for a picture that cannot be read."""
        self.items.next = items
        for made in self._begun():
            if isinstance(made, Damaged):
                break
            yield made
        else:
            return
        # workers end when nothing refers to them any more, and an error would refer to what stands here
        self.loader = None
        raise FileError(made.diagnostics)

    def _begun(self) -> Iterator[Any]:
        with _unremarked():
            if self.loader is None:
                self.loader = self._made()
            begun: Iterator[Any] = iter(self.loader)
        return begun

    def _made(self) -> Any:
        import torch
        from torch.utils.data import DataLoader

        return DataLoader(
            self.images,  # type: ignore[arg-type]
            batch_sampler=self.items,
            collate_fn=_same,
            num_workers=self.workers,
            pin_memory=self.pinned,
            worker_init_fn=partial(_started, _over()),
            prefetch_factor=_AHEAD if self.workers else None,
            persistent_workers=self.workers > 0,
            # or each epoch would take a number from torch's own, on which dropout depends
            generator=torch.Generator(),
        )


class Stream:
    """Pictures on disk, varied by `workers` processes; 0 decodes in this one."""

    def __init__(self, files: Files, augment: Augment, plan: Plan, *, view: View, workers: int = 0) -> None:
        self.files, self.augment, self.plan = files, augment, plan
        self.view, self.workers = view, workers
        self._loader: Loader | None = None

    def __len__(self) -> int:
        return len(self.files)

    def training(self, epoch: int, *, rank: int = 0, ranks: int = 1, start: int = 0) -> Iterator[Batch]:
        """A rank's pieces of one epoch's batches, from batch `start` on."""
        self._loader = self._loader or self._made(
            _Training(self.files, self.augment.settings, self.plan.seed)
        )
        own = list(shares(self, epoch, rank=rank, ranks=ranks, start=start))
        made = self._loader.batches([(epoch, int(index)) for index in share.indices] for share in own)
        for share, images in zip(own, made, strict=True):
            draws = self.augment.draws(self.plan.seed, epoch, share.indices)
            varied_ = self.augment.streamed(self._there(images), draws)
            yield Batch(varied_, self._labels(share.indices), share.whole)

    def testing(self, *, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """A rank's pieces of all images, in their order, not varied.

        Images that are not cropped come one at a time, for each has its own size; ten crops are (B, 10, C, h, w).
        """
        size = self.plan.batch if self.view.crop else ranks
        own = list(tested(len(self), size, rank=rank, ranks=ranks))
        made = self._made(_Testing(self.files, self.view)).batches(
            [(0, int(index)) for index in share.indices] for share in own
        )
        for share, images in zip(own, made, strict=True):
            yield Batch(self._tested(self._there(images)), self._labels(share.indices), share.whole)

    def _tested(self, images: Tensor) -> Tensor:
        if images.dim() == 4:
            return self.augment.streamed(images, None)
        views = self.augment.streamed(images.flatten(0, 1), None)
        return views.reshape(images.shape)

    def _made(self, images: _Training | _Testing) -> Loader:
        pinned = str(self.augment.device).startswith("cuda")
        return Loader(images, self.workers, pinned=pinned)

    def _there(self, images: Tensor) -> Tensor:
        """Bytes (..., H, W, C), as a worker made them, on the device as (..., C, H, W) in the memory format."""
        moved = images.to(self.augment.device, non_blocking=True).movedim(-1, -3)
        return moved if self.augment.channels_last else moved.contiguous()

    def _labels(self, share: Indices) -> Tensor:
        import torch

        return self.files.labels[torch.from_numpy(share)].to(self.augment.device, non_blocking=True)


def sampled(files: Files, view: View, *, most: int, workers: int = 0, batch: int = 64) -> Iterator[Tensor]:
    """Bytes (B, C, h, w) of at most so many of the pictures, evenly spaced: for statistics."""
    items = ([(0, int(index)) for index in share] for share in pieces(spaced(len(files), most), batch))
    for images in Loader(_Testing(files, view), workers, pinned=False).batches(items):
        yield images.movedim(-1, -3)


def in_memory(files: Files, most: int = MOST_IN_MEMORY, say: Say = silent) -> Images:
    """Pictures of one size, decoded. Raises `FileError`: AS541 where they differ in size or are too many."""
    if not len(files):
        raise file_error(files.paths.folder, "AS531", "there are no pictures in it")
    first = files.decode(0)
    if first.numel() * len(files) > most:
        message = f"{len(files):,} pictures of {tuple(first.shape)} take more than {most:,} bytes of memory"
        raise file_error(files.paths.folder, "AS541", message, hint="a recipe that resizes streams them")
    pixels = room(len(files), first.shape)
    for place in range(len(files)):
        picture = files.decode(place)
        if picture.shape != first.shape:
            message = f"this picture is {tuple(picture.shape)}, and others are {tuple(first.shape)}"
            hint = "pictures of several sizes need a recipe that resizes them"
            raise file_error(files.paths[place], "AS541", message, hint=hint)
        pixels[place] = picture
        say(f"reading pictures: {place + 1:,} of {len(files):,}")
    return Images(files.name, pixels, files.labels, files.classes)
