"""A schedule as a table: where the learning rate changes, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from archspec.recipes.fields import TRAIN_ERROR
from archspec.recipes.schedule import NEW, ScheduleState, divided, divisions, lr, total_steps, unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.recipes.models import Recipe, Warmup

MOST_ROWS = 200
_COSINE_POINTS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """A step at which the rate changes. Without an iteration: when, only training will tell."""

    iteration: int | None
    epoch: float | None
    lr: float
    note: str


def table(recipe: Recipe, *, steps_per_epoch: int, state: ScheduleState = NEW) -> tuple[Row, ...]:
    """The changes of the learning rate, from the first step to the last, at most a few hundred of them."""
    # milestones are told as if a warm-up that still waits were over
    known = replace(state, released_at=state.released_at or 0)
    last = total_steps(recipe, steps_per_epoch=steps_per_epoch) - 1

    def row(iteration: int, note: str) -> Row:
        rate = lr(recipe, iteration, steps_per_epoch=steps_per_epoch, state=known)
        return Row(iteration, iteration / steps_per_epoch, rate, note)

    rows = []
    if recipe.schedule.kind == "cosine":
        points = sorted({last * place // _COSINE_POINTS for place in range(1, _COSINE_POINTS)})
        rows += [row(point, "on the way down") for point in points]
    by = f"divided by {recipe.schedule.divide_by:g}"
    changes = divisions(recipe, last, steps_per_epoch=steps_per_epoch, state=state)
    rows += [row(change, by) for change in islice(changes, MOST_ROWS)]
    first, *released = _start(recipe, steps_per_epoch, state)
    pending = [*_pending(recipe, state)]
    end = "the last step, were the rate not divided before" if pending else "the last step"
    timed = sorted([*released, *rows], key=lambda each: each.iteration or 0)
    return (first, *timed, *pending, row(last, end))


def _start(recipe: Recipe, steps_per_epoch: int, state: ScheduleState) -> Iterator[Row]:
    """The first rate, and the one behind a warm-up."""
    warmup = recipe.schedule.warmup
    first = lr(recipe, 0, steps_per_epoch=steps_per_epoch, state=state)
    if warmup is None:
        yield Row(0, 0.0, first, "the first step")
        return
    yield Row(0, 0.0, first, _warming(warmup, recipe.schedule.unit))
    end = state.released_at
    if isinstance(warmup.until, int):
        end = warmup.until * unit(recipe, steps_per_epoch)
    if end is None:
        yield Row(None, None, recipe.optimiser.lr, "then, in the schedule as it would be without a warm-up")
        return
    rate = lr(recipe, end, steps_per_epoch=steps_per_epoch, state=state)
    yield Row(end, end / steps_per_epoch, rate, "the warm-up is over")


def _warming(warmup: Warmup, unit_name: str) -> str:
    if warmup.until == TRAIN_ERROR:
        return f"warm-up, until the training error is below {100 * warmup.below:.4g} %"
    rising = ", rising evenly" if warmup.shape == "linear" else ""
    return f"warm-up for {warmup.until} {unit_name}s{rising}"


def _pending(recipe: Recipe, state: ScheduleState) -> Iterator[Row]:
    """The divisions that a plateau may still bring."""
    schedule = recipe.schedule
    left = schedule.most_drops - len(state.drops)
    if schedule.kind != "plateau" or left < 1:
        return
    rate = divided(recipe, len(state.drops) + 1)
    what = schedule.watch.replace("-error", " error").replace("train ", "training ")
    yield Row(
        None,
        None,
        rate,
        f"divided by {schedule.divide_by:g} when the {what} has not fallen by {100 * schedule.threshold:.4g} points "
        f"for {schedule.patience:,} {schedule.unit}s, {left} times at most",
    )
