"""Whether the card's detector is the one that ships: all that it computes and learns from, but for its classes."""

from __future__ import annotations

import json
import tomllib
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w

from archspec.detection.load import detector_names, load_detector
from archspec.runs.detectors import _IMPLIED, shipped_detector
from tests.runs.test_detector_card import made, result, told
from tests.runs.told import departures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.mark.parametrize("name", detector_names())
def test_defaults_that_the_files_leave_unsaid_are_those_of_detectors(name: str) -> None:
    left = {"backbone", "set", "classes"}
    whole = dict(_values(load_detector(name).resolved()["detector"]))
    own = {**_IMPLIED, **dict(_values(shipped_detector(name)))}
    assert {key: each for key, each in own.items() if key not in left} == {
        key: each for key, each in whole.items() if key not in left
    }


def _values(table: Mapping[str, Any], name: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in table.items():
        found += _values(value, f"{name}{key}.") if isinstance(value, dict) else [(f"{name}{key}", value)]
    return found


TINY = ("faster-rcnn-resnet18-shapes", "shapes-detection", "shapes")
PAPERS = ("faster-rcnn-resnet101", "voc0712-detection", "07+12")
TINY_SET = load_detector(TINY[0]).detector.set


@pytest.mark.parametrize(
    ("job", "changes", "same"),
    [
        (PAPERS, (), True),
        (PAPERS, ("detector.classes=3",), True),
        (PAPERS, ("detector.backbone=torchvision/resnet101",), False),
        (PAPERS, ("detector.regions.context=true",), False),
        (PAPERS, ("detector.batch_norm=statistics",), False),
        (TINY, (), True),
        (TINY, ("detector.proposals.nms=0.5",), False),
        (TINY, ('detector.frozen=["conv1"]',), False),
        (TINY, (f"detector.set={json.dumps([*TINY_SET, 'stage.conv5_x.width=128'])}",), False),
        (TINY, (f"detector.set={json.dumps([*TINY_SET, 'init.conv=torch'])}",), False),
    ],
)
def test_a_changed_detector_is_not_the_one_that_ships(
    tmp_path: Path, job: tuple[str, str, str], changes: tuple[str, ...], same: bool
) -> None:
    text = made(tmp_path, (told(*job, changes=changes), result())).as_markdown()
    assert ("As it ships with archspec, but perhaps for its classes." in text) is same
    assert ("Changed from the detector that ships under that name." in text) is not same


def test_a_run_of_an_archspec_that_knew_fewer_fields_is_read_with_their_defaults(tmp_path: Path) -> None:
    run = told()
    table = tomllib.loads(run["spec"]["text"])
    del table["detector"]["regions"]["context"]
    computed = {key: each for key, each in table["detector"].items() if key not in ("backbone", "set")}
    computed["function"] = run["spec"]["backbone"]["hash"]
    digest = sha256(json.dumps(computed, sort_keys=True).encode()).hexdigest()
    run["spec"] |= {"text": tomli_w.dumps(table), "hash": digest}
    found = made(tmp_path, (run, result()))
    assert "As it ships with archspec, but perhaps for its classes." in found.as_markdown()
    assert set(departures(found)) == {"training"}
