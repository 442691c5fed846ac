"""Studies, and the folders that their runs leave, without training anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archspec import provenance
from archspec.api import load
from archspec.recipes.load import load_recipe
from archspec.studies.grid import Said
from archspec.studies.load import load_study
from archspec.studies.plan import write_plan
from archspec.studies.planning import planned, recipe_file, spec_file

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.studies.plan import Plan

SMALL = """\
format = 1
name = "small"
about = "Two small nets."
question = "Which one?"
source = "made up"
recipe = "digits"
set_recipe = ["schedule.total=3"]
seeds = 2

[[runs]]
label = "plain"
spec = "cifar/plain20"
set = ["n=1"]

[[runs]]
label = "residual"
spec = "cifar/resnet20"
set = ["n=1"]

[[plots]]
title = "Both"

[[tables]]
title = "Errors"
columns = ["parameters", "train_error", "test_error"]

[[tables.beside]]
name = "others"
where = "Table 1"
data = "digits"
values = { plain = 2.0 }

[[claims]]
says = "The plain net trains worse."
run = "plain"
against = "residual"
relation = "above"

[budgets.one]
seeds = 1
only = ["plain"]
"""


def plan_of(folder: Path, text: str = SMALL, budget: str = "full", **changes: Any) -> Plan:
    """The plan of a study that stands in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.toml").write_text(text, encoding="utf-8")
    return planned(load_study(folder / "small.toml"), budget, **changes)


def begun(plan: Plan, out: Path, label: str, seed: int = 0, *, steps: int = 0, **told: Any) -> Path:
    """A run that has begun, as training leaves it."""
    run = plan.run(label)
    assert run is not None
    architecture = load(
        spec_file(out, Said(run.spec, ())),
        settings=[*run.settings, "input.channels=1", "input.size=[8, 8]"],
    )
    recipe = load_recipe(recipe_file(out, Said(run.recipe, ())), run.recipe_settings)
    total = architecture.measure.total
    document = {
        "schema_version": 1,
        "spec": {
            "name": architecture.name,
            "hash": architecture.hash,
            "text": provenance.spec_text(architecture),
            "parameters": total.params,
            "multiply_adds": total.macs,
        },
        "recipe": {"name": recipe.name, "digest": recipe.digest, "text": recipe.text()},
        "data": {
            "name": plan.data,
            "place": "scikit-learn",
            "train": 1288,
            "validation": 150,
            "test": 359,
            "shape": [1, 8, 8],
            "classes": 10,
        },
        "seed": seed,
        "terms": {
            "device": "cpu",
            "device_name": "a processor",
            "threads": 2,
            "ranks": 1,
            "nodes": 1,
            "parallel": None,
            "sync_bn": False,
            "compile": False,
            "channels_last": True,
            "workers": 0,
        },
        "batch_norm_images": 64,
        "versions": {"archspec": "0.1.0", "torch": "2.9"},
        "started": "2026-11-21T09:30:00+00:00",
        "command": ["archspec", "study", "run", "small"],
        **told,
    }
    folder = plan.folder(out, run, seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(document), encoding="utf-8")
    records = [
        {"kind": "train", "step": step, "lr": 0.1, "loss": 1.0, "train_error": 0.5 / step, "images": 64}
        for step in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    return folder


def finished(plan: Plan, out: Path, label: str, seed: int = 0, *, train: float, wrong: int) -> Path:
    """A run that has ended, with a training error and so many wrong test images of 359."""
    folder = begun(plan, out, label, seed, steps=63)
    right = {"right": 359 - wrong, "accuracy": (359 - wrong) / 359, "error": wrong / 359}
    result = {
        "schema_version": 1,
        "steps": 63,
        "tested_step": 42,
        "test_accuracy": right["accuracy"],
        "best_val_accuracy": 0.9,
        "final_train_error": train,
        "images_per_second": 1000.0,
        "seconds": 4.0,
        "view": "the whole image",
        "test": {"images": 359, "top1": right, "top5": right},
    }
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return folder


def whole(plan: Plan, out: Path) -> None:
    """All runs of the small study, the plain net's worse."""
    write_plan(plan, out)
    for seed in (0, 1):
        finished(plan, out, "plain", seed, train=0.10 + seed / 100, wrong=36 + seed)
        finished(plan, out, "residual", seed, train=0.02 + seed / 100, wrong=7 + seed)
