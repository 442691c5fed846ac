"""Running a study: what is missing and nothing else, whatever stops it in between."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from archspec.errors import FileError
from archspec.studies.run import Stopped, Terms, missing, run_here
from archspec.studies.state import DIVERGED, states
from archspec.studies.workers import command
from tests.studies.making import begun, finished, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from archspec.studies.plan import Plan
    from archspec.studies.state import State

TINY = """\
format = 1
name = "tiny"
recipe = "digits"
set_recipe = ["schedule.total=1", "data.batch=644"]
seeds = 2

[[runs]]
label = "a"
spec = "net.toml"

[[runs]]
label = "b"
spec = "net.toml"
set = ["stem.layers=[{ conv = 3, out = 4 }]"]
"""
NET = """\
format = 1
name = "net"
[head]
layers = [{ pool = "average" }, { linear = 10 }]
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "net.toml").write_text(NET)
    return plan_of(tmp_path, TINY)


class Ear:
    """Hears, and acts at a record."""

    def __init__(self, act: Callable[[State, Mapping[str, Any]], None] = lambda *_: None) -> None:
        self.act, self.began, self.done = act, [], []  # type: ignore[var-annotated]

    def begins(self, state: State, place: str) -> Callable[[Mapping[str, Any]], None]:
        self.began.append((state.run.label, state.seed))
        return lambda record: self.act(state, record)

    def ended(self, state: State) -> None:
        self.done.append((state.run.label, state.seed, state.stage))


EVERY = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_each_run_is_an_ordinary_runs_folder(plan: Plan, tmp_path: Path) -> None:
    ear = Ear()
    run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), ear)
    assert ear.done == [(*each, "finished") for each in EVERY]
    for label, seed in EVERY:
        folder = tmp_path / label / f"seed-{seed}"
        assert {"run.json", "result.json", "metrics.jsonl", "checkpoints"} <= {
            each.name for each in folder.iterdir()
        }
        assert (folder.parent / "card.md").is_file()
    assert (
        "2 runs" in (tmp_path / "a" / "card.md").read_text()
        or "seeds" in (tmp_path / "a" / "card.md").read_text()
    )
    again = Ear()
    run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), again)
    assert again.began == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_study_that_is_stopped_goes_on_without_repeating(
    plan: Plan, tmp_path: Path, number: signal.Signals
) -> None:
    def stop(state: State, record: Mapping[str, Any]) -> None:
        if (state.run.label, state.seed) == ("a", 1) and record["kind"] == "start":
            os.kill(os.getpid(), number)

    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    first = Ear(stop)
    with pytest.raises(Stopped):
        run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), first)
    assert {each: signal.getsignal(each) for each in before} == before
    assert first.done == [("a", 0, "finished")]
    kept = (tmp_path / "a" / "seed-0" / "result.json").read_bytes()
    second = Ear()
    run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), second)
    assert second.began == EVERY[1:]
    assert (tmp_path / "a" / "seed-0" / "result.json").read_bytes() == kept
    assert [each.stage for each in states(plan, tmp_path)] == ["finished"] * 4


def test_a_study_that_is_killed_goes_on_too(plan: Plan, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(state: State, record: Mapping[str, Any]) -> None:
        if (state.run.label, state.seed) == ("b", 0) and record["kind"] == "test":
            raise Killed  # before its result is written

    with pytest.raises(Killed):
        run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), Ear(kill))
    ear = Ear()
    run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), ear)
    assert ear.began == EVERY[2:]


def test_a_run_that_diverged_is_recorded_and_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(NET)
    plan = plan_of(
        tmp_path,
        TINY.replace('"data.batch=644"', '"data.batch=64", "optimiser.lr=1000.0"').replace(
            "layers=[{ conv = 3, out = 4 }]", "layers=[{ conv = 3, out = 4, norm = false }]"
        ),
    )
    plan = plan.model_copy(update={"runs": plan.runs[1:], "seeds": 1})
    ear = Ear()
    run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), ear)
    assert ear.done == [("b", 0, "diverged")]
    assert json.loads((tmp_path / "b" / "seed-0" / DIVERGED).read_text())["step"] > 0
    again = Ear()
    run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), again)
    assert again.began == []


def test_a_net_of_other_classes_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(NET.replace("linear = 10", "linear = 11"))
    plan = plan_of(tmp_path, TINY)
    ear = Ear()
    with pytest.raises(FileError, match="11 classes"):
        run_here(plan, tmp_path, Terms(tmp_path, device="cpu"), ear)
    assert ear.began == []


def test_what_has_begun_goes_first(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    finished(plan, tmp_path, "plain", 0, train=0.1, wrong=3)
    begun(plan, tmp_path, "residual", 1, steps=5)
    assert [(each.run.label, each.seed) for each in missing(plan, tmp_path)] == [
        ("residual", 1),
        ("plain", 1),
        ("residual", 0),
    ]


def test_a_process_of_its_own_is_told_everything(plan: Plan, tmp_path: Path) -> None:
    each = missing(plan, tmp_path)[3]
    told = command(plan, each, Terms(tmp_path, root=tmp_path / "data", device="cpu"))
    assert told == [
        *("train", str(tmp_path / "net.toml"), "--recipe", "digits", "--data", "digits", "--seed", "1"),
        *("--out", str(tmp_path / "b" / "seed-1"), "--device", "cpu", "--keep", "1"),
        *("--checkpoint-every", "1000", "--data-root", str(tmp_path / "data")),
        "--set=stem.layers=[{ conv = 3, out = 4 }]",
        *("--set-recipe=schedule.total=1", "--set-recipe=data.batch=644"),
    ]
