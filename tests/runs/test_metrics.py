"""`metrics.jsonl`: every line a record, whatever happens to the run or the disk."""

from __future__ import annotations

import json
import math
import resource
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import FileError
from archspec.runs.metrics import Metrics, read

if TYPE_CHECKING:
    from pathlib import Path

FEW = settings(max_examples=60)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "metrics.jsonl"


def filled(path: Path, *steps: int) -> bytes:
    with Metrics(path) as metrics:
        for step in steps:
            metrics.append({"step": step, "loss": 1 / (step + 1)})
    return path.read_bytes()


def steps(path: Path) -> list[Any]:
    return [record.get("step") for record in read(path)]


@FEW
@given(records=st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=4), max_size=5))
def test_records_come_back_one_a_line(path: Path, records: list[dict[str, Any]]) -> None:
    path.unlink(missing_ok=True)
    with Metrics(path) as metrics:
        for record in records:
            metrics.append(record)
    assert read(path) == records
    assert len(path.read_text().splitlines()) == len(records)
    assert path.read_bytes().isascii()


@pytest.mark.parametrize("text", ['"}\n{"step": 9}', "\r\n", "\u2028", "\x1b[2J", "\x00", "\ud800"])
def test_a_text_cannot_become_a_record(path: Path, text: str) -> None:
    with Metrics(path) as metrics:
        metrics.append({text: text})
    assert read(path) == [{text: text}]
    assert path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_become_null(path: Path, value: float) -> None:
    with Metrics(path) as metrics:
        metrics.append({"loss": value, "deep": [{"x": (1.5, value)}]})
    assert path.read_text() == '{"loss": null, "deep": [{"x": [1.5, null]}]}\n'


def test_what_is_no_json_leaves_no_part_of_a_line(path: Path) -> None:
    with Metrics(path) as metrics:
        metrics.append({"step": 1})
        with pytest.raises(TypeError):
            metrics.append({"step": 2, "loss": object()})
        metrics.append({"step": 3})
    assert steps(path) == [1, 3]


def test_a_record_is_there_at_once(path: Path) -> None:
    with Metrics(path) as metrics:
        for step in range(3):
            metrics.append({"step": step})
            assert steps(path)[-1] == step
        metrics.sync()


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_torn_last_line_is_passed_over_and_cut_away(path: Path, cut: int) -> None:
    content = filled(path, 1, 2, 3)
    path.write_bytes(content[:-cut])
    assert steps(path) == [1, 2]
    with Metrics(path) as metrics:
        metrics.append({"step": 4})
    assert steps(path) == [1, 2, 4]


def test_a_torn_line_longer_than_a_block_is_cut_away(path: Path) -> None:
    content = filled(path, 1, 2)
    path.write_bytes(content + b'{"x": "' + b"a" * 200_000)
    Metrics(path).close()
    assert path.read_bytes() == content
    path.write_bytes(b"a" * 200_000)
    Metrics(path).close()
    assert path.read_bytes() == b""


@pytest.mark.parametrize("step", range(-1, 12))
def test_resuming_drops_what_came_later(path: Path, step: int) -> None:
    records: list[dict[str, Any]] = [
        {"event": "start"},
        *({"step": number} for number in (0, 3, 3, 6)),
        {"event": "drop"},
        {"step": 9},
        {"event": "end"},
    ]
    with Metrics(path) as metrics:
        for record in records:
            metrics.append(record)
        assert metrics.truncate_to(step) == 0
        metrics.append({"step": step, "event": "resume"})
    kept = next(
        (place for place, record in enumerate(records) if record.get("step", -9) > step), len(records)
    )
    assert read(path) == [*records[:kept], {"step": step, "event": "resume"}]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_resumed_file_is_the_one_of_a_run_in_one_go(path: Path) -> None:
    whole = filled(path, *range(20))
    path.write_bytes(whole[:-7])
    with Metrics(path) as metrics:
        metrics.truncate_to(10)
        for step in range(11, 20):
            metrics.append({"step": step, "loss": 1 / (step + 1)})
    assert path.read_bytes() == whole


def test_where_nothing_is_later_the_file_stays_as_it_is(path: Path) -> None:
    filled(path, 1, 2)
    before = path.stat()
    with Metrics(path) as metrics:
        metrics.truncate_to(2)
    after = path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


BAD = [
    b"\x00\x00\x00\n",
    b"{\n",
    b"3\n",
    b"[]\n",
    b"\xff\n",
    b"[" * 100_000 + b"\n",
    b"9" * 5000 + b"\n",
    b"\n",
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad[:4]))
def test_a_damaged_line_is_said_with_its_place_and_resuming_drops_it(path: Path, bad: bytes) -> None:
    content = filled(path, 1, 2)
    first, second = content.splitlines(keepends=True)
    path.write_bytes(first + bad + second)
    with pytest.raises(FileError, match=r"metrics\.jsonl:2:1: AS553"):
        read(path)
    with Metrics(path) as metrics:
        assert metrics.truncate_to(5) == 1
    assert path.read_bytes() == content


def test_many_damaged_lines_are_not_all_said(path: Path) -> None:
    filled(path)
    path.write_bytes(b"x\n" * 100)
    with pytest.raises(FileError) as raised:
        read(path)
    assert len(raised.value.diagnostics) == 9
    assert "92 more lines" in str(raised.value)


def test_a_file_that_is_not_there_is_said(path: Path) -> None:
    with pytest.raises(FileError, match=r"AS553 the file cannot be read: No such file"):
        read(path)


def test_a_file_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(FileError, match="AS551 the file cannot be added to: Is a directory"):
        Metrics(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize("room", range(0, 60, 7))
def test_a_full_disk_leaves_whole_lines_and_later_ones_follow(path: Path, room: int) -> None:
    with Metrics(path) as metrics:
        metrics.append({"step": 1})
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, before[1]))
        try:
            with pytest.raises(FileError, match="AS551 a record could not be written: File too large"):
                metrics.append({"step": 2, "text": "x" * 60})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert path.read_bytes() == b'{"step": 1}\n'
        metrics.append({"step": 3})
    assert steps(path) == [1, 3]


def test_a_full_disk_while_the_file_is_cut_leaves_it_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = filled(path, 1, 2, 3)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Metrics(path) as metrics:
        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", full)
            with pytest.raises(FileError, match="AS551 the file could not be cut: No space left on device"):
                metrics.truncate_to(1)
        assert path.read_bytes() == content
        metrics.append({"step": 4})
    assert steps(path) == [1, 2, 3, 4]
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_leftovers_of_a_killed_run_are_swept(path: Path) -> None:
    filled(path, 1)
    path.with_name(".metrics.jsonl.abc").touch()
    Metrics(path).close()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_who_reads_meanwhile_sees_whole_records_alone(path: Path) -> None:
    filled(path)
    done = threading.Event()
    seen: list[list[Any]] = []

    def reading() -> None:
        while not done.is_set():
            seen.append(steps(path))

    reader = threading.Thread(target=reading)
    reader.start()
    with Metrics(path) as metrics:
        for step in range(600):
            metrics.append({"step": step, "text": "y" * (step * 7 % 5000)})
        metrics.truncate_to(300)
        for step in range(301, 400):
            metrics.append({"step": step})
    done.set()
    reader.join()
    assert len(seen) > 3
    assert all(each == list(range(len(each))) for each in seen)
    assert steps(path) == list(range(400))


def test_lines_are_those_that_any_reader_of_json_takes(path: Path) -> None:
    filled(path, 1, 2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2]
