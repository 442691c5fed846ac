"""The recipes that ship: what they say, and that they are the protocols they are named after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import tomli_w

from archspec.recipes.differences import Difference, differences
from archspec.recipes.load import load_recipe, recipe_folder, recipe_names
from archspec.recipes.schema import SCHEMA_FILE, json_schema, schema_text
from archspec.spec.library import spec_folder

if TYPE_CHECKING:
    from pathlib import Path


SHIPPED = recipe_names()


def test_these_recipes_ship() -> None:
    assert [
        *("akamaster-cifar", "cifar10-paper", "cifar10-paper-full50k", "cifar10-paper-warmup", "cifar100"),
        *("classroom", "coco-detection", "digits", "facebook-cifar", "facebook-imagenet", "fashion-mnist"),
        *("folder-detection", "imagenet-paper", "shapes-detection", "torchvision-imagenet"),
        *("voc0712-detection", "voc0712plus-detection"),
    ] == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
class TestShipped:
    """Every recipe that ships."""

    def test_it_says_what_it_is_and_where_from(self, name: str) -> None:
        recipe = load_recipe(name).recipe
        assert recipe.name == name
        assert recipe.about.endswith(".")
        assert recipe.source
        assert all(sentence.endswith(".") for sentence in recipe.says.values())

    def test_its_resolved_text_is_the_same_recipe(self, name: str, tmp_path: Path) -> None:
        loaded = load_recipe(name)
        (tmp_path / "kept.toml").write_text(loaded.text(), encoding="utf-8")
        again = load_recipe(tmp_path / "kept.toml")
        assert (again.digest, again.resolved()) == (loaded.digest, loaded.resolved())
        assert differences(again.recipe, loaded.recipe) == ()

    def test_it_fits_the_schema(self, name: str) -> None:
        document = load_recipe(name).sources.documents[-1].data
        jsonschema.validate(document, json_schema(), cls=jsonschema.Draft7Validator)
        jsonschema.validate(load_recipe(name).resolved(), json_schema(), cls=jsonschema.Draft7Validator)


def test_the_papers_protocol_is_what_the_paper_says() -> None:
    """4.2, field by field."""
    recipe = load_recipe("cifar10-paper").recipe
    assert (recipe.data.name, recipe.data.split, recipe.data.batch) == ("cifar10", 5000, 128)
    assert (recipe.augment.pad, recipe.augment.crop, recipe.augment.flip) == (4, 32, True)
    assert recipe.normalise.kind == "per-pixel-mean"
    optimiser = recipe.optimiser
    assert (optimiser.kind, optimiser.lr, optimiser.momentum) == ("sgd", 0.1, 0.9)
    assert (optimiser.nesterov, optimiser.weight_decay) == (False, 1e-4)
    assert recipe.test.crops == "single"
    assert recipe.train.ema == recipe.train.label_smoothing == recipe.train.clip == 0


def test_the_papers_imagenet_is_what_the_paper_says() -> None:
    """3.4, field by field."""
    recipe = load_recipe("imagenet-paper").recipe
    augment, optimiser, schedule = recipe.augment, recipe.optimiser, recipe.schedule
    assert (augment.resize, augment.crop, augment.flip, augment.colour) == ((256, 480), 224, True, "pca")
    assert (recipe.data.batch, recipe.normalise.kind) == (256, "per-pixel-mean")
    assert (optimiser.lr, optimiser.momentum, optimiser.weight_decay) == (0.1, 0.9, 1e-4)
    assert (schedule.kind, schedule.divide_by, schedule.total) == ("plateau", 10.0, 600_000)
    assert (recipe.test.crops, recipe.test.crop) == ("ten", 224)


def test_the_papers_detection_is_what_the_paper_says_and_refers_to() -> None:
    """Appendix A, and Ren et al., 3.1.3."""
    for name, batch, total in (("coco-detection", 8, 320_000), ("voc0712-detection", 2, 110_000)):
        recipe = load_recipe(name).recipe
        optimiser = recipe.optimiser
        assert (optimiser.kind, optimiser.lr, optimiser.momentum) == ("sgd", 0.001, 0.9)
        assert (optimiser.nesterov, optimiser.weight_decay, optimiser.decay) == (False, 5e-4, "weights")
        assert (recipe.data.batch, recipe.schedule.total, recipe.data.split) == (batch, total, 0)
        assert (recipe.augment.flip, recipe.normalise.kind) == (True, "none")
        assert recipe.train.ema == recipe.train.clip == 0


def test_the_recipes_for_voc_differ_in_the_set_alone() -> None:
    found = differences(load_recipe("voc0712plus-detection").recipe, load_recipe("voc0712-detection").recipe)
    assert found == (Difference("data.name", "07++12", "07+12"),)


def test_the_variants_depart_from_the_paper_in_what_they_are_named_after() -> None:
    paper = load_recipe("cifar10-paper").recipe
    full = differences(load_recipe("cifar10-paper-full50k").recipe, paper)
    assert full == (Difference("data.split", 0, 5000), Difference("data.which", None, "last"))
    warm = differences(load_recipe("cifar10-paper-warmup").recipe, paper)
    assert [(each.field, each.here) for each in warm] == [
        ("schedule.warmup.lr", 0.01),
        ("schedule.warmup.until", "train-error"),
        ("schedule.warmup.below", 0.8),
        ("schedule.warmup.every", 100),
        ("schedule.warmup.shape", "constant"),
    ]


@pytest.mark.parametrize(
    ("setting", "same"),
    [("name=other", True), ("about=words", True), ("says.more=words", True), ("data.batch=32", False)],
)
def test_a_digest_is_of_what_a_run_depends_on(setting: str, same: bool) -> None:
    assert (load_recipe("digits", [setting]).digest == load_recipe("digits").digest) is same


def test_a_digest_leaves_out_what_nothing_reads(tmp_path: Path) -> None:
    plain: dict[str, Any] = {
        "format": 1,
        "name": "it",
        "optimiser": {"kind": "adam"},
        "schedule": {"total": 5},
    }
    base = {**plain, "optimiser": {"momentum": 0.5}}
    (tmp_path / "base.toml").write_text(tomli_w.dumps(base), encoding="utf-8")
    (tmp_path / "plain.toml").write_text(tomli_w.dumps(plain), encoding="utf-8")
    extended = load_recipe(tmp_path / "base.toml", ["optimiser.kind=adam"])
    assert extended.digest == load_recipe(tmp_path / "plain.toml").digest


def test_the_committed_schema_is_current() -> None:
    assert (spec_folder() / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft7Validator.check_schema(json.loads(schema_text()))


def test_loading_a_recipe_starts_no_torch() -> None:
    code = (
        "import sys; from archspec.recipes.load import load_recipe; load_recipe('imagenet-paper')\n"
        "import archspec_cli.commands.recipes\n"
        "sys.exit(bool({'torch', 'numpy', 'torchvision', 'tree_sitter'} & set(sys.modules)))"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ARCHSPEC")}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_shipped_files_point_editors_at_the_schema() -> None:
    for name in SHIPPED:
        first = (recipe_folder() / f"{name}.toml").read_text(encoding="utf-8").split("\n")[0]
        assert first == "#:schema ./recipe.schema.json"


def test_cifar100_is_the_papers_protocol_on_other_images() -> None:
    found = differences(load_recipe("cifar100").recipe, load_recipe("cifar10-paper").recipe)
    assert found == (Difference("data.name", "cifar100", "cifar10"),)


def test_no_recipe_that_ships_drops_images() -> None:
    """The paper is silent; facebook's loader, torchvision's and akamaster's keep the smaller batch."""
    assert {load_recipe(name).recipe.data.last for name in SHIPPED} == {"keep"}
