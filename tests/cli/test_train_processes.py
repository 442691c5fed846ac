"""Several true processes: by --nproc, and by torchrun."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from archspec.train import launch as launching
from archspec.train.checkpoint import newest
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RUN = ("--set-recipe", "schedule.total=3", "--set-recipe", "data.batch=128", "--out", "run")
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}"}


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)


def test_stopped_by_a_signal_and_ended_by_torchrun(tmp_path: Path) -> None:
    """SIGTERM to the one that the user started: all stop, with a checkpoint, and exit code 75."""
    running = started(
        tmp_path, "archspec", "train", *RUN, "--set-recipe", "schedule.total=3000", "--nproc", "2"
    )
    assert running.stderr is not None
    for line in running.stderr:
        if line.startswith("step "):
            break
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate()
    assert running.returncode == 75, said
    assert "stopped after step" in said
    assert "Traceback" not in said
    found = newest(tmp_path / "run" / "checkpoints")
    assert found is not None
    assert f"stopped after step {found[1].snapshot.step:,};" in said


def test_torchrun_gives_one_document(tmp_path: Path) -> None:
    agent = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "archspec")
    out, said = (running := started(tmp_path, *agent, "train", *RUN, "--json")).communicate()
    assert running.returncode == 0, said
    told = json.loads(out)
    assert (told["run"], told["steps"]) == ("run", 33)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (record["terms"]["ranks"], record["terms"]["parallel"], record["batch_norm_images"]) == (
        2,
        "ddp",
        64,
    )


def test_a_mistake_is_said_by_one_process(tmp_path: Path) -> None:
    running = started(tmp_path, "archspec", "train", "--data", "folder", "--data-root", "no", "--nproc", "2")
    out, said = running.communicate()
    assert (running.returncode, out) == (2, "")
    assert said.count("error") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize(("codes", "expected"), [({0: 3, 1: 3}, 3), ({1: 2}, 2), ({1: -9, 0: 101}, 137)])
def test_the_code_is_that_of_the_first_that_failed(
    codes: dict[int, int], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elastic(*_: Any) -> Any:
        failures = {
            rank: SimpleNamespace(exitcode=code, timestamp=at)
            for at, (rank, code) in enumerate(codes.items())
        }

        def start(*_: str) -> None:
            raise launching.ChildFailedError("archspec", failures)  # type: ignore[arg-type]

        return start

    said: list[str] = []
    monkeypatch.setattr(launching, "elastic_launch", elastic)
    monkeypatch.setattr(launching.ChildFailedError, "format_msg", lambda *_: "")
    assert launching.launch(2, ["train"], said.append) == expected
    assert len(said) == (next(iter(codes)) != 0)
