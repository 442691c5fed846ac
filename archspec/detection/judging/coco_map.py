"""COCO's mean average precision, by faster-coco-eval: 101 recalls, ten overlaps, 100 detections, three sizes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archspec.detection.judging.average_precision import checked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from archspec.detection.judging.average_precision import Detected
    from archspec.detection.scenes.annotations import Objects, Scenes

NAMES = (
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("recall_1", "recall_10", "recall_100", "recall_small", "recall_medium", "recall_large"),
)
"""COCO's twelve numbers, in the order in which its own program prints them."""


@dataclass(frozen=True, slots=True)
class ClassMap:
    """One class, in 0..1: at all overlaps, and at .5. `objects` without crowds; without objects, no values."""

    name: str
    objects: int
    crowds: int
    detections: int
    ap: float | None
    ap_50: float | None


@dataclass(frozen=True, slots=True)
class CocoResult:
    """COCO's twelve numbers in 0..1, by their `NAMES`, None where there are no objects of a kind; and each class."""

    numbers: dict[str, float | None]
    rows: tuple[ClassMap, ...]

    @property
    def mean(self) -> float | None:
        """mAP@[.5, .95]."""
        return self.numbers["map"]

    @property
    def mean_50(self) -> float | None:
        """mAP@.5."""
        return self.numbers["map_50"]

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a report."""
        return {
            "metric": "COCO mAP, 101 recalls, 100 detections",
            **self.numbers,
            "classes": [asdict(row) for row in self.rows],
        }


def coco_map(scenes: Scenes, found: Sequence[Detected]) -> CocoResult:
    """Of detections in all pictures, in the order of the pictures. COCO knows no difficult objects: they are crowds.

    Raises `ValueError` or `FileError` (AS523) for detections that cannot be judged.
    """
    checked(scenes, found, len(scenes.classes))
    precision, recall = _curves(scenes, found)
    values = (
        *(precision[..., 0, 2], precision[0, ..., 0, 2], precision[5, ..., 0, 2]),
        *(precision[..., size, 2] for size in (1, 2, 3)),
        *(recall[..., 0, most] for most in (0, 1, 2)),
        *(recall[..., size, 2] for size in (1, 2, 3)),
    )
    rows = []
    crowd = _crowds(scenes.objects)
    for label, name in enumerate(scenes.classes):
        ours = scenes.objects.labels == label
        rows.append(
            ClassMap(
                name,
                int((ours & ~crowd).sum()),
                int((ours & crowd).sum()),
                sum(int((each.labels == label).sum()) for each in found),
                _mean(precision[:, :, label, 0, 2]),
                _mean(precision[0, :, label, 0, 2]),
            )
        )
    return CocoResult({name: _mean(each) for name, each in zip(NAMES, values, strict=True)}, tuple(rows))


def _mean(values: NDArray[Any]) -> float | None:
    """Of those that there are: -1 stands where no object is."""
    there = values[values > -1]
    return float(there.mean()) if there.size else None


def _crowds(objects: Objects) -> NDArray[Any]:
    return objects.crowd | objects.difficult


def tables(scenes: Scenes, found: Sequence[Detected]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and results as COCO's json has them, with pictures counted from 1 and classes from 1."""
    crowd = _crowds(scenes.objects).tolist()
    boxes = _wide(scenes.objects.boxes)
    labels, areas = scenes.objects.labels.tolist(), scenes.objects.area.tolist()
    pictures = scenes.ends.searchsorted(range(len(labels)), side="right").tolist()
    truth = [
        {
            "id": place + 1,
            "image_id": pictures[place],
            "category_id": labels[place] + 1,
            "bbox": boxes[place],
            "area": areas[place],
            "iscrowd": int(crowd[place]),
        }
        for place in range(len(labels))
    ]
    results = [
        {"image_id": number, "category_id": label + 1, "bbox": box, "score": score}
        for number, each in enumerate(found, 1)
        for box, label, score in zip(
            _wide(each.boxes), each.labels.tolist(), each.scores.tolist(), strict=True
        )
    ]
    images = [
        {"id": number, "height": height, "width": width}
        for number, (height, width) in enumerate(scenes.sizes.tolist(), 1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(scenes.classes, 1)]
    return {"images": images, "annotations": truth, "categories": categories}, results


def _wide(boxes: NDArray[Any]) -> Any:
    """x, y, width and height, as lists."""
    wide = boxes.copy()
    wide[:, 2:] -= wide[:, :2]
    return wide.tolist()


def _curves(scenes: Scenes, found: Sequence[Detected]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Precision (overlaps, recalls, classes, sizes, most detections) and recall (without recalls); -1 for none."""
    import numpy as np
    from faster_coco_eval import COCO, COCOeval_faster

    annotations, results = tables(scenes, found)
    if not annotations["annotations"]:
        shape = 10, 101, len(scenes.classes), 4, 3
        return np.full(shape, -1.0), np.full((shape[0], *shape[2:]), -1.0)
    truth = COCO(annotations)
    told = truth.loadRes(results) if results else COCO({**annotations, "annotations": []})
    judged = COCOeval_faster(truth, told, iouType="bbox")
    judged.evaluate()
    judged.accumulate()
    return np.asarray(judged.eval["precision"]), np.asarray(judged.eval["recall"])
