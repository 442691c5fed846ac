"""`archspec show`: a network's counts, its resolved spec, and where each of its values was said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import archspec
from tests.cli.running import Result, cli

if TYPE_CHECKING:
    from collections.abc import Callable

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture


def test_show_in_json(cli: Cli) -> None:
    result = cli("show", "good.toml", "--json")
    shown = result.json
    architecture = archspec.load("good.toml")
    total = architecture.measure.total
    assert (result.code, result.err) == (0, "")
    assert shown["name"] == "good"
    assert shown["hash"] == architecture.hash
    for quantity in ("params", "macs", "layers", "projections"):
        assert shown[quantity] == getattr(total, quantity)
        assert sum(stage[quantity] for stage in shown["stages"]) == shown[quantity]
    assert [stage["name"] for stage in shown["stages"]] == ["conv1", "a", "b", "avgpool", "fc"]
    assert [stage["output"] for stage in shown["stages"]] == [
        *([16, 32, 32], [16, 32, 32], [32, 16, 16], [32, 1, 1], [10, 1, 1])
    ]
    assert shown["input"] == [3, 32, 32]
    assert shown["output"] == [10]
    assert shown["parameters"] == {"n": 2}
    assert all(isinstance(shown[key], int) for key in ("params", "macs", "layers", "projections"))
    assert isinstance(shown["convention"], str)
    assert set(shown["memory"]) == {"weights", "activations"}


def test_stems_pools_and_stages_of_the_paper_are_rows(cli: Cli) -> None:
    rows = {stage["name"]: stage["output"] for stage in cli("show", "resnet50", "--json").json["stages"]}
    assert rows == {
        "conv1": [64, 112, 112],
        "maxpool": [64, 56, 56],
        "conv2_x": [256, 56, 56],
        "conv3_x": [512, 28, 28],
        "conv4_x": [1024, 14, 14],
        "conv5_x": [2048, 7, 7],
        "avgpool": [2048, 1, 1],
        "fc": [1000, 1, 1],
    }


@pytest.mark.parametrize("spec", ["good.toml", "resnet50", "cifar/resnet20", "specs/vgg16.toml"])
def test_show_for_people(cli: Cli, spec: str) -> None:
    result = cli("show", spec)
    assert (result.code, result.err) == (0, "")
    shown = cli("show", spec, "--json").json
    assert f"{shown['params']:,}" in result.out
    assert f"{shown['macs']:,}" in result.out
    assert shown["hash"][:16] in result.out
    assert all(stage["name"] in result.out for stage in shown["stages"])


def test_resolved_and_origin(cli: Cli) -> None:
    resolved = cli("show", "good.toml", "--resolved")
    assert resolved.code == 0
    Path("again.toml").write_text(resolved.out)
    assert cli("show", "again.toml", "--json").json["hash"] == cli("show", "good.toml", "--json").json["hash"]
    assert cli("show", "good.toml", "--resolved", "--json").json["resolved"]["params"] == {"n": 2}
    values = cli("show", "good.toml", "--origin", "--set", "n=3", "--json").json["values"]
    said = {each["field"]: (each["value"], each["file"], each["line"]) for each in values}
    assert said["stages.b.width"] == (32, "good.toml", 24)
    assert said["params.n"][0] == 3
    assert said["params.n"][1].startswith("--set")
    assert "stages.b.width" in cli("show", "good.toml", "--origin").out


def test_set_changes_parameters_and_fields(cli: Cli) -> None:
    assert cli("show", "good.toml", "--set", "n=4", "--json").json["parameters"] == {"n": 4}
    changed = cli("show", "good.toml", "--set", "norm.kind=group", "--set", "norm.groups=8", "--json").json
    assert changed["hash"] != cli("show", "good.toml", "--json").json["hash"]
    wrong = cli("show", "good.toml", "--set", "norm.kind=gruop")
    assert wrong.code == 2
    assert "group" in wrong.err


def test_budgets_are_options_and_variables(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for option, code in (
        ("--max-params", "AS401"),
        ("--max-activations", "AS402"),
        ("--max-layers", "AS403"),
    ):
        result = cli("show", "good.toml", option, "1")
        assert result.code == 2
        assert code in result.err
        assert option in result.err
    monkeypatch.setenv("ARCHSPEC_MAX_PARAMS", "1")
    assert "AS401" in cli("check", "good.toml").out
