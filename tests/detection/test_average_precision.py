"""VOC's average precision, against examples done by hand and a slow reference."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from archspec.detection.judging.average_precision import Detected, average_precision, overlaps
from archspec.errors import FileError
from tests.detection.making import case, detected, scenes

if TYPE_CHECKING:
    from archspec.detection.scenes.annotations import Annotated, Scenes

A, B, C, FAR = (0, 0, 10, 10), (20, 20, 40, 40), (50, 50, 60, 80), (500, 500, 520, 520)


def reference(whole: Scenes, found: list[Detected], label: int, year: int) -> Fraction | None:
    """As the devkit's report describes it, in whole pixels counted from 1, one detection after another."""
    objects = sum(
        1
        for each in whole
        for own, hard in zip(each.labels, each.objects.difficult, strict=True)
        if own == label and not hard
    )
    if not objects:
        return None
    ranked = [
        (-float(score), picture, number)
        for picture, each in enumerate(found)
        for number, (score, own) in enumerate(zip(each.scores, each.labels, strict=True))
        if own == label
    ]
    # of equal scores the earlier picture comes first, and its earlier detection
    curve, right, wrong, taken = [], 0, 0, set()
    for _, picture, number in sorted(ranked):
        best, at = goes_to(whole[picture], found[picture].boxes[number].tolist(), label)
        if best is not None and best >= 0.5 and whole[picture].objects.difficult[at]:
            curve.append((right, wrong))
            continue
        if best is not None and best >= 0.5 and (picture, at) not in taken:
            taken.add((picture, at))
            right += 1
        else:
            wrong += 1
        curve.append((right, wrong))
    points = [(Fraction(r, objects), Fraction(r, r + w) if r + w else Fraction(0)) for r, w in curve]
    if year == 2007:
        tenths = [Fraction(each, 10) for each in range(11)]
        return sum(max((p for r, p in points if r >= tenth), default=Fraction(0)) for tenth in tenths) / 11
    return sum(
        (
            (recall - before) * max(p for r, p in points if r >= recall)
            for (before, _), (recall, _) in zip([(Fraction(0), 0), *points], points, strict=False)
        ),
        Fraction(0),
    )


def goes_to(picture: Annotated, box: Any, label: int) -> tuple[float | None, int]:
    """The overlap as the devkit has it: from the first pixel to the last one, and one more."""
    best, at = None, -1
    for place, own in enumerate(picture.boxes.tolist()):
        if picture.labels[place] != label:
            continue
        ours, theirs = (own[0] + 1, own[1] + 1, *own[2:]), (box[0] + 1, box[1] + 1, *box[2:])
        w = min(ours[2], theirs[2]) - max(ours[0], theirs[0]) + 1
        h = min(ours[3], theirs[3]) - max(ours[1], theirs[1]) + 1
        if w <= 0 or h <= 0:
            continue
        sizes = [(each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (ours, theirs)]
        share = w * h / (sum(sizes) - w * h)
        if best is None or share > best:
            best, at = share, place
    return best, at


@pytest.mark.parametrize("year", [2007, 2012])
def test_200_random_cases_equal_the_slow_reference(year: int) -> None:
    known = 0
    for seed in range(200):
        whole, found = case(seed, pixels=True)
        rows = average_precision(whole, found, year).rows
        for label, row in enumerate(rows):
            wanted = reference(whole, found, label, year)
            assert (row.ap is None) == (wanted is None)
            if wanted is not None:
                known += 0 < wanted < 1
                assert row.ap == pytest.approx(float(wanted), abs=1e-9)
    assert known > 200


def test_a_curve_done_by_hand() -> None:
    # right, wrong, right, wrong, and an object that nothing finds: precision 1 at recall 1/3, 2/3 at recall 2/3
    whole = scenes([(A, 0), (B, 0)], [(C, 0)])
    found = [detected((A, 0.9, 0), (FAR, 0.8, 0)), detected((C, 0.7, 0), (FAR, 0.6, 0))]
    assert average_precision(whole, found, 2012).rows[0].ap == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    # recalls 0 to .3 have precision 1, .4 to .6 have 2/3, .7 to 1 have none
    assert average_precision(whole, found, 2007).rows[0].ap == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)


def test_a_recall_of_exactly_three_tenths_is_reached() -> None:
    whole = scenes([((each * 20, 0, each * 20 + 10, 10), 0) for each in range(10)])
    found = [detected(*(((each * 20, 0, each * 20 + 10, 10), 0.9, 0) for each in range(3)))]
    assert average_precision(whole, found, 2007).rows[0].ap == pytest.approx(4 / 11)


def test_the_second_detection_of_an_object_is_wrong() -> None:
    found = [detected((A, 0.8, 0), (A, 0.9, 0))]
    result = average_precision(scenes([(A, 0), (B, 0)]), [*found], 2012)
    assert result.rows[0].ap == pytest.approx(0.5)
    # the wrong one comes before the right one of B
    found = [detected((A, 0.8, 0), (A, 0.9, 0), (B, 0.1, 0))]
    assert average_precision(scenes([(A, 0), (B, 0)]), found, 2012).rows[0].ap == pytest.approx(
        0.5 + 0.5 * 2 / 3
    )


def test_a_difficult_object_neither_counts_nor_makes_detections_wrong() -> None:
    whole = scenes([(A, 0), (B, 0)], difficult=[1])
    found = [detected((B, 0.99, 0), (B, 0.98, 0), (A, 0.5, 0))]
    (row, _) = average_precision(whole, found, 2012).rows
    assert (row.objects, row.ignored, row.detections, row.ap) == (1, 1, 3, 1.0)


def test_an_overlap_of_exactly_a_half_is_enough() -> None:
    whole = scenes([((0, 0, 10, 10), 0)])
    assert average_precision(whole, [detected(((0, 0, 10, 5), 0.5, 0))], 2012).rows[0].ap == 1
    assert average_precision(whole, [detected(((0, 0, 10, 4.99), 0.5, 0))], 2012).rows[0].ap == 0


def test_boxes_that_touch_do_not_overlap_and_one_pixel_is_a_box() -> None:
    boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [4, 4, 5, 5], [3, 3, 3, 9]], float)
    assert overlaps(boxes, boxes)[0].tolist() == [1, 0, 0.01, 0]
    assert overlaps(boxes, boxes)[3, 3] == 0


@pytest.mark.parametrize("year", [2007, 2012])
def test_nothing_found_is_zero_and_nothing_there_is_no_value(year: int) -> None:
    result = average_precision(scenes([(A, 0)], []), [detected(), detected((A, 0.9, 1))], year)
    assert [row.ap for row in result.rows] == [0, None]
    assert result.mean == 0
    assert average_precision(scenes([]), [detected()], year).mean is None
    assert average_precision(scenes(), [], year).mean is None


def test_the_mean_is_over_classes_and_the_report_is_json() -> None:
    result = average_precision(scenes([(A, 0), (B, 1)]), [detected((A, 0.9, 0))], 2007)
    told = json.loads(json.dumps(result.as_json()))
    assert (told["map"], told["metric"]) == (0.5, "VOC 2007 AP, 11 points")
    assert told["classes"][1] == {"name": "b", "objects": 1, "ignored": 0, "detections": 0, "ap": 0.0}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "0 pictures"),
        ([detected((A, 0.5, 7))], "none of the 2 classes"),
        ([detected(((9, 0, 1, 1), 0.5, 0))], "ends before it begins"),
        ([Detected(np.zeros((2, 4)), np.zeros(1), np.zeros(1, np.int64))], r"boxes \(m, 4\)"),
    ],
)
def test_detections_that_do_not_fit_are_refused(found: list[Detected], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        average_precision(scenes([(A, 0)]), found, 2007)


def test_scores_that_are_not_numbers_are_a_diagnostic() -> None:
    with pytest.raises(FileError, match="AS523 detections of picture 0"):
        average_precision(scenes([(A, 0)]), [detected((A, float("nan"), 0))], 2007)
