"""What single fields cannot show: fields of a recipe that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.errors import Note, Problem
from archspec.recipes.fields import TRAIN_ERROR
from archspec.recipes.idle import idle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.recipes.models import Recipe
    from archspec.spec.inherit import Sources


def contradictions(recipe: Recipe, sources: Sources) -> list[Problem]:
    """Everything about a valid recipe that makes no sense, each where it is said."""
    return [
        *idle(recipe, sources),
        *_schedule(recipe),
        *_warmup(recipe),
        *_images(recipe),
        *_optimiser(recipe),
        *_test(recipe),
    ]


def _wrong(message: str, *loc: str, hint: str = "", notes: tuple[Note, ...] = ()) -> Problem:
    return Problem("AS541", message, loc, hint, notes=notes)


def _schedule(recipe: Recipe) -> Iterator[Problem]:
    schedule = recipe.schedule
    if schedule.kind == "steps" and not schedule.milestones:
        yield _wrong('a schedule of steps has "milestones"', "schedule", "kind")
    if schedule.kind == "every" and schedule.period is None:
        yield _wrong('a schedule with kind "every" has a "period"', "schedule", "kind")
    if schedule.kind == "steps":
        yield from _milestones(recipe)
    if schedule.kind == "plateau" and schedule.watch == "validation-error" and recipe.data.split == 0:
        hint = (
            'hold images out with data.split, or say watch = "train-error"; the test set is not for choosing'
        )
        yield _wrong(
            "there is no validation error to watch: no images are held out", "schedule", "kind", hint=hint
        )


def _milestones(recipe: Recipe) -> Iterator[Problem]:
    schedule = recipe.schedule
    if list(schedule.milestones) != sorted(set(schedule.milestones)):
        yield _wrong("milestones come in order, each once", "schedule", "milestones")
    elif schedule.milestones and schedule.milestones[-1] >= schedule.total:
        notes = (Note(("schedule", "total"), f"training ends at {schedule.total}"),)
        late = f"a milestone of {schedule.milestones[-1]} lies behind the end"
        yield _wrong(late, "schedule", "milestones", notes=notes)


def _warmup(recipe: Recipe) -> Iterator[Problem]:
    warmup = recipe.schedule.warmup
    if warmup is None:
        return
    if warmup.lr > recipe.optimiser.lr:
        notes = (Note(("optimiser", "lr"), f"the rate after it is {recipe.optimiser.lr}"),)
        yield _wrong("a warm-up has a lower rate than what follows", "schedule", "warmup", "lr", notes=notes)
    if warmup.shape == "linear" and warmup.until == TRAIN_ERROR:
        hint = "say until = 400, for example"
        yield _wrong("a linear warm-up needs a length", "schedule", "warmup", "until", hint=hint)
    if isinstance(warmup.until, int) and warmup.until >= recipe.schedule.total:
        notes = (Note(("schedule", "total"), f"training ends at {recipe.schedule.total}"),)
        yield _wrong("the warm-up never ends", "schedule", "warmup", "until", notes=notes)


def _images(recipe: Recipe) -> Iterator[Problem]:
    augment = recipe.augment
    for name, limits in (("resize", augment.resize), ("area", augment.area), ("aspect", augment.aspect)):
        if limits is not None and limits[0] > limits[1]:
            yield _wrong(f'"{name}" is [lowest, highest]', "augment", name)
    if augment.area is not None and augment.area[1] == 0:
        yield _wrong("an area of 0 holds no image", "augment", "area")
    if augment.area is not None and augment.resize is not None:
        yield _wrong("a shorter side is drawn, or an area: not both", "augment", "area")
    if augment.crop is None:
        for name in (each for each in ("resize", "area", "pad") if getattr(augment, each)):
            yield _wrong(f'"{name}" needs a crop behind it', "augment", name, hint="set augment.crop")
    elif augment.resize is not None and augment.crop > min(augment.resize):
        notes = (Note(("augment", "resize"), f"the shorter side can be {min(augment.resize)}"),)
        yield _wrong(f"a crop of {augment.crop} does not fit", "augment", "crop", notes=notes)
    yield from _fixed(recipe)


def _fixed(recipe: Recipe) -> Iterator[Problem]:
    normalise = recipe.normalise
    if normalise.kind == "fixed" and (not normalise.mean or len(normalise.mean) != len(normalise.std)):
        counts = f"{len(normalise.mean)} and {len(normalise.std)} are given"
        yield _wrong(
            f"fixed normalisation takes a mean and a std for each channel: {counts}", "normalise", "kind"
        )


def _optimiser(recipe: Recipe) -> Iterator[Problem]:
    optimiser = recipe.optimiser
    if optimiser.kind == "sgd" and optimiser.nesterov and optimiser.momentum == 0:
        yield _wrong("Nesterov's momentum needs a momentum", "optimiser", "nesterov")
    if recipe.data.batch % recipe.train.accumulate:
        message = f"a batch of {recipe.data.batch} has no {recipe.train.accumulate} equal parts"
        yield _wrong(message, "train", "accumulate")


def _test(recipe: Recipe) -> Iterator[Problem]:
    test = recipe.test
    if test.crops == "ten" and test.crop is None:
        yield _wrong("ten crops need the side of a crop", "test", "crops", hint="set test.crop")
    if test.crops != "full" and test.crop is not None and test.crop > min(test.sizes, default=test.crop):
        notes = (Note(("test", "sizes"), f"the shortest side is {min(test.sizes)}"),)
        yield _wrong(f"a crop of {test.crop} does not fit", "test", "crop", notes=notes)
