"""A run of the digits from its start to its result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

import archspec
from archspec.data.find import find
from archspec.recipes.load import load_recipe
from archspec.train.loop import Terms
from archspec.train.run import Job, run
from archspec.weights.verify import verify_weights

if TYPE_CHECKING:
    from pathlib import Path


def test_two_epochs_of_digits(tmp_path: Path) -> None:
    """They are learnt, and the weights say whose they are."""
    torch.set_num_threads(1)
    net = archspec.load("cifar/resnet20", settings=["n=1", "input.channels=1", "input.size=[8, 8]"])
    recipe = load_recipe("digits", ["schedule.total=2"])
    result = run(Job(net, recipe, find("digits").read(), tmp_path, Terms()))
    assert result is not None
    assert result.steps == 42
    assert result.test.accuracy() > 0.5
    weights = tmp_path / "checkpoints" / f"step-{result.tested_step:08d}" / "model.safetensors"
    assert all(check.ok for check in verify_weights(weights))
    assert json.loads((tmp_path / "result.json").read_text())["test"]["images"] == 359
