"""Data sets in memory and on disk, and how a part of the training images is held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from archspec.data.order import Use, noise, order
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.data.order import Indices

Which = Literal["last", "random"]


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Images of one size, in memory: `pixels` uint8 (N, C, H, W), `labels` int64 (N,)."""

    name: str
    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    @property
    def answers(self) -> tuple[NDArray[Any], ...]:
        """What is to be learnt of them."""
        return (self.labels.numpy(),)

    def part(self, indices: slice | Indices) -> Images:
        """Some of the images; a slice copies nothing."""
        pixels, labels = _part(self.pixels, indices), _part(self.labels, indices)
        return replace(self, pixels=pixels, labels=labels)


def room(n: int, shape: tuple[int, ...]) -> Tensor:
    """For the bytes of n images (C, H, W): (N, C, H, W), a pixel's channels side by side.

    So convolutions are fastest, and what is trained on needs no second copy.
    """
    import torch

    return torch.empty((n, *shape), dtype=torch.uint8, memory_format=torch.channels_last)


class Paths:
    """Many paths below one folder, in one block of memory.

    A list of a million strings is copied into every worker, page by page, as its members are counted.
    """

    def __init__(self, folder: str, names: Sequence[str]) -> None:
        import numpy as np

        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        self.folder = folder
        self.ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self.text = np.frombuffer(b"".join(encoded), np.uint8)
        self.chosen: Indices | None = None

    def __len__(self) -> int:
        return len(self.ends) - 1 if self.chosen is None else len(self.chosen)

    def __getitem__(self, place: int) -> str:
        import os

        if not 0 <= place < len(self):
            raise IndexError(place)
        at = place if self.chosen is None else int(self.chosen[place])
        name = self.text[self.ends[at] : self.ends[at + 1]].tobytes().decode("utf-8", "surrogateescape")
        return os.path.join(self.folder, name)

    def part(self, indices: Indices) -> Paths:
        """Some of the paths, over the same memory."""
        part = Paths.__new__(Paths)
        part.folder, part.ends, part.text = self.folder, self.ends, self.text
        part.chosen = indices if self.chosen is None else self.chosen[indices]
        return part


@dataclass(frozen=True, slots=True, eq=False)
class Files:
    """Pictures on disk, of any sizes: `labels` int64 (N,). Decoded to 1 or 3 channels."""

    name: str
    paths: Paths
    labels: Tensor
    classes: tuple[str, ...]
    channels: int = 3

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def answers(self) -> tuple[NDArray[Any], ...]:
        """What is to be learnt of them, and their names below the folder."""
        chosen = () if self.paths.chosen is None else (self.paths.chosen,)
        return (self.labels.numpy(), self.paths.ends, self.paths.text, *chosen)

    def decode(self, place: int) -> Tensor:
        """A picture as uint8 (C, H, W). Raises `FileError`: AS532."""
        import torch

        from archspec.data.pictures import decoded, pixels

        return torch.from_numpy(pixels(decoded(self.paths[place], self.channels)).transpose(2, 0, 1).copy())

    def part(self, indices: slice | Indices) -> Files:
        """Some of the pictures."""
        import numpy as np

        chosen = np.arange(len(self))[indices]
        return replace(self, paths=self.paths.part(chosen), labels=_part(self.labels, chosen))


Set = Images | Files


@dataclass(frozen=True, slots=True)
class Splits:
    """What is trained on, what models are chosen by, and what they are tested on."""

    train: Set
    validation: Set | None
    test: Set


class Parted(Protocol):
    """Splits of any kind, as a dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def train(self) -> Any:
        """What is trained on: its length, its name, and parts of it."""

    @property
    def validation(self) -> Any:
        """What is chosen by; None where nothing is held out."""

    @property
    def test(self) -> Any:
        """What is tested on; None where nothing can be."""


S = TypeVar("S", bound=Parted)


def labelling(train: Any) -> str:
    """SHA-256 of a set's classes and answers: it tells two folders of as many images apart, without a look at one."""
    digest = sha256("\0".join(train.classes).encode("utf-8", "surrogateescape"))
    for column in train.answers:
        digest.update(column.tobytes())
    return digest.hexdigest()


def held_out(splits: S, count: int, which: Which = "last") -> S:
    """The splits with `count` of the training images for validation, in place of what the set itself has for it.

    The random ones are the same in every run. Raises `FileError`: AS541 where that leaves nothing to train on.
    """
    import numpy as np

    n = len(splits.train)
    if not count:
        return splits
    if count >= n:
        message = f"{count:,} of {n:,} training images cannot be held out"
        raise file_error(splits.train.name, "AS541", message, hint=f"say data.split = {n // 10}, for example")
    if which == "last":
        kept, out = slice(0, n - count), slice(n - count, n)
        return replace(splits, train=splits.train.part(kept), validation=splits.train.part(out))
    shuffled = order(0, 0, n, Use.SPLIT)
    chosen, others = np.sort(shuffled[:count]), np.sort(shuffled[count:])
    return replace(splits, train=splits.train.part(others), validation=splits.train.part(chosen))


def stratified(labels: NDArray[Any], share: float) -> tuple[Indices, Indices]:
    """Indices of which `share` of each class, rounded, is in the second part. The same on every call."""
    import numpy as np

    bits = noise(0, 0, np.arange(len(labels)), Use.SPLIT)
    second = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        (places,) = np.nonzero(labels == label)
        first = np.argsort(bits[places], kind="stable")
        second[places[first[: round(share * len(places))]]] = True
    return np.flatnonzero(~second), np.flatnonzero(second)


def _part(values: Tensor, indices: slice | Indices) -> Tensor:
    import torch

    if isinstance(indices, slice):
        return values[indices]
    return values.index_select(0, torch.from_numpy(indices).to(values.device))
