"""Several processes are one: the same steps, the same figures, one that writes."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
import torch

import archspec
from archspec.errors import FileError
from archspec.train.loop import Trainer
from archspec.train.run import Stopped, run
from tests.train.running import (
    TOTAL,
    a_look_each_step,
    as_rank,
    feeds,
    in_ranks,
    job,
    names,
    net,
    stop_at,
    told,
    weights,
)

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.train.run import Job
    from archspec.train.topology import Topology

BOUND = 2e-5
"""Of a weight after eight steps, as a share of the largest of its tensor: seen are 4e-6, fp32's last bits.

One process is as far from itself when it computes row by row instead of channels last.
"""


BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def distance(one: Path, other: Path, step: int = TOTAL, *, parameters: bool = False) -> float:
    """The largest difference of two tested networks, as a share of the largest value of its tensor."""
    first, second = weights(one, step), weights(other, step)
    assert first.keys() == second.keys()
    chosen = [name for name in first if not parameters or not name.endswith(BUFFERS)]
    return max(
        float((first[n] - second[n]).abs().max() / first[n].abs().max().clamp(min=1e-3)) for n in chosen
    )


def all_of(topology: Topology, jobs: dict[str, Job]) -> dict[str, Any]:
    return {name: run(as_rank(topology, each)) for name, each in jobs.items()}


# 17 at a time: pieces of 8 and 9; 59: the last batch has one image, and leaves none to the first rank
SIZES = {"even": "data.batch=16", "uneven": "data.batch=17", "nothing left": "data.batch=59"}


def test_with_synchronised_bn_two_processes_are_one(tmp_path: Path) -> None:
    def jobs(where: str, **more: Any) -> dict[str, Job]:
        made = {
            name: job(tmp_path / where / name, size, "data.split=0", every=4, **more)
            for name, size in SIZES.items()
        }
        mean = ("train.precise_bn=60", "train.ema=0.5", "data.batch=59", "data.split=0")
        return {**made, "averages": job(tmp_path / where / "averages", *mean, **more)}

    results = {name: run(each) for name, each in jobs("one").items()}
    in_ranks(2, all_of, jobs("two", sync_bn=True))
    for name, result in results.items():
        assert result is not None
        assert distance(tmp_path / "one" / name, tmp_path / "two" / name, min(result.steps, 8)) < BOUND, name


def test_without_each_rank_is_a_part_of_an_accumulated_batch(tmp_path: Path) -> None:
    run(job(tmp_path / "one", "train.accumulate=2"))
    ranks = {name: job(tmp_path / name, parallel=name) for name in ("ddp", "fsdp")}
    ranks["apart"] = job(tmp_path / "apart", "data.batch=12", "train.accumulate=2", every=5)
    in_ranks(2, all_of, ranks)
    assert distance(tmp_path / "one", tmp_path / "ddp", parameters=True) < BOUND
    assert distance(tmp_path / "ddp", tmp_path / "fsdp") < BOUND
    run(job(tmp_path / "four", "data.batch=12", "train.accumulate=4", every=5))
    assert distance(tmp_path / "four", tmp_path / "apart", 5, parameters=True) < BOUND


def test_a_validation_is_of_the_network_that_is_stored(tmp_path: Path) -> None:

    jobs = {name: job(tmp_path / name, parallel=name, every=4, last=9) for name in ("ddp", "fsdp")}
    in_ranks(2, all_of, jobs)
    for name, each in jobs.items():
        validation = feeds(each).validation
        assert validation is not None
        for record in told(tmp_path / name)[:2]:
            network = archspec.build(net(), init=False)
            network.load_state_dict(
                {k: v.float() for k, v in weights(tmp_path / name, record["step"]).items()}
            )
            network.eval()
            with torch.no_grad():
                wrong = sum(
                    int((network(b.images).argmax(1) != b.labels).sum()) for b in validation.testing()
                )
            assert record["validation_error"] == wrong / len(validation)


def looked_with(topology: Topology, of: Job) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """The statistics of a rank after a step, and those that it tests with."""
    trainer = Trainer(of.task, as_rank(topology, of).terms, 60)
    trainer.step(next(feeds(of).train.training(0, rank=topology.rank, ranks=topology.ranks)))
    own = [each.clone() for each in trainer.network.buffers()]
    with trainer.tested(lambda: ()):
        return own, list(trainer.network.buffers())


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_all_look_with_the_statistics_of_the_first(parallel: str, tmp_path: Path) -> None:
    first, second = in_ranks(2, looked_with, job(tmp_path, parallel=parallel))
    assert not all(map(torch.equal, first[0], second[0]))
    assert all(map(torch.equal, first[0], first[1]))
    assert all(map(torch.equal, first[0], second[1]))


def stopped(topology: Topology, of: Job) -> None:
    with a_look_each_step():
        if topology.first:
            stop_at(3, as_rank(topology, of))
        else:
            with pytest.raises(Stopped):
                run(as_rank(topology, of))


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_what_two_processes_began_one_ends_and_the_reverse(parallel: str, tmp_path: Path) -> None:
    run(job(tmp_path / "one"))
    shared = {"parallel": parallel, "sync_bn": True}
    in_ranks(2, stopped, job(tmp_path / "begun", **shared))
    run(job(tmp_path / "begun"))
    assert distance(tmp_path / "one", tmp_path / "begun") < BOUND
    stop_at(3, job(tmp_path / "ended"))
    in_ranks(2, all_of, {"": job(tmp_path / "ended", **shared)})
    assert distance(tmp_path / "one", tmp_path / "ended") < BOUND


def signalled(topology: Topology, of: Job) -> tuple[int, bool]:
    """A signal that reaches the second process alone."""
    real = Trainer.step

    def step(self: Trainer, batch: Any) -> None:
        real(self, batch)
        if topology.rank == 1 and self.progress.step == 3:
            signal.raise_signal(signal.SIGTERM)

    Trainer.step = step  # type: ignore[method-assign]
    try:
        with a_look_each_step(), pytest.raises(Stopped) as caught:
            run(as_rank(topology, of))
    finally:
        Trainer.step = real  # type: ignore[method-assign]
    return caught.value.step, (of.folder / "checkpoints" / "step-00000003" / "manifest.json").exists()


def test_a_signal_to_any_process_stops_all_with_a_checkpoint(tmp_path: Path) -> None:
    assert in_ranks(2, signalled, job(tmp_path)) == [(3, True), (3, True)]


def elsewhere(topology: Topology, folder: Path) -> str:
    """The second process has a disk of its own."""
    of = as_rank(topology, job(folder / str(topology.rank), every=4))
    if topology.first:
        run(of)
        return ""
    run(of)
    return str(names(folder))


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    in_ranks(2, elsewhere, tmp_path)
    assert names(tmp_path) == ["0"]


def blind(topology: Topology, folder: Path) -> str:
    try:
        run(as_rank(topology, job(folder if topology.first else folder / "other")))
    except (FileError, RuntimeError) as error:
        return str(error)
    return ""


def test_a_process_that_does_not_see_the_checkpoint_says_so(tmp_path: Path) -> None:
    stop_at(3, job(tmp_path))
    assert "AS552 this process does not see the checkpoint of step 3" in in_ranks(2, blind, tmp_path)[1]
