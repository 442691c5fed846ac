"""ImageNet (ILSVRC 2012): a folder for each WNID, and the validation images sorted into them or as they came."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from archspec.data import folders
from archspec.data.matlab import structs
from archspec.data.reading import content, damaged
from archspec.data.sets import Files, Paths, Splits
from archspec.data.telling import silent
from archspec.errors import file_error

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.data.telling import Say

DEVKIT = "ILSVRC2012_devkit_t12"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
_MOST_TRUTH = 16 * 2**20
_VALIDATION = re.compile(r"ILSVRC2012_val_([0-9]{8})\.JPEG")
_WNID = re.compile(r"n[0-9]{8}")


def has(folder: Path) -> bool:
    """Whether a folder has training images by WNID."""
    return (folder / "train").is_dir() and _has_classes(folder / "train")


def _has_classes(folder: Path) -> bool:
    return any(map(_WNID.fullmatch, folders.below(folder)))


def read(folder: Path, channels: int, say: Say = silent) -> Splits:
    """`train/WNID/`, and `val/` with such folders or flat, with the devkit beside it. Raises `FileError`.

    What else lies there is left out: one folder more would number all classes behind it anew.
    """
    own = partial(folders.pictures, name="imagenet", channels=channels, is_class=_WNID.fullmatch, say=say)
    train = own(folder / "train")
    val = folder / "val"
    if not val.is_dir():
        raise damaged(folder, "there is no folder val")
    if _has_classes(val):
        return Splits(train, None, own(val, classes=train.classes))
    flat = sorted(each.name for each in val.iterdir() if _VALIDATION.fullmatch(each.name))
    if not flat:
        raise damaged(val, "there are neither folders of WordNet numbers in it nor images as they came")
    return Splits(train, None, _flat(folder, flat, train))


def _flat(folder: Path, names: list[str], train: Files) -> Files:
    import torch

    devkit = _devkit(folder)
    truth = content(devkit / TRUTH, _MOST_TRUTH).split()
    numbers = [int(name[15:23]) for name in names]
    if numbers != list(range(1, len(truth) + 1)):
        message = f"{len(names):,} validation images, and the devkit knows {len(truth):,}, numbered from 1"
        raise damaged(folder / "val", message)
    wnids = _wnids(devkit / META)
    numbered = {wnid: number for number, wnid in enumerate(train.classes)}
    labels = []
    for line, word in enumerate(truth, 1):
        wnid = wnids.get(int(word)) if word.isdigit() and len(word) < 9 else None
        if wnid not in numbered:
            shown = word[:20].decode("ascii", "replace")
            raise damaged(devkit / TRUTH, f"line {line}: {shown} is no class of the training images")
        labels.append(numbered[wnid])
    return Files(
        "imagenet", Paths(str(folder / "val"), names), torch.tensor(labels), train.classes, train.channels
    )


def _devkit(folder: Path) -> Path:
    places = (folder / DEVKIT / "data", folder / "devkit" / "data", folder, folder / "val")
    found = next((place for place in places if (place / TRUTH).is_file()), None)
    if found is None or not (found / META).is_file():
        missing = TRUTH if found is None else META
        message = (
            f"the validation images are not in folders, and {missing} is missing, which says what they show"
        )
        hint = f"unpack {DEVKIT}.tar.gz in {folder}"
        raise file_error(folder, "AS531", message, hint=hint)
    return found


def _wnids(path: Path) -> dict[int, str]:
    """From the numbers of the devkit to WNIDs, which sort otherwise."""
    found = {}
    for synset in structs(path, "synsets"):
        number, wnid = synset.get("ILSVRC2012_ID"), synset.get("WNID")
        if isinstance(number, int) and isinstance(wnid, str):
            found[number] = wnid
    if not found:
        raise damaged(path, "there are no synsets in it")
    return found
