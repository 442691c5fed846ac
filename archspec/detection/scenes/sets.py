"""Sets for detection by their names: made up, PASCAL VOC, COCO, or a folder of one's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.data.find import VARIABLE, roots
from archspec.data.telling import paced, silent
from archspec.detection.scenes import coco, shapes, voc
from archspec.errors import did_you_mean, file_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.data.telling import Say
    from archspec.detection.scenes.annotations import Scenes, Splits

NAMES = ("shapes", *voc.COMBINATIONS, "coco")
_INSIDE = ("", "VOC", "voc", "COCO", "coco", "coco2017", "coco2014")


@dataclass(frozen=True, slots=True)
class Source:
    """A set that was found, and how to read it. `place` is its folder, or what it comes with."""

    name: str
    place: str
    read: Callable[[], Splits]


def find(name: str, root: Path | None = None, say: Say = silent) -> Source:
    """The set of a name, or of a folder with COCO's json. With a root, that alone is searched.

    `say` hears how far reading is: every two seconds at most. Raises `FileError`: AS531.
    """
    source = _found(name, root, say)
    return replace(source, read=lambda: _named(source.read(), source.name))


def _found(name: str, root: Path | None, say: Say) -> Source:
    if name == "shapes":
        return Source(name, "made up", lambda: shapes.make(say=paced(say)))
    if name in voc.COMBINATIONS:
        training, (year, _) = voc.COMBINATIONS[name]
        years = {*(each for each, _ in training), year}
        folder = _place(name, root, lambda place: all(voc.has(place, each) for each in years), voc.FETCH)
        return Source(name, str(folder), lambda: voc.read_combination(folder, name, paced(say)))
    if name == "coco":
        folder = _place(name, root, coco.has, coco.FETCH)
        return Source(name, str(folder), lambda: coco.read_folder(folder, name, paced(say)))
    own = Path(name) if root is None else root if name == "folder" else None
    if own is not None and own.is_dir():
        return Source("folder", str(own), lambda: coco.read_folder(own, own.name, paced(say)))
    raise file_error(name, "AS531", "there is no data set of this name", hint=did_you_mean(name, NAMES))


def _named(splits: Splits, name: str) -> Splits:
    """Each part by the set's name, by which metrics and reports know it; readers say which part it is, and the year."""

    def named(part: Scenes | None) -> Scenes | None:
        return None if part is None else replace(part, name=name)

    validation, test, unjudged = map(named, (splits.validation, splits.test, splits.unjudged))
    train = replace(splits.train, name=name)
    return replace(splits, train=train, validation=validation, test=test, unjudged=unjudged)


def _place(name: str, root: Path | None, has: Callable[[Path], bool], fetch: str) -> Path:
    bases = (root,) if root is not None else roots()
    found = next((base / inside for base in bases for inside in _INSIDE if has(base / inside)), None)
    if found is not None:
        return found
    message = f"the data set {name} is not in {', '.join(map(str, bases))}"
    raise file_error(
        root or name,
        "AS531",
        message,
        hint=f"{fetch}, in {bases[0]} or where --data-root or ${VARIABLE} says",
    )
