"""The learning rate as a pure function of the iteration, and of the little that only training itself can tell.

Iteration k is the step that k steps came before; an error noticed at k is of those k steps.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import asdict, dataclass, replace
from math import cos, log10, pi
from typing import TYPE_CHECKING, Any, Literal, Self

from archspec.recipes.fields import TRAIN_ERROR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.recipes.models import Recipe


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """What a schedule has learnt from training: part of a checkpoint.

    `released_at` is the first iteration behind a warm-up that waited, `drops` the first ones at lower rates,
    `best` the lowest error of a watched plateau, and its patience counts from `best_at`.
    """

    released_at: int | None = None
    drops: tuple[int, ...] = ()
    best: float | None = None
    best_at: int = 0

    def as_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        """From a checkpoint."""
        return cls(**{**table, "drops": tuple(table["drops"])})


Last = Literal["keep", "drop"]
"""What becomes of the images behind the last whole batch, as `data.last` says."""

NEW = ScheduleState()


def steps(images: int, batch: int, last: Last = "keep") -> int:
    """How many batches an epoch of so many images has."""
    return images // batch if last == "drop" else -(-images // batch)


def epoch_steps(recipe: Recipe, images: int) -> int:
    """Steps that see the images once, as `data.last` says: 0 where a whole batch is asked for and there is none."""
    return steps(images, recipe.data.batch, recipe.data.last)


def total_steps(recipe: Recipe, *, steps_per_epoch: int) -> int:
    """Steps of the whole run."""
    return recipe.schedule.total * unit(recipe, steps_per_epoch)


def unit(recipe: Recipe, steps_per_epoch: int) -> int:
    """Iterations in one unit of the schedule."""
    return steps_per_epoch if recipe.schedule.unit == "epoch" else 1


def lr(recipe: Recipe, iteration: int, *, steps_per_epoch: int, state: ScheduleState = NEW) -> float:
    """The learning rate of a step."""
    rate = _scheduled(recipe, iteration, steps_per_epoch, state)
    warmup = recipe.schedule.warmup
    if warmup is None or not warming(recipe, iteration, steps_per_epoch=steps_per_epoch, state=state):
        return rate
    if warmup.shape == "constant" or isinstance(warmup.until, str):
        return warmup.lr
    return warmup.lr + (rate - warmup.lr) * iteration / (warmup.until * unit(recipe, steps_per_epoch))


def warming(recipe: Recipe, iteration: int, *, steps_per_epoch: int, state: ScheduleState = NEW) -> bool:
    """Whether a step belongs to the warm-up."""
    warmup = recipe.schedule.warmup
    if warmup is None:
        return False
    if isinstance(warmup.until, str):
        return state.released_at is None or iteration < state.released_at
    return iteration < warmup.until * unit(recipe, steps_per_epoch)


def _scheduled(recipe: Recipe, iteration: int, steps_per_epoch: int, state: ScheduleState) -> float:
    """The rate as it would be without a warm-up."""
    schedule, first = recipe.schedule, recipe.optimiser.lr
    if schedule.kind == "constant":
        return first
    if schedule.kind == "cosine":
        done = min(1.0, iteration / total_steps(recipe, steps_per_epoch=steps_per_epoch))
        return first * (1 + cos(pi * done)) / 2
    drops = bisect_right(
        divisions(recipe, iteration, steps_per_epoch=steps_per_epoch, state=state), iteration
    )
    return divided(recipe, drops)


def divided(recipe: Recipe, times: int) -> float:
    """The first rate divided so many times."""
    by = recipe.schedule.divide_by
    # 0.1 / 10**2 is 0.001 to the bit, which 0.1 * 0.1 * 0.1 is not
    return recipe.optimiser.lr / by**times if times * log10(by) < 300 else 0.0


def divisions(
    recipe: Recipe, end: int, *, steps_per_epoch: int, state: ScheduleState = NEW
) -> tuple[int, ...] | range:
    """The iterations up to `end`, it included, from which the rate is divided once more."""
    schedule, length = recipe.schedule, unit(recipe, steps_per_epoch)
    if schedule.kind == "steps":
        return tuple(each * length for each in schedule.milestones)
    if schedule.kind == "every" and schedule.period is not None:
        return range(schedule.period * length, end + 1, schedule.period * length)
    return state.drops if schedule.kind == "plateau" else ()


def released(recipe: Recipe, state: ScheduleState, iteration: int, train_error: float) -> ScheduleState:
    """The state after a look at the training error of the last steps, a share of images."""
    warmup = recipe.schedule.warmup
    waits = warmup is not None and warmup.until == TRAIN_ERROR and state.released_at is None
    if warmup is None or not waits or not train_error < warmup.below:
        return state
    return replace(state, released_at=iteration)


def plateaued(
    recipe: Recipe, state: ScheduleState, iteration: int, error: float, *, steps_per_epoch: int
) -> ScheduleState:
    """The state after an epoch with this error, a share of images: of those that `schedule.watch` names."""
    schedule = recipe.schedule
    if schedule.kind != "plateau":
        return state
    if warming(recipe, iteration, steps_per_epoch=steps_per_epoch, state=state):
        return state
    if state.best is None or (error < state.best and state.best - error >= schedule.threshold):
        return replace(state, best=error, best_at=iteration)
    patient = iteration - state.best_at < schedule.patience * unit(recipe, steps_per_epoch)
    if patient or len(state.drops) >= schedule.most_drops:
        return state
    return replace(state, drops=(*state.drops, iteration), best_at=iteration)
