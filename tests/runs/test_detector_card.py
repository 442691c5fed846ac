"""The protocol card of a detector: its figures, what it departs from in the paper, and that it contradicts nothing."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from archspec import provenance
from archspec.detection.counts import counted
from archspec.detection.judging.paper import paper as of_tables
from archspec.detection.load import load_detector
from archspec.detection.models import Detector
from archspec.errors import FileError
from archspec.recipes.load import load_recipe
from archspec.runs.card import DetectorCard, card, write_card
from archspec.runs.detectors import paper, shipped_detector
from archspec.runs.folder import read_run
from tests.runs.told import departures, put, readings
from tests.runs.told import told as told_of_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DATA: Mapping[str, tuple[int, int | None, int | None, int]] = {
    "shapes": (900, 100, 200, 3),
    "07+12": (16_551, None, 4952, 20),
    "07++12": (21_503, None, None, 20),
    "coco": (82_783, None, 40_504, 80),
}
INITIAL = {"from": "weights/resnet101.safetensors", "sha256": "a" * 64}
CLASSES = ("aeroplane", "bicycle", "bird")


@cache
def _spec(name: str, changes: tuple[str, ...]) -> dict[str, Any]:
    made = load_detector(name, changes)
    counts, network = counted(made), made.architecture
    text = provenance.spec_text(network)
    return {
        "kind": "detector",
        "name": made.name,
        "hash": made.digest,
        "text": made.text(),
        "backbone": {"name": network.name, "hash": network.hash, "text": text},
        "parameters": counts.parameters,
        "multiply_adds": counts.per_image,
        "multiply_adds_per_region": counts.per_region,
    }


def told(
    name: str = "faster-rcnn-resnet101",
    recipe: str = "voc0712-detection",
    data: str = "07+12",
    *,
    changes: tuple[str, ...] = (),
    recipe_changes: tuple[str, ...] = (),
    initial: Mapping[str, Any] | None = INITIAL,
    **more: Any,
) -> dict[str, Any]:
    """A `run.json` of a detector."""
    train, validation, test, classes = DATA[data]
    made = load_recipe(recipe, recipe_changes)
    run = told_of_network(batch_norm_images=made.recipe.data.batch, **more)
    run["spec"] = dict(_spec(name, changes))
    run["recipe"] = {"name": made.name, "digest": made.digest, "text": made.text()}
    run["data"] = {"name": data, "place": "/secret", "train": train, "validation": validation, "test": test}
    run["data"] |= {"shape": None, "classes": classes}
    return {**run, "initial": initial}


def result(mean: float | None = 0.75, validation: float | None = None, **more: Any) -> dict[str, Any]:
    """A `result.json` of a detector."""
    rows = [
        {"name": name, "objects": 10 * place, "ap": mean if place else None}
        for place, name in enumerate(CLASSES)
    ]
    test = {"measure": "mAP@.5 (VOC 2007)", "map": mean, "classes": rows, "overlap": 0.5, **more}
    return {
        "schema_version": 1,
        "measure": "map",
        "steps": 110_000,
        "tested_step": 110_000,
        "test_map": mean,
        "best_val_map": validation,
        "final_train_error": None,
        "images_per_second": 12.5,
        "seconds": 100.0,
        "view": None if mean is None else "the whole image, shorter side 600",
        "test": None if mean is None else test,
    }


def made(tmp_path: Path, *runs: tuple[dict[str, Any], dict[str, Any] | None]) -> DetectorCard:
    for place, (run, ended) in enumerate(runs):
        put(tmp_path / f"seed-{place}", run, ended)
    found = card([read_run(tmp_path)])
    assert isinstance(found, DetectorCard)
    return found


# figures


def test_several_seeds_have_a_mean_a_sample_deviation_and_the_highest_as_best(tmp_path: Path) -> None:
    values = (0.7, 0.74, 0.78)
    found = made(tmp_path, *((told(seed=seed), result(each)) for seed, each in enumerate(values)))
    figure = found.figure("test_map")
    assert figure is not None
    assert (figure.mean, figure.std, figure.best) == pytest.approx((0.74, 0.04, 0.78))
    text = found.as_markdown()
    assert "**Test mAP\\@.5 (VOC 2007): 74.00 ± 4.00 % (best 78.00 %)**" in text
    assert "| bicycle | 10 | 74.00 ± 4.00 % (best 78.00 %) |" in text
    assert "| aeroplane | 0 | - |" in text
    assert "test error" not in text.lower()


def test_the_card_says_how_the_tested_detector_was_chosen(tmp_path: Path) -> None:
    shapes = ("faster-rcnn-resnet18-shapes", "shapes-detection", "shapes")
    chosen = made(tmp_path / "a", (told(*shapes, initial=None), result(0.8, 0.82)))
    assert "highest validation mAP" in chosen.as_markdown()
    assert "Validation mAP that chose the detector: 82.00 %" in chosen.as_markdown()
    last = made(tmp_path / "b", (told(), result()))
    assert "the detector of the last step" in last.as_markdown()
    assert not last.chosen


def test_a_test_without_published_objects_has_no_map(tmp_path: Path) -> None:
    run = told(recipe="voc0712plus-detection", data="07++12")
    text = made(tmp_path, (run, result(None))).as_markdown()
    assert "no test mAP: the objects of the test pictures are not published" in text
    assert "## Classes" not in text


def test_of_coco_both_numbers_are_told(tmp_path: Path) -> None:
    run = told(recipe="coco-detection", data="coco", changes=("detector.classes=80",))
    ended = result(0.27, map_50=0.48)
    ended["test"]["measure"] = "mAP@[.5, .95] (COCO)"
    text = made(tmp_path, (run, ended)).as_markdown()
    assert "**Test mAP\\@\\[.5, .95\\] (COCO): 27.00 %**" in text
    assert "Test mAP@.5: 48.00 %" in text
    assert "| ResNet-101, Table 8 | mAP@[.5, .95] 27.2 %, mAP@.5 48.4 % | no:" in text


def test_an_unfinished_run_says_how_far_it_is(tmp_path: Path) -> None:
    path = put(tmp_path / "seed-0", told())
    records = [{"kind": "epoch", "step": 8276, "epoch": 1, "validation_error": 0.25}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    text = card([read_run(tmp_path)]).as_markdown()
    assert "step 8,276 of 110,000 (8%); after its last whole epoch: validation mAP 75.00 %." in text


# the paper


def test_of_the_papers_protocol_only_joint_training_departs(tmp_path: Path) -> None:
    found = made(tmp_path, (told(), result()))
    assert set(departures(found)) == {"training"}
    assert readings(found) == {}
    text = found.as_markdown()
    assert "| ResNet-101, Table 7 | 76.4 % | no: 1 deviation from the paper, listed below |" in text
    assert "As it ships with archspec, but perhaps for its classes." in text
    assert f"Training starts from weights of weights/resnet101.safetensors, SHA-256 `{'a' * 64}`." in text
    assert "conv1, conv2\\_x; every BN, with scale and shift" in text


@pytest.mark.parametrize(
    ("name", "changes"), [("faster-rcnn-vgg16", ()), ("faster-rcnn-resnet101", ("detector.classes=80",))]
)
def test_coco_is_held_against_its_own_protocol(tmp_path: Path, name: str, changes: tuple[str, ...]) -> None:
    anchors = "detector.anchors.sizes=[64, 128, 256, 512]"
    run = told(name, "coco-detection", "coco", changes=(*changes, anchors))
    found = made(tmp_path, (run, result()))
    assert set(departures(found)) == {"training"}
    assert readings(found) == {"anchors.sizes": ("64, 128, 256, 512", "128, 256, 512")}


@pytest.mark.parametrize(
    ("more", "field", "here"),
    [
        ({"initial": None}, "weights at the start", "all drawn"),
        ({"initial": {"from": None, "sha256": None}}, "weights at the start", "all drawn"),
        ({"recipe_changes": ("optimiser.lr=0.002",)}, "optimiser.lr", "0.002"),
        ({"recipe_changes": ("train.ema=0.9",)}, "train.ema", "0.9"),
        ({"recipe_changes": ("augment.flip=false",)}, "augment.flip", "no"),
        ({"changes": ("detector.batch_norm=statistics",)}, "batch_norm", "statistics"),
        ({"changes": ("detector.regions.kind=align",)}, "regions.kind", "align"),
        ({"changes": ("detector.image.shorter=[800]",)}, "image.shorter", "800"),
        ({"changes": ("detector.proposals.keep_test=100",)}, "proposals.keep_test", "100"),
        ({"changes": ("detector.cut=conv3_x",)}, "cut", "conv3_x"),
    ],
)
def test_what_the_paper_says_otherwise_is_a_deviation(
    tmp_path: Path, more: dict[str, Any], field: str, here: str
) -> None:
    found = made(tmp_path, (told(**more), result()))
    assert departures(found)[field][0] == here
    assert set(departures(found)) == {"training", field}
    assert "no: 2 deviations" in found.as_markdown()


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"recipe_changes": ("schedule.total=100_000",)}, "schedule.total"),
        ({"recipe_changes": ("data.batch=4",)}, "data.batch"),
        ({"recipe_changes": ("optimiser.decay=conv",)}, "optimiser.decay"),
        ({"recipe_changes": ("data.split=100",)}, "data.split"),
        ({"changes": ("detector.frozen=[]",)}, "frozen"),
        ({"changes": ("detector.proposals.width=1024",)}, "proposals.width"),
        ({"changes": ("detector.regions.size=7",)}, "regions.size"),
        ({"changes": ('detector.backbone="torchvision/resnet101"',)}, "defaults.stride_on"),
    ],
)
def test_what_the_paper_leaves_open_is_a_reading(tmp_path: Path, more: dict[str, Any], field: str) -> None:
    found = made(tmp_path, (told(**more), result()))
    assert field in readings(found)
    assert set(departures(found)) == {"training"}


def test_other_iterations_of_coco_are_a_deviation(tmp_path: Path) -> None:
    run = told(recipe="coco-detection", data="coco", recipe_changes=("schedule.total=300_000",))
    found = made(tmp_path, (run, result()))
    assert departures(found)["schedule.total"] == ("300,000 iterations", "320,000 iterations")


def test_other_images_of_the_set_are_a_deviation(tmp_path: Path) -> None:
    run = told(recipe="coco-detection", data="coco")
    run["data"] |= {"train": 118_287, "test": 5000}
    found = departures(made(tmp_path, (run, result())))
    assert found["training and validation images"] == ("118,287", "82,783")
    assert found["test images"] == ("5,000", "40,504")


@pytest.mark.parametrize(
    ("images", "same"), [(82_081, True), (82_783, True), (81_000, False), (82_784, False)]
)
def test_pictures_without_objects_may_be_left_out(tmp_path: Path, images: int, same: bool) -> None:
    run = told(recipe="coco-detection", data="coco")
    run["data"] |= {"train": images}
    assert ("training and validation images" not in departures(made(tmp_path, (run, result())))) is same


def test_shapes_are_not_in_the_paper_and_everything_is_told(tmp_path: Path) -> None:
    run = told("faster-rcnn-resnet18-shapes", "shapes-detection", "shapes", initial=None)
    found = made(tmp_path, (run, result(0.85, 0.9)))
    text, gone = found.as_markdown(), departures(found)
    assert "The set shapes is not in the paper" in text
    assert "the nearest that the paper has" in text
    assert gone["backbone"] == ("resnet18-b", "ResNet-101 or VGG-16")
    assert gone["weights at the start"][0] == "all drawn"
    assert {"cut", "batch_norm", "image.shorter", "anchors.sizes", "regions.kind", "set"} <= set(gone)
    assert {"optimiser.kind", "schedule.kind", "training"} <= set(gone)
    assert "images that one BN layer sees together | 8, or their regions" in text


def test_a_network_called_after_the_papers_is_told_by_its_fields(tmp_path: Path) -> None:
    changes = ('detector.backbone="torchvision/resnet101"',)
    found = made(tmp_path, (told(changes=changes), result()))
    assert "another function than ResNet-101" in found.as_markdown()


def test_the_data_of_the_card_name_real_fields_detectors_and_recipes() -> None:
    fields = set(_fields(Detector.model_json_schema()))
    assert fields >= {*paper().said, *paper().open}
    assert not set(paper().said) & set(paper().open)
    for net in paper().nets:
        loaded = load_detector(net.detector)
        assert (loaded.detector.backbone, loaded.detector.set) == (net.spec, ())
        assert dict(shipped_detector(net.detector))["cut"] == loaded.detector.cut
    for name, protocol in paper().protocols.items():
        recipe = load_recipe(protocol.recipe).recipe
        assert recipe.data.name == name
        assert not set(protocol.said) & set(protocol.open)


def test_what_ships_is_told_of_in_full() -> None:
    """Whatever a shipped detector of the paper's reads is said by its files, or a default that the card knows."""
    for net in paper().nets:
        said, whole = shipped_detector(net.detector), load_detector(net.detector).resolved()["detector"]
        left = set(_leaves(whole)) - set(_leaves(dict(said)))
        assert left - {"set"} == {"batch_norm", "regions.context"} - set(_leaves(dict(said)))


def test_what_the_tables_print_is_what_the_card_prints() -> None:
    """Tables 7 and 8 stand in two files, since a card is read below detection."""
    for net in paper().nets[:2]:
        first, second, coco = net.results
        rows = {row.system: row.values for row in of_tables().tables["7"].rows}
        assert rows[net.name] == (first.map, second.map)
        rows = {row.system: row.values for row in of_tables().tables["8"].rows}
        assert rows[net.name] == (coco.map_50, coco.map)


def _leaves(table: dict[str, Any], name: str = "") -> list[str]:
    found = []
    for key, value in table.items():
        found += _leaves(value, f"{name}{key}.") if isinstance(value, dict) else [f"{name}{key}"]
    return found


def _fields(schema: dict[str, Any]) -> list[str]:
    found = []
    for name, field in schema["properties"].items():
        kind = field.get("$ref", "").rpartition("/")[2]
        found += [f"{name}.{each}" for each in schema["$defs"][kind]["properties"]] if kind else [name]
    return found


# runs of one job, and what contradicts itself


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (told(seed=1, changes=("detector.regions.size=7",)), "another detector"),
        (told(seed=1, initial=None), "another file of first weights"),
        (told(seed=1, recipe_changes=("data.batch=4",)), "recipe (data.batch 4 instead of 2)"),
        (told_of_network(seed=1), "another kind of spec"),
    ],
)
def test_runs_of_different_jobs_are_refused(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    put(tmp_path / "seed-0", told())
    put(tmp_path / "seed-1", other)
    with pytest.raises(FileError, match="AS554") as caught:
        card([read_run(tmp_path)])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("text", "format = 2"),
        ("text", 'extends = "other.toml"'),
        ("text", "name = ["),
        ("hash", "0" * 64),
        ("name", "other"),
        ("backbone", {**_spec("faster-rcnn-vgg16", ())["backbone"]}),
        ("backbone", {**_spec("faster-rcnn-resnet101", ())["backbone"], "name": "other"}),
        ("backbone", None),
        ("multiply_adds_per_region", None),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    run = told()
    run["spec"] = {**run["spec"], key: value}
    with pytest.raises(FileError, match="AS5"):
        made(tmp_path, (run, result()))


@pytest.mark.parametrize(
    "change",
    [
        {"test_map": 0.5},
        {"test_map": None},
        {"measure": "accuracy"},
        {"tested_step": 110_001},
        {"best_val_map": 2},
    ],
)
def test_a_result_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    put(tmp_path, told(), {**result(), **change})
    with pytest.raises(FileError, match="AS553"):
        read_run(tmp_path)


def test_a_network_has_to_be_tested_on_images(tmp_path: Path) -> None:
    run = told_of_network()
    run["data"] = {**run["data"], "test": None}
    put(tmp_path, run)
    with pytest.raises(FileError, match="AS553"):
        read_run(tmp_path)


def test_a_card_is_written_and_strangers_words_are_words(tmp_path: Path) -> None:
    hostile = "a|b\n# c <img src=x> `d` [e](http://f) ```"
    ended = result()
    ended["test"]["classes"][1]["name"] = hostile
    ended["test"]["measure"] = hostile
    run = told(initial={"from": hostile, "sha256": None})
    put(tmp_path, run, ended)
    write_card(tmp_path)
    text = (tmp_path / "card.md").read_text()
    outside = re.sub(r"^(```+)\w*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"(?<!\\)[<>]|(?<!\\)\]\(|https?://", outside)
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {3, 4, 6, 7}
    kept = json.loads((tmp_path / "card.json").read_text())
    assert kept["figures"]["test_map"]["mean"] == 0.75
    assert kept["detector"]["initial"]["from"] == hostile
    assert kept["classes"][1]["ap"]["best"] == 0.75
    assert tomllib.loads(kept["detector"]["text"])["name"] == "faster-rcnn-resnet101"
