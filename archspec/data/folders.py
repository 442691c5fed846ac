"""Folders of pictures, one a class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.data.reading import damaged, unreadable
from archspec.data.sets import Files, Paths, Splits, stratified
from archspec.data.telling import silent
from archspec.deploy.pictures import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archspec.data.telling import Say

MOST_PICTURES = 50_000_000
MOST_CLASSES = 100_000
TEST_SHARE = 0.2
"""Of each class, where a folder has no parts of its own."""

_TRAIN = ("train", "training")
_VALIDATION = ("val", "valid", "validation")
_TEST = ("test", "testing")


def has(folder: Path) -> bool:
    """Whether a folder has folders in it."""
    return folder.is_dir() and any(below(folder))


def read(folder: Path, name: str, channels: int, say: Say = silent) -> Splits:
    """`train/`, `val/` and `test/` with a folder for each class, or the classes alone, then split.

    Where only `val/` stands beside `train/`, it is what is tested on, as with ImageNet. Raises `FileError`: AS532.
    """
    train, validation, test = (_named(folder, names) for names in (_TRAIN, _VALIDATION, _TEST))
    if train is None:
        return _divided(pictures(folder, name, channels, say=say))
    if test is None and validation is None:
        raise damaged(folder, "there is a folder train, but none named val or test")
    training = pictures(train, name, channels, say=say)
    parts = [pictures(part, name, channels, training.classes, say=say) for part in (validation, test) if part]
    return Splits(training, parts[0] if len(parts) > 1 else None, parts[-1])


def _named(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _divided(files: Files) -> Splits:
    first, second = stratified(files.labels.numpy(), TEST_SHARE)
    if not len(second):
        raise damaged(
            files.paths.folder, f"{len(first)} pictures are too few to test on a fifth of each class"
        )
    return Splits(files.part(first), None, files.part(second))


def pictures(
    folder: Path,
    name: str,
    channels: int,
    classes: tuple[str, ...] = (),
    *,
    is_class: Callable[[str], object] = bool,
    say: Say = silent,
) -> Files:
    """The pictures of each class, sorted; the folders are the classes. Given classes are all that may be there.

    A folder whose name is not a class's is left out.
    """
    import torch

    found = tuple(each for each in below(folder) if is_class(each))
    if not found:
        raise damaged(folder, "there are no folders in it, and each class is one")
    if len(found) > MOST_CLASSES:
        raise damaged(folder, f"{len(found):,} classes are more than {MOST_CLASSES:,}")
    unknown = [each for each in found if classes and each not in classes]
    if unknown:
        raise damaged(
            folder, f"{len(unknown)} classes are not among the training ones: {', '.join(unknown[:5])}"
        )
    numbers = {each: number for number, each in enumerate(classes or found)}
    names: list[str] = []
    labels: list[int] = []
    for each in found:
        inside = list(_pictures(folder, each))
        names += inside
        labels += [numbers[each]] * len(inside)
        say(f"looking through {folder}: {len(names):,} pictures")
        if not inside and not classes:
            raise damaged(folder / each, "a class without pictures")
        if len(names) > MOST_PICTURES:
            raise damaged(folder, f"more than {MOST_PICTURES:,} pictures")
    if not names:
        raise damaged(folder, "there are no pictures in it")
    return Files(name, Paths(str(folder), names), torch.tensor(labels), classes or found, channels)


def below(folder: Path) -> Iterator[str]:
    """The folders in a folder, sorted, hidden ones left out. Raises `FileError`: AS532."""
    try:
        with os.scandir(folder) as entries:
            yield from sorted(
                each.name for each in entries if each.is_dir() and not each.name.startswith(".")
            )
    except OSError as error:
        raise unreadable(folder, error) from error


def _refused(error: OSError) -> None:
    raise unreadable(Path(error.filename), error) from error


def _pictures(folder: Path, name: str) -> Iterator[str]:
    """Pictures of one class, at any depth, as paths from the set's folder."""
    for place, folders, names in os.walk(folder / name, onerror=_refused):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        inside = os.path.relpath(place, folder)
        for each in sorted(names):
            if not each.startswith(".") and os.path.splitext(each)[1].lower() in SUFFIXES:
                yield os.path.join(inside, each)
