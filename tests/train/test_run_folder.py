"""A run's folder: one process at a time, full disks, disks that cannot be written to, runs of something else."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archspec.data.sets import Splits
from archspec.data.synthetic import make
from archspec.errors import FileError
from archspec.runs.metrics import read
from archspec.train.lock import locked
from archspec.train.loop import Diverged
from archspec.train.run import run
from tests.train.checkpoints import limited
from tests.train.running import TOTAL, at, job, names, splits, told

if TYPE_CHECKING:
    from collections.abc import Callable


# -- one process at a time


def _holds(folder: Path, ready: Any, forks: bool) -> None:
    with locked(folder):
        if forks and os.fork() == 0:  # as a worker that reads pictures
            signal.pause()
        ready.send(os.getpid())
        signal.pause()


@pytest.mark.parametrize("forks", [False, True])
def test_a_second_process_is_refused_until_the_first_is_gone(forks: bool, tmp_path: Path) -> None:
    """However it went, and whatever it leaves behind: workers live on for some seconds."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_holds, args=(tmp_path, there, forks))
    process.start()
    here.recv()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    try:
        with pytest.raises(FileError, match="AS554 another process is training in this folder"):
            run(job(tmp_path))
        process.kill()
        process.join()
        with locked(tmp_path):
            assert names(tmp_path) == [".lock"]
    finally:
        for each in children:
            os.kill(int(each), signal.SIGKILL)


# -- no room


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run(job(folder, every=4))
    return folder


@pytest.mark.parametrize(
    ("room", "says"), [(100, "AS551 the file cannot be written"), (20_000, "AS551 the checkpoint of")]
)
def test_a_full_disk_is_said_and_the_run_goes_on_once_there_is_room(
    room: int, says: str, whole: Path, tmp_path: Path
) -> None:
    with limited(room), pytest.raises(FileError, match=says):
        run(job(tmp_path, every=4))
    assert not list(tmp_path.glob("checkpoints/*"))
    run(job(tmp_path, every=4))
    assert at(tmp_path, TOTAL) == at(whole, TOTAL)


def fails_at(monkeypatch: pytest.MonkeyPatch, wanted: Callable[[str], bool]) -> None:
    """No space left, for the files that are wanted, once they are synced."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if wanted(os.readlink(f"/proc/self/fd/{descriptor}")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (".run.json", "AS551 the file cannot be written: No space left"),
        (".result.json", "AS551 the file cannot be written: No space left"),
        ("step-00000008", "AS551 the checkpoint of step 8 could not be written: No space left"),
        ("metrics.jsonl", "AS551 .*No space left"),
    ],
)
def test_a_disk_that_fills_up_takes_nothing_older(
    name: str, says: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fails_at(patch, lambda path: name in path)
        with pytest.raises(FileError, match=says):
            run(job(tmp_path, every=4))
    if name in ("step-00000008", ".result.json"):
        assert at(tmp_path, 4) == at(whole, 4)
    run(job(tmp_path, every=4))
    assert at(tmp_path, TOTAL) == at(whole, TOTAL)
    assert told(tmp_path) == told(whole)
    assert names(tmp_path) == names(whole)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="AS551 the folder cannot be written to: Not a directory"):
        run(job(tmp_path / "file" / "run"))
    with pytest.raises(FileError, match="AS551 the folder cannot be written to"):
        run(job(Path("/proc/archspec")))


# -- another run, or none to go on with


def test_a_run_of_something_else_does_not_go_on(whole: Path) -> None:
    same = splits()
    other = Splits(replace(same.train, name="other"), None, replace(same.test, name="other"))
    refused: dict[str, dict[str, Any]] = {
        "seed": {"seed": 1},
        "data": {"splits": other},
        "images, labels": {"splits": make((1, 8, 8), 10, train=80, test=20)},
        "labels": {"splits": replace(same, train=replace(same.train, labels=same.train.labels.flip(0)))},
    }
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    for what, more in refused.items():
        with pytest.raises(FileError, match=f"AS554 the run in this folder differs in {what}$"):
            run(job(whole, **more))
    with pytest.raises(FileError, match="AS554 the run in this folder differs in recipe"):
        run(job(whole, "optimiser.lr=0.2"))
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_a_loss_that_is_no_number_stops_the_run_with_what_was_good(tmp_path: Path) -> None:
    of = ("optimiser.lr=1000.0", "schedule.kind=constant")
    with pytest.raises(Diverged):
        run(job(tmp_path, *of))
    assert not list(tmp_path.glob("checkpoints/*"))
    assert read(tmp_path / "metrics.jsonl")[-1]["kind"] == "diverged"


def test_the_record_of_a_run_says_how_it_was_computed(whole: Path) -> None:
    record = json.loads((whole / "run.json").read_text())
    assert record["data"] | {"place": ""} == {
        "name": "synthetic",
        "place": "",
        "train": 60,
        "validation": 10,
        "test": 20,
        "shape": [1, 8, 8],
        "classes": 10,
    }
    assert record["batch_norm_images"] == 16
    assert record["terms"]["ranks"] == 1
