"""Sets for detection, found by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archspec.detection.metrics import words
from archspec.detection.sets import NAMES, find
from archspec.errors import FileError
from tests.detection.making import coco, voc, voc_xml

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


def test_shapes_are_made_up_and_other_names_are_refused() -> None:
    assert find("shapes").place == "made up"
    assert NAMES == ("shapes", "voc2007", "voc2012", "07+12", "07++12", "coco")
    with pytest.raises(FileError, match="AS531 there is no data set of this name") as caught:
        find("voc2017")
    assert "voc20" in caught.value.diagnostics[0].hint
