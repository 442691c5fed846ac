"""COCO's mAP, against COCO's own program and examples done by hand."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from archspec.detection.judging.coco_map import NAMES, coco_map
from tests.detection.making import case, detected, scenes

if TYPE_CHECKING:
    from archspec.detection.judging.average_precision import Detected
    from archspec.detection.scenes.annotations import Scenes

A, B, FAR = (0, 0, 10, 10), (20, 20, 60, 60), (500, 500, 520, 520)


def official(whole: Scenes, found: list[Detected]) -> COCOeval:
    """pycocotools' numbers; -1 stands for none."""
    annotations, results = as_json(whole, found)
    truth, told = COCO(), COCO()
    truth.dataset, told.dataset = annotations, {**annotations, "annotations": []}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        told.createIndex()
        judged = COCOeval(truth, truth.loadRes(results) if results else told, "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged


def as_json(whole: Scenes, found: list[Detected]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Annotations and results as their files have them, one object after another."""
    annotations: list[dict[str, Any]] = []
    results = []
    for number, (annotated, each) in enumerate(zip(whole, found, strict=True)):
        own = annotated.objects
        for place, (x1, y1, x2, y2) in enumerate(own.boxes.tolist()):
            entry = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": 10 * int(own.labels[place]),
            }
            more = {"area": float(own.area[place]), "iscrowd": int(own.crowd[place])}
            annotations.append({**entry, **more, "bbox": [x1, y1, x2 - x1, y2 - y1]})
        for (x1, y1, x2, y2), score, label in zip(each.boxes.tolist(), each.scores, each.labels, strict=True):
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append(
                {"image_id": number, "category_id": 10 * int(label), "bbox": box, "score": float(score)}
            )
    categories = [{"id": 10 * label, "name": name} for label, name in enumerate(whole.classes)]
    images = [{"id": number, "height": 400, "width": 400} for number in range(len(whole))]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def plain(value: float | None) -> float:
    return -1 if value is None else value


@pytest.mark.parametrize("tenth", range(10))
def test_200_random_cases_equal_pycocotools(tenth: int) -> None:
    between = 0
    for seed in range(tenth * 20, tenth * 20 + 20):
        whole, found = case(seed)
        ours, theirs = coco_map(whole, found), official(whole, found)
        numbers = [plain(ours.numbers[name]) for name in NAMES]
        assert numbers == pytest.approx(theirs.stats.tolist(), abs=1e-6)
        between += 0 < numbers[0] < 1
        for label, row in enumerate(ours.rows):
            precision = theirs.eval["precision"][:, :, label, 0, 2]
            assert plain(row.ap) == pytest.approx(precision.mean() if row.objects else -1, abs=1e-6)
            assert plain(row.ap_50) == pytest.approx(precision[0].mean() if row.objects else -1, abs=1e-6)
    assert between > 10


def test_a_curve_done_by_hand() -> None:
    # one of two objects is found, at all overlaps: 51 of 101 recalls, those up to .5, have precision 1
    result = coco_map(scenes([(A, 0), (B, 0)], []), [detected((A, 0.9, 0), (FAR, 0.8, 0)), detected()])
    assert result.mean == pytest.approx(51 / 101)
    assert result.mean_50 == pytest.approx(51 / 101)
    assert result.numbers["map_small"] == pytest.approx(1)
    assert result.numbers["map_medium"] == 0
    assert result.numbers["map_large"] is None


def test_an_overlap_of_seven_tenths_counts_up_to_there() -> None:
    # the thresholds .5, .55, .6, .65 and .7 of ten
    result = coco_map(scenes([((0, 0, 100, 100), 0)]), [detected(((0, 0, 100, 72), 0.9, 0))])
    assert (result.mean, result.mean_50, result.numbers["map_75"]) == (pytest.approx(0.5), 1, 0)


def test_the_101st_detection_of_a_picture_is_not_seen() -> None:
    wrong = [(FAR, 0.9, 0)] * 100
    result = coco_map(scenes([(A, 0)]), [detected(*wrong, (A, 0.1, 0))])
    assert result.mean == 0
    assert coco_map(scenes([(A, 0)]), [detected(*wrong[1:], (A, 0.1, 0))]).mean_50 == pytest.approx(1 / 100)


def test_difficult_objects_are_taken_as_crowds() -> None:
    result = coco_map(scenes([(A, 0), (B, 0)], difficult=[1]), [detected((B, 0.9, 0), (A, 0.8, 0))])
    assert (result.mean, result.rows[0].objects, result.rows[0].crowds) == (1, 1, 1)


@pytest.mark.parametrize("found", [detected(), detected((A, 0.9, 1))])
def test_nothing_found_is_zero_and_nothing_there_is_no_value(found: Detected) -> None:
    result = coco_map(scenes([(A, 0)]), [found])
    assert (result.mean, [row.ap for row in result.rows]) == (0, [0, None])
    assert set(coco_map(scenes([]), [found]).numbers.values()) == {None}


def test_the_report_is_json_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    told: dict[str, Any] = json.loads(
        json.dumps(coco_map(scenes([(A, 0)]), [detected((A, 0.9, 0))]).as_json())
    )
    assert (told["map"], told["map_large"], told["classes"][0]["ap_50"]) == (1, None, 1)
    assert capfd.readouterr() == ("", "")


def test_scores_in_half_precision_are_judged_alike() -> None:
    whole, found = case(3)
    halves = [type(each)(each.boxes, each.scores.astype(np.float32), each.labels) for each in found]
    rounded = [
        type(each)(each.boxes, each.scores.astype(np.float32).astype(float), each.labels) for each in found
    ]
    assert coco_map(whole, halves).numbers == coco_map(whole, rounded).numbers
