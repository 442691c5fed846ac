"""`archspec draw`: places, formats, mistakes, and what it does not load."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.cli.running import GOOD, cli  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.running import Cli

STARTS = {
    "net.svg": b"<svg ",
    "net.SVG": b"<svg ",
    "net.png": b"\x89PNG",
    "net.mmd": b"flowchart TD\n",
    "net.mermaid": b"flowchart TD\n",
    "net.dot": b"digraph ",
    "net.gv": b"digraph ",
    "net.txt": b"output size",
}


@pytest.mark.parametrize(("name", "start"), STARTS.items())
def test_the_files_name_says_the_format(cli: Cli, tmp_path: Path, name: str, start: bytes) -> None:  # noqa: F811
    done = cli("draw", "good.toml", "cifar/resnet20", "--collapse", "-o", f"out/{name}", "--scale", "1")
    assert (done.code, done.out, done.err) == (0, "", f"wrote out/{name}\n")
    assert (tmp_path / "out" / name).read_bytes().startswith(start)
    assert os.listdir(tmp_path / "out") == [name]


def test_without_a_file_it_is_text_and_a_dash_is_svg(cli: Cli) -> None:  # noqa: F811
    text = cli("draw", "good.toml").harmless().out
    assert "3x3 conv, 32, /2" in text
    svg = cli("draw", "good.toml", "-o", "-").out
    assert ET.fromstring(svg).findtext("{http://www.w3.org/2000/svg}title") == "good"
    assert cli("draw", "-", "--format", "mermaid", stdin=GOOD).out.startswith("flowchart TD")
    assert cli("draw", "good.toml", "-o", "-", "--format", "dot").out.startswith("digraph")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet34"], "AS001"),
        (["bad.toml"], "widht"),
        (["good.toml", "--format", "bmp"], "'bmp' is not one of"),
        (["good.toml", "-o", "net.bmp"], '"net.bmp" does not say its format'),
        (["good.toml", "-o", "net"], "--format svg, png, mermaid, dot, text"),
        (["good.toml", "-o", "."], ". is a folder"),
        (["good.toml", "-o", "good.toml", "--format", "svg"], "would replace the spec"),
        (["good.toml", "-o", "bad.toml/net.svg"], "bad.toml"),
        (["good.toml", "--blocks"], "blocks are drawn as svg or png, not as text"),
        (["vgg16", "--blocks", "-o", "-"], "no blocks, only layers"),
        (["good.toml", "--title", "a", "--title", "b"], "2 titles for 1 networks"),
        (["-", "-"], "standard input can be read once"),
        (["good.toml"] * 30, "a drawing shows 1 to 24"),
        (["good.toml", "--set", "n=5000"], "--collapse draws what is repeated once"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(
    cli: Cli,  # noqa: F811
    tmp_path: Path,
    arguments: list[str],
    said: str,
) -> None:
    if arguments == ["resnet34"]:
        arguments = ["resnet3444", "-o", "net.svg"]
    before = sorted(os.listdir(tmp_path))
    failed = cli("draw", *arguments)
    assert (failed.code, failed.out) == (2, "")
    assert said in failed.err
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("name", ["net.svg", "net.png"])
def test_a_failed_write_leaves_what_was_there(
    cli: Cli,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    (tmp_path / name).write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    failed = cli("draw", "good.toml", "-o", name)
    assert (failed.code, failed.err) == (2, "error: No space left on device\n")
    assert (tmp_path / name).read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == sorted(["bad.toml", "good.toml", name])


def test_specs_of_one_name_are_told_apart_by_what_was_typed(cli: Cli) -> None:  # noqa: F811
    first = cli("draw", "resnet50", "torchvision/resnet50", "resnet18").out.split("\n", maxsplit=1)[0]
    assert first.split()[2:] == ["resnet50", "torchvision/resnet50", "resnet18"]
    titled = cli("draw", "plain34", "resnet34", "--title", "34-layer plain", "--set", "input.size=[64,64]")
    assert "34-layer plain" in titled.out.split("\n", maxsplit=1)[0]
    assert "resnet34" in titled.out.split("\n", maxsplit=1)[0]


def test_json_counts_what_was_drawn(cli: Cli) -> None:  # noqa: F811
    drawn = cli("draw", "resnet34", "-o", "net.svg", "--json").json
    assert (drawn["format"], drawn["output"]) == ("svg", "net.svg")
    assert drawn["networks"][0]["boxes"] == 36
    assert drawn["networks"][0]["shortcuts"] == {"identity": 13, "dimensions": 3, "projection": 0}
    assert cli("draw", "good.toml", "--json").json["drawing"].startswith("output size")


def test_mermaids_own_limit_is_told(cli: Cli) -> None:  # noqa: F811
    assert "let Mermaid draw 500" in cli("draw", "cifar/resnet1202", "-o", "net.mmd").err
    assert "Mermaid" not in cli("draw", "cifar/resnet1202", "--collapse", "-o", "net.mmd").err


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [(["cifar/resnet1202", "--collapse", "-o", "net.svg"], 1.0), (["resnet152", "-o", "net.svg"], 2.0)],
    ids=["resnet1202", "resnet152"],
)
def test_a_drawing_is_quick_and_loads_no_torch(tmp_path: Path, arguments: list[str], seconds: float) -> None:
    code = f"""
import atexit, sys
sys.argv = ["archspec", "draw", *{arguments!r}]
heavy = ("torch", "numpy", "matplotlib", "PIL", "onnx", "jinja2")
atexit.register(lambda: print(*[name for name in heavy if name in sys.modules], sep=","))
from archspec_cli import main
main()
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout == "\n"
    # the processor's seconds: how busy the machine is besides says nothing about the program
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < seconds
    assert (tmp_path / "net.svg").stat().st_size > 1_000
