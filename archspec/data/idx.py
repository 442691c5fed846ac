"""IDX files, plain or compressed with gzip: MNIST and Fashion-MNIST."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from archspec.data.reading import beginning, damaged, exactly
from archspec.data.sets import Images, Splits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
DIGITS = tuple("0123456789")
MOST = 2**32
"""Bytes in one file; MNIST has 47 million."""

_UBYTE = 8
_PARTS = ("train", "t10k")


def images_file(folder: Path, part: str) -> Path | None:
    """Where a part's images are, in one of the spellings under which they travel."""
    return _file(folder, part, "images", 3)


def _file(folder: Path, part: str, what: str, dimensions: int) -> Path | None:
    names = (f"{part}-{what}-idx{dimensions}-ubyte", f"{part}-{what}.idx{dimensions}-ubyte")
    spellings = (folder / f"{name}{suffix}" for name in names for suffix in (".gz", ""))
    return next((path for path in spellings if path.exists()), None)


def has(folder: Path) -> bool:
    """Whether a folder holds a set of this kind."""
    return images_file(folder, "train") is not None


def read(folder: Path, name: str, classes: tuple[str, ...]) -> Splits:
    """The four files of a set. Raises `FileError`: AS532."""
    train, test = (_part(folder, part, name, classes) for part in _PARTS)
    return Splits(train, None, test)


def _part(folder: Path, part: str, name: str, classes: tuple[str, ...]) -> Images:
    import numpy as np
    import torch

    paths = images_file(folder, part), _file(folder, part, "labels", 1)
    if paths[0] is None or paths[1] is None:
        what = "images" if paths[0] is None else "labels"
        raise damaged(folder, f"the {what} of the part {part} are missing")
    images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
    if len(images) != len(labels):
        raise damaged(paths[1], f"{len(labels):,} labels for {len(images):,} images")
    if int(labels.max()) >= len(classes):
        raise damaged(paths[1], f"a label is {int(labels.max())}, and there are {len(classes)} classes")
    pixels = torch.from_numpy(images[:, None].copy())
    return Images(name, pixels, torch.from_numpy(labels.astype(np.int64)), classes)


def read_idx(path: Path, dimensions: int) -> NDArray[Any]:
    """The bytes of one file, in its shape. Raises `FileError`: AS532."""
    import numpy as np

    length = 4 + 4 * dimensions
    header = beginning(path, length)
    if len(header) < 4 or header[:4] != bytes((0, 0, _UBYTE, dimensions)):
        message = (
            f"this is no IDX file of bytes with {dimensions} dimensions: it begins with {header[:4].hex()}"
        )
        raise damaged(path, message, hint=f"it should begin with 0000{_UBYTE:02x}{dimensions:02x}")
    if len(header) < length:
        raise damaged(path, "cut off within its header")
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if 0 in shape or math.prod(shape) > MOST:
        raise damaged(path, f"its header announces {' x '.join(map(str, shape))} values")
    return np.frombuffer(exactly(path, length, math.prod(shape)), np.uint8).reshape(shape)
