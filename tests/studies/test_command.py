"""`archspec study`, as it is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cli.running import cli
from tests.studies.making import SMALL, finished, plan_of, whole

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.running import Cli

__all__ = ["cli"]


def test_status_of_what_was_never_run_says_that_all_is_missing(cli: Cli) -> None:
    result = cli("study", "status", "degradation-cifar", "--json")
    assert result.code == 0
    assert result.json["counts"] == {"finished": 0, "running": 0, "stopped": 0, "diverged": 0, "missing": 9}
    assert result.json["folder"] == "studies/degradation-cifar-full"


def test_status_is_of_a_folder_or_of_a_study(cli: Cli, tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    whole(plan, tmp_path / "out")
    (tmp_path / "out" / "residual" / "seed-1" / "result.json").unlink()
    by_folder = cli("study", "status", "out").harmless()
    assert cli("study", "status", "small.toml", "--out", "out").out == by_folder.out
    assert "3 finished, 1 running" in by_folder.out
    assert "63 of 63" in by_folder.out


def test_report_names_its_files(cli: Cli, tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    whole(plan, tmp_path / "out")
    result = cli("study", "report", "out", "--json")
    assert result.json["files"] == ["out/report.html", "out/report.md", "out/curves-1.svg"]
    assert all((tmp_path / each).stat().st_size for each in result.json["files"])


def test_there_is_nothing_to_report_of_a_study_that_was_never_run(cli: Cli, tmp_path: Path) -> None:
    plan_of(tmp_path)
    result = cli("study", "report", "small.toml", "--budget", "one")
    assert result.code == 2
    assert "archspec study run small.toml --budget one" in result.err


def test_a_finished_study_is_not_run_again(cli: Cli, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, budget="one")
    finished(plan, tmp_path / "out", "plain", train=0.1, wrong=3)
    result = cli("study", "run", "small.toml", "--budget", "one", "--out", "out", "--json")
    assert result.code == 0, result.err
    assert result.json["counts"]["finished"] == 1


def test_a_study_in_a_folder_of_another_is_refused(cli: Cli, tmp_path: Path) -> None:
    plan_of(tmp_path)
    cli("study", "run", "small.toml", "--out", "out", "--data", "none")
    result = cli("study", "run", "small.toml", "--budget", "one", "--out", "out")
    assert result.code == 2
    assert "AS562" in result.err


def test_mistakes_are_diagnostics_with_places(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text(SMALL.replace("seeds = 2", "sedes = 2"))
    result = cli("study", "status", "wrong.toml")
    assert result.code == 2
    assert "wrong.toml:8:1" in result.err
    assert 'did you mean "seeds"?' in result.err


def test_epochs_and_steps_are_not_both(cli: Cli, tmp_path: Path) -> None:
    plan_of(tmp_path)
    assert cli("study", "status", "small.toml", "--epochs", "1", "--steps", "2").code == 2


def test_the_list_names_every_budget(cli: Cli) -> None:
    listed = cli("study", "list", "--json").json["studies"]
    assert {each["name"]: list(each["budgets"]) for each in listed}["degradation-cifar"] == ["small", "tiny"]
    assert "warmup-110" in cli("study", "list").out
