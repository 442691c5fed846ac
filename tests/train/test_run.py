"""A run of the digits from its start to its result."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from archspec.data.find import find
from archspec.errors import FileError
from archspec.recipes.load import load_recipe
from archspec.train.classification import Classification
from archspec.train.loop import Terms
from archspec.train.run import Job, run
from archspec.weights.files import read_weights, write_weights
from archspec.weights.verify import verify_weights

if TYPE_CHECKING:
    from pathlib import Path


def test_two_epochs_of_digits(tmp_path: Path) -> None:
    """They are learnt, and the weights say whose they are."""
    net = archspec.load("cifar/resnet20", settings=["n=1", "input.channels=1", "input.size=[8, 8]"])
    recipe = load_recipe("digits", ["schedule.total=2"])
    result = run(Job(Classification(net, recipe, find("digits").read()), tmp_path, Terms()))
    assert result is not None
    assert result.steps == 42
    assert result.test is not None
    assert result.test.value > 0.5
    weights = tmp_path / "checkpoints" / f"step-{result.tested_step:08d}" / "model.safetensors"
    assert all(check.ok for check in verify_weights(weights))
    assert json.loads((tmp_path / "result.json").read_text())["test"]["images"] == 359


def test_a_run_starts_from_weights_that_fit(tmp_path: Path) -> None:
    net = archspec.load("cifar/resnet20", settings=["n=1", "input.channels=1", "input.size=[8, 8]"])
    torch.manual_seed(3)
    tensors = {key: value.numpy() for key, value in archspec.build(net).state_dict().items()}
    write_weights(tmp_path / "start.safetensors", tensors, {})
    start = read_weights(tmp_path / "start.safetensors")
    recipe = load_recipe("digits", ["schedule.total=1"])
    begun = Classification(net, recipe, find("digits").read(), weights=start)
    made = begun.network().state_dict()
    assert all(torch.equal(made[key], torch.tensor(value)) for key, value in tensors.items())
    run(Job(begun, tmp_path / "run", Terms()))
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    assert told["initial"] == {"from": start.file, "sha256": start.sha256}
    with pytest.raises(FileError, match="AS554"):  # the run in this folder began elsewhere
        run(Job(replace(begun, weights=None), tmp_path / "run", Terms()))
    coloured = archspec.load("cifar/resnet20", settings=["n=1"])
    with pytest.raises(FileError, match="AS504"):
        replace(begun, architecture=coloured).network()
