"""Where data sets are: `--data`, `$ARCHSPEC_DATA`, the cache folder, Debian's `/usr/share/datasets`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.data import cifar, digits, download, folders, idx, imagenet, synthetic
from archspec.data.telling import paced, silent
from archspec.errors import did_you_mean, file_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.data.sets import Splits
    from archspec.data.telling import Say
    from archspec.errors import FileError

DEBIAN = Path("/usr/share/datasets")
VARIABLE = "ARCHSPEC_DATA"


@dataclass(frozen=True, slots=True)
class Known:
    """A set that lies in files: where to look within a root, how to tell it, how to read it, where to get it."""

    inside: tuple[str, ...]
    has: Callable[[Path], bool]
    read: Callable[[Path, int, Say], Splits]
    """Of its folder, the number of channels, which only pictures can choose, and who hears how far it is."""
    fetch: str


@dataclass(frozen=True, slots=True)
class Source:
    """A set that was found, and how to read it. `place` is its folder, or what it comes with."""

    name: str
    place: str
    read: Callable[[], Splits]


KNOWN = {
    "cifar10": Known(
        inside=("cifar-10-batches-py", "cifar-10-batches-bin", "cifar10"),
        has=lambda folder: cifar.has(folder, cifar.CIFAR10),
        read=lambda folder, _, say: cifar.read(folder, cifar.CIFAR10, say),
        fetch="unpack cifar-10-python.tar.gz or cifar-10-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "cifar100": Known(
        inside=("cifar-100-python", "cifar-100-binary", "cifar100"),
        has=lambda folder: cifar.has(folder, cifar.CIFAR100),
        read=lambda folder, _, say: cifar.read(folder, cifar.CIFAR100, say),
        fetch="unpack cifar-100-python.tar.gz or cifar-100-binary.tar.gz of https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "mnist": Known(
        inside=("mnist", "MNIST/raw"),
        has=idx.has,
        read=lambda folder, *_: idx.read(folder, "mnist", idx.DIGITS),
        fetch="put the four *-ubyte.gz files of MNIST in a folder mnist",
    ),
    "fashion-mnist": Known(
        inside=("fashion-mnist", "FashionMNIST/raw"),
        has=idx.has,
        read=lambda folder, *_: idx.read(folder, "fashion-mnist", idx.FASHION),
        fetch="on Debian, apt-get install dataset-fashion-mnist; or put the four *-ubyte.gz files of "
        "https://github.com/zalandoresearch/fashion-mnist in a folder fashion-mnist",
    ),
    "imagenet": Known(
        inside=("imagenet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC"),
        has=imagenet.has,
        read=imagenet.read,
        fetch="register at https://image-net.org; unpack the training images into imagenet/train/WNID, the "
        "validation images into imagenet/val and, if they are not in folders, the devkit into imagenet",
    ),
    "folder": Known(
        inside=(),
        has=folders.has,
        read=lambda folder, channels, say: folders.read(folder, "folder", channels, say),
        fetch="name a folder with a folder of pictures for each class, or with train and test made like that",
    ),
}
NAMES = ("digits", "synthetic", *KNOWN)


def find(
    name: str,
    root: Path | None = None,
    *,
    fetch: bool = False,
    shape: tuple[int, int, int] | None = None,
    classes: int | None = None,
    say: Say = silent,
) -> Source:
    """The set of a name, or of a folder of pictures. With a root, that alone is searched. Raises `FileError`: AS531.

    With `fetch` a missing set is downloaded, to the root or the cache. `shape` (C, H, W) and `classes` are the
    network's: a synthetic set is made for them, and pictures are decoded to the channels. `say` hears, while
    the set is read, how far that is: every two seconds at most.
    """
    if name == "digits":
        return Source(name, "scikit-learn", digits.read)
    if name == "synthetic":
        size = shape or (3, 32, 32)
        return Source(name, "made up", lambda: synthetic.make(size, classes or 10))
    if name not in KNOWN and root is None and Path(name).is_dir():
        name, root = "folder", Path(name)
    known = KNOWN.get(name)
    if known is None:
        raise file_error(name, "AS531", "there is no data set of this name", hint=did_you_mean(name, NAMES))
    channels = 1 if shape and shape[0] == 1 else 3
    folder = _place(known, root)
    if folder is None and fetch and name in download.SETS:
        download.fetch(name, root or cache())
        folder = _place(known, root)
    if folder is None:
        raise _missing(name, known, root)
    return Source(name, str(folder), lambda: known.read(folder, channels, paced(say)))


def roots() -> tuple[Path, ...]:
    """Where sets are looked for when no root is given."""
    variable = os.environ.get(VARIABLE)
    return (*((Path(variable),) if variable else ()), cache(), DEBIAN)


def cache() -> Path:
    """The folder of downloads."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "archspec"


def _place(known: Known, root: Path | None) -> Path | None:
    """A root that the user names may be the set itself; elsewhere files of like names belong to many sets."""
    if root is None and not known.inside:
        return None
    own = (root,) if root is not None else ()
    places = (base / inside for base in own or roots() for inside in known.inside)
    return next((folder for folder in (*own, *places) if folder.is_dir() and known.has(folder)), None)


def _missing(name: str, known: Known, root: Path | None) -> FileError:
    where = (root,) if root is not None else roots()
    if not known.inside and root is None:
        message = "a set of pictures in folders is found by its path alone: --data DIR"
    else:
        message = f"the data set {name} is not in {', '.join(map(str, where))}"
    hint = (
        known.fetch
        if not known.inside
        else f"{known.fetch}, in {where[0]} or where --data-root or ${VARIABLE} says"
    )
    if name in download.SETS:
        hint += "; or archspec train --download fetches it"
    return file_error(root or name, "AS531", message, hint=hint)
