"""COCO's json: instances_train2014.json beside its pictures, or a folder of pictures with a json of one's own.

A box of COCO is x, y, width, height, with edges for pixels; here it is x, y, x + width, y + height. Categories have
any numbers; here they are the classes in the order of those, from 0.
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from archspec.data.reading import content, damaged
from archspec.data.telling import silent
from archspec.detection.scenes.annotations import Splits
from archspec.detection.scenes.gathering import Gathering, Problems, finite, sensible
from archspec.errors import file_error

if TYPE_CHECKING:
    from archspec.data.telling import Say
    from archspec.detection.scenes.annotations import Scenes

MOST_BYTES = 2**30
"""instances_train2017.json has 469,785,474."""
_MOST_CATEGORIES = 100_000
_OWN = ("annotations.json", "_annotations.coco.json", "instances.json", "coco.json")
_PARTS = {
    "train": ("train", "training", "train2017", "train2014"),
    "validation": ("val", "valid", "validation", "val2017", "val2014"),
    "test": ("test", "testing"),
}
_UNJUDGED = (
    *(("image_info_test-dev2017", "test2017"), ("image_info_test2017", "test2017")),
    *(("image_info_test-dev2015", "test2015"), ("image_info_test2015", "test2015")),
    ("image_info_test2014", "test2014"),
)
"""Lists of test pictures and the folders of those, the first one that is there: test-dev is what papers report."""
_TABLES = ("images", "annotations", "categories")
FETCH = "unpack train2017.zip, val2017.zip and annotations_trainval2017.zip of https://cocodataset.org into one folder"


def find(root: Path, part: str) -> tuple[Path, Path] | None:
    """The json and the pictures' folder of a part: "train", "validation" or "test"; COCO's layout, or one's own."""
    for name in _PARTS[part]:
        folder = root / name
        if folder.is_dir():
            beside = root / "annotations"
            places = (
                *(beside / f"{stem}{name}.json" for stem in ("instances_", "")),
                *(folder / own for own in _OWN),
                root / f"{name}.json",
            )
            file = next((each for each in places if each.is_file()), None)
            if file is not None:
                return file, _pictures(folder)
    return None


def has(root: Path) -> bool:
    """Whether a folder has training pictures with annotations."""
    return find(root, "train") is not None


def _pictures(folder: Path) -> Path:
    return folder / "images" if (folder / "images").is_dir() else folder


def read_folder(root: Path, name: str = "coco", say: Say = silent) -> Splits:
    """A folder with parts, or one json alone, of which a fifth of the pictures is tested on.

    Where only validation stands beside training, it is what is tested on. COCO's own test pictures, whose objects are
    not published, are `unjudged`. Raises `FileError`: AS531, AS532.
    """
    places = {part: find(root, part) for part in _PARTS}
    if places["train"] is None:
        return _divided(root, name, say)
    train, validation, test = (
        None if place is None else read(*place, name=f"{name} {part}", say=say)
        for part, place in places.items()
    )
    assert train is not None
    unjudged = _unjudged(root, train, say)
    if test is None and validation is None and unjudged is None:
        raise damaged(root, "there are annotations for training, but none for validation or for testing")
    for each in (validation, test):
        if each is not None and each.classes != train.classes:
            raise damaged(root, f"the classes of {each.name} are not those of {train.name}")
    return Splits(train, validation if test else None, test or validation, unjudged)


def _unjudged(root: Path, train: Scenes, say: Say) -> Scenes | None:
    """COCO's own test; a folder without any pictures is none."""
    places = ((root / "annotations" / f"{stem}.json", root / folder) for stem, folder in _UNJUDGED)
    there = (place for place in places if place[0].is_file() and place[1].is_dir())
    found = next((place for place in there if any(place[1].iterdir())), None)
    if found is None:
        return None
    scenes = read(*found, name=found[0].stem.removeprefix("image_info_"), say=say, objects=False)
    if (scenes.classes, scenes.category_ids) != (train.classes, train.category_ids):
        raise damaged(found[0], f"the categories, or their ids, are not those of {train.name}")
    return scenes


def _divided(root: Path, name: str, say: Say) -> Splits:
    import numpy as np

    from archspec.data.sets import stratified

    file = next((root / own for own in _OWN if (root / own).is_file()), None)
    if file is None:
        message = f"there is no {', '.join(_OWN)} in it, and no train with annotations"
        raise file_error(root, "AS531", message, hint=FETCH)
    scenes = read(file, _pictures(root), name=name, say=say)
    first, second = stratified(np.zeros(len(scenes), np.int64), 0.2)
    if not len(second):
        raise damaged(file, f"{len(scenes)} pictures are too few to test on a fifth of them")
    return Splits(scenes.part(first), None, scenes.part(second))


def read(
    file: Path, pictures: Path, name: str = "coco", say: Say = silent, *, objects: bool = True
) -> Scenes:
    """The pictures of one json, by their numbers; without `objects`, it needs none. Raises `FileError`: AS532."""
    table = _table(file, _TABLES if objects else ("images", "categories"))
    say(f"{file} is read")
    problems = Problems()
    reader = _Reader(file, pictures, problems)
    labels, names = reader.categories(table["categories"])
    images = reader.images(table["images"])
    problems.settle()
    rows = reader.annotations(table["annotations"], images, labels) if objects else {}
    problems.settle()
    gathering = Gathering(name, str(pictures), names, tuple(labels))
    for count, (image_id, (inside, size)) in enumerate(sorted(images.items()), 1):
        gathering.add(inside, image_id, size)
        for box, label, crowd, area in rows.get(image_id, ()):
            gathering.put(box, label, crowd=crowd, area=area)
        say(f"reading {name}: {count:,} of {len(images):,} pictures")
    return gathering.scenes()


def _table(file: Path, keys: tuple[str, ...] = _TABLES) -> dict[str, list[Any]]:
    try:
        table = json.loads(content(file, MOST_BYTES), object_hook=_slim)
    except json.JSONDecodeError as error:
        problems = Problems()
        problems.add(file, f"this is not json: {error.msg}", error.lineno)
        problems.settle()
        raise AssertionError from error
    except (ValueError, RecursionError) as error:
        raise damaged(file, f"this is not json: {str(error)[:200]}") from error
    if not isinstance(table, dict) or not all(isinstance(table.get(key), list) for key in keys):
        hint = "results are no annotations, and neither are captions"
        raise damaged(file, f"these are no annotations: {', '.join(keys)} are lists in a table", hint=hint)
    return {key: table[key] for key in keys}


def _slim(table: dict[str, Any]) -> dict[str, Any]:
    """Without outlines: they are most of COCO's annotations, and dropped as soon as they are read."""
    table.pop("segmentation", None)
    return table


Row = tuple[tuple[float, float, float, float], int, bool, float | None]


class _Reader:
    """One file's tables, checked entry by entry."""

    def __init__(self, file: Path, pictures: Path, problems: Problems) -> None:
        self.file, self.pictures, self.problems = file, pictures, problems

    def wrong(self, place: str, message: str) -> None:
        self.problems.add(self.file, f"{place}: {message}")

    def categories(self, entries: list[Any]) -> tuple[dict[int, int], list[str]]:
        """Labels by the numbers of the categories, and the classes."""
        found: dict[int, str] = {}
        names: set[str] = set()
        for number, entry in enumerate(entries[:_MOST_CATEGORIES]):
            place = f"categories[{number}]"
            if not isinstance(entry, dict) or not _whole(entry.get("id")) or not _named(entry.get("name")):
                self.wrong(place, "a whole id and a name are needed")
            elif entry["id"] in found or entry["name"] in names:
                self.wrong(place, f"{entry['name'][:60]}, id {entry['id']}, is there twice")
            else:
                found[entry["id"]] = entry["name"]
                names.add(entry["name"])
        if not 0 < len(entries) <= _MOST_CATEGORIES:
            self.wrong("categories", f"there are {len(entries):,}")
        return {each: label for label, each in enumerate(sorted(found))}, [
            found[each] for each in sorted(found)
        ]

    def images(self, entries: list[Any]) -> dict[int, tuple[str, tuple[int, int]]]:
        """File and (H, W) by number."""
        found: dict[int, tuple[str, tuple[int, int]]] = {}
        if not entries:
            self.wrong("images", "there are none")
        for number, entry in enumerate(entries):
            place = f"images[{number}]"
            image = self._image(place, entry)
            if image and entry["id"] in found:
                self.wrong(place, f"id {entry['id']} is there twice")
            elif image:
                found[entry["id"]] = image
        return found

    def _image(self, place: str, entry: Any) -> tuple[str, tuple[int, int]] | None:
        wrong = _wrong_image(entry)
        if wrong:
            self.wrong(place, wrong)
            return None
        name: str = entry["file_name"]
        if not os.path.isfile(self.pictures / name):
            message = f"the picture is not there, and {place} of {self.file.name} names it"
            self.problems.add(self.pictures / name, message)
            return None
        return name, (entry["height"], entry["width"])

    def annotations(
        self, entries: list[Any], images: dict[int, Any], labels: dict[int, int]
    ) -> dict[int, list[Row]]:
        """Box, label, crowd and area of each picture's objects, by the picture's number."""
        found: dict[int, list[Row]] = {}
        for number, entry in enumerate(entries):
            wrong = _wrong(entry, images, labels)
            if wrong:
                said = f" (id {entry['id']})" if isinstance(entry, dict) and _whole(entry.get("id")) else ""
                self.wrong(f"annotations[{number}]{said}", wrong)
                continue
            x, y, width, height = map(float, entry["bbox"])
            area = None if entry.get("area") is None else float(entry["area"])
            row = (
                (x, y, x + width, y + height),
                labels[entry["category_id"]],
                bool(entry.get("iscrowd", 0)),
                area,
            )
            found.setdefault(entry["image_id"], []).append(row)
        return found


def _wrong_image(entry: Any) -> str:
    """What is wrong with an image; nothing if it is sound."""
    if not isinstance(entry, dict) or not _whole(entry.get("id")):
        return "a whole id is needed"
    name, height, width = (entry.get(key) for key in ("file_name", "height", "width"))
    if not _named(name) or not _within(str(name)):
        return "file_name is a path within the folder of pictures"
    if not _whole(height) or not _whole(width) or not sensible((height or 0, width or 0)):
        return "height and width are whole numbers that a picture can have"
    return ""


def _wrong(entry: Any, images: dict[int, Any], labels: dict[int, int]) -> str:
    """What is wrong with an annotation; nothing if it is sound."""
    if not isinstance(entry, dict):
        return "this is no table"
    image, category, box = (entry.get(key) for key in ("image_id", "category_id", "bbox"))
    if not _whole(image) or image not in images:
        return f"image_id {_brief(image)} is none of the images"
    if not _whole(category) or category not in labels:
        return f"category_id {_brief(category)} is none of the categories"
    if not isinstance(box, list) or len(box) != 4 or not all(map(_real, box)) or not finite(box):
        return "bbox is four numbers: x, y, width, height"
    if box[2] < 0 or box[3] < 0:
        return f"bbox has a width of {box[2]:g} and a height of {box[3]:g}"
    if entry.get("iscrowd", 0) not in (0, 1):
        return "iscrowd is 0 or 1"
    area = entry.get("area")
    if area is not None and (not _real(area) or not 0 <= area < 2**62):
        return "area is a number of pixels"
    return ""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _real(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -(2**62) < value < 2**62


def _named(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 1000 and "\0" not in value


def _within(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and ":" not in name


def _brief(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, int | float | str | None) else "of this kind"
