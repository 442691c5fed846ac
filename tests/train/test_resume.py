"""A run that was stopped and goes on ends with the bits of one that was not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from archspec.data.folders import pictures
from archspec.data.sets import Splits
from archspec.recipes.load import load_recipe
from archspec.train import checkpoint
from archspec.train.run import run
from tests.data.making import classes_of
from tests.train.running import (
    RECIPE,
    TOTAL,
    as_rank,
    at,
    in_ranks,
    job,
    names,
    net,
    stop_at,
    told,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archspec.train.run import Job
    from archspec.train.topology import Topology

WARMUP = (
    "schedule.kind=constant",
    "schedule.warmup={lr = 0.01, until = 'train-error', below = 0.95, every = 3}",
)
PLATEAU = (
    "schedule.kind=plateau",
    "schedule.watch=train-error",
    "schedule.patience=1",
    "schedule.threshold=0.5",
)
DROPOUT = "head.layers=[{pool = 'average'}, {dropout = 0.3}, {linear = 10}]"
VARIANTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "momentum": ((), {}),
    "adam": (("optimiser.kind=adam", "optimiser.lr=0.001", "train.clip=1.0"), {}),
    "plateau": (PLATEAU, {}),
    "warm-up": (WARMUP, {}),
    "average of weights": (("train.ema=0.9",), {}),
    "precise bn": (("train.precise_bn=32", "train.accumulate=4"), {}),
    "fp16": (("train.precision=fp16",), {}),
    "bf16": (("train.precision=bf16", "train.label_smoothing=0.1"), {}),
    "dropout": (("train.accumulate=2",), {"architecture": net(DROPOUT)}),
    "row by row": ((), {"channels_last": False}),
}


def assert_same(one: Path, other: Path, step: int = TOTAL) -> None:
    first, second = at(one, step), at(other, step)
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert told(one) == told(other)


@pytest.mark.parametrize("variant", VARIANTS)
def test_half_and_half_is_the_whole(variant: str, tmp_path: Path) -> None:
    recipe, more = VARIANTS[variant]
    run(job(tmp_path / "whole", *recipe, **more))
    stop_at(5, job(tmp_path / "halves", *recipe, **more))
    run(job(tmp_path / "halves", *recipe, **more))
    assert_same(tmp_path / "whole", tmp_path / "halves")


@pytest.mark.parametrize("stop", [1, 4, 8])
def test_wherever_it_stops(stop: int, tmp_path: Path) -> None:
    """At an epoch's last step too: it is validated when the run goes on."""
    run(job(tmp_path / "whole"))
    stop_at(stop, job(tmp_path / "halves"))
    run(job(tmp_path / "halves"))
    assert_same(tmp_path / "whole", tmp_path / "halves")


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As most machines have more than the one that tests compute with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def remarks(of: Job) -> tuple[str, ...]:
    """What a run says when it starts."""
    said: list[Any] = []
    run(of, [said.append])
    found: tuple[str, ...] = said[0]["remarks"]
    return found


@pytest.mark.usefixtures("two_threads")
def test_by_two_threads(tmp_path: Path) -> None:
    run(job(tmp_path / "whole"))
    stop_at(5, job(tmp_path / "halves"))
    assert remarks(job(tmp_path / "halves")) == ("going on from step-00000005",)
    assert_same(tmp_path / "whole", tmp_path / "halves")


def test_a_run_that_goes_on_by_other_means_is_told_so(tmp_path: Path, two_threads: None) -> None:
    stop_at(5, job(tmp_path))
    torch.set_num_threads(1)
    assert remarks(job(tmp_path, channels_last=False, workers=2)) == (
        "going on from step-00000005",
        "may not be the bits of a run in one go: so far computed with threads 2 (now 1), "
        "channels_last True (now False)",
    )


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_what_was_computed_with_need_not_be_known(content: str | None, tmp_path: Path) -> None:
    stop_at(5, job(tmp_path))
    (tmp_path / "run.json").unlink()
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    assert remarks(job(tmp_path)) == ("going on from step-00000005",)


def test_a_run_that_ended_and_is_started_again_changes_no_figure(tmp_path: Path) -> None:
    first = run(job(tmp_path))
    before = at(tmp_path, TOTAL), told(tmp_path), names(tmp_path / "checkpoints")
    second = run(job(tmp_path))
    assert (at(tmp_path, TOTAL), told(tmp_path), names(tmp_path / "checkpoints")) == before
    assert first is not None
    assert second is not None
    assert replace(second, seconds=first.seconds, test=first.test) == first
    assert second.test == first.test


def there_and_back(topology: Topology, whole: Job, halves: Job) -> None:
    run(as_rank(topology, whole))
    stop_at(5, as_rank(topology, halves)) if topology.first else _follow(as_rank(topology, halves))
    run(as_rank(topology, halves))


def _follow(of: Job) -> None:
    """A rank that no signal reaches, and that stops with the others."""
    from archspec.train.run import Stopped
    from tests.train.running import a_look_each_step

    with a_look_each_step(), pytest.raises(Stopped):
        run(of)


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_go_on_to_the_same_bits(parallel: str, tmp_path: Path) -> None:
    def of(name: str) -> Job:
        return job(tmp_path / name, "train.ema=0.9", "train.clip=1.0", "schedule.total=2", parallel=parallel)

    in_ranks(2, there_and_back, of("whole"), of("halves"))
    assert_same(tmp_path / "whole", tmp_path / "halves")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    files = pictures(classes_of(tmp_path_factory.mktemp("set"), ("a", "b", "c"), 9), "x", 3)
    return Splits(files, None, files)


def test_pictures_from_two_workers_are_those_from_none(folder: Splits, tmp_path: Path) -> None:
    crops = ("augment.crop=8", "test.crop=8", "test.sizes=[9]", "schedule.period=1")
    recipe = load_recipe("facebook-imagenet", [*RECIPE, *crops, "data.batch=8", "data.split=5"])
    architecture = net("input.channels=3", "head.layers=[{pool = 'average'}, {linear = 3}]")

    def of(name: str, workers: int) -> Job:
        return job(tmp_path / name, recipe=recipe, splits=folder, architecture=architecture, workers=workers)

    run(of("none", 0))
    stop_at(4, of("two", 2))
    run(of("two", 2))
    assert_same(tmp_path / "none", tmp_path / "two", 6)


# -- which checkpoint a run goes on from


def test_a_damaged_newest_one_is_passed_over_and_stored_again(tmp_path: Path) -> None:
    for name in ("whole", "other"):
        run(job(tmp_path / name, every=3))
    damaged = tmp_path / "other" / "checkpoints" / f"step-{TOTAL:08d}" / "model.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    said: list[Any] = []
    run(job(tmp_path / "other", every=3), [said.append])
    assert said[0]["remarks"] == (
        "step-00000008: model.safetensors has another SHA-256; using step-00000006",
        "going on from step-00000006",
    )
    assert at(tmp_path / "whole", TOTAL) == at(tmp_path / "other", TOTAL)


def test_the_best_is_kept_by_a_run_that_was_killed_before_it_was_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(job(tmp_path / "whole", every=1))
    assert whole is not None
    assert whole.tested_step == 4, "or the test shows nothing"

    class Killed(Exception):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_remember", killed)
        with pytest.raises(Killed):
            run(job(tmp_path / "killed", every=1))
    result = run(job(tmp_path / "killed", every=1))
    assert result is not None
    assert result.tested_step == whole.tested_step
    assert result.test == whole.test
    assert names(tmp_path / "killed" / "checkpoints") == names(tmp_path / "whole" / "checkpoints")
