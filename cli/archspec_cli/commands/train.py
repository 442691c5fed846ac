"""`archspec train`: a spec by a recipe on a data set."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from archspec.runs.exits import DIVERGED, STOPPED, one_voice
from archspec_cli.output import emit_json, fail, say, settings, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.recipes.load import LoadedRecipe
    from archspec.train.run import Job, Result, Watcher
    from archspec.train.task import Task
    from archspec_cli.tasks import Wanted

_RIGHT = {"accuracy": "accuracy", "map": "mAP"}
_WRONG = {"accuracy": "error", "map": "1 - mAP"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command, as they were typed."""

    output: Path | None
    seed: int
    seeds: int
    device: str
    compile: bool
    workers: int
    parallel: Literal["ddp", "fsdp"]
    sync_bn: bool
    checkpoint_every: int
    last: int
    tensorboard: bool


def launch(processes: int) -> NoReturn:
    """The same command line in several processes."""
    from archspec.train.launch import launch as launched

    raise SystemExit(launched(processes, without_nproc(sys.argv[1:]), say))


def without_nproc(arguments: Sequence[str]) -> list[str]:
    """The command line of one of the processes."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--nproc" and not argument.startswith("--nproc="):
            kept.append(argument)
        skip = not skip and argument == "--nproc"
    return kept


def run(wanted: Wanted, asked: Asked) -> None:
    with one_voice():
        task = wanted.task()
    from archspec.train.evaluate import device_named
    from archspec.train.loop import Diverged, Terms
    from archspec.train.memory import OutOfMemoryError, TooLarge
    from archspec.train.run import Job, Stopped
    from archspec.train.topology import joined

    try:
        on = device_named(asked.device)
    except ValueError as error:
        fail(str(error))
    if asked.parallel == "fsdp" and task.recipe.recipe.train.precision == "fp16":
        fail("fp16 scales gradients, which FSDP2 keeps in parts", "--set-recipe train.precision=bf16")
    if wanted.detects:
        _check_detector(asked)
    with joined(on) as (topology, device):
        settings.quiet = settings.quiet or not topology.first
        folder = topology.agreed(asked.output or _dated(task))
        terms = Terms(
            device,
            asked.compile,
            seed=asked.seed,
            topology=topology,
            parallel=asked.parallel,
            sync_bn=asked.sync_bn,
        )
        job = Job(task, folder, terms, asked.workers, asked.checkpoint_every, asked.last)
        try:
            results = _trained(_jobs(job, asked.seeds), asked)
        except Stopped as stopped:
            say(
                f"stopped after step {stopped.step:,}; the same command with --out {folder} goes on from there"
            )
            raise SystemExit(STOPPED) from None
        except Diverged as diverged:
            say(f"{diverged}; the last checkpoint in {folder} is from before")
            raise SystemExit(DIVERGED) from None
        except TooLarge as error:
            fail(str(error), _advice(error, task.recipe))
        except OutOfMemoryError:
            fail(
                "the device has too little memory for this network",
                "--device cpu, a smaller one, or --parallel fsdp",
            )
    if results:
        place = f" --data {task.place}" if task.data == "folder" else ""
        _report(folder, [job.folder for job in _jobs(job, asked.seeds)], results, place)


def _check_detector(asked: Asked) -> None:
    """What is not for detectors: how many boxes a picture has, and how many pictures a process, is not known before."""
    if asked.compile:
        fail(
            "a detector cannot be compiled: how many boxes there are is not known before",
            "leave --compile out",
        )
    if asked.parallel == "fsdp":
        fail("a detector is not kept in parts: a process may have no picture in a step", "--parallel ddp")
    if asked.sync_bn:
        fail("BN over all processes needs pictures in each of them in every step", "leave --sync-bn out")


def schedule(wanted: Wanted, *, as_json: bool) -> None:
    from archspec_cli.commands.recipes import show_schedule

    show_schedule(wanted.recipe.recipe, images=wanted.images(), as_json=as_json)


def _dated(task: Task) -> Path:
    when = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    return Path("runs") / f"{when}-{task.name}-{task.data}"


def _jobs(job: Job, seeds: int) -> list[Job]:
    """One run, or one in a folder of its own for each seed, from the first on."""
    if seeds == 1:
        return [job]
    numbers = range(job.terms.seed, job.terms.seed + seeds)
    return [
        replace(job, folder=job.folder / f"seed-{seed}", terms=replace(job.terms, seed=seed))
        for seed in numbers
    ]


def _trained(jobs: Sequence[Job], asked: Asked) -> list[Result]:
    """The results of all; none where another rank has them."""
    from archspec.train.run import run as train
    from archspec_cli.meter import Meter

    results = []
    for job in jobs:
        say(
            f"{job.task.name} by {job.task.recipe.name} on {job.task.data} ({job.task.place}), "
            f"seed {job.terms.seed}, in {job.folder}"
        )
        with Meter(f"{job.task.name}, seed {job.terms.seed}") as meter:
            watchers: list[Watcher] = [meter] if job.terms.topology.first else []
            result = train(job, [*watchers, *_board(job, asked)])
        if result is not None:
            results.append(result)
    return results


def _board(job: Job, asked: Asked) -> list[Any]:
    if not asked.tensorboard or not job.terms.topology.first:
        return []
    from archspec.train.board import Board

    try:
        return [Board(job.folder)]
    except ImportError:
        fail("--tensorboard needs TensorBoard", "pip install 'archspec-nn[tensorboard]'")


def _advice(error: Any, recipe: LoadedRecipe) -> str:
    """What to type instead of a batch that does not fit."""
    if error.fits is None:
        return (
            f"--set-recipe train.accumulate={2 * recipe.recipe.train.accumulate} computes it in smaller parts"
        )
    if not error.fits:
        return "not one image fits: take a smaller network, or --device cpu"
    parts = -(-recipe.recipe.data.batch // error.fits)
    return (
        f"{error.fits:,} images fit: --set-recipe train.accumulate={parts} computes the same batch in {parts} parts "
        f"(BN normalises each by itself); --set-recipe data.batch={error.fits} takes smaller steps"
    )


def _report(folder: Path, folders: Sequence[Path], results: Sequence[Result], data: str) -> None:
    """What came out: a card in the folder, and the figures. `data` is the option that names a folder of pictures."""
    from archspec.runs.card import write_card
    from archspec.train.checkpoint import CHECKPOINTS, of_step
    from archspec.train.stored import MODEL

    write_card(folder)
    measure = results[0].measure
    test, best = f"test_{measure}", f"best_val_{measure}"
    kept = ("steps", "tested_step", test, best, "images_per_second")
    runs = []
    for place, result in zip(folders, results, strict=True):
        record = result.as_json()
        runs.append({"run": str(place), **{key: record[key] for key in kept}})
    if settings.json:
        emit_json(runs[0] if len(runs) == 1 else _summed(folder, runs, test, best))
        return
    for place, result in zip(folders, results, strict=True):
        error = result.best_validation_error
        chosen = "" if error is None else f", chosen by a validation {_WRONG[measure]} of {error:.2%}"
        value = "not tested" if result.test is None else f"test {_RIGHT[measure]} {result.test.value:.2%}"
        tell(
            f"{value} after {result.steps:,} steps (the network of step "
            f"{result.tested_step:,}{chosen}); {result.images_per_second:,.0f} images/s, {place}"
        )
    weights = of_step(folders[0] / CHECKPOINTS, results[0].tested_step)
    tell(
        f"card: {folder}/card.md\n"
        f"next: archspec eval {folders[0]}{data}, archspec plot {folder}, archspec export {weights}/{MODEL}"
    )


def _summed(folder: Path, runs: list[dict[str, Any]], test: str, best: str) -> dict[str, Any]:
    """Several seeds as one: means, and each run."""
    from statistics import fmean, stdev

    tested = [run[test] for run in runs]
    chosen = [run[best] for run in runs]
    return {
        "run": str(folder),
        "steps": runs[0]["steps"],
        test: None if None in tested else fmean(tested),
        f"{test}_std": None if None in tested else stdev(tested),
        best: None if None in chosen else fmean(chosen),
        "images_per_second": fmean(run["images_per_second"] for run in runs),
        "runs": runs,
    }
