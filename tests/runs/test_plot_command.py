"""`archspec plot`: where the figure goes, what is said, what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.running import Result, cli
from tests.runs import synthetic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["cli"]
RECORDS = [synthetic.train(10, 0.5), *synthetic.epochs((0.4, 0.5), (0.2, 0.3))]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return synthetic.folder(tmp_path / "run", RECORDS)


def test_one_run_has_its_figure_in_its_folder(cli: Callable[..., Result], run: Path) -> None:
    said = cli("plot", "run")
    assert (said.code, said.out) == (0, "drawn to run/curves.svg\n")
    assert said.err == "net has not ended: drawn up to step 200\n"
    assert b"cifar10, cifar10-paper" in (run / "curves.svg").read_bytes()


def test_several_have_it_here(cli: Callable[..., Result], tmp_path: Path) -> None:
    for name in "ab":
        synthetic.folder(tmp_path / name, RECORDS, name, recipe=name)
    assert cli("plot", "a", "b").out == "drawn to curves.svg\n"
    text = (tmp_path / "curves.svg").read_text()
    assert ">cifar10<" in text
    assert "cifar10-paper" not in text


@pytest.mark.parametrize("file", ["new/figure.svg", "figure.PNG"])
def test_the_figure_goes_where_it_is_told(
    cli: Callable[..., Result], run: Path, tmp_path: Path, file: str
) -> None:
    said = cli("plot", "run", "-o", file, "--unit", "epoch", "--y-max", "60", "--log", "--title", "")
    assert (said.code, said.out) == (0, f"drawn to {file}\n")
    assert (tmp_path / file).is_file()
    assert not (run / "curves.svg").exists()


def test_json_is_the_series(cli: Callable[..., Result], run: Path, tmp_path: Path) -> None:
    (told,) = cli("plot", "run", "--json").json["runs"]
    assert sorted(each.name for each in run.iterdir()) == ["metrics.jsonl", "run.json"]
    assert told["validation"] == [
        {"step": 100, "epoch": 1.0, "mean": 0.5, "low": 0.5, "high": 0.5},
        {"step": 200, "epoch": 2.0, "mean": 0.3, "low": 0.3, "high": 0.3},
    ]
    assert (told["label"], told["train_source"], told["seeds"], told["finished"]) == (
        "net",
        "records",
        [0],
        False,
    )
    assert cli("plot", "run", "--json", "-o", "x.svg").json["file"] == "x.svg"
    assert (tmp_path / "x.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "-o", "x.pdf"), ("a figure is no .pdf file", "name a .svg or .png file")),
        (("run", "-o", "x"), ("a figure is no x file", "name a .svg or .png file")),
        (("run", "--y-max", "nan"), ("--y-max nan is no error in per cent",)),
        (("run", "--y-max", "0"), ("it is from 0.01 to 100",)),
        (("run", "--y-max", "101"), ("it is from 0.01 to 100",)),
        (("none",), ("AS553", "there is no such folder")),
        (("good.toml",), ("AS553", "this is a file")),
        (("run", "empty"), ("AS553", "there is no record with an error yet")),
        (("run", "-o", "run/metrics.jsonl/x.svg"), ("error: ",)),
        (tuple(f"m{place}" for place in range(17)), ("17 runs are too many", "at most 16")),
        (("odd", "--unit", "epoch"), ("how long an epoch of net is", "--unit iteration")),
    ],
)
def test_what_cannot_be_drawn_is_said(
    cli: Callable[..., Result], run: Path, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    synthetic.folder(tmp_path / "empty", [])
    synthetic.folder(tmp_path / "odd", [{**record, "epoch": None} for record in synthetic.epochs((0.5, 0.5))])
    for place in range(17):
        synthetic.folder(tmp_path / f"m{place}", RECORDS)
    said = cli("plot", *arguments).harmless()
    assert (said.code, said.out) == (2, "")
    assert all(word in said.err for word in words)
    assert not [each for each in tmp_path.rglob("*") if each.suffix in (".svg", ".pdf", ".png")]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"schema_version": 1}', "[" * 100_000, json.dumps({**synthetic.told("x"), "seed": -1})],
)
def test_a_damaged_run_is_said(cli: Callable[..., Result], run: Path, text: str) -> None:
    (run / "run.json").write_text(text)
    said = cli("plot", "run").harmless()
    assert (said.code, said.out) == (2, "")
    assert "AS553" in said.err


def test_hostile_names_steer_no_terminal(cli: Callable[..., Result], tmp_path: Path) -> None:
    synthetic.folder(tmp_path / "run", RECORDS, "a\x1b[31m\u202e\n$x$", recipe="\x07")
    said = cli("plot", "run").harmless()
    assert said.code == 0
    assert cli("plot", "run", "--json").json["runs"][0]["label"] == "a\ufffd[31m\ufffd\ufffd$x$"


def test_help_has_examples(cli: Callable[..., Result]) -> None:
    assert "archspec plot runs/resnet20" in cli("plot", "-h").out
