"""scikit-learn's digits: 1,797 images of 8x8, in the file that comes with it. The library itself is not loaded."""

from __future__ import annotations

import gzip
import io
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.data.reading import content, damaged
from archspec.data.sets import Images, Splits, stratified
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGES, SIDE, FULL = 1797, 8, 16
TEST_SHARE = 0.2
_MOST = 2**20
_MOST_INFLATED = 2**22


def place() -> Path | None:
    """Where the file is, if scikit-learn is installed."""
    found = find_spec("sklearn")
    folders = (Path(each) for each in (found and found.submodule_search_locations) or ())
    files: Iterator[Path] = (folder / "datasets" / "data" / "digits.csv.gz" for folder in folders)
    return next((file for file in files if file.is_file()), None)


def read() -> Splits:
    """A fifth of each digit is for testing, always the same. Raises `FileError`: AS531, AS532."""
    path = place()
    if path is None:
        message = "the digits come with scikit-learn, which is not installed"
        raise file_error(
            "digits", "AS531", message, hint="pip install scikit-learn, or take --data synthetic"
        )
    images = read_file(path)
    first, second = stratified(images.labels.numpy(), TEST_SHARE)
    return Splits(images.part(first), None, images.part(second))


def read_file(path: Path) -> Images:
    """All digits: lines of 64 numbers up to 16, then the digit."""
    import numpy as np
    import torch

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content(path, _MOST))) as stream:
            text = stream.read(_MOST_INFLATED)
        table = np.loadtxt(io.BytesIO(text), delimiter=",", ndmin=2)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise damaged(path, f"the digits cannot be read: {str(error)[:200]}") from error
    if table.shape != (IMAGES, SIDE * SIDE + 1):
        raise damaged(path, f"{len(table):,} lines, and {IMAGES:,} digits are expected")
    pixels, labels = table[:, :-1], table[:, -1]
    if not (np.isin(pixels, range(FULL + 1)).all() and np.isin(labels, range(10)).all()):
        raise damaged(path, f"a pixel is not one of 0 to {FULL}, or a digit not one of 0 to 9")
    shaped = (pixels * 255 / FULL).round().astype(np.uint8).reshape(-1, 1, SIDE, SIDE)
    return Images(
        "digits", torch.from_numpy(shaped), torch.from_numpy(labels.astype(np.int64)), tuple("0123456789")
    )
