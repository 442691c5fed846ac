"""A run's folder: what is read of it, and that no damage gets past."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import FileError
from archspec.runs.folder import MAX_BYTES, RESULT, RUN, read_run
from tests.runs.told import put, result, told

if TYPE_CHECKING:
    from pathlib import Path


def refused(path: Path) -> FileError:
    with pytest.raises(FileError) as caught:
        read_run(path)
    assert {each.code for each in caught.value.diagnostics} == {"AS553"}
    return caught.value


def test_a_run_is_what_was_written(tmp_path: Path) -> None:
    run = read_run(put(tmp_path / "run", told(seed=3), result(error=0.1)))
    assert run.told is not None
    assert run.result is not None
    assert (run.told.seed, run.told.data.shape) == (3, (1, 8, 8))
    assert (run.result.test_accuracy, run.result.test.top1.right, run.runs) == (0.9, 900, (run,))


def test_a_run_that_goes_on_has_no_result(tmp_path: Path) -> None:
    assert read_run(put(tmp_path / "run", told())).result is None


def test_seeds_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for seed in (10, 9, 1):
        put(tmp_path / f"seed-{seed}", told(seed=seed))
    (tmp_path / "seed-11").mkdir()  # not begun
    put(tmp_path / "seed-01", told())  # not a name that archspec gives
    parent = read_run(tmp_path)
    assert parent.told is parent.result is None
    assert [each.path.name for each in parent.runs] == ["seed-1", "seed-9", "seed-10"]


def test_keys_of_later_versions_are_left_alone(tmp_path: Path) -> None:
    table = told()
    table["terms"]["colour"] = table["mood"] = "blue"
    assert read_run(put(tmp_path / "run", table)).told is not None


def test_a_command_need_not_be_utf_8(tmp_path: Path) -> None:
    run = read_run(put(tmp_path / "run", told(command=["archspec", "train", "--out", "caf\udce9"])))
    assert run.told is not None
    assert run.told.command[-1] == "caf\N{REPLACEMENT CHARACTER}"


DAMAGE = {
    "empty": b"",
    "torn": b"{",
    "list": b"[]",
    "no text": b"\xff\xfe",
    "null": b"null",
    "deep": b"[" * 100_000,
    "long number": b'{"seed": ' + b"9" * 5000 + b"}",
    "nothing in it": b"{}",
    "huge": b" " * (MAX_BYTES + 1),
}


@pytest.mark.parametrize("name", [RUN, RESULT])
@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_a_diagnostic(tmp_path: Path, name: str, content: bytes) -> None:
    path = put(tmp_path / "run", told(), result())
    (path / name).write_bytes(content)
    assert name in str(refused(path))


@pytest.mark.parametrize(
    ("name", "keys", "value"),
    [
        (RUN, ("schema_version",), 2),
        (RUN, ("seed",), True),
        (RUN, ("seed",), "0"),
        (RUN, ("spec", "hash"), "abc"),
        (RUN, ("started",), "yesterday"),
        (RUN, ("terms", "parallel"), "magic"),
        (RUN, ("batch_norm_images",), 0),
        (RUN, ("data", "test"), -1),
        (RUN, ("spec", "name"), "\ud800"),
        (RESULT, ("test_accuracy",), float("nan")),
        (RESULT, ("test_accuracy",), 0.95),
        (RESULT, ("tested_step",), 64),
        (RESULT, ("test", "top1", "right"), 901),
        (RESULT, ("seconds",), float("inf")),
        (RESULT, ("images_per_second",), None),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, name: str, keys: tuple[str, ...], value: Any) -> None:
    tables = {RUN: told(), RESULT: result()}
    holder = tables[name]
    for key in keys[:-1]:
        holder = holder[key]
    holder[keys[-1]] = value
    text = str(refused(put(tmp_path / "run", tables[RUN], tables[RESULT])))
    assert name in text


def test_many_problems_are_bounded(tmp_path: Path) -> None:
    error = refused(put(tmp_path / "run", told(command=[1] * 500)))
    assert len(error.diagnostics) == 9
    assert "more" in error.diagnostics[-1].message


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "both", told())
    put(tmp_path / "both" / "seed-0", told())
    put(tmp_path / "bare" / "seed-0", told(), result())
    (tmp_path / "bare" / "seed-0" / RUN).unlink()
    (tmp_path / "empty").mkdir()
    for name in ("both", "bare", "empty", "missing", "both/run.json"):
        refused(tmp_path / name)


@settings(max_examples=40)
@given(place=st.floats(0, 0.999), byte=st.integers(0, 255))
def test_a_changed_byte_is_a_diagnostic_or_another_value(tmp_path: Path, place: float, byte: int) -> None:
    path = put(tmp_path / "run", told(), result())
    content = bytearray((path / RUN).read_bytes())
    content[int(place * len(content))] = byte
    (path / RUN).write_bytes(content)
    with suppress(FileError):  # whatever else is raised fails the test
        read_run(path)


def test_json_as_written_by_hand_is_read(tmp_path: Path) -> None:
    path = put(tmp_path / "run", told())
    (path / RUN).write_text(json.dumps(told(), separators=(",", ":")), encoding="utf-8")
    assert read_run(path).told is not None
