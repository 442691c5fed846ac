"""The real thing: `python -m archspec` in a process of its own, with pipes, and what it imports."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.running import BAD, GOOD

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("torch", "torchvision", "onnx", "fvcore", "matplotlib", "jinja2")


def python(
    *arguments: str, folder: Path, stdin: str = "", stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A run of `python ARGUMENTS` in a folder, without this shell's settings for archspec."""
    kept = {
        name: value for name, value in os.environ.items() if "ARCHSPEC" not in name and "COLOR" not in name
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**kept, **environment},
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )


def imported(stderr: str) -> set[str]:
    """The packages in the report of `-X importtime`."""
    lines = [line for line in stderr.split("\n") if line.startswith("import time:")]
    assert len(lines) > 20
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text(BAD)
    return tmp_path


def test_help_imports_nothing_heavy(folder: Path) -> None:
    run = python("-X", "importtime", "-m", "archspec", "--help", folder=folder)
    assert run.returncode == 0
    assert "Commands:" in run.stdout
    assert imported(run.stderr).isdisjoint({*HEAVY, "numpy", "tree_sitter"})


def test_show_imports_nothing_heavy(folder: Path) -> None:
    plain = python("-X", "importtime", "-m", "archspec", "show", "good.toml", folder=folder)
    told = python("-X", "importtime", "-m", "archspec", "show", "good.toml", "--json", folder=folder)
    assert plain.returncode == told.returncode == 0
    assert json.loads(told.stdout)["name"] == "good"
    assert f"{json.loads(told.stdout)['params']:,}" in plain.stdout
    for run in (plain, told):
        assert imported(run.stderr).isdisjoint({*HEAVY, "numpy", "tree_sitter"})


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_detector_imports_nothing_heavy(folder: Path, command: str) -> None:
    run = python("-X", "importtime", "-m", "archspec", command, "faster-rcnn-resnet101", folder=folder)
    assert run.returncode == 0
    assert imported(run.stderr).isdisjoint({*HEAVY, "numpy", "tree_sitter", "typer"})


def test_check_of_a_bad_file_through_a_pipe(folder: Path) -> None:
    command = ("-X", "importtime", "-m", "archspec", "check", "-")
    run = python(*command, folder=folder, stdin=BAD, FORCE_COLOR="", TERM="xterm-256color")
    assert run.returncode == 1
    assert run.stdout.startswith("error[AS101]: unknown key")
    assert "<stdin>:24:1" in run.stdout
    assert "\x1b" not in run.stdout
    assert imported(run.stderr).isdisjoint({*HEAVY, "numpy"})
    assert not [line for line in run.stderr.split("\n") if line and not line.startswith("import time:")]


def test_build_from_a_pipe_to_a_pipe(folder: Path) -> None:
    run = python("-X", "importtime", "-m", "archspec", "build", "-", "-o", "-", folder=folder, stdin=GOOD)
    assert run.returncode == 0
    assert run.stdout.startswith('"""')
    classes = [node.name for node in ast.parse(run.stdout).body if isinstance(node, ast.ClassDef)]
    assert classes[-1] == "Good"
    assert imported(run.stderr).isdisjoint(set(HEAVY) - {"jinja2"})
    assert sorted(path.name for path in folder.iterdir()) == ["bad.toml", "good.toml"]


@pytest.mark.parametrize("arguments", [["show", "good.toml"], ["schema"], ["check", "bad.toml", "--json"]])
def test_a_reader_that_has_gone_is_no_error(folder: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        run = python("-m", "archspec", *arguments, folder=folder, stdout=writing)
    finally:
        os.close(writing)
    assert (run.returncode, run.stderr) == (0, "")


def test_bash_is_given_its_completion(folder: Path) -> None:
    script = python("-m", "archspec", folder=folder, _ARCHSPEC_COMPLETE="source_bash")
    assert script.returncode == 0
    assert "complete" in script.stdout
    assert "archspec" in script.stdout
    run = python("-m", "archspec", "--show-completion", "bash", folder=folder, SHELL="/bin/bash")
    assert "complete" in run.stdout
    words = {"_ARCHSPEC_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    shown = python("-m", "archspec", folder=folder, COMP_WORDS="archspec show cifar/", **words)
    assert "cifar/resnet20" in shown.stdout.split()
    assert "resnet50" not in shown.stdout.split()


def test_output_is_utf_8_whatever_the_locale_says(folder: Path) -> None:
    about = 'about = "\u4e2d \u00e9 \u2192"\n'
    (folder / "wide.toml").write_text(GOOD.replace("format = 1\n", f"format = 1\n{about}"), encoding="utf-8")
    for command in (["show", "wide.toml"], ["build", "wide.toml", "-o", "-"], ["check", "wide.toml"]):
        run = python(
            "-m", "archspec", *command, folder=folder, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
        )
        assert (run.returncode, "internal error" in run.stderr) == (0, False)
    assert python("-m", "archspec", "build", "wide.toml", "-o", "wide.py", folder=folder).returncode == 0
    ast.parse((folder / "wide.py").read_text(encoding="utf-8"))


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
@pytest.mark.parametrize(
    ("command", "code"), [("check good.toml --json", 0), ("check -", 1), ("predict - -m none.onnx", 2)]
)
def test_closed_streams_are_no_bug_of_ours(closed: str, command: str, code: int, folder: Path) -> None:
    line = f"{sys.executable} -m archspec {command} {closed}"
    done = subprocess.run(["sh", "-c", line], cwd=folder, input=b"", capture_output=True, check=False)
    assert done.returncode == code
    assert b"internal error" not in done.stderr


def test_an_interrupt_in_the_import_of_an_extension_is_an_interrupt(folder: Path) -> None:
    code = (
        "import sys, archspec_cli; from archspec_cli.commands import show\n"
        "def importing(*_, **__): raise ImportError('initialization failed') from KeyboardInterrupt()\n"
        "show.load_any = importing; sys.argv = ['archspec', 'show', 'good.toml']; archspec_cli.main()"
    )
    done = python("-c", code, folder=folder)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
