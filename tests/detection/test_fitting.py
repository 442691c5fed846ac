"""Which recipes a detector can be trained by, and the recipe that is made for each set."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archspec.detection.fitting import fits, usual_recipe, usual_set
from archspec.detection.load import LoadedDetector, load_detector
from archspec.detection.scenes.sets import NAMES
from archspec.errors import SpecError
from archspec.recipes.load import load_recipe, recipe_names

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.errors import Diagnostic

FROZEN, TRAINED = load_detector("faster-rcnn-vgg16"), load_detector("faster-rcnn-resnet18-shapes")
FITTING = [name for name in recipe_names() if name.endswith("-detection")]


def mistakes(
    *settings: str, recipe: str = "shapes-detection", of: LoadedDetector = FROZEN
) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        fits(load_recipe(recipe, settings), of)
    return list(caught.value.diagnostics)


@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("detector", [FROZEN, TRAINED], ids=lambda each: each.name)
def test_recipes_for_detection_fit_and_so_do_they_as_a_run_keeps_them(
    name: str, detector: LoadedDetector, tmp_path: Path
) -> None:
    loaded = load_recipe(name)
    fits(loaded, detector)
    (tmp_path / "kept.toml").write_text(loaded.text(), encoding="utf-8")
    fits(load_recipe(tmp_path / "kept.toml"), detector)


@pytest.mark.parametrize(
    "settings",
    [
        ["train.accumulate=2", "train.precision=bf16", "train.clip=10", "train.ema=0.99"],
        [
            "optimiser.kind=sgd",
            "optimiser.nesterov=true",
            "optimiser.weight_decay=1e-4",
            "optimiser.decay=conv",
        ],
        ["schedule.kind=plateau"],
        ["schedule.warmup.lr=1e-4", "schedule.warmup.until=100", "schedule.warmup.shape=linear"],
        ["augment.flip=false", "data.split=0", "data.last=drop"],
    ],
)
def test_what_a_detector_reads_fits(settings: list[str]) -> None:
    fits(load_recipe("shapes-detection", settings), FROZEN)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["augment.crop=64", "augment.resize=[64, 80]"], ["augment.resize", "augment.crop"]),
        (["augment.crop=64", "augment.area=[0.1, 1.0]"], ["augment.area", "augment.crop"]),
        (["augment.crop=64", "augment.pad=4"], ["augment.pad", "augment.crop"]),
        (["augment.jitter=0.4"], ["augment.jitter"]),
        (["augment.colour=pca"], ["augment.colour"]),
        (["normalise.kind=per-channel"], ["normalise.kind"]),
        (["normalise.range=255"], ["normalise.range"]),
        (["schedule.kind=plateau", "schedule.watch=train-error"], ["schedule.watch"]),
        (["schedule.warmup.lr=1e-4", "schedule.warmup.until=train-error"], ["schedule.warmup.until"]),
        (["train.label_smoothing=0.1"], ["train.label_smoothing"]),
        (["train.precise_bn=100"], ["train.precise_bn"]),
        (["test.crops=full"], ["test.crops"]),
        (["test.crops=ten", "test.crop=64"], ["test.crops", "test.crop"]),
        (["test.sizes=[64]"], ["test.sizes"]),
    ],
)
def test_what_a_detector_does_not_do_is_named_where_it_is_said(settings: list[str], said: list[str]) -> None:
    found = mistakes(*settings)
    assert {each.code for each in found} == {"AS541"}
    assert {each.span.file.removeprefix("--set ").split("=")[0] for each in found} == set(said)
    assert all(each.hint for each in found)


def test_statistics_are_averaged_anew_only_where_they_are_trained() -> None:
    fits(load_recipe("shapes-detection", ["train.precise_bn=100"]), TRAINED)
    still = load_detector("faster-rcnn-resnet18-shapes", ["detector.batch_norm=statistics"])
    (found,) = mistakes("train.precise_bn=100", of=still)
    assert '"statistics"' in found.hint


def test_a_recipe_for_networks_is_refused_with_all_that_does_not_fit() -> None:
    found = mistakes(recipe="imagenet-paper")
    assert len(found) == 9
    assert all(each.span.file.endswith("imagenet-paper.toml") and each.span.line for each in found)
    (line,) = (each.span.line for each in found if "plateau" in each.message)
    text = load_recipe("imagenet-paper").sources.documents[0].text.splitlines()
    assert text[line - 1].startswith("watch")


def test_normalisation_that_is_not_said_is_refused_too(tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text('format = 1\nname = "short"\n[schedule]\ntotal = 5\n', encoding="utf-8")
    (found,) = mistakes(recipe=str(file))
    assert 'normalise.kind = "none"' in found.hint
    assert found.span.file == str(file)


def test_every_set_has_a_recipe_that_ships_and_is_of_its_kind() -> None:
    assert {usual_recipe(name) for name in (*NAMES, "folder")} == set(FITTING)
    assert {usual_recipe(name) for name in ("voc2007", "voc2012", "07+12")} == {"voc0712-detection"}
    for name in ("shapes", "07+12", "07++12", "coco", "folder"):
        assert load_recipe(usual_recipe(name)).recipe.data.name == name
    assert usual_recipe("pictures/of/mine") == "folder-detection"


def test_fitting_starts_no_torch() -> None:
    code = (
        "import sys, archspec.detection.fitting\nsys.exit(bool({'torch', 'torchvision'} & set(sys.modules)))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ARCHSPEC")}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "settings", "found"),
    [
        ("faster-rcnn-resnet101", (), "07+12"),
        ("faster-rcnn-resnet18-shapes", (), "shapes"),
        ("faster-rcnn-resnet18-shapes", ("detector.classes=3",), None),
        ("faster-rcnn-resnet101", ('detector.classes=["cat", "dog"]',), None),
    ],
)
def test_a_detector_is_trained_on_the_set_that_shows_its_classes(
    name: str, settings: tuple[str, ...], found: str | None
) -> None:
    assert usual_set(load_detector(name, settings)) == found
