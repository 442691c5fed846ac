"""`archspec train`: a spec by a recipe on a data set."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from archspec.recipes.load import load_recipe, recipe_names
from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, say, settings, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.architecture import Architecture
    from archspec.data.sets import Splits
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.run import Job, Result, Watcher

DIGITS = ("cifar/resnet20", ("n=1",))
"""What is trained where nothing is said: a residual net of 8 layers."""
USUAL = {"cifar10": "cifar10-paper", "imagenet": "imagenet-paper"}
"""The recipes of sets that have none of their own name."""
STOPPED, DIVERGED = 75, 3
# of a set that need not be there for its schedule to be printed
IMAGES = {
    "cifar10": 50_000,
    "cifar100": 50_000,
    "mnist": 60_000,
    "fashion-mnist": 60_000,
    "imagenet": 1_281_167,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command, as they were typed."""

    recipe: str | None
    data: str | None
    root: Path | None
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
    download: bool
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


def run(spec: str | None, asked: Asked, changes: list[str] | None, recipe_changes: list[str] | None) -> None:
    recipe = _recipe(asked, recipe_changes)
    name, told = (spec, changes or []) if spec is not None else (DIGITS[0], [*DIGITS[1], *(changes or [])])
    splits, place = _data(recipe, asked, load(name, told))
    from archspec.train.evaluate import device_named
    from archspec.train.fitting import fitted
    from archspec.train.loop import Diverged, Terms
    from archspec.train.memory import OutOfMemoryError, TooLarge
    from archspec.train.run import Job, Stopped
    from archspec.train.topology import joined

    architecture = fitted(name, told, splits, recipe.recipe)
    try:
        wanted = device_named(asked.device)
    except ValueError as error:
        fail(str(error))
    if asked.parallel == "fsdp" and recipe.recipe.train.precision == "fp16":
        fail("fp16 scales gradients, which FSDP2 keeps in parts", "--set-recipe train.precision=bf16")
    with joined(wanted) as (topology, device):
        settings.quiet = settings.quiet or not topology.first
        folder = topology.agreed(asked.output or _dated(architecture, splits))
        terms = Terms(
            device,
            asked.compile,
            seed=asked.seed,
            topology=topology,
            parallel=asked.parallel,
            sync_bn=asked.sync_bn,
        )
        job = Job(
            architecture,
            recipe,
            splits,
            folder,
            terms,
            asked.workers,
            asked.checkpoint_every,
            asked.last,
            place=place,
        )
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
            fail(str(error), _advice(error, recipe))
        except OutOfMemoryError:
            fail(
                "the device has too little memory for this network",
                "--device cpu, a smaller one, or --parallel fsdp",
            )
    if results:
        _report(folder, [job.folder for job in _jobs(job, asked.seeds)], results)


def schedule(asked: Asked, recipe_changes: list[str] | None, *, as_json: bool) -> None:
    from archspec_cli.commands.recipes import show_schedule

    loaded = _recipe(asked, recipe_changes)
    images = IMAGES.get(asked.data or loaded.recipe.data.name)
    if images is None:
        splits, _ = _data(loaded, asked, load(DIGITS[0]))
        images = len(splits.train)
    show_schedule(loaded.recipe, images=images - loaded.recipe.data.split, as_json=as_json)


def _recipe(asked: Asked, changes: list[str] | None) -> LoadedRecipe:
    """The recipe that is named, else the data's own."""
    name = asked.recipe or USUAL.get(asked.data or "digits", asked.data or "digits")
    if asked.recipe is None and name not in recipe_names():
        fail(f"no recipe is made for {name}", f"--recipe takes a file, or {', '.join(recipe_names())}")
    return load_recipe(name, changes or ())


def _data(recipe: LoadedRecipe, asked: Asked, network: Architecture) -> tuple[Splits, str]:
    from archspec.data.find import find
    from archspec.weights.match import classes

    channels, height, width = network.input_shape
    source = find(
        asked.data or recipe.recipe.data.name,
        asked.root,
        fetch=asked.download,
        shape=(channels, height, width),
        classes=classes(network),
        say=say,
    )
    return source.read(), source.place


def _dated(architecture: Architecture, splits: Splits) -> Path:
    when = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    return Path("runs") / f"{when}-{architecture.name}-{splits.train.name}"


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
            f"{job.architecture.name} by {job.recipe.name} on {job.splits.train.name} ({job.place}), "
            f"seed {job.terms.seed}, in {job.folder}"
        )
        with Meter(f"{job.architecture.name}, seed {job.terms.seed}") as meter:
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


def _report(folder: Path, folders: Sequence[Path], results: Sequence[Result]) -> None:
    """What came out: a card in the folder, and the figures."""
    from archspec.runs.card import write_card
    from archspec.train.checkpoint import CHECKPOINTS, of_step
    from archspec.train.stored import MODEL

    write_card(folder)
    runs = [
        {
            "run": str(place),
            "steps": result.steps,
            "tested_step": result.tested_step,
            "test_accuracy": result.test.accuracy(),
            "best_val_accuracy": result.as_json()["best_val_accuracy"],
            "images_per_second": result.images_per_second,
        }
        for place, result in zip(folders, results, strict=True)
    ]
    if settings.json:
        emit_json(runs[0] if len(runs) == 1 else _summed(folder, runs))
        return
    for place, result in zip(folders, results, strict=True):
        best = result.best_validation_error
        chosen = "" if best is None else f", chosen by a validation error of {best:.2%}"
        tell(
            f"test accuracy {result.test.accuracy():.2%} after {result.steps:,} steps (the network of step "
            f"{result.tested_step:,}{chosen}); {result.images_per_second:,.0f} images/s, {place}"
        )
    weights = of_step(folders[0] / CHECKPOINTS, results[0].tested_step)
    tell(
        f"card: {folder}/card.md\n"
        f"next: archspec eval {folders[0]}, archspec plot {folder}, archspec export {weights}/{MODEL}"
    )


def _summed(folder: Path, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Several seeds as one: means, and each run."""
    from statistics import fmean, stdev

    accuracies = [run["test_accuracy"] for run in runs]
    chosen = [run["best_val_accuracy"] for run in runs]
    return {
        "run": str(folder),
        "steps": runs[0]["steps"],
        "test_accuracy": fmean(accuracies),
        "test_accuracy_std": stdev(accuracies),
        "best_val_accuracy": None if None in chosen else fmean(chosen),
        "images_per_second": fmean(run["images_per_second"] for run in runs),
        "runs": runs,
    }
