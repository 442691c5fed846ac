"""`archspec card` as it is typed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.running import Result, cli
from tests.runs.told import put, result, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture


def test_a_run_gets_its_card(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path / "run", told(), result())
    said = cli("card", "run").harmless()
    assert said.code == 0
    assert said.out == (tmp_path / "run" / "card.md").read_text(encoding="utf-8")
    assert "card.md and card.json are in run" in said.err


def test_seeds_get_one_card_in_their_parent(cli: Cli, tmp_path: Path) -> None:
    for seed in (0, 1):
        put(tmp_path / "run" / f"seed-{seed}", told(seed=seed), result(error=0.1 + seed / 100))
    document = cli("card", "run", "--json").json
    assert document["ended"] == 2
    assert document == json.loads((tmp_path / "run" / "card.json").read_text())


def test_several_folders_are_summed_up_and_nothing_is_written(cli: Cli, tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        put(tmp_path / name, told(seed=seed), result())
    said = cli("card", "a", "b")
    assert said.code == 0
    assert "n = 2 seeds" in said.out
    assert not list(tmp_path.glob("*/card.*"))


def test_other_jobs_are_refused_with_what_differs(cli: Cli, tmp_path: Path) -> None:
    put(tmp_path / "a", told(), result())
    put(tmp_path / "b", told(seed=1, recipe_changes=("data.batch=32",)), result())
    said = cli("card", "a", "b")
    assert said.code == 2
    assert said.out == ""
    assert "AS554" in said.err
    assert "data.batch 32 instead of 64" in said.err


@pytest.mark.parametrize("name", ["missing", "good.toml", "."])
def test_what_is_no_run_is_refused(cli: Cli, name: str) -> None:
    said = cli("card", name)
    assert said.code == 2
    assert "AS553" in said.err


def test_a_folder_that_cannot_be_written_to_is_a_diagnostic(cli: Cli, tmp_path: Path) -> None:
    path = put(tmp_path / "run", told(), result())
    (path / "card.md").mkdir()
    said = cli("card", "run")
    assert said.code == 2
    assert "AS551" in said.err
    assert not list(path.glob(".card.md*"))
