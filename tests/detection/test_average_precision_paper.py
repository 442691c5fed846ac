"""The paper's tables of detection, and ours beside them."""

from __future__ import annotations

import pytest

from archspec.detection.judging.average_precision import average_precision
from archspec.detection.judging.coco_map import coco_map
from archspec.detection.judging.paper import beside, paper
from archspec.detection.scenes.voc import CLASSES
from tests.detection.making import detected, scenes

A = (0, 0, 10, 10)


def test_the_printed_gains_follow_from_the_printed_values() -> None:
    vgg, resnet = paper().tables["8"].rows
    # section 4.3: "a 6.0% increase in COCO's standard metric", 28 % relative; appendix A.2: 6.9 at .5
    assert resnet.values[1] - vgg.values[1] == pytest.approx(6.0)
    assert resnet.values[0] - vgg.values[0] == pytest.approx(6.9)
    assert round(100 * (resnet.values[1] / vgg.values[1] - 1)) == 28


def test_tables_agree_with_each_other() -> None:
    tables = paper().tables
    assert [row.values for row in tables["8"].rows] == [row.values for row in tables["9"].rows[:2]]
    for column, number in enumerate(("10", "11")):
        rows = paper().classes[number].rows
        assert [row.values[0] for row in rows[:2]] == [row.values[column] for row in tables["7"].rows]


@pytest.mark.parametrize("number", ["10", "11"])
def test_the_means_of_classes_are_those_printed(number: str) -> None:
    for row in paper().classes[number].rows:
        assert sum(row.values[1:]) / len(CLASSES) == pytest.approx(row.values[0], abs=0.06)


def test_ours_stand_below_the_papers_and_only_under_their_metric() -> None:
    whole, found = scenes([(A, 0)]), [detected((A, 0.9, 0))]
    voc, coco = average_precision(whole, found, 2007), coco_map(whole, found)
    rows = beside("7", "ours", [voc, None])
    assert [(row.system, row.values, row.ours) for row in rows] == [
        ("VGG-16", (73.2, 70.4), False),
        ("ResNet-101", (76.4, 73.8), False),
        ("ours", (100, None), True),
    ]
    assert beside("7", "ours", [coco, coco])[-1].values == (None, None)
    assert beside("8", "ours", [coco, coco])[-1].values == (100, 100)
    assert beside("9", "ours", [voc, coco, None, None])[-1].as_json() == {
        "system": "ours",
        "values": [None, 100, None, None],
        "from": "here",
    }
    assert beside("9", "ours", [None] * 4)[5].values == (None, None, 59.0, 37.4)
    assert beside("9", "ours", [None] * 4)[2].values == (49.9, 29.9, None, None)
