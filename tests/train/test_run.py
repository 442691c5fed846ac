"""A run goes on from where it stopped, to the same bits, and refuses what is not its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

import archspec
from archspec.data.find import find
from archspec.errors import FileError
from archspec.recipes.load import load_recipe
from archspec.runs.metrics import read
from archspec.train.loop import Diverged, Terms
from archspec.train.run import Job, Stopped, run

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


@pytest.mark.parametrize("stop", [1, 13, 21, 30])
def test_a_stopped_run_goes_on_to_the_same_bits(stop: int, whole: Path, tmp_path: Path) -> None:
    def interrupt(record: Any) -> None:
        if record["kind"] == "train" and record["step"] >= stop:
            signal.raise_signal(signal.SIGTERM)

    import archspec.train.loop as loop

    before, loop.SECONDS_BETWEEN_LOOKS = loop.SECONDS_BETWEEN_LOOKS, 0.0
    try:
        with pytest.raises(Stopped) as stopped:
            run(job(tmp_path), [interrupt])
    finally:
        loop.SECONDS_BETWEEN_LOOKS = before
    assert stopped.value.step == stop
    run(job(tmp_path))
    assert stored(tmp_path, 42)["model.safetensors"] == stored(whole, 42)["model.safetensors"]
    assert stored(tmp_path, 42)["training.safetensors"] == stored(whole, 42)["training.safetensors"]
    steps = [record["step"] for record in read(tmp_path / "metrics.jsonl") if record["kind"] == "train"]
    assert steps == sorted(set(steps))


def test_kill_9_loses_at_most_the_steps_since_the_last_checkpoint(whole: Path, tmp_path: Path) -> None:
    program = (
        "import sys, torch; torch.set_num_threads(1); sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from tests.train.test_run import job; from archspec.train.run import run\n"
        "run(job(Path(sys.argv[1])))"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    running = subprocess.Popen([sys.executable, "-c", program, str(tmp_path), root])
    place = tmp_path / "checkpoints" / "step-00000010"
    while not place.exists() and running.poll() is None:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert place.exists()
    run(job(tmp_path))
    assert stored(tmp_path, 42)["model.safetensors"] == stored(whole, 42)["model.safetensors"]


def test_a_run_of_another_recipe_or_seed_does_not_go_on(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="AS554 the run in this folder has another seed"):
        run(job(whole, seed=1))
    with pytest.raises(FileError, match="AS554 the run in this folder has another recipe"):
        run(job(whole, "optimiser.lr=0.2"))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(Diverged):
        run(job(tmp_path, "optimiser.lr=1000.0", "schedule.kind=constant"))


def test_the_weights_are_ready_for_export(whole: Path) -> None:
    from archspec.weights.verify import verify_weights

    place = whole / "checkpoints" / "step-00000042" / "model.safetensors"
    assert all(check.ok for check in verify_weights(place))
    assert json.loads((whole / "result.json").read_text())["test"]["images"] == 359
