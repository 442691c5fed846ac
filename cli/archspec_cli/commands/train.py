"""`archspec train`: a spec by a recipe on a data set."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.errors import file_error
from archspec.recipes.load import load_recipe
from archspec.spec.fields import shown
from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, say, tell

if TYPE_CHECKING:
    from archspec.architecture import Architecture
    from archspec.data.sets import Splits
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.loop import Look

DIGITS = ("cifar/resnet20", ("n=1",))
"""What is trained where nothing is said: a residual net of 8 layers."""
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
    device: str
    compile: bool
    workers: int
    checkpoint_every: int
    download: bool


def run(spec: str | None, asked: Asked, changes: list[str] | None, recipe_changes: list[str] | None) -> None:
    recipe = load_recipe(asked.recipe or asked.data or "digits", recipe_changes or ())
    for name in ("ema", "precise_bn"):
        if getattr(recipe.recipe.train, name):
            fail(f"train.{name} is not there yet", f"--set-recipe train.{name}=0 trains without it")
    splits, place = _data(recipe, asked)
    architecture = _architecture(spec, splits, changes)
    _train(architecture, recipe, splits, asked, place)


def schedule(asked: Asked, recipe_changes: list[str] | None, *, as_json: bool) -> None:
    from archspec_cli.commands.recipes import show_schedule

    recipe = load_recipe(asked.recipe or asked.data or "digits", recipe_changes or ()).recipe
    name = asked.data or recipe.data.name
    images = IMAGES.get(name)
    if images is None:
        splits, _ = _data(load_recipe(asked.recipe or "digits", recipe_changes or ()), asked)
        images = len(splits.train)
    show_schedule(recipe, images=images - recipe.data.split, as_json=as_json)


def _data(recipe: LoadedRecipe, asked: Asked) -> tuple[Splits, str]:
    from archspec.data.find import find

    source = find(asked.data or recipe.recipe.data.name, asked.root, fetch=asked.download)
    return source.read(), source.place


def _architecture(spec: str | None, splits: Splits, changes: list[str] | None) -> Architecture:
    """The spec with the input of the images; what it tells apart has to be what they show."""
    from archspec.data.sets import Images

    name, usual = DIGITS if spec is None else (spec, ())
    told = [*usual, *(changes or [])]
    if isinstance(splits.train, Images):
        channels, height, width = splits.train.shape
        told += [f"input.channels={channels}", f"input.size=[{height}, {width}]"]
    architecture = load(name, told)
    classes, wanted = architecture.measure.output[0], len(splits.train.classes)
    if classes != wanted:
        message = f"the network tells {classes:,} classes apart, and {splits.train.name} has {wanted:,}"
        raise file_error(
            name, "AS541", message, hint=f"--set 'head.layers=[{{pool=\"average\"}}, {{linear={wanted}}}]'"
        )
    return architecture


def _train(
    architecture: Architecture, recipe: LoadedRecipe, splits: Splits, asked: Asked, place: str
) -> None:
    from archspec.train.evaluate import device_named
    from archspec.train.loop import Diverged, Terms
    from archspec.train.run import Job, Stopped
    from archspec.train.run import run as train
    from archspec_cli.output import settings

    try:
        device = device_named(asked.device)
    except ValueError as error:
        fail(str(error))
    folder = asked.output or _dated(architecture, splits)
    job = Job(
        architecture,
        recipe,
        splits,
        folder,
        Terms(device, asked.compile, seed=asked.seed),
        asked.workers,
        asked.checkpoint_every,
    )
    say(
        f"{architecture.name} by {recipe.name} on {splits.train.name} ({place}), seed {asked.seed}, in {folder}"
    )
    try:
        result = train(job, _Said())
    except Stopped as stopped:
        say(f"stopped after step {stopped.step:,}; the same command with --out {folder} goes on from there")
        raise SystemExit(STOPPED) from None
    except Diverged as diverged:
        say(f"{diverged}; the last checkpoint in {folder} is from before")
        raise SystemExit(DIVERGED) from None
    best = result.best_validation_error
    document = {
        "run": str(folder),
        "steps": result.steps,
        "tested_step": result.tested_step,
        "test_accuracy": result.test.accuracy(),
        "best_val_accuracy": None if best is None else 1 - best,
        "images_per_second": result.images_per_second,
    }
    if settings.json:
        emit_json(document)
        return
    chosen = "" if best is None else f", chosen by a validation error of {best:.2%}"
    tell(
        f"test accuracy {result.test.accuracy():.2%} after {result.steps:,} steps (the network of step "
        f"{result.tested_step:,}{chosen}); {result.images_per_second:,.0f} images/s\n"
        f"next: archspec eval {folder}, or archspec export {folder}/checkpoints/step-{result.tested_step:08d}/"
        "model.safetensors"
    )


def _dated(architecture: Architecture, splits: Splits) -> Path:
    when = datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    return Path("runs") / f"{when}-{architecture.name}-{splits.train.name}"


class _Said:
    """A line about every two seconds."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, look: Look) -> None:
        if time.monotonic() - self.last < 2:
            return
        self.last = time.monotonic()
        speed = look.images / look.seconds if look.seconds else 0
        say(
            f"step {look.step:,}: loss {look.loss:.4f}, training error {look.train_error:.2%}, lr {shown(look.lr)}, "
            f"{speed:,.0f} images/s, {look.waited / max(look.seconds, 1e-9):.0%} of the time waiting for data"
        )
