"""`archspec train` from its command line, and what other commands make of what it leaves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from archspec_cli.commands.train import _advice, without_nproc
from PIL import Image

from archspec.data.find import find
from archspec.data.sets import Images
from archspec.recipes.load import load_recipe
from archspec.train.loop import Trainer
from archspec.train.memory import TooLarge
from tests.cli.running import cli
from tests.train.running import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from tests.cli.running import Result

__all__ = ["cli"]

SHORT = ("--set-recipe", "schedule.total=1", "--set-recipe", "data.batch=128")
SYNTHETIC = (
    "--data",
    "synthetic",
    "--recipe",
    "digits",
    "--set",
    "input.size=[8, 8]",
    "--set",
    "input.channels=1",
)


def accuracy(result: Result) -> float:
    share: float = result.json["top1"]["accuracy"]
    return share


def test_json_is_one_document_of_figures_that_eval_repeats(
    cli: Callable[..., Result], tmp_path: Path
) -> None:
    result = cli("train", *SHORT, "--out", "run", "--json")
    assert result.code == 0
    told = result.json
    assert {"test_accuracy", "best_val_accuracy", "steps", "images_per_second", "run"} <= told.keys()
    assert (told["run"], told["steps"]) == ("run", 11)
    assert told["images_per_second"] > 0
    assert accuracy(cli("eval", "run", "--json")) == told["test_accuracy"]
    assert accuracy(cli("eval", "run", "--split", "validation", "--json")) == told["best_val_accuracy"]
    assert names(tmp_path / "run") == [
        ".lock", "card.json", "card.md", "checkpoints", "metrics.jsonl", "result.json", "run.json",
    ]  # fmt: skip

    again = cli("train", *SHORT, "--out", "run")
    assert again.code == 0
    assert "going on from step-00000011" in again.err
    assert f"test accuracy {told['test_accuracy']:.2%} after 11 steps" in again.out
    assert (tmp_path / again.out.rstrip().rpartition("archspec export ")[2]).is_file()


def test_quiet_says_nothing_but_the_result(cli: Callable[..., Result]) -> None:
    result = cli("--quiet", "train", *SHORT, "--out", "run")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("test accuracy ")


def test_several_seeds_are_summed_up(cli: Callable[..., Result], tmp_path: Path) -> None:
    result = cli("train", *SHORT, "--out", "runs", "--seeds", "2", "--seed", "5", "--json")
    told = result.json
    assert [run["run"] for run in told["runs"]] == ["runs/seed-5", "runs/seed-6"]
    accuracies = [run["test_accuracy"] for run in told["runs"]]
    assert told["test_accuracy"] == pytest.approx(sum(accuracies) / 2)
    assert told["test_accuracy_std"] == pytest.approx(abs(accuracies[0] - accuracies[1]) / 2**0.5)
    assert {"best_val_accuracy", "steps", "images_per_second", "run"} <= told.keys()
    assert names(tmp_path / "runs") == ["card.json", "card.md", "seed-5", "seed-6"]


@pytest.mark.parametrize("kind", ["per-pixel-mean", "per-channel"])
def test_a_trained_network_is_tested_without_the_images_it_was_trained_on(
    kind: str, cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights say how their images were normalised, to the bit."""
    told = cli("train", *SHORT, "--set-recipe", f"normalise.kind={kind}", "--out", "run", "--json").json
    from archspec.train import contenders

    def none(*_: Any) -> None:
        raise AssertionError("statistics are computed anew")

    monkeypatch.setattr(contenders, "fed", none)
    assert accuracy(cli("eval", "run", "--json")) == told["test_accuracy"]


def test_a_checkpoint_is_exported_and_predicts(cli: Callable[..., Result], tmp_path: Path) -> None:
    """With its labels, and how its pictures are prepared."""
    trained = cli("train", *SHORT, "--out", "run")
    weights = trained.out.rstrip().rpartition("archspec export ")[2]
    result = cli("export", weights, "--output", "net.onnx")
    assert result.code == 0, result.err
    test = find("digits").read().test
    assert isinstance(test, Images)
    pictures = [f"{place}.png" for place in range(8)]
    for place, name in enumerate(pictures):
        Image.fromarray(test.pixels[place, 0].numpy()).save(tmp_path / name)
    told = cli("predict", *pictures, "--model", "net.onnx", "--top", "1", "--json").json
    assert told["preprocessing"]["size"] == [8, 8]
    assert {each["top"][0]["label"] for each in told["predictions"]} <= set(test.classes)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "nowhere"),
        (["--set-recipe", "schedule.total=0"], "schedule.total"),
        (["--set", "head.layers=[{pool='average'}, {linear=7}]"], "AS541"),
        (["--device", "tpu"], "tpu"),
        (["--seed", str(2**70)], "--seed"),
        (["--parallel", "fsdp", "--set-recipe", "train.precision=fp16"], "fp16"),
        (["--out", "good.toml"], "AS551"),
    ],
)
def test_a_mistake_is_said_once(arguments: list[str], says: str, cli: Callable[..., Result]) -> None:
    result = cli("train", *SHORT, *arguments)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert len(re.findall(r"^(error|Error)\b", result.err, re.MULTILINE)) == 1


def test_a_loss_that_is_no_number_ends_with_3(cli: Callable[..., Result]) -> None:
    result = cli("train", *SHORT, "--set-recipe", "optimiser.lr=1000", "--out", "run")
    assert result.code == 3
    assert "the loss is not a finite number at step" in result.err


def test_too_little_memory_ends_with_advice(
    cli: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: Any) -> None:
        raise TooLarge(128, 32)

    monkeypatch.setattr(Trainer, "step", step)
    result = cli("train", *SHORT, "--out", "run")
    assert (result.code, result.out) == (2, "")
    assert "a batch of 128 images does not fit into the device's memory" in result.err
    assert "--set-recipe train.accumulate=4" in result.err


@pytest.mark.parametrize(
    ("fits", "says"), [(None, "train.accumulate=4"), (0, "not one image fits"), (20, "train.accumulate=7")]
)
def test_the_advice_can_be_taken(fits: int | None, says: str) -> None:
    recipe = load_recipe("digits", ["data.batch=128", "train.accumulate=2"])
    assert says in _advice(TooLarge(64, fits), recipe)


def test_a_process_of_several_is_not_asked_for_several() -> None:
    line = ["train", "--nproc", "2", "net", "--nproc=3", "--set", "n=2", "--json"]
    assert without_nproc(line) == ["train", "net", "--set", "n=2", "--json"]
