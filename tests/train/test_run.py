"""A run goes on from where it stopped, to the same bits, and refuses what is not its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

import archspec
from archspec.data.find import find
from archspec.recipes.load import load_recipe
from archspec.train.loop import Terms
from archspec.train.run import Job, run

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = ["n=1", "input.channels=1", "input.size=[8, 8]"]
SHORT = ("schedule.total=2", "schedule.unit=epoch")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def job(folder: Path, *recipe: str, seed: int = 0, every: int = 10, **more: Any) -> Job:
    one = archspec.load("cifar/resnet20", settings=SETTINGS)
    told = load_recipe("digits", [*SHORT, *recipe])
    return Job(one, told, find("digits").read(), folder, Terms(seed=seed), checkpoint_every=every, **more)


def stored(folder: Path, step: int) -> dict[str, bytes]:
    place = folder / "checkpoints" / f"step-{step:08d}"
    return {path.name: path.read_bytes() for path in sorted(place.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of 21 steps in one go."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    result = run(job(folder))
    assert result.steps == 42
    assert result.test.accuracy() > 0.5
    return folder


def test_the_weights_are_ready_for_export(whole: Path) -> None:
    from archspec.weights.verify import verify_weights

    place = whole / "checkpoints" / "step-00000042" / "model.safetensors"
    assert all(check.ok for check in verify_weights(place))
    assert json.loads((whole / "result.json").read_text())["test"]["images"] == 359
