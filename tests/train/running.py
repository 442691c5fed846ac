"""Small runs of a small net on few images, alone and in several processes."""

from __future__ import annotations

import signal
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

import archspec
from archspec.data.synthetic import make
from archspec.recipes.load import load_recipe
from archspec.train import loop
from archspec.train.loop import Terms
from archspec.train.run import Job, Stopped, run
from archspec.train.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archspec.architecture import Architecture
    from archspec.data.sets import Splits

IMAGES, HELD_OUT = 70, 10
EPOCH = 4
"""Steps: 60 images, 16 at a time; the last batch has 12."""
RECIPE = ("data.batch=16", f"data.split={HELD_OUT}", "schedule.total=3", "optimiser.lr=0.05")


@cache
def net(*settings: str) -> Architecture:
    return archspec.load("cifar/resnet20", settings=["n=1", "input.channels=1", "input.size=[8, 8]", *settings])


@cache
def splits() -> Splits:
    return make((1, 8, 8), 10, train=IMAGES, test=20)


def job(folder: Path, *recipe: str, every: int = 100, **more: Any) -> Job:
    """Three epochs of four steps."""
    names = {"seed", "topology", "parallel", "sync_bn", "channels_last", "compile"}
    terms = Terms(**{name: more.pop(name) for name in names & set(more)})
    told = {"architecture": net(), "splits": splits(), **more}
    return Job(recipe=load_recipe("digits", [*RECIPE, *recipe]), folder=folder, terms=terms, checkpoint_every=every, **told)


def at(folder: Path, step: int) -> dict[str, bytes]:
    """The files of a step's checkpoint."""
    places = sorted((folder / "checkpoints").glob(f"step-{step:08d}*"))
    return {path.name: path.read_bytes() for path in sorted(places[-1].iterdir())}


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in folder.iterdir())


def stopped_at(step: int, job: Job, kind: str = "train") -> None:
    """Runs until a record of that step is told, and answers a SIGTERM there."""

    def interrupt(record: Any) -> None:
        if record["kind"] == kind and record["step"] >= step:
            signal.raise_signal(signal.SIGTERM)

    before, loop.SECONDS_BETWEEN_LOOKS = loop.SECONDS_BETWEEN_LOOKS, 0.0
    try:
        run(job, [interrupt])
    except Stopped as stopped:
        assert stopped.step == step
    else:
        raise AssertionError("the run was not stopped")
    finally:
        loop.SECONDS_BETWEEN_LOOKS = before


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
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
    try:
        torch.save(work(Topology(rank, count), *given), folder / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
