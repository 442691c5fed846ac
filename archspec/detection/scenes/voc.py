"""PASCAL VOC 2007 and 2012, as their devkits lie: VOCdevkit/VOC2007/{Annotations,ImageSets/Main,JPEGImages}.

A box of VOC names its first and last pixel, counted from 1. Here it runs from edge to edge: xmin, ymin, xmax, ymax
become xmin - 1, ymin - 1, xmax, ymax, so that a box of one pixel is one wide.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from typing import TYPE_CHECKING

from archspec.data.reading import content, damaged, opened, unreadable
from archspec.data.telling import silent
from archspec.deploy.pictures import FORMATS, SUFFIXES
from archspec.detection.scenes.annotations import Splits, together
from archspec.detection.scenes.gathering import Gathering, finite, sensible
from archspec.detection.scenes.markup import Broken, Element, parsed
from archspec.errors import FileError, did_you_mean, file_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from archspec.data.telling import Say
    from archspec.detection.scenes.annotations import Scenes

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
)
COMBINATIONS: Mapping[str, tuple[tuple[tuple[int, str], ...], tuple[int, str]]] = {
    "voc2007": (((2007, "trainval"),), (2007, "test")),
    "voc2012": (((2012, "train"),), (2012, "val")),
    "07+12": (((2007, "trainval"), (2012, "trainval")), (2007, "test")),
    "07++12": (((2007, "trainval"), (2007, "test"), (2012, "trainval")), (2012, "test")),
}
"""Years and splits that are trained on, and those that are tested on: appendix A.1's 07+12 and 07++12."""

FETCH = "unpack VOCtrainval and VOCtest of http://host.robots.ox.ac.uk/pascal/VOC into one folder VOCdevkit"
_MOST_LIST = 2**26
_MOST_XML = 2**20
_MOST_OBJECTS = 10_000
_NAME = re.compile(r"[\w-][\w.-]{0,254}")


def has(root: Path, year: int = 2007) -> bool:
    """Whether a year's folder lies in `root`, in its VOCdevkit, or is `root`."""
    return _folder(root, year) is not None


def _folder(root: Path, year: int) -> Path | None:
    name = f"VOC{year}"
    places = (root / "VOCdevkit" / name, root / name, *((root,) if root.name == name else ()))
    return next((place for place in places if (place / "ImageSets" / "Main").is_dir()), None)


def read_combination(root: Path, combination: str = "07+12", say: Say = silent) -> Splits:
    """Training and test pictures. Those of VOC 2012's test have no published boxes: there it is None.

    They are `unjudged` where they were fetched and lie without boxes.

    Raises `FileError`: AS531 for a year or a split that is not there, AS532 for damaged ones.
    """
    training, (year, split) = COMBINATIONS[combination]
    train = [read(root, each, part, say=say) for each, part in training]
    unpublished = combination == "07++12"
    test = None if unpublished and not _annotated(root, year, split) else read(root, year, split, say=say)
    unjudged = read_unjudged(root, year, say=say) if year == 2012 else None
    return Splits(train[0] if len(train) == 1 else together(combination, train), None, test, unjudged)


def read(root: Path, year: int, split: str, classes: Sequence[str] = CLASSES, *, say: Say = silent) -> Scenes:
    """One split of a year, as `ImageSets/Main/SPLIT.txt` lists it. Raises `FileError`: AS531, AS532."""
    folder = _folder(root, year)
    if folder is None:
        message = f"there is no VOC{year}/ImageSets/Main in it or in a folder VOCdevkit in it"
        raise file_error(root, "AS531", message, hint=FETCH)
    gathering = Gathering(f"VOC{year} {split}", str(folder), classes, range(1, len(classes) + 1))
    pictures = _listed(folder / "JPEGImages")
    reader = _Reader(gathering, {name: number for number, name in enumerate(classes)})
    names = _names(folder, split)
    for count, name in enumerate(names, 1):
        file = folder / "Annotations" / f"{name}.xml"
        if name not in pictures:
            gathering.problems.add(
                folder / "JPEGImages" / f"{name}.jpg", f"the picture is not there, and {split}.txt lists it"
            )
            continue
        reader.read(file, name, f"JPEGImages/{pictures[name]}")
        say(f"reading {gathering.name}: {count:,} of {len(names):,} pictures")
    return gathering.scenes()


def read_unjudged(root: Path, year: int, split: str = "test", *, say: Say = silent) -> Scenes | None:
    """The pictures of a split that has no annotations; their sizes are what their files' headers say.

    None where there is no list of them, or not one of them. Raises `FileError`: AS532.
    """
    folder = _folder(root, year)
    if folder is None or not _is_listed(folder, split) or _annotated(root, year, split):
        return None
    gathering = Gathering(f"VOC{year} {split}", str(folder), CLASSES, range(1, len(CLASSES) + 1))
    names, pictures = _names(folder, split), _listed(folder / "JPEGImages")
    if pictures.keys().isdisjoint(names):
        return None
    for count, name in enumerate(names, 1):
        file = folder / "JPEGImages" / pictures.get(name, f"{name}.jpg")
        message, size = _measured(file)
        if message:
            gathering.problems.add(file, message)
        else:
            gathering.add(f"JPEGImages/{file.name}", name, size)
        say(f"reading {gathering.name}: {count:,} of {len(names):,} pictures")
    return gathering.scenes()


def _measured(file: Path) -> tuple[str, tuple[int, int]]:
    """What is wrong with a picture, or nothing; its (H, W) as it lies, of which nothing is decoded."""
    from PIL import Image

    size = 0, 0
    try:
        with warnings.catch_warnings(), opened(file) as stream:
            warnings.simplefilter("ignore")  # PIL's remarks about odd files
            with Image.open(stream, formats=FORMATS) as picture:
                size = picture.height, picture.width
    except FileNotFoundError:
        return "the picture is not there, and the list of its split names it", size
    except FileError as error:
        return error.diagnostics[0].message, size
    except Exception as error:  # noqa: BLE001 - readers of broken files fail in every way there is
        return f"not a picture, or a damaged one: {str(error)[:200]}", size
    return "" if sensible(size) else f"{size[1]}x{size[0]} pixels are not what a picture can have", size


def _annotated(root: Path, year: int, split: str) -> bool:
    folder = _folder(root, year)
    if folder is None or not _is_listed(folder, split):
        return False
    return all((folder / "Annotations" / f"{name}.xml").is_file() for name in _names(folder, split)[:1])


def _is_listed(folder: Path, split: str) -> bool:
    return (folder / "ImageSets" / "Main" / f"{split}.txt").is_file()


def _names(folder: Path, split: str) -> list[str]:
    """Of the pictures of a split. A class's own list has a second column, which is left aside."""
    file = folder / "ImageSets" / "Main" / f"{split}.txt"
    if not file.is_file():
        there = sorted(each.stem for each in file.parent.glob("*.txt") if "_" not in each.stem)
        hint = f"there are {', '.join(there[:10])}" if there else FETCH
        raise file_error(file, "AS531", "there is no list of this split", hint=hint)
    lines = content(file, _MOST_LIST).decode("utf-8", "replace").splitlines()
    names: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        for name in line.split()[:1]:
            if not _NAME.fullmatch(name):
                raise damaged(file, f"line {number} names no picture")
            if name in names:
                raise damaged(file, f"line {number}: {name} is already in line {names[name]}")
            names[name] = number
    if not names:
        raise damaged(file, "no pictures are listed")
    return list(names)


def _listed(folder: Path) -> dict[str, str]:
    """The pictures of a folder: their files by their names without the ending."""
    try:
        with os.scandir(folder) as entries:
            files = sorted(each.name for each in entries)
    except OSError as error:
        raise unreadable(folder, error) from error
    return {stem: file for file in files for stem, end in [os.path.splitext(file)] if end.lower() in SUFFIXES}


class _Reader:
    """Annotations of one set."""

    def __init__(self, gathering: Gathering, labels: Mapping[str, int]) -> None:
        self.gathering, self.labels = gathering, labels
        self.problems = gathering.problems

    def read(self, file: Path, name: str, picture: str) -> None:
        """One file's picture and objects."""
        try:
            root = parsed(content(file, _MOST_XML))
        except FileError as error:
            for problem in error.diagnostics:
                self.problems.add(file, problem.message)
            return
        except Broken as error:
            self.problems.add(file, str(error), error.line)
            return
        size = self._size(file, root)
        objects = list(root.all("object"))
        if len(objects) > _MOST_OBJECTS:
            self.problems.add(file, f"{len(objects):,} objects are more than {_MOST_OBJECTS:,}", root.line)
        elif size:
            self.gathering.add(picture, name, size)
            for each in objects:
                self._object(file, each)

    def _size(self, file: Path, root: Element) -> tuple[int, int] | None:
        if root.name != "annotation":
            message = f'the outermost element is "{root.name[:60]}", not "annotation"'
            self.problems.add(file, message, root.line)
            return None
        element = root.first("size")
        said = [element.said(each) if element else "" for each in ("height", "width")]
        numbers = [int(each) if each.isdecimal() and len(each) < 10 else 0 for each in said]
        size = numbers[0], numbers[1]
        if sensible(size):
            return size
        line = element.line if element else root.line
        self.problems.add(file, "size: a height and a width that a picture can have are missing", line)
        return None

    def _object(self, file: Path, element: Element) -> None:
        name = element.said("name")
        if name not in self.labels:
            hint = did_you_mean(name, self.labels)
            message = f'"{name[:60]}" is none of the {len(self.labels)} classes'
            self.problems.add(file, message, _line(element, "name"), hint=hint)
            return
        difficult = element.said("difficult") or "0"
        if difficult not in ("0", "1"):
            message = f'difficult is 0 or 1, not "{difficult[:60]}"'
            self.problems.add(file, message, _line(element, "difficult"))
            return
        corners = self._corners(file, element)
        if corners:
            x1, y1, x2, y2 = corners
            self.gathering.put((x1 - 1, y1 - 1, x2, y2), self.labels[name], difficult=difficult == "1")

    def _corners(self, file: Path, element: Element) -> list[float] | None:
        box = element.first("bndbox")
        said = [box.said(each) if box else "" for each in ("xmin", "ymin", "xmax", "ymax")]
        values = [_number(each) for each in said]
        line = box.line if box else element.line
        if not finite(values):
            self.problems.add(file, "bndbox: xmin, ymin, xmax and ymax are numbers", line)
            return None
        if values[2] < values[0] or values[3] < values[1]:
            at = " ".join(each[:20] for each in said)
            self.problems.add(file, f"bndbox: {at} ends before it begins", line)
            return None
        return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _line(element: Element, name: str) -> int:
    return (element.first(name) or element).line
