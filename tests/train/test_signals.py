"""A signal stops a run with a checkpoint, wherever it comes; a second one leaves at once."""

from __future__ import annotations

import multiprocessing
import signal
from typing import TYPE_CHECKING, Any

import pytest

from archspec.train import run as running
from archspec.train.run import Stopped, run
from archspec.train.scores import Tally
from tests.train.running import TOTAL, at, job, names, stop_at, told

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = ("train.ema=0.9", "train.precise_bn=16")
"""So that the trained network is not the tested one."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(job(folder, *SETTINGS))
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_training(number: int, whole: Path, tmp_path: Path) -> None:
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    stop_at(6, job(tmp_path, *SETTINGS), number)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    run(job(tmp_path, *SETTINGS))
    assert at(tmp_path, TOTAL) == at(whole, TOTAL)
    assert told(tmp_path) == told(whole)


def test_a_signal_in_a_validation(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained network is stored, not the averaged one that is being looked at."""
    settings = ("data.batch=6", *SETTINGS)
    run(job(tmp_path / "whole", *settings))
    real, once = Tally.add, iter([signal.SIGTERM])

    def add(self: Tally, *given: Any) -> Tally:
        for number in once:
            signal.raise_signal(number)
        return real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Tally, "add", add)
        with pytest.raises(Stopped) as caught:
            run(job(tmp_path / "stopped", *settings))
    assert caught.value.step == 10
    assert [each["kind"] for each in told(tmp_path / "stopped")] == [], "the epoch is not over"
    run(job(tmp_path / "stopped", *settings))
    assert at(tmp_path / "stopped", 20) == at(tmp_path / "whole", 20)
    assert told(tmp_path / "stopped") == told(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_leaves_at_once(number: int, tmp_path: Path) -> None:
    def twice(record: Any) -> None:
        if record["kind"] == "train":
            signal.raise_signal(number)
            signal.raise_signal(number)

    process = multiprocessing.get_context("fork").Process(target=run, args=(job(tmp_path), [twice]))
    process.start()
    process.join()
    assert process.exitcode == -number
    assert not list(tmp_path.glob("checkpoints/step-*"))


def test_a_signal_while_a_checkpoint_is_written_lets_it_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, once = running.save, iter([signal.SIGTERM])

    def save(*given: Any) -> Path:
        for number in once:
            signal.raise_signal(number)
        return real(*given)

    monkeypatch.setattr(running, "save", save)
    with pytest.raises(Stopped):
        run(job(tmp_path, every=2))
    assert "step-00000002" in names(tmp_path / "checkpoints")
