"""Sets for detection, found by their names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from archspec.detection.judging.metrics import words
from archspec.detection.scenes.sets import NAMES, find
from archspec.errors import FileError
from tests.detection.making import coco, coco_table, picture, voc, voc_xml

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where $ARCHSPEC_DATA says, with nothing elsewhere."""
    monkeypatch.setenv("ARCHSPEC_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "data"


def test_voc_is_found_where_the_variable_says(root: Path) -> None:
    voc(root, 2007, {"trainval": {"000005": voc_xml()}, "test": {"000001": voc_xml()}})
    splits = find("voc2007").read()
    assert splits.test is not None
    assert (len(splits.train), splits.train.name, splits.test.name) == (1, "voc2007", "voc2007")
    assert words(splits.test.name) == "mAP@.5 (VOC 2007)", "a set is judged by its name"
    with pytest.raises(FileError, match=r"AS531 the data set 07\+12 is not in"):
        find("07+12")


def test_coco_is_found_below_a_root_and_a_folder_by_its_path(root: Path) -> None:
    for part in ("train2017", "val2017"):
        coco(root / "coco", part=part)
    source = find("coco", root)
    assert (source.place, len(source.read().train)) == (str(root / "coco"), 3)
    assert find(str(root / "coco")).read().train.name == "folder"


def information(root: Path, name: str, folder: str, images: tuple[int, ...], **more: Any) -> None:
    """COCO's list of test pictures, whose objects are not published."""
    table = coco_table()
    entries = [{"id": n, "file_name": f"{n:012}.jpg", "height": 80, "width": 100} for n in images]
    for each in entries:
        picture(root / folder / str(each["file_name"]))
    told = {"info": {}, "images": entries, "categories": table["categories"], **more}
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / f"image_info_{name}.json").write_text(json.dumps(told))


def test_cocos_test_pictures_are_unjudged(root: Path) -> None:
    coco(root, part="train2017")
    information(root, "test-dev2017", "test2017", (581, 1))
    (root / "test2017").rename(root / "elsewhere")
    with pytest.raises(FileError, match="but none for validation or for testing"):
        find("coco").read()
    (root / "test2017").mkdir()
    with pytest.raises(FileError, match="but none for validation or for testing"):
        find("coco").read()
    (root / "test2017").rmdir()
    (root / "elsewhere").rename(root / "test2017")
    splits = find("coco").read()
    assert (splits.test, splits.validation) == (None, None)
    assert splits.unjudged is not None
    assert (splits.unjudged.name, splits.unjudged.image_ids) == ("coco", (1, 581))
    assert splits.unjudged.category_ids == splits.train.category_ids == (1, 44, 90)
    assert (splits.unjudged.classes, len(splits.unjudged.objects)) == (splits.train.classes, 0)
    assert splits.unjudged[1].decoded().size == (100, 80)
    # what is published is what is tested on
    coco(root, part="val2017")
    splits = find("coco").read()
    assert splits.test is not None
    assert splits.unjudged is not None
    assert (len(splits.test), len(splits.unjudged)) == (3, 2)


@pytest.mark.parametrize(
    ("lists", "wanted"),
    [
        (("test2017", "test2015", "test-dev2017"), 3),
        (("test2015", "test2017"), 2),
        (("test2015", "test-dev2015"), 2),
        (("test2014", "test2015", "test2017"), 3),
        (("test2014",), 1),
    ],
)
def test_the_pictures_that_papers_report_come_first(root: Path, lists: tuple[str, ...], wanted: int) -> None:
    coco(root, part="train2017")
    for count, name in enumerate(lists, 1):
        information(root, name, name.replace("-dev", ""), tuple(range(count)))
    unjudged = find("coco").read().unjudged
    assert unjudged is not None
    assert len(unjudged) == wanted


@pytest.mark.parametrize("change", [{"id": 3, "name": "bottle"}, {"id": 44, "name": "flask"}])
def test_other_categories_or_ids_than_those_learnt_are_refused(root: Path, change: dict[str, Any]) -> None:
    coco(root, part="train2017")
    other = [change if each["id"] == 44 else each for each in coco_table()["categories"]]
    information(root, "test2017", "test2017", (5,), categories=other)
    with pytest.raises(FileError, match="AS532 the categories, or their ids, are not those of coco train"):
        find("coco").read()


def test_shapes_are_made_up_and_other_names_are_refused() -> None:
    assert find("shapes").place == "made up"
    assert NAMES == ("shapes", "voc2007", "voc2012", "07+12", "07++12", "coco")
    with pytest.raises(FileError, match="AS531 there is no data set of this name") as caught:
        find("voc2017")
    assert "voc20" in caught.value.diagnostics[0].hint
