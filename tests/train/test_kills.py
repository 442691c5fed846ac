"""`kill -9`, at any moment: no file is lost, and the bits at the end are those of a run that was left alone."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from archspec.train.checkpoint import newest
from archspec.train.run import run
from archspec.train.stored import verify
from tests.train.running import at, job, names, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archspec.train.run import Job

KILLS = 20
SETTINGS = ("schedule.total=10", "train.ema=0.9")
STEPS = 40


def of(folder: Path) -> Job:
    """Forty steps, and a checkpoint after every second one, so that many are killed while one is written."""
    return job(folder, *SETTINGS, every=2)


def _trains(folder: Path) -> None:
    run(of(folder))


def killed(folder: Path, wait: Callable[[multiprocessing.process.BaseProcess], object]) -> bool:
    """Whether a run was still going when it was killed, once `wait` is over."""
    process = multiprocessing.get_context("fork").Process(target=_trains, args=(folder,))
    process.start()
    wait(process)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


def assert_sound(folder: Path, reached: int) -> int:
    """Whatever has a checkpoint's name verifies, and none of what was there is lost. Returns the newest step."""
    checkpoints = folder / "checkpoints"
    for path in checkpoints.glob("step-*"):
        verify(path)
    found = newest(checkpoints)
    if found is None:
        assert reached == 0
        return 0
    assert found[1].snapshot.step >= reached
    return found[1].snapshot.step


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A run that was left alone, and the seconds it took."""
    folder, began = tmp_path_factory.mktemp("whole"), time.monotonic()
    run(of(folder))
    return folder, time.monotonic() - began


def assert_ends_alike(folder: Path, whole: Path) -> None:
    run(of(folder))
    assert at(folder, STEPS) == at(whole, STEPS)
    assert told(folder) == told(whole)
    assert names(folder) == names(whole)
    assert names(folder / "checkpoints") == names(whole / "checkpoints")


def test_at_twenty_random_moments(whole: tuple[Path, float], tmp_path: Path) -> None:
    folder, seconds = whole
    draw, reached, kills = random.Random(0), 0, 0
    for _ in range(KILLS):
        moment = draw.random() * seconds / 5
        kills += killed(tmp_path, lambda process, moment=moment: process.join(moment))
        reached = assert_sound(tmp_path, reached)
    assert kills >= KILLS / 2, "or there was little to see"
    assert_ends_alike(tmp_path, folder)


def test_while_a_checkpoint_is_written(whole: tuple[Path, float], tmp_path: Path) -> None:
    folder, _ = whole
    (tmp_path / "checkpoints").mkdir()

    def half(process: multiprocessing.process.BaseProcess) -> None:
        before = set(names(tmp_path / "checkpoints"))
        while process.is_alive():
            now = set(names(tmp_path / "checkpoints")) - before
            if any(name.startswith(".step-") for name in now):
                return

    reached = 0
    for _ in range(5):
        assert killed(tmp_path, half)
        reached = assert_sound(tmp_path, reached)
    assert_ends_alike(tmp_path, folder)
