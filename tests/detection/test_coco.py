"""COCO's json as it lies on disk: read as it is meant, and refused with the place where it is broken."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from archspec.detection.scenes import coco as reader
from archspec.detection.scenes.coco import find, read, read_folder
from archspec.errors import FileError, concise
from tests.detection.making import annotation, coco, coco_table

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.detection.scenes.annotations import Scenes


def loaded(root: Path, table: Any = None) -> Scenes:
    return read(coco(root, table), root / "val2017")


def test_pictures_come_by_number_and_categories_become_labels(tmp_path: Path) -> None:
    whole = loaded(tmp_path)
    assert (whole.classes, whole.category_ids) == (("person", "bottle", "toothbrush"), (1, 44, 90))
    assert whole.image_ids == (7, 25, 139)
    first, empty, last = whole
    assert first.boxes.tolist() == [[0, 0, 100, 80]]
    assert first.objects.crowd.tolist() == [True]
    assert empty.boxes.shape == (0, 4)
    assert last.boxes.tolist() == [[10.5, 20.25, 40.5, 35.75], [99, 79, 100, 80]]
    assert (last.labels.tolist(), last.objects.area.tolist()) == ([1, 2], [300.125, 1])
    assert (last.size, last.decoded().size, whole.remarks) == ((80, 100), (100, 80), ())
    assert whole.to_learn().image_ids == (139,)


def test_pycocotools_reads_the_same(tmp_path: Path) -> None:
    file = coco(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(file))
    ours = read(file, tmp_path / "val2017")
    assert list(ours.image_ids) == sorted(theirs.getImgIds())
    assert [each["name"] for each in theirs.loadCats(sorted(theirs.getCatIds()))] == list(ours.classes)
    for each in ours:
        told = theirs.loadAnns(theirs.getAnnIds([each.image_id]))
        x, y, w, h = np.array([one["bbox"] for one in told], float).reshape(-1, 4).T
        assert each.boxes == pytest.approx(np.stack([x, y, x + w, y + h], axis=1))
        assert [ours.category_ids[label] for label in each.labels] == [one["category_id"] for one in told]
        assert each.objects.crowd.tolist() == [bool(one["iscrowd"]) for one in told]
        assert each.objects.area.tolist() == [one["area"] for one in told]
        assert each.picture == str(tmp_path / "val2017" / theirs.imgs[each.image_id]["file_name"])


def test_boxes_past_the_edge_are_cut_and_those_without_area_left_out(tmp_path: Path) -> None:
    table = coco_table()
    table["annotations"] = [
        annotation(1, 7, 1, [-5, 70, 20, 20.0]),
        annotation(2, 7, 1, [10, 10, 5, 0.0]),
        annotation(3, 25, 1, [99.7, 10, 0.3000000001, 5]),
        annotation(4, 25, 1, [500, 10, 5, 5]),
    ]
    whole = loaded(tmp_path, table)
    assert whole.objects.boxes.tolist() == [[0, 70, 15, 80], [99.7, 10, 100, 15]]
    assert whole.remarks == (
        "1 boxes reach past the edges of their pictures and are cut there, the first in 000000000007.jpg",
        "2 boxes have no area within their pictures and are left out, the first in 000000000007.jpg",
    )


def changed(path: str, value: Any) -> dict[str, Any]:
    """The table with another value at a place such as annotations/0/bbox."""
    table = coco_table()
    *way, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
    inside: Any = table
    for part in way:
        inside = inside[part]
    inside[last] = value
    return table


BROKEN = [
    ("annotations/0/bbox", [1, 2, 3], "annotations[0] (id 1): bbox is four numbers"),
    ("annotations/0/bbox", [1, 2, "3", 4], "annotations[0] (id 1): bbox is four numbers"),
    ("annotations/0/bbox", [1, 2, float("nan"), 4], "annotations[0] (id 1): bbox is four numbers"),
    ("annotations/0/bbox", [1, 2, 1e300, 4], "annotations[0] (id 1): bbox is four numbers"),
    ("annotations/0/bbox", [1, 2, 10**400, 4], "annotations[0] (id 1): bbox is four numbers"),
    ("annotations/1/bbox", [1, 2, -3, 4], "annotations[1] (id 2): bbox has a width of -3"),
    ("annotations/0/image_id", 8, "annotations[0] (id 1): image_id 8 is none of the images"),
    ("annotations/0/image_id", [7], "annotations[0] (id 1): image_id of this kind"),
    ("annotations/0/category_id", 2, "annotations[0] (id 1): category_id 2 is none of the categories"),
    ("annotations/0/iscrowd", 2, "annotations[0] (id 1): iscrowd is 0 or 1"),
    ("annotations/0/area", -1, "annotations[0] (id 1): area is a number of pixels"),
    ("annotations/2", 5, "annotations[2]: this is no table"),
    ("images/1/id", 7, "images[2]: id 7 is there twice"),
    ("images/1/id", "25", "images[1]: a whole id is needed"),
    ("images/0/file_name", "../../etc/passwd", "images[0]: file_name is a path within"),
    ("images/0/file_name", "/etc/passwd", "images[0]: file_name is a path within"),
    ("images/0/file_name", "C:\\boot.ini", "images[0]: file_name is a path within"),
    ("images/0/file_name", "a\0b", "images[0]: file_name is a path within"),
    ("images/0/height", 0, "images[0]: height and width are whole numbers"),
    ("images/0/width", 10**9, "images[0]: height and width are whole numbers"),
    ("categories/0/id", 44, "categories[2]: bottle, id 44, is there twice"),
    ("categories/0/name", "bottle", "categories[2]: bottle, id 44, is there twice"),
    ("categories/0", None, "categories[0]: a whole id and a name are needed"),
    ("categories", [], "categories: there are 0"),
    ("images", [], "images: there are none"),
    ("annotations", {}, "these are no annotations: images, annotations, categories are lists"),
]


@pytest.mark.parametrize(("path", "value", "said"), BROKEN)
def test_broken_entries_are_named(tmp_path: Path, path: str, value: Any, said: str) -> None:
    file = coco(tmp_path)
    file.write_text(json.dumps(changed(path, value)))
    with pytest.raises(FileError) as caught:
        read(file, tmp_path / "val2017")
    assert all(each.code == "AS532" and len(each.message) < 400 for each in caught.value.diagnostics)
    assert any(each.message.startswith(said) for each in caught.value.diagnostics)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"images": [],\n "annotations" []}', ":2:1: AS532 this is not json: Expecting ':' delimiter"),
        ("", ":1:1: AS532 this is not json"),
        ("[" * 100_000, "AS532 this is not json"),
        (b"\xff\xfe\xff", "AS532 this is not json"),
        ("1" * 5000, "AS532 this is not json"),
        ("[]", "AS532 these are no annotations"),
    ],
)
def test_what_is_not_json_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    file = tmp_path / "annotations.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(FileError) as caught:
        read(file, tmp_path)
    assert said in concise(caught.value.diagnostics[0])


def test_a_file_past_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_BYTES", 100)
    with pytest.raises(FileError, match="at most 100 are expected"):
        loaded(tmp_path)


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    file = coco(tmp_path)
    missing = tmp_path / "val2017" / "000000000025.jpg"
    missing.unlink()
    with pytest.raises(FileError) as caught:
        read(file, tmp_path / "val2017")
    (problem,) = caught.value.diagnostics
    assert (problem.span.file, problem.code) == (str(missing), "AS532")
    assert "images[1] of instances_val2017.json names it" in problem.message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
PATHS = ["images", "annotations", "categories"] + [
    f"{table}/0/{key}"
    for table, keys in (
        ("images", ("id", "file_name", "height", "width")),
        ("annotations", ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation")),
        ("categories", ("id", "name")),
    )
    for key in keys
]


@settings(max_examples=150)
@given(path=st.sampled_from(PATHS), value=VALUES)
def test_any_value_anywhere_is_read_or_refused(tmp_path: Path, path: str, value: Any) -> None:
    file = coco(tmp_path) if not (tmp_path / "annotations").exists() else tmp_path / "annotations" / "x.json"
    file.write_text(json.dumps(changed(path, value)))
    try:
        whole = read(file, tmp_path / "val2017")
    except FileError as error:
        codes, boxes = {each.code for each in error.diagnostics}, np.zeros(4)
    else:
        codes, boxes = {"AS532"}, whole.objects.boxes
    assert codes == {"AS532"}
    assert np.isfinite(boxes).all()


def test_cocos_own_layout_has_validation_for_testing(tmp_path: Path) -> None:
    coco(tmp_path, part="train2017")
    coco(tmp_path, part="val2017")
    assert find(tmp_path, "validation") is not None
    splits = read_folder(tmp_path)
    assert (len(splits.train), splits.validation) == (3, None)
    assert splits.test is not None
    assert splits.test.name == "coco validation"


def test_folders_of_ones_own_with_other_classes_are_refused(tmp_path: Path) -> None:
    for part in ("train", "valid", "test"):
        file = coco(tmp_path / part, part="images")
        file.rename(tmp_path / part / "_annotations.coco.json")
    splits = read_folder(tmp_path, "mine")
    assert splits.validation is not None
    assert splits.test is not None
    assert splits.test[0].decoded().size == (100, 80)
    other = changed("categories/0/name", "spoon")
    (tmp_path / "test" / "_annotations.coco.json").write_text(json.dumps(other))
    with pytest.raises(FileError, match="the classes of mine test are not those of mine train"):
        read_folder(tmp_path, "mine")


def test_one_json_alone_is_divided_always_alike(tmp_path: Path) -> None:
    table = coco_table()
    table["images"] = [{"id": n, "file_name": f"{n}.png", "height": 8, "width": 9} for n in range(10)]
    table["annotations"] = [annotation(n, n, 1, [1, 1, 2, 2]) for n in range(10)]
    coco(tmp_path, table, part="images").rename(tmp_path / "annotations.json")
    splits, again = read_folder(tmp_path), read_folder(tmp_path)
    assert splits.test is not None
    assert again.test is not None
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert splits.test.image_ids == again.test.image_ids
    assert sorted((*splits.train.image_ids, *splits.test.image_ids)) == list(range(10))
    assert splits.test[0].boxes.tolist() == [[1, 1, 3, 3]]


def test_a_folder_without_annotations_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"AS531 there is no annotations\.json"):
        read_folder(tmp_path)
    coco(tmp_path, part="train2017")
    with pytest.raises(FileError, match="AS532 there are annotations for training, but none for validation"):
        read_folder(tmp_path)
