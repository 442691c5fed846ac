"""Commands: what they say, where they say it, and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from archspec_cli.app import app
from typer.testing import CliRunner

import archspec
from tests.cli.running import BAD, GOOD, HOSTILE, Result, cli

if TYPE_CHECKING:
    from collections.abc import Callable

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture
COMMANDS = ["build", "check", "show", "audit", "schema", "explain", "diff", "init"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(cli: Cli, command: str) -> None:
    for result in (cli(command, "--help"), cli(command, "-h")):
        assert result.code == 0
        assert f"archspec {command}" in result.out
        assert "Examples:" in result.out
        assert result.err == ""


def test_help_names_every_command_and_the_exit_codes(cli: Cli) -> None:
    result = cli("--help")
    assert result.code == 0
    assert all(f"  {command} " in result.out for command in COMMANDS)
    assert "101" in result.out
    assert cli("-h").out == result.out


def test_the_version_is_the_packages(cli: Cli) -> None:
    assert cli("--version") == Result(0, f"archspec {archspec.__version__}\n", "")


def test_nothing_asked_is_a_mistake_with_help(cli: Cli) -> None:
    result = cli()
    assert result.code == 2
    assert "Commands:" in result.out + result.err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("resnet1202", "cifar/resnet1202"), ("plain20", "cifar/plain20"), ("resnet51", "resnet50")],
)
def test_an_unknown_spec_suggests_the_nearest(cli: Cli, typed: str, meant: str) -> None:
    result = cli("show", typed)
    assert result.code == 2
    assert f'did you mean "{meant}"?' in result.err


@pytest.mark.parametrize(
    ("typed", "meant"), [("shw", "show"), ("chek", "check"), ("biuld", "build"), ("dif", "diff")]
)
def test_an_unknown_command_suggests_the_nearest(cli: Cli, typed: str, meant: str) -> None:
    result = cli(typed)
    assert (result.code, result.out) == (2, "")
    assert meant in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["show", "--bogus", "good.toml"],
        ["diff", "good.toml"],
        ["check"],
        ["check", "--format", "xml", "good.toml"],
        ["show", "good.toml", "--max-params", "0"],
        ["show", "good.toml", "--max-params", "many"],
        ["show", "good.toml", "--set"],
        ["show", "good.toml", "--set", "n"],
        ["explain", "AS999"],
        ["init", "net.txt"],
        ["--color", "pink", "show", "good.toml"],
        ["show", "none.toml"],
        ["show", "."],
        ["check", "none.toml"],
        ["check", "."],
        ["build", "none.toml"],
        ["diff", "good.toml", "none.toml"],
        ["diff", "bad.toml", "good.toml"],
        ["audit", "--table", "none"],
        ["audit", "--as", "ResNet-50"],
        [""],
        ["\x1b[31m"],
        ["show", "\x1b[31m"],
        ["explain", "\x1b[31m"],
        ["audit", "--table", "\x1b[31m"],
        ["init", "\x1b[31m"],
        ["show", "a" * 5000],
        ["show", "a\udcffb"],
        ["show", "good.toml", "--set", "n=\udcff"],
    ],
    ids=lambda arguments: ascii(" ".join(arguments))[:40],
)
def test_the_users_mistakes_end_in_two(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments).harmless()
    assert result.code == 2
    assert result.err != "" or arguments[0] == "check"
    assert "Traceback" not in result.err
    assert "internal error" not in result.err


def test_findings_end_in_one_and_go_to_stdout(cli: Cli) -> None:
    result = cli("check", "bad.toml")
    assert result.code == 1
    assert "AS101" in result.out
    assert 'did you mean "width"?' in result.out
    assert result.err == ""
    assert cli("check", "good.toml") == Result(0, "", "1 spec is fine\n")
    both = cli("check", "good.toml", "bad.toml", "none.toml", ".")
    assert both.code == 1
    assert all(code in both.out for code in ("AS001", "AS002", "AS101"))
    assert "bad.toml:24:1: AS101" in cli("check", "bad.toml", "--format", "concise").out


def test_a_spec_that_cannot_be_shown_is_told_to_stderr(cli: Cli) -> None:
    for arguments in (["show", "bad.toml"], ["build", "bad.toml"], ["diff", "good.toml", "bad.toml"]):
        result = cli(*arguments)
        assert (result.code, result.out) == (2, "")
        assert "error[AS101]" in result.err


@pytest.mark.parametrize("arguments", [["show", "good.toml", "--json"], ["check", "good.toml", "--json"]])
def test_our_mistakes_end_in_101(cli: Cli, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("unlikely \x1b[31m")

    monkeypatch.setattr("archspec_cli.commands.show.load_any", broken)
    monkeypatch.setattr("archspec_cli.commands.check.load_any", broken)
    for each in (arguments, arguments[:2]):
        result = cli(*each).harmless()
        assert (result.code, result.out) == (101, "")
        assert "internal error: RuntimeError: unlikely" in result.err
        assert "ARCHSPEC_DEBUG=1" in result.err
    monkeypatch.setenv("ARCHSPEC_DEBUG", "1")
    with pytest.raises(RuntimeError, match="unlikely"):
        cli(*arguments)


def test_an_interrupted_run_says_so_in_its_code(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("archspec_cli.commands.show.load_any", interrupted)
    for arguments in (["show", "good.toml"], ["show", "good.toml", "--json"]):
        result = cli(*arguments)
        assert result.code == 130
        assert "internal error" not in result.err


def test_check_in_json(cli: Cli) -> None:
    for arguments in (["check", "bad.toml", "--format", "json"], ["check", "bad.toml", "--json"]):
        result = cli(*arguments)
        assert (result.code, result.err) == (1, "")
        (found,) = result.json["diagnostics"]
        assert found["code"] == "AS101"
        assert found["severity"] == "error"
        assert found["file"] == "bad.toml"
        assert (found["line"], found["column"]) == (24, 1)
        assert 'did you mean "width"?' in found["hint"]
        assert "widht" in found["message"]
    fine = cli("check", "good.toml", "--json")
    assert (fine.code, fine.json["diagnostics"]) == (0, [])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "bad.toml", "--json"], 2),
        (["show", "none.toml", "--json"], 2),
        (["show", ".", "--json"], 2),
        (["check", ".", "none.toml", "--json"], 2),
        (["check", "good.toml", "bad.toml", "--json"], 1),
        (["diff", "bad.toml", "good.toml", "--json"], 2),
        (["diff", "good.toml", "bad.toml", "--json"], 2),
        (["build", "bad.toml", "--json"], 2),
        (["build", "good.toml", "none.toml", "--json"], 2),
        (["show", "good.toml", "--set", "n", "--json"], 2),
        (["show", "good.toml", "--max-params", "1", "--json"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_in_json_mode_are_json(cli: Cli, arguments: list[str], code: int) -> None:
    result = cli(*arguments)
    assert result.code == code
    assert result.json["diagnostics"]
    for found in result.json["diagnostics"]:
        assert {"code", "severity", "message", "file", "line", "column", "hint"} <= set(found)
        assert found["line"] >= 1
        assert found["column"] >= 1


def test_json_mode_never_prints_anything_else(cli: Cli) -> None:
    for arguments in (
        ["check", "--json"],
        ["show", "--json"],
        ["show", "good.toml", "--json", "--bogus"],
        ["explain", "AS999", "--json"],
        ["build", "good.toml", "-o", "-", "--json"],
        ["build", "--json"],
    ):
        result = cli(*arguments)
        assert result.out == "" or result.json, arguments
        assert result.code == (0 if result.out else 2)
    for arguments in (
        ["explain", "--json"],
        ["explain", "as101", "--json"],
        ["diff", "good.toml", "good.toml", "--json"],
    ):
        assert cli(*arguments).json


def test_diff(cli: Cli) -> None:
    assert cli("diff", "good.toml", "good.toml").code == 0
    result = cli("diff", "resnet50", "torchvision/resnet50")
    assert result.code == 1
    assert "defaults.stride_on" in result.out
    assert "load strictly" in result.out
    found = cli("diff", "good.toml", "good.toml", "--set", "n=3", "--json")
    assert found.code == 1
    assert {"field": "params.n", "left": 2, "right": 3} in found.json["fields"]
    assert found.json["weights"] == "does not load"
    assert found.json["hashes"][0] != found.json["hashes"][1]
    assert found.json["only_right"]


def test_explain(cli: Cli) -> None:
    listed = cli("explain")
    assert listed.code == 0
    codes = cli("explain", "--json").json["codes"]
    assert {"AS001", "AS101", "AS301", "AS401"} <= set(codes)
    assert all(code in listed.out and each["title"] in listed.out for code, each in codes.items())
    one = cli("explain", "as101")
    assert one.code == 0
    assert one.out.startswith("AS101: ")
    assert cli("explain", "AS101", "--json").json["title"] == codes["AS101"]["title"]
    near = cli("explain", "AS1O1")
    assert near.code == 2
    assert "AS1" in near.err


@pytest.mark.parametrize("command", ["check", "show"])
def test_standard_input_is_a_spec(cli: Cli, command: str) -> None:
    assert cli(command, "-", stdin=GOOD).code == 0
    assert cli(command, "-", "--json", stdin=GOOD).code == 0
    result = cli(command, "-", "--json", stdin=BAD)
    assert result.json["diagnostics"][0]["file"] == "<stdin>"
    for content in (b"", b"\xff", b"\0" * 100, b"#" * 300_000, b"[" * 5000):
        assert cli(command, "-", stdin=content).harmless().code in (1, 2)


def test_quiet_leaves_results_and_errors(cli: Cli) -> None:
    assert cli("-q", "check", "good.toml") == Result(0, "", "")
    assert cli("--quiet", "check", "bad.toml").out == cli("check", "bad.toml").out
    assert cli("-q", "show", "bad.toml").err == cli("show", "bad.toml").err
    assert cli("-q", "show", "good.toml").out == cli("show", "good.toml").out


def test_colors_are_asked_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def colored() -> bool:
        return "\x1b[" in cli("check", "bad.toml").out

    assert not colored(), "a pipe has none"
    assert "\x1b[" in cli("--color", "always", "check", "bad.toml").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert colored()
    assert "\x1b[" not in cli("--color", "never", "check", "bad.toml").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colored()
    assert "\x1b[" not in cli("show", "bad.toml").err
    assert "\x1b[" in cli("--color", "always", "check", "bad.toml").out, "an option says more than a variable"


def test_what_a_spec_says_cannot_steer_a_terminal(cli: Cli) -> None:
    Path("h.toml").write_text(HOSTILE)
    name = "h\x1b[2J\u202e.toml"
    Path(name).write_text(HOSTILE)
    for spec in ("h.toml", name):
        for arguments in (
            ["show", spec],
            ["show", spec, "--origin"],
            ["diff", spec, "good.toml"],
            ["check", spec],
        ):
            result = cli(*arguments).harmless()
            assert result.code in (0, 1)
        assert cli("build", spec, "-o", "out").harmless().code == 0
        assert json.loads(cli("show", spec, "--json").harmless().out)["about"].startswith("a\x1b[31m")


def test_the_typer_app_runs_as_main_does(cli: Cli) -> None:
    runner = CliRunner()
    for arguments in (
        ["show", "good.toml", "--json"],
        ["check", "bad.toml", "--format", "concise"],
        ["explain", "AS101"],
    ):
        result, mine = runner.invoke(app, arguments), cli(*arguments)
        assert (result.exit_code, result.stdout) == (mine.code, mine.out)
    result = runner.invoke(app, ["check", "-", "--format", "concise"], input=BAD)
    assert result.exit_code == 1
    assert result.stdout.startswith("<stdin>:24:1: AS101")
    failed = runner.invoke(app, ["show", "bad.toml"])
    assert isinstance(failed.exception, archspec.SpecError)
    assert failed.stdout == ""
