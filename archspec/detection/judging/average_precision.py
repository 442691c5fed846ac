"""PASCAL VOC's average precision: 2007's at eleven recalls, and the area under the curve of 2010 to 2012.

The devkit counts pixels: a box from pixel 3 to pixel 5 is 5 - 3 + 1 wide. Boxes here run from edge to edge, 2 to 5, so
that x2 - x1 is that number, and the overlap of two boxes is the devkit's without adding anything.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from archspec.detection.scenes.annotations import Annotated, Flags, Floats, Labels, Scenes

Year = Literal[2007, 2012]


@dataclass(frozen=True, slots=True, eq=False)
class Detected:
    """What was found in a picture, in its pixels: `boxes` (m, 4), `scores` (m,) and `labels` (m,) from 0."""

    boxes: Floats
    scores: Floats
    labels: Labels

    def __len__(self) -> int:
        return len(self.scores)


def checked(scenes: Sequence[Annotated] | Scenes, found: Sequence[Detected], classes: int) -> None:
    """Raises `ValueError` where detections do not fit the pictures, `FileError`: AS523 where they are not numbers."""
    import numpy as np

    if len(scenes) != len(found):
        raise ValueError(f"detections of {len(found)} pictures, and there are {len(scenes)}")
    for place, each in enumerate(found):
        count = len(each)
        if each.boxes.shape != (count, 4) or each.labels.shape != (count,) or each.scores.shape != (count,):
            raise ValueError(f"detections of picture {place}: boxes (m, 4), scores (m,) and labels (m,)")
        if count and not 0 <= each.labels.min() <= each.labels.max() < classes:
            raise ValueError(f"detections of picture {place}: a label is none of the {classes} classes")
        if not (np.isfinite(each.boxes).all() and np.isfinite(each.scores).all()):
            message = f"detections of picture {place} are not finite numbers"
            raise file_error("detections", "AS523", message)
        if (each.boxes[:, 2:] < each.boxes[:, :2]).any():
            raise ValueError(f"detections of picture {place}: a box ends before it begins")


@dataclass(frozen=True, slots=True)
class ClassPrecision:
    """One class. `objects` are those that count, `ignored` the difficult ones and crowds; without objects, no `ap`."""

    name: str
    objects: int
    ignored: int
    detections: int
    ap: float | None


@dataclass(frozen=True, slots=True)
class VocResult:
    """VOC's AP of each class, in 0..1; `mean` is over the classes that have objects."""

    year: Year
    overlap: float
    rows: tuple[ClassPrecision, ...]

    @property
    def mean(self) -> float | None:
        """mAP; None where no class has objects."""
        values = [row.ap for row in self.rows if row.ap is not None]
        return sum(values) / len(values) if values else None

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a report."""
        how = "11 points" if self.year == 2007 else "area under the curve"
        return {
            "metric": f"VOC {self.year} AP, {how}",
            "overlap": self.overlap,
            "map": self.mean,
            "classes": [asdict(row) for row in self.rows],
        }


def average_precision(
    scenes: Scenes, found: Sequence[Detected], year: Year, overlap: float = 0.5
) -> VocResult:
    """Of detections in all pictures, in the order of the pictures. Difficult objects and crowds are ignored.

    Raises `ValueError` or `FileError` (AS523) for detections that cannot be judged.
    """
    checked(scenes, found, len(scenes.classes))
    pictures = list(scenes)
    rows = []
    for label, name in enumerate(scenes.classes):
        right, wrong, objects, ignored = _judged(pictures, found, label, overlap)
        detections = sum(int((each.labels == label).sum()) for each in found)
        value = None if not objects else _ap(right.cumsum(), wrong.cumsum(), objects, year)
        rows.append(ClassPrecision(name, objects, ignored, detections, value))
    return VocResult(year, overlap, tuple(rows))


def _judged(
    pictures: Sequence[Annotated], found: Sequence[Detected], label: int, overlap: float
) -> tuple[Flags, Flags, int, int]:
    """Which detections of a class are right and which are wrong, best score first; its objects, and ignored ones.

    A detection goes to the object that it overlaps most, and is right if that is at least `overlap` and no better
    detection has it. One that goes to an ignored object is neither right nor wrong.
    """
    import numpy as np

    scores, right, wrong = [], [], []
    objects = ignored = 0
    for picture, each in zip(pictures, found, strict=True):
        ours, theirs = picture.labels == label, each.labels == label
        skipped = (picture.objects.difficult | picture.objects.crowd)[ours]
        objects, ignored = objects + int((~skipped).sum()), ignored + int(skipped.sum())
        order = np.argsort(-each.scores[theirs], kind="stable")
        goes = _goes(each.boxes[theirs][order], picture.boxes[ours], overlap)
        to_object = (goes >= 0) & ~np.append(skipped, True)[goes]
        first = np.zeros(len(goes), bool)
        first[np.unique(goes, return_index=True)[1]] = True
        scores.append(each.scores[theirs][order])
        right.append(to_object & first)
        wrong.append((goes < 0) | to_object & ~first)
    together = np.argsort(-np.concatenate([*scores, np.zeros(0)]), kind="stable")
    none = np.zeros(0, bool)
    return (
        np.concatenate([*right, none])[together],
        np.concatenate([*wrong, none])[together],
        objects,
        ignored,
    )


def _goes(boxes: Floats, objects: Floats, overlap: float) -> Labels:
    """The object of each box, -1 for none."""
    import numpy as np

    if not len(boxes) or not len(objects):
        return np.full(len(boxes), -1)
    shares = overlaps(boxes, objects)
    best = shares.argmax(axis=1)
    return np.where(shares.max(axis=1) >= overlap, best, -1)


def overlaps(first: Floats, second: Floats) -> Floats:
    """(m, n): intersection over union of boxes (m, 4) and (n, 4); 0 where boxes only touch."""
    import numpy as np

    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=2)
    areas = [(each[:, 2:] - each[:, :2]).clip(0).prod(axis=1) for each in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    shares: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)
    return shares


def _ap(right: NDArray[Any], wrong: NDArray[Any], objects: int, year: Year) -> float:
    """From how many are right and wrong up to each score."""
    import numpy as np

    if not len(right):
        return 0.0
    precision = right / np.maximum(right + wrong, 1)
    if year == 2007:
        # recalls of tenths, in whole numbers: 3 of 10 objects are 0.3, which steps of 0.1 in floats may pass by
        return sum(float(precision[right * 10 >= tenth * objects].max(initial=0)) for tenth in range(11)) / 11
    recall = np.concatenate([[0], right / objects])
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * falling).sum())
