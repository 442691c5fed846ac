"""A schedule cut to another length, with everything in it in proportion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from archspec.recipes.models import Schedule


class Length(NamedTuple):
    """So many epochs or steps."""

    total: int
    unit: Literal["epoch", "iteration"]

    def __str__(self) -> str:
        word = "epoch" if self.unit == "epoch" else "step"
        return f"{self.total} {word}{'s' * (self.total != 1)}"


def shortened(schedule: Schedule, length: Length) -> list[str]:
    """The changes to a recipe that give its schedule that length, as `--set-recipe` takes them.

    Milestones stay where they are as shares of the whole; those that fall together or onto an end are moved apart by
    one, and where there is no room for them left out.
    """
    ratio = length.total / schedule.total
    changes = [f"schedule.unit={length.unit}", f"schedule.total={length.total}"]
    if schedule.kind == "steps":
        changes += _milestones(schedule, length)
    if schedule.kind == "every" and schedule.period is not None:
        changes.append(f"schedule.period={_scaled(schedule.period, ratio)}")
    if schedule.kind == "plateau":
        changes.append(f"schedule.patience={_scaled(schedule.patience, ratio)}")
    warmup = schedule.warmup
    if warmup is not None and isinstance(warmup.until, int):
        changes.append(f"schedule.warmup.until={min(_scaled(warmup.until, ratio), max(1, length.total - 1))}")
    return changes


def _milestones(schedule: Schedule, length: Length) -> list[str]:
    ratio, kept = length.total / schedule.total, [0]
    for milestone in schedule.milestones:
        place = max(_scaled(milestone, ratio), kept[-1] + 1)
        if place < length.total:
            kept.append(place)
    if not kept[1:]:  # no room for a single one: the rate is held
        return ["schedule.kind=constant"]
    return [f"schedule.milestones={kept[1:]}"]


def _scaled(value: int, ratio: float) -> int:
    return max(1, round(value * ratio))
