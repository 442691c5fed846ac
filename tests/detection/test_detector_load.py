"""Detector files: read as specs and recipes are, and every mistake at its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest

from archspec.detection.load import detector_names, find_detector, load_detector
from archspec.detection.schema import SCHEMA_FILE, json_schema, schema_text
from archspec.errors import SpecError
from archspec.passes.budget import Budget
from archspec.spec.library import spec_folder

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.errors import Diagnostic

SHIPPED = detector_names()
GOOD = """\
format = 1
name = "good"
[detector]
backbone = "resnet50"
cut = "conv4_x"
classes = ["cat", "dog"]
"""


def mistakes(folder: Path, text: str, *settings: str) -> list[Diagnostic]:
    """What is wrong with a detector."""
    (folder / "wrong.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_detector(folder / "wrong.toml", settings)
    return list(caught.value.diagnostics)


def mistake(folder: Path, text: str, *settings: str) -> Diagnostic:
    """The one thing that is wrong with a detector."""
    (found,) = mistakes(folder, text, *settings)
    return found


def test_these_detectors_ship() -> None:
    assert [
        *("faster-rcnn-resnet101", "faster-rcnn-resnet18-shapes", "faster-rcnn-resnet50"),
        "faster-rcnn-vgg16",
    ] == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
class TestShipped:
    """Every detector that ships."""

    def test_it_says_what_it_is_and_where_from(self, name: str) -> None:
        file = load_detector(name).file
        assert file.name == name
        assert file.about.endswith(".")
        assert file.source
        assert all(sentence.endswith(".") for sentence in file.says.values())

    def test_its_resolved_text_is_the_same_detector(self, name: str, tmp_path: Path) -> None:
        loaded = load_detector(name)
        (tmp_path / "kept.toml").write_text(loaded.text(), encoding="utf-8")
        again = load_detector(tmp_path / "kept.toml")
        assert (again.digest, again.resolved()) == (loaded.digest, loaded.resolved())

    def test_it_fits_the_schema(self, name: str) -> None:
        document = load_detector(name).sources.documents[-1].data
        jsonschema.validate(document, json_schema(), cls=jsonschema.Draft7Validator)
        jsonschema.validate(load_detector(name).resolved(), json_schema(), cls=jsonschema.Draft7Validator)

    def test_it_is_found_by_name_and_by_path(self, name: str) -> None:
        assert find_detector(f"specs/detection/{name}.toml").resolve() == find_detector(name).resolve()


def test_the_committed_schema_is_the_models() -> None:
    assert (spec_folder() / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft7Validator.check_schema(json.loads(schema_text()))


def test_the_papers_detector_is_what_the_papers_say() -> None:
    told = load_detector("faster-rcnn-resnet101").detector
    assert (told.backbone, told.cut, told.batch_norm) == ("resnet101", "conv4_x", "frozen")
    assert (told.anchors.sizes, told.anchors.ratios) == ((128, 256, 512), (0.5, 1.0, 2.0))
    assert (told.proposals.keep_test, told.proposals.nms, told.detections.nms) == (300, 0.7, 0.3)
    assert (told.image.shorter, told.image.longest) == ((600,), 1000)
    assert (told.regions.kind, told.regions.size) == ("pool", 14)
    assert load_detector("faster-rcnn-vgg16").detector.regions.size == 7


def test_names_settings_and_words_do_not_change_the_digest_and_values_do(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "b.toml").write_text(
        f'about = "Other."\n{GOOD}kind = 1\n'.replace("kind = 1\n", ""), encoding="utf-8"
    )
    first = load_detector(tmp_path / "a.toml").digest
    assert load_detector(tmp_path / "b.toml").digest == first
    assert load_detector(tmp_path / "a.toml", ["detector.anchors.sizes=[32]"]).digest != first
    assert load_detector(tmp_path / "a.toml", ["detector.backbone=torchvision/resnet50"]).digest != first


def test_a_detector_extends_another_and_a_base_of_another_kind_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        f'{GOOD}[detector.regions]\nkind = "align"\npoints = 3\n', encoding="utf-8"
    )
    (tmp_path / "over.toml").write_text(
        'extends = "base.toml"\nname = "over"\n[detector.regions]\nkind = "pool"\n', encoding="utf-8"
    )
    over = load_detector(tmp_path / "over.toml")
    assert (over.name, over.detector.regions.kind, over.detector.labels) == ("over", "pool", ("cat", "dog"))
    assert "points" not in over.resolved()["detector"]["regions"]


def test_a_number_of_classes_makes_names_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD.replace('["cat", "dog"]', "2"), encoding="utf-8")
    assert load_detector(tmp_path / "a.toml").detector.labels == ("class 1", "class 2")


def test_a_backbone_lies_beside_the_detector_and_not_elsewhere(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    for folder in (tmp_path, inside):
        (folder / "net.toml").write_text(
            (spec_folder() / "resnet50.toml").read_text(encoding="utf-8"), encoding="utf-8"
        )
    (inside / "good.toml").write_text(GOOD.replace("resnet50", "net.toml"), encoding="utf-8")
    assert load_detector(inside / "good.toml").architecture.name == "resnet50"
    (inside / "sub").mkdir()
    found = mistake(inside, GOOD.replace('"resnet50"', '"sub/../../net.toml"'))
    assert "outside" in found.message
    assert "there is no file" in mistake(inside, GOOD.replace('"resnet50"', '"nett.toml"')).message


@pytest.mark.parametrize(
    ("line", "code", "said", "hint"),
    [
        ('cutt = "conv4_x"', "AS101", "cutt", '"cut"'),
        ('cut = "conv4"', "AS571", 'called "conv4"', '"conv4_x"'),
        ('cut = "conv1"', "AS571", 'called "conv1"', "behind a stage: conv2_x"),
        ('backbone = "resnet5"', "AS571", 'called "resnet5"', '"resnet50"'),
        ('backbone = "/etc/passwd"', "AS571", "names no spec", ""),
        ('backbone = "Resnet50"', "AS571", "no spec that ships", '"resnet50"'),
        ('set = ["stage.conv4_x.width=0"]', "AS104", "out of range", ""),
        ('set = ["norm.kind=grop"]', "AS105", "grop", '"group"'),
        ('frozen = ["conv2"]', "AS571", 'called "conv2"', '"conv2_x"'),
        ('frozen = ["maxpool"]', "AS571", "no row", ""),
        ('frozen = ["fc"]', "AS571", "no row", ""),
        ('batch_norm = "fixed"', "AS105", "fixed", ""),
        ("classes = 0", "AS104", "out of range", ""),
        ("classes = true", "AS103", "not true", ""),
        ("classes = []", "AS104", "at least 1", ""),
        ('classes = ["cat", "cat"]', "AS109", '"cat"', ""),
        ('classes = ["a\\u001b[2J"]', "AS113", "name", ""),
        ("anchors.sizes = [32, 32]", "AS571", "twice", ""),
        ("anchors.sizes = [0]", "AS104", "out of range", ""),
        ("anchors.ratios = [inf]", "AS104", "finite", ""),
        ("proposals.keep_test = 7000", "AS571", "cannot leave 7000", ""),
        ("proposals.background = 0.8", "AS571", "object and background", ""),
        ('cut = "conv5_x"\nproposals.width = 65536', "AS401", "the budget", ""),
        ("proposals.nms = 0.0", "AS104", "out of range", ""),
        ("regions.points = 2", "AS571", "changes nothing", ""),
        ("regions.size = 65", "AS104", "out of range", ""),
        ("regions.weights = [1.0, 1.0, 1.0]", "AS104", "too few", ""),
        ("image.longest = 500", "AS571", "never", ""),
        ("image.mean = [0.5]", "AS571", "each channel", ""),
        ("image = { mean = [0.5], std = [0.5] }", "AS571", "3 channels", ""),
        ("image.shorter = []", "AS104", "too short", ""),
    ],
)
def test_a_mistake_is_named_at_its_line(tmp_path: Path, line: str, code: str, said: str, hint: str) -> None:
    key = line.partition(" ")[0]
    kept = [each for each in GOOD.splitlines() if each.partition(" ")[0] != key]
    text = "\n".join([*kept, line, ""])
    if key == "cutt":
        text = text.replace('cut = "conv4_x"\n', "")
    if key == "image.longest":
        text += "image.shorter = [600]\n"
    found = mistakes(tmp_path, text)[0]
    assert found.code == code
    assert said in found.message
    assert hint in found.hint
    assert found.span.line >= len(kept)


PAPERS = "faster-rcnn-resnet101"


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        (("image.shorter=[16384]", "image.longest=16384"), "detector.image.longest"),
        (("image.shorter=[16384, 600]", "image.longest=16384"), "detector.image.longest"),
        (
            ("proposals.before_test=100000", "proposals.keep_test=100000"),
            "detector.proposals.keep_test",
        ),
        (
            ("proposals.before_train=100000", "proposals.keep_train=100000", "regions.sampled=100000"),
            "detector.regions.sampled",
        ),
    ],
)
def test_values_of_a_picture_and_its_regions_are_bounded(settings: tuple[str, ...], where: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_detector(PAPERS, [f"detector.{each}" for each in settings])
    (found,) = caught.value.diagnostics
    assert found.code == "AS402"
    assert "activations for one image, but the budget is 4,000,000,000" in found.message
    assert found.span.file.startswith(f"--set {where}=")


def test_what_one_step_does_not_look_at_is_not_counted() -> None:
    load_detector(PAPERS, ["detector.regions.sampled=100000", "detector.proposals.keep_train=500"])


def test_a_budget_is_the_networks_too() -> None:
    load_detector(PAPERS, budget=Budget(params=48_000_000, activations=2_000_000_000))
    with pytest.raises(SpecError, match=r"AS402 1,1\d\d,\d{3},\d{3} activations") as caught:
        load_detector(PAPERS, budget=Budget(activations=1_000_000_000))
    with pytest.raises(SpecError, match="AS401 the backbone has 44,5"):
        load_detector(PAPERS, budget=Budget(params=44_000_000, activations=2_000_000_000))
    assert caught.value.diagnostics[0].span.file.endswith("faster-rcnn-vgg16.toml")


def test_stages_of_the_network_are_no_key_of_a_detector(tmp_path: Path) -> None:
    assert mistake(tmp_path, f"{GOOD}[stage.conv4_x]\ndepth = 1\n").code == "AS101"


def test_a_network_without_a_classifier_has_nothing_to_give_way(tmp_path: Path) -> None:
    text = f"{GOOD}set = [\"head.layers=[{{ pool = 'average' }}]\"]\n"
    assert "no linear layer" in mistake(tmp_path, text).message


def test_regions_that_do_not_fit_a_fully_connected_layer_are_refused(tmp_path: Path) -> None:
    text = GOOD.replace("resnet50", "vgg16").replace("conv4_x", "conv5")
    assert "25088" in mistake(tmp_path, text).message
    (tmp_path / "good.toml").write_text(f"{text}regions.size = 7\n", encoding="utf-8")
    assert load_detector(tmp_path / "good.toml").parts.features == 4096


def test_a_map_that_is_no_even_part_of_the_image_is_refused(tmp_path: Path) -> None:
    text = f'{GOOD}set = ["stem.layers=[{{ conv = 31, out = 64, stride = 2, padding = 0 }}]"]\n'
    found = mistake(tmp_path, text)
    assert "should make a map" in found.message
    assert "padding" in found.hint
