"""Runs as their folders tell of them, and cards of those."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import archspec
from archspec import provenance
from archspec.recipes.load import load_recipe
from archspec.runs.card import Card, card
from archspec.runs.folder import RESULT, RUN, read_run

if TYPE_CHECKING:
    from pathlib import Path

DATA = {
    "digits": {"train": 1288, "validation": 150, "test": 359, "shape": [1, 8, 8], "classes": 10},
    "cifar10": {"train": 45_000, "validation": 5000, "test": 10_000, "shape": [3, 32, 32], "classes": 10},
    "imagenet": {"train": 1_281_167, "validation": None, "test": 50_000, "shape": None, "classes": 1000},
}
DIGITS = ("n=1", "input.channels=1", "input.size=[8, 8]")


@cache
def _spec(name: str, changes: tuple[str, ...]) -> dict[str, Any]:
    made = archspec.load(name, settings=changes)
    total = made.measure.total
    text = provenance.spec_text(made)
    counts = {"parameters": total.params, "multiply_adds": total.macs}
    return {"name": made.name, "hash": made.hash, "text": text, **counts}


@cache
def _recipe(name: str, changes: tuple[str, ...]) -> dict[str, Any]:
    made = load_recipe(name, changes)
    return {"name": made.name, "digest": made.digest, "text": made.text()}


def told(
    spec: str = "cifar/resnet20",
    recipe: str = "digits",
    data: str = "digits",
    *,
    seed: int = 0,
    changes: tuple[str, ...] = DIGITS,
    recipe_changes: tuple[str, ...] = (),
    command: list[Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A `run.json`, as a run writes it."""
    terms = {"device": "cpu", "device_name": "a CPU", "threads": 2, "ranks": 1, "nodes": 1, "parallel": None}
    terms |= {"sync_bn": False, "compile": False, "channels_last": True, "workers": 0}
    return {
        "schema_version": 1,
        "spec": dict(_spec(spec, changes)),
        "recipe": dict(_recipe(recipe, recipe_changes)),
        "data": {"name": data, "place": "/somewhere/secret", **DATA[data]},
        "seed": seed,
        "terms": terms,
        "batch_norm_images": 64,
        "versions": {"archspec": "0.1.0", "python": "3.11", "torch": "2.15", "cuda": None},
        "started": "2026-11-21T09:30:00+00:00",
        "command": command or ["archspec", "train", "--out", "runs/a b"],
        **more,
    }


def result(*, error: float = 0.1, validation: float | None = 0.08, images: int = 1000) -> dict[str, Any]:
    """A `result.json`."""
    right = round((1 - error) * images)
    top = {"right": right, "accuracy": right / images, "error": (images - right) / images}
    return {
        "schema_version": 1,
        "steps": 63,
        "tested_step": 42,
        "test_accuracy": right / images,
        "best_val_accuracy": None if validation is None else 1 - validation,
        "final_train_error": 0.01,
        "images_per_second": 1000.0,
        "seconds": 100.0,
        "view": "the whole image",
        "test": {"images": images, "top1": top, "top5": top},
    }


def put(path: Path, run: dict[str, Any], ended: dict[str, Any] | None = None) -> Path:
    """A run's folder."""
    path.mkdir(parents=True, exist_ok=True)
    (path / RUN).write_text(json.dumps(run), encoding="utf-8")
    if ended is not None:
        (path / RESULT).write_text(json.dumps(ended), encoding="utf-8")
    return path


def made(tmp_path: Path, *runs: tuple[dict[str, Any], dict[str, Any] | None]) -> Card:
    for place, (run, ended) in enumerate(runs):
        put(tmp_path / f"seed-{place}", run, ended)
    return card([read_run(tmp_path)])


def of_paper(spec: str = "cifar/resnet20", recipe: str = "cifar10-paper", **more: Any) -> dict[str, Any]:
    return told(spec, recipe, "cifar10", **{"changes": (), **more})


def departures(of: Card) -> dict[str, tuple[str, str]]:
    return {each.field: (each.here, each.paper) for each in of.deviations if not each.open}


def readings(of: Card) -> dict[str, tuple[str, str]]:
    return {each.field: (each.here, each.paper) for each in of.deviations if each.open}
