"""Small runs of a small net on few images, alone and in several processes."""

from __future__ import annotations

import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

import archspec
from archspec.data.order import Plan
from archspec.data.prepare import Placement, prepared
from archspec.data.sets import held_out
from archspec.data.synthetic import make
from archspec.recipes.load import load_recipe
from archspec.runs.metrics import read
from archspec.train import loop
from archspec.train.checkpoint import of_step
from archspec.train.classification import Classification
from archspec.train.loop import Terms
from archspec.train.run import Job, Stopped, run
from archspec.train.topology import Topology
from archspec.weights.files import read_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archspec.architecture import Architecture
    from archspec.data.prepare import Feeds
    from archspec.data.sets import Splits
    from archspec.recipes.load import LoadedRecipe

HELD_OUT = 10
EPOCH, TOTAL = 4, 8
"""Steps: 60 images, 16 at a time, so that the last batch has 12; and two epochs."""
RECIPE = ("data.batch=16", f"data.split={HELD_OUT}", "schedule.total=2", "optimiser.lr=0.05")


@cache
def net(*settings: str) -> Architecture:
    return archspec.load(
        "cifar/resnet20", settings=["n=1", "input.channels=1", "input.size=[8, 8]", *settings]
    )


@cache
def splits() -> Splits:
    return make((1, 8, 8), 10, train=60 + HELD_OUT, test=20)


def job(folder: Path, *recipe: str, every: int = 100, **more: Any) -> Job:
    """Two epochs of four steps."""
    names = {"seed", "topology", "parallel", "sync_bn", "channels_last"}
    terms = Terms(**{name: more.pop(name) for name in names & set(more)})
    named = {"architecture", "splits", "recipe"}
    told = {
        "architecture": net(),
        "splits": splits(),
        "recipe": load_recipe("digits", [*RECIPE, *recipe]),
        **{name: more.pop(name) for name in named & set(more)},
    }
    return Job(Classification(**told), folder, terms, checkpoint_every=every, **more)


@dataclass(frozen=True)
class OfModule(Classification):
    """A module that is there already."""

    module: nn.Module = field(default_factory=nn.Identity)

    def network(self) -> nn.Module:
        """The module."""
        return self.module


def of_module(module: nn.Module, recipe: LoadedRecipe) -> OfModule:
    """The task of a module."""
    return OfModule(net(), recipe, splits(), module=module)


def task(of: Job) -> Classification:
    """The task of a job."""
    assert isinstance(of.task, Classification)
    return of.task


def feeds(of: Job) -> Feeds:
    """The images of a job as it feeds them."""
    recipe = of.task.recipe.recipe
    parts = held_out(task(of).splits, recipe.data.split, recipe.data.which)
    return prepared(parts, recipe, Plan.of(recipe.data, of.terms.seed), Placement())


def at(folder: Path, step: int) -> dict[str, bytes]:
    """The files of a step's checkpoint; its manifest says nothing more."""
    place = of_step(folder / "checkpoints", step)
    assert place is not None
    return {path.name: path.read_bytes() for path in sorted(place.iterdir())}


def weights(folder: Path, step: int = TOTAL) -> dict[str, torch.Tensor]:
    """The tested network of a step."""
    place = of_step(folder / "checkpoints", step)
    assert place is not None
    tensors = read_weights(place / "model.safetensors").tensors
    return {name: torch.from_numpy(value.copy()).double() for name, value in tensors.items()}


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def told(folder: Path) -> list[dict[str, Any]]:
    """The metrics but for those that depend on the clock."""
    return [record for record in read(folder / "metrics.jsonl") if record["kind"] != "train"]


@contextmanager
def a_look_each_step() -> Iterator[None]:
    before, loop.SECONDS_BETWEEN_LOOKS = loop.SECONDS_BETWEEN_LOOKS, 0.0
    try:
        yield
    finally:
        loop.SECONDS_BETWEEN_LOOKS = before


def stop_at(step: int, job: Job, number: int = signal.SIGTERM) -> None:
    """Runs up to a step, and answers a signal there."""

    def interrupt(record: Any) -> None:
        if record["kind"] == "train" and record["step"] >= step:
            signal.raise_signal(number)

    with a_look_each_step(), pytest.raises(Stopped) as stopped:
        run(job, [interrupt])
    assert stopped.value.step == step


def in_ranks(count: int, work: Callable[..., Any], *given: Any) -> list[Any]:
    """What `work(topology, *given)` returns in each of so many processes, which are forked from this one."""
    with tempfile.TemporaryDirectory() as folder:
        started = torch.multiprocessing.start_processes(
            _rank, (count, Path(folder), work, given), nprocs=count, join=False, start_method="fork"
        )
        assert started is not None
        while not started.join():
            pass
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(count)]


def _rank(rank: int, count: int, folder: Path, work: Callable[..., Any], given: tuple[Any, ...]) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
    try:
        torch.save(work(Topology(rank, count), *given), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def as_rank(topology: Topology, of: Job) -> Job:
    """A job as one of several processes does it."""
    return replace(of, terms=replace(of.terms, topology=topology))
