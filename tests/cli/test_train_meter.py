"""How far a run is: plain lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import os
import pty
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from archspec_cli import meter, output
from archspec_cli.meter import Meter, duration

if TYPE_CHECKING:
    from collections.abc import Iterator


def look(step: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "train", "step": step, "lr": 0.1, "loss": 1.25, "train_error": 0.5, "images": 640, "seconds": 1.0,
        "waited": 0.25, **more,
    }  # fmt: skip


def start(step: int = 0, total: int = 100, *remarks: str) -> dict[str, Any]:
    return {"kind": "start", "step": step, "total": total, "remarks": remarks}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that goes when it is told to."""
    now = [1000.0]
    monkeypatch.setattr(meter.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(output.settings, "quiet", False)
    return now


def test_a_pipe_gets_a_line_at_most_every_two_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Meter("net") as told:
        told(start())
        for second in range(1, 11):
            clock[0] += 1
            told(look(second * 10))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"step {step} of 100" for step in (30, 60, 90, 100)]
    assert lines[0] == (
        "step 30 of 100: loss 1.2500, training error 50.00%, lr 0.1, 640 images/s, 25% waiting for data, 0:07 left"
    )
    assert lines[-1].endswith("0:00 left")


def test_what_is_left_is_of_the_speed_of_this_process(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Meter("net") as told:
        told(start(900, 1000, "going on from step-00000900"))
        clock[0] += 3
        told(look(910, seconds=2.0))
    remark, line = capsys.readouterr().err.splitlines()
    assert remark == "going on from step-00000900"
    assert "320 images/s" in line
    assert line.endswith("0:18 left")


def test_an_epoch_is_told_with_the_next_line(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("net") as told:
        told(start())
        told({"kind": "epoch", "step": 10, "epoch": 1, "train_error": 0.4, "validation_error": 0.3})
        clock[0] += 3
        told(look(20))
        told({"kind": "epoch", "step": 30, "epoch": 2, "train_error": 0.2, "validation_error": None})
        clock[0] += 3
        told(look(40))
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("; epoch 1: error 40.00%, validation 30.00%")
    assert second.endswith("; epoch 2: error 20.00%")


def test_quiet_is_quiet(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output.settings, "quiet", True)
    with Meter("net") as told:
        told(start(0, 100, "a remark"))
        clock[0] += 3
        told(look(100))
    assert capsys.readouterr() == ("", "")


def told_to(leader: int) -> str:
    """All that a terminal was told, once nobody holds its other end: until then a part may be on its way."""
    seen = bytearray()
    with suppress(OSError), os.fdopen(leader, "rb", buffering=0) as terminal:  # EIO is the end of it on Linux
        while part := terminal.read(65536):
            seen += part
    return seen.decode()


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize("quiet", [False, True])
def test_a_terminal_gets_a_bar(quiet: bool, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time that is left, however narrow it is."""
    leader, follower = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(output.settings, "quiet", quiet)
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Meter("net, seed 0") as told:
            told(start(0, 100, "a remark [bold]with brackets[/bold]"))
            told(look(50))
            assert (told.bar is None) == quiet
    seen = told_to(leader)
    assert ("50/100" in seen) != quiet
    assert ("a remark [bold]with brackets[/bold]" in seen) != quiet
    assert ("0:01 left" in seen) != quiet
    assert ("640 images/s" in seen) == (columns > 80 and not quiet)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3599.7, "1:00:00"), (90_061, "25:01:01")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
