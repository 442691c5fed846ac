"""CIFAR-10 and CIFAR-100, in both formats of their authors: python pickles and binary records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.data.pickles import read as unpickled
from archspec.data.pickles import strings
from archspec.data.reading import content, damaged
from archspec.data.sets import Images, Splits, room
from archspec.data.telling import silent

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from archspec.data.telling import Say

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
MOST = 256 * 2**20
"""Bytes in one file; the largest, the training part of CIFAR-100, has 155 million."""
_MOST_NAMES = 2**20


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of a set: `train` and `test` name its parts, each of so many images."""

    name: str
    classes: int
    train: tuple[str, ...]
    test: tuple[str, ...]
    images: tuple[int, int]
    """In each file of `train` and of `test`."""
    label: str
    label_bytes: int
    """Before an image of the binary format; the last one is the class."""
    names: tuple[str, str]
    """The file of class names and its entry, in the python format."""
    binary_names: str


CIFAR10 = Layout(
    name="cifar10",
    classes=10,
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    images=(10_000, 10_000),
    label="labels",
    label_bytes=1,
    names=("batches.meta", "label_names"),
    binary_names="batches.meta.txt",
)
CIFAR100 = Layout(
    name="cifar100",
    classes=100,
    train=("train",),
    test=("test",),
    images=(50_000, 10_000),
    label="fine_labels",
    label_bytes=2,
    names=("meta", "fine_label_names"),
    binary_names="fine_label_names.txt",
)


def has(folder: Path, layout: Layout) -> bool:
    """Whether a folder holds the set, in one of the formats."""
    return any((folder / f"{layout.train[0]}{suffix}").is_file() for suffix in (".bin", ""))


def read(folder: Path, layout: Layout, say: Say = silent) -> Splits:
    """All files of a set. The binary ones are taken where both are there. Raises `FileError`: AS532."""
    binary = (folder / f"{layout.train[0]}.bin").is_file()
    classes = _names(folder, layout, binary=binary)
    train, test = (_part(folder, layout, part, classes, binary=binary, say=say) for part in ("train", "test"))
    return Splits(train, None, test)


def _part(
    folder: Path, layout: Layout, part: str, classes: tuple[str, ...], *, binary: bool, say: Say
) -> Images:
    import numpy as np
    import torch

    names, count = (layout.train, layout.images[0]) if part == "train" else (layout.test, layout.images[1])
    pixels = room(len(names) * count, SHAPE)
    labels = np.empty(len(names) * count, np.int64)
    for place, name in enumerate(names):
        path = folder / (f"{name}.bin" if binary else name)
        say(f"reading {path}")
        here = slice(place * count, (place + 1) * count)
        found, found_labels = _records(path, layout, count) if binary else _pickled(path, layout, count)
        if int(found_labels.max()) >= layout.classes or int(found_labels.min()) < 0:
            raise damaged(path, f"a label is not one of the {layout.classes} classes")
        pixels.numpy()[here], labels[here] = found.reshape(count, *SHAPE), found_labels
    return Images(layout.name, pixels, torch.from_numpy(labels), classes)


def _records(path: Path, layout: Layout, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    import numpy as np

    record = layout.label_bytes + PIXELS
    data = content(path, MOST)
    if len(data) != count * record:
        images = f"{len(data) // record:,} images" + (" and a piece" if len(data) % record else "")
        raise damaged(path, f"the file holds {images}, and {count:,} are expected")
    rows = np.frombuffer(data, np.uint8).reshape(count, record)
    return rows[:, layout.label_bytes :], rows[:, layout.label_bytes - 1]


def _pickled(path: Path, layout: Layout, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    import numpy as np

    table = unpickled(path, MOST)
    pixels, labels = table.get("data"), table.get(layout.label)
    if not isinstance(pixels, np.ndarray) or pixels.shape != (count, PIXELS):
        shape = "x".join(map(str, pixels.shape)) if isinstance(pixels, np.ndarray) else "nothing"
        raise damaged(path, f'its "data" is {shape}, and {count}x{PIXELS} bytes are expected')
    if not isinstance(labels, list) or not all(type(each) is int and abs(each) < 2**31 for each in labels):
        raise damaged(path, f'its "{layout.label}" is no list of numbers')
    if len(labels) != count:
        raise damaged(path, f"{len(labels):,} labels for {count:,} images")
    return pixels, np.array(labels, np.int64)


def _names(folder: Path, layout: Layout, *, binary: bool) -> tuple[str, ...]:
    """The classes' names; their numbers where the file of names is missing."""
    path = folder / (layout.binary_names if binary else layout.names[0])
    if not path.exists():
        return tuple(map(str, range(layout.classes)))
    if binary:
        lines = content(path, _MOST_NAMES).decode("utf-8", "replace").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
    else:
        names = strings(unpickled(path, _MOST_NAMES).get(layout.names[1]))
    if len(names) != layout.classes or len(set(names)) != layout.classes:
        raise damaged(path, f"{len(names)} names, and {layout.classes} classes are expected")
    return names
