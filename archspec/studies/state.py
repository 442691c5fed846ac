"""How far a study is: what each run of each seed left in its folder."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from archspec.errors import InputError, file_error
from archspec.recipes.load import resolve_recipe
from archspec.recipes.schedule import epoch_steps, total_steps
from archspec.runs import metrics
from archspec.runs.folder import RUN, RunFolder, read_run
from archspec.spec.documents import parse
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.runs.folder import RunTold
    from archspec.studies.plan import Plan, Planned

DIVERGED = "diverged.json"
"""Beside a run that ended with a loss that is no number, so that it is not repeated."""
SILENT = 120.0
"""Seconds without a record after which a run that has not ended is not said to be running."""

Stage = Literal["finished", "running", "stopped", "diverged", "missing"]


@dataclass(frozen=True, slots=True)
class State:
    """A run of one seed."""

    run: Planned
    seed: int
    folder: Path
    stage: Stage
    step: int = 0
    total: int | None = None
    found: RunFolder | None = None

    @property
    def to_do(self) -> bool:
        """Whether there is anything left to run."""
        return self.stage not in ("finished", "diverged")


def states(plan: Plan, out: Path) -> tuple[State, ...]:
    """Every run of every seed, in the order of the plan. Raises `FileError` for a folder that holds another run."""
    return tuple(state(plan, out, run, seed) for run in plan.runs for seed in range(plan.seeds))


def state(plan: Plan, out: Path, run: Planned, seed: int) -> State:
    """How far a run of a seed is."""
    folder = plan.folder(out, run, seed)
    diverged = folder / DIVERGED
    if not (folder / RUN).exists():
        return State(run, seed, folder, "diverged" if diverged.is_file() else "missing")
    found = read_run(folder)
    assert found.told is not None, "a folder with run.json is a run's"
    _belongs(plan, run, seed, found.told, folder)
    total = _total(found.told, folder)
    if found.result is not None:
        return State(run, seed, folder, "finished", found.result.steps, total, found)
    step, broken = _reached(found)
    if broken or diverged.is_file():
        return State(run, seed, folder, "diverged", step, total, found)
    return State(run, seed, folder, "running" if _lives(found) else "stopped", step, total, found)


def note_divergence(folder: Path, step: int) -> None:
    """Keeps that a run diverged. Whoever wants it to be tried again deletes the folder."""
    with staged(folder / DIVERGED) as temporary:
        temporary.write_text(json.dumps({"schema_version": 1, "step": step}) + "\n")


def _belongs(plan: Plan, run: Planned, seed: int, told: RunTold, folder: Path) -> None:
    wrong = [
        f"another {what}"
        for what, here, there in (
            ("recipe", told.recipe.digest, run.digest),
            ("data set", told.data.name, plan.data),
            ("seed", told.seed, seed),
        )
        if here != there
    ]
    if wrong:
        hint = "name another folder with --out, or delete this one"
        message = f"the run in this folder has {', '.join(wrong)} than the plan's {run.label}"
        raise file_error(folder, "AS562", message, hint=hint)


def _total(told: RunTold, folder: Path) -> int | None:
    """Steps of a run, by the recipe that it carries."""
    try:
        recipe = resolve_recipe(parse(told.recipe.text.encode(), f"{folder / RUN} (its recipe)", None)).recipe
    except InputError:
        return None
    return total_steps(recipe, steps_per_epoch=max(1, epoch_steps(recipe, told.data.train)))


def _reached(found: RunFolder) -> tuple[int, bool]:
    """The last step that anything is known of, and whether the loss was no number there."""
    records = metrics.read(found.metrics) if found.metrics.is_file() else []
    steps = [each["step"] for each in records if isinstance(each.get("step"), int)]
    return max(steps, default=0), any(each.get("kind") == "diverged" for each in records[-3:])


def _lives(found: RunFolder) -> bool:
    file = found.metrics if found.metrics.exists() else found.path / RUN
    return time.time() - file.stat().st_mtime < SILENT
