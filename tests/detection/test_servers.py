"""Files for VOC's and COCO's servers, read back by others and judged to the same numbers."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from archspec.detection.judging.average_precision import Detected, average_precision
from archspec.detection.judging.coco_map import NAMES, coco_map
from archspec.detection.judging.servers import (
    coco_results,
    destination,
    voc_files,
    write,
    write_coco,
    write_voc,
)
from archspec.errors import FileError
from tests.detection.making import case, detected, scenes
from tests.detection.test_average_precision_coco import as_json, plain

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.detection.scenes.annotations import Scenes

A, B = (0.0, 0.0, 10.0, 10.0), (20.5, 30.25, 40.0, 50.0)


def named(whole: Scenes) -> Scenes:
    """With the names that VOC's pictures have."""
    return replace(whole, image_ids=tuple(f"2012_{number:06}" for number in range(len(whole))))


def read_voc(folder: Path, whole: Scenes, year: int) -> list[float | None]:
    """As VOCevaldet.m: a class's file, sorted by scores, overlaps with one pixel added to each side."""
    return [
        _read_class(folder / f"comp4_det_test_{name}.txt", whole, year, label)
        for label, name in enumerate(whole.classes)
    ]


def _read_class(file: Path, whole: Scenes, year: int, label: int) -> float | None:
    rows = [line.split(" ") for line in file.read_text().splitlines()]
    truth: dict[str, Any] = {}
    for picture in whole:
        own = picture.labels == label
        # as the annotations of VOC have them: first and last pixel, from 1
        boxes = [(x1 + 1, y1 + 1, x2, y2) for x1, y1, x2, y2 in picture.boxes[own].tolist()]
        truth[str(picture.image_id)] = boxes, picture.objects.difficult[own].tolist(), [False] * len(boxes)
    objects = sum(hard.count(False) for _, hard, _ in truth.values())
    if not objects:
        return None
    right, wrong = [0], [0]
    for picture, _, *corners in sorted(rows, key=lambda row: -float(row[1])):
        boxes, hard, taken = truth[picture]
        best, at = _best(tuple(map(float, corners)), boxes)
        hit, skipped = best >= 0.5, best >= 0.5 and hard[at]
        new = hit and not skipped and not taken[at]
        if new:
            taken[at] = True
        right.append(right[-1] + new)
        wrong.append(wrong[-1] + (not new and not skipped))
    recall = np.array(right[1:]) / objects
    precision = np.array(right[1:]) / np.maximum(np.add(right, wrong)[1:], 1)
    if year == 2007:
        return sum(precision[recall >= each / 10 - 1e-12].max(initial=0) for each in range(11)) / 11
    recall, precision = np.concatenate([[0], recall, [1]]), np.concatenate([[0], precision, [0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * precision[1:]).sum())


def _best(box: tuple[float, ...], boxes: Any) -> tuple[float, int]:
    best, at = -1.0, -1
    for place, own in enumerate(boxes):
        width = min(box[2], own[2]) - max(box[0], own[0]) + 1
        height = min(box[3], own[3]) - max(box[1], own[1]) + 1
        if width > 0 and height > 0:
            both = sum((each[2] - each[0] + 1) * (each[3] - each[1] + 1) for each in (box, own))
            share = width * height / (both - width * height)
            if share > best:
                best, at = share, place
    return best, at


@pytest.mark.parametrize("year", [2007, 2012])
def test_vocs_files_are_judged_as_our_detections(tmp_path: Path, year: Any) -> None:
    between = 0
    for seed in range(12):
        whole, found = case(seed, pixels=True)
        whole = named(whole)
        write_voc(tmp_path, whole, found)
        for ours, theirs in zip(
            average_precision(whole, found, year).rows, read_voc(tmp_path, whole, year), strict=True
        ):
            assert ours.ap == (None if theirs is None else pytest.approx(theirs, abs=1e-9))
            between += theirs is not None and 0 < theirs < 1
    assert between > 6


def test_cocos_results_are_judged_as_our_detections(tmp_path: Path) -> None:
    between = 0
    for seed in range(12):
        whole, found = case(seed)
        whole = replace(whole, category_ids=tuple(10 * label for label in range(len(whole.classes))))
        table, _ = as_json(whole, found)
        theirs = official(table, write_coco(tmp_path / "results.json", whole, found))
        ours = [plain(coco_map(whole, found).numbers[name]) for name in NAMES]
        assert ours == pytest.approx(theirs, abs=1e-9)
        between += 0 < ours[0] < 1
    assert between > 6


def official(table: Any, file: Path) -> list[float]:
    """pycocotools' twelve numbers, of a file as its server reads it."""
    truth, none = COCO(), COCO()
    truth.dataset, none.dataset = table, {**table, "annotations": []}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        none.createIndex()
        judged = COCOeval(truth, truth.loadRes(str(file)) if json.loads(file.read_text()) else none, "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    numbers: list[float] = judged.stats.tolist()
    return numbers


def test_a_line_of_voc_counts_pixels_from_one() -> None:
    whole = named(scenes([(A, 0)], []))
    files = voc_files(whole, [detected((A, 0.25, 0), (B, 1e-7, 1)), detected((A, 0.1, 0))], "val")
    assert files == {
        "comp4_det_val_a.txt": "2012_000000 0.25 1.0 1.0 10.0 10.0\n2012_000001 0.1 1.0 1.0 10.0 10.0\n",
        "comp4_det_val_b.txt": "2012_000000 1e-07 21.5 31.25 40.0 50.0\n",
    }


def test_every_class_has_a_file_and_what_stood_in_it_is_gone(tmp_path: Path) -> None:
    whole = named(scenes([], []))
    (tmp_path / "comp4_det_test_b.txt").write_text("old")
    files = write_voc(tmp_path, whole, [detected(), detected()])
    assert [each.name for each in files] == ["comp4_det_test_a.txt", "comp4_det_test_b.txt"]
    assert sorted(tmp_path.iterdir()) == files
    assert {each.read_text() for each in files} == {""}


def test_cocos_numbers_are_those_of_the_set(tmp_path: Path) -> None:
    whole = replace(scenes([(A, 0)], []), image_ids=(139, 25), category_ids=(90, 1))
    found = [detected((B, 0.5, 1)), detected((A, 0.25, 0))]
    wanted = [
        {"image_id": 139, "category_id": 1, "bbox": [20.5, 30.25, 19.5, 19.75], "score": 0.5},
        {"image_id": 25, "category_id": 90, "bbox": [0.0, 0.0, 10.0, 10.0], "score": 0.25},
    ]
    assert coco_results(whole, found) == wanted
    file = write_coco(tmp_path / "new" / "results.json", whole, found)
    assert json.loads(file.read_text()) == wanted
    assert json.loads(write_coco(file, whole, [detected(), detected()]).read_text()) == []


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("voc2007", ["comp4_det_test_a.txt", "comp4_det_test_b.txt"]),
        ("voc2012", ["comp4_det_val_a.txt", "comp4_det_val_b.txt"]),
        ("07++12", ["comp4_det_test_a.txt", "comp4_det_test_b.txt"]),
        ("coco", ["results.json"]),
    ],
)
def test_a_set_has_its_own_servers_files(tmp_path: Path, name: str, files: list[str]) -> None:
    whole = replace(scenes([(A, 0)], []), name=name)
    if name != "coco":
        whole = named(whole)
    written = write(tmp_path, whole, [detected((A, 0.5, 1)), detected()])
    assert [each.name for each in written] == files
    assert all(each.parent == tmp_path for each in written)
    assert [bool(each.read_text()) for each in written] == ([True] if name == "coco" else [False, True])


@pytest.mark.parametrize("name", ["../up", "a/b", "a b", "", ".hidden", "a\n", "-a", "x" * 101, "犬"])
def test_a_class_that_no_file_can_be_called_by_is_refused(tmp_path: Path, name: str) -> None:
    whole = replace(named(scenes([])), classes=("a", name))
    with pytest.raises(FileError, match="cannot be part of the name of a file"):
        write_voc(tmp_path, whole, [detected()])
    assert not list(tmp_path.iterdir())


def test_a_picture_whose_name_would_be_two_words_is_refused() -> None:
    whole = replace(scenes([]), image_ids=("my dog",))
    with pytest.raises(FileError, match='the picture "my dog" cannot stand in'):
        voc_files(whole, [detected((A, 0.5, 0))])


@pytest.mark.parametrize("made", [voc_files, coco_results])
def test_what_is_no_number_is_not_written(made: Any) -> None:
    bad = Detected(np.array([[0, 0, np.nan, 1]]), np.array([0.5]), np.array([0]))
    with pytest.raises(FileError, match="not finite numbers"):
        made(named(scenes([])), [bad])
    with pytest.raises(ValueError, match="detections of 2 pictures"):
        made(named(scenes([])), [detected(), detected()])


@pytest.mark.parametrize(
    ("name", "split", "wanted", "place"),
    [
        ("07++12", "test", "test", "results/VOC2012/Main"),
        ("voc2012", "test", "test", "results/VOC2012/Main"),
        ("voc2012", None, "val", "results/VOC2012/Main"),
        ("07+12", None, "test", "results/VOC2007/Main"),
    ],
)
def test_files_are_named_after_the_split_that_is_said(
    tmp_path: Path, name: str, split: str | None, wanted: str, place: str
) -> None:
    whole = replace(named(scenes([])), name=name)
    files = write(tmp_path, whole, [detected()], split=split)
    assert [each.name for each in files] == [f"comp4_det_{wanted}_{each}.txt" for each in "ab"]
    assert place in destination(whole)


def test_cocos_results_go_to_cocos_server(tmp_path: Path) -> None:
    whole = replace(scenes([]), name="coco")
    assert [each.name for each in write(tmp_path, whole, [detected()], split="test")] == ["results.json"]
    assert "detections_test-dev2017_NAME_results.json" in destination(whole)
