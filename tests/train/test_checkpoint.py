"""Checkpoints are written whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import stat
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from archspec.errors import FileError
from archspec.train import stored
from archspec.train.checkpoint import keep, model_weights, newest, of_step, save
from archspec.train.stored import FILES, MANIFEST, MODEL
from tests.train.checkpoints import assert_same, flipped, limited, loaded, snapshot, sound, steps

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_step_that_is_saved_again_replaces_nothing_and_is_the_newest(tmp_path: Path) -> None:
    first = save(tmp_path, snapshot(5, size=2, again=False), {})
    paths = [save(tmp_path, snapshot(5, size=3, again=number), {}) for number in range(10)]
    assert first.name == "step-00000005"
    assert [path.name for path in paths] == [f"step-00000005-{number}" for number in range(2, 12)]
    assert loaded(tmp_path).state["again"] == 9
    assert of_step(tmp_path, 5) == paths[-1]
    assert of_step(tmp_path, 6) is None
    keep(tmp_path, 3, None)
    assert steps(tmp_path) == ["step-00000005-11"]


def test_a_step_whose_checkpoint_is_damaged_is_saved_again(tmp_path: Path) -> None:
    flipped(save(tmp_path, snapshot(5), {}) / MODEL)
    path = save(tmp_path, snapshot(5), {})
    found = newest(tmp_path)
    assert found is not None
    assert found[0] == path
    assert found[1].remarks == ()


def test_newest_is_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000, 5):
        save(tmp_path, snapshot(step), {})
    assert loaded(tmp_path).step == 100_000_000


@pytest.mark.parametrize("room", [0, 100, 700, 2000, 5000])
def test_a_file_that_cannot_grow_leaves_the_older_ones(tmp_path: Path, room: int) -> None:
    save(tmp_path, snapshot(1), {})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    refusal = pytest.raises(FileError, match=r"step 2 could not be written: File too large")
    with limited(room), refusal as raised:
        save(tmp_path, snapshot(2, size=1000), {})
    assert raised.value.diagnostics[0].code == "AS551"
    assert steps(tmp_path) == ["step-00000001"]
    assert {path: path.read_bytes() for path in before} == before
    save(tmp_path, snapshot(2, size=1000), {})
    assert loaded(tmp_path).step == 2


def test_a_full_disk_at_any_sync_leaves_the_older_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, snapshot(1), {})
    real = os.fsync
    for fails in range(len(FILES) + 1):
        calls = itertools.count()

        def fsync(descriptor: int, calls: Iterator[int] = calls, fails: int = fails) -> None:
            if stat.S_ISREG(os.fstat(descriptor).st_mode) and next(calls) == fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        with pytest.raises(FileError, match="No space left on device"):
            save(tmp_path, snapshot(2), {})
        assert steps(tmp_path) == ["step-00000001"]
    monkeypatch.undo()
    save(tmp_path, snapshot(2), {})
    assert sound(tmp_path) == ["step-00000001", "step-00000002"]


def test_every_file_and_folder_is_synced_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    real, rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    hidden = ""

    def renamed(before: Any, after: Any) -> None:
        nonlocal hidden
        hidden = str(before)
        events.append("renamed")
        rename(before, after)

    monkeypatch.setattr(os, "rename", renamed)
    save(tmp_path, snapshot(2), {})
    place = events.index("renamed")
    assert {each.rpartition("/")[2].rpartition(".")[0] for each in events[:place]} >= {
        f".{name}" for name in [*FILES, MANIFEST]
    }
    assert events[place - 1] == hidden
    assert events[place + 1 :] == [str(tmp_path)]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="AS551"):
        save(tmp_path / "file" / "checkpoints", snapshot(1), {})


def test_an_interrupt_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stored, "_manifest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, snapshot(1), {})
    assert steps(tmp_path) == []


# -- killed at any moment: what runs in another process


def die_at(folder: Path, event: int) -> None:
    """Saves and prunes, and is gone without a word at one of its system calls."""
    seen = itertools.count()

    def audit(name: str, arguments: tuple[object, ...]) -> None:
        touches = name in {"open", "shutil.rmtree"} or (name.startswith("os.") and name != "os.listdir")
        if touches and str(folder) in str(arguments[0]) and next(seen) == event:
            os._exit(9)

    mine = snapshot(3)
    sys.addaudithook(audit)
    keep(folder, 2, save(folder, mine, {}))


def write_for_ever(folder: Path, start: int) -> None:
    for step in itertools.count(start):
        keep(folder, 2, save(folder, snapshot(step, size=60_000), {}))


@pytest.fixture(scope="module")
def other() -> Any:
    """How processes are started: forked from a fresh one that has imported this, in a few milliseconds each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def test_killed_at_any_system_call_nothing_is_lost(tmp_path: Path, other: Any) -> None:
    start = tmp_path / "start"
    for step in (1, 2):
        save(start, snapshot(step), {})
    keep(start, 2, start / "step-00000001")
    for event in itertools.count():
        folder = tmp_path / str(event)
        shutil.copytree(start, folder)
        process = other.Process(target=die_at, args=(folder, event))
        process.start()
        process.join()
        there = sound(folder)
        assert len(there) >= 2, event
        assert there == [path.name for path in sorted(folder.glob("step-*"))], "whatever has a name verifies"
        assert "step-00000002" in there
        assert loaded(folder).step in (2, 3)
        assert model_weights(folder).parent.name in there
        keep(folder, 2, None)
        assert not list(folder.glob(".*")), "what was left is swept"
        assert process.exitcode in (0, 9)
        if process.exitcode == 0:
            break
        shutil.rmtree(folder)
    assert event > 20


def test_killed_at_random_moments_nothing_is_lost(tmp_path: Path, other: Any) -> None:
    draw = random.Random(0)
    for step in (1, 2):
        save(tmp_path, snapshot(step), {})
    reached = 2
    for _ in range(20):
        process = other.Process(target=write_for_ever, args=(tmp_path, reached + 1))
        process.start()
        while loaded(tmp_path).step == reached and process.is_alive():
            time.sleep(0.005)
        time.sleep(draw.random() * 0.1)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        there = sound(tmp_path)
        assert len(there) >= 2
        assert there == [path.name for path in sorted(tmp_path.glob("step-*"))]
        found = newest(tmp_path)
        assert found is not None
        assert found[1].remarks == ()
        assert found[1].snapshot.step > reached
        assert_same(found[1].snapshot, snapshot(found[1].snapshot.step, size=60_000))
        reached = found[1].snapshot.step
