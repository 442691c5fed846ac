"""Runs what is missing of a study, one run after the other, in this process. What needs torch is imported inside."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from archspec.recipes.load import load_recipe
from archspec.studies.grid import Said
from archspec.studies.planning import recipe_file, spec_file
from archspec.studies.state import note_divergence, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from archspec.architecture import Architecture
    from archspec.data.sets import Splits
    from archspec.studies.plan import Plan, Planned
    from archspec.studies.state import State


class Stopped(Exception):
    """A signal asked the study to stop: what was begun is stored and goes on with the same command."""


class Hears(Protocol):
    """Who is told how a study goes on."""

    def begins(self, state: State, place: str) -> Callable[[Mapping[str, Any]], None]:
        """A run begins or goes on; what is returned is told its records."""

    def ended(self, state: State) -> None:
        """A run has ended: finished or diverged."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How this machine runs a study."""

    folder: Path
    """Where the study's own files lie."""
    root: Path | None = None
    """Where the data lie."""
    download: bool = False
    device: str = "auto"
    checkpoint_every: int = 1000
    last: int = 1
    jobs: int = 1
    said: Callable[[str], None] = field(default=lambda _: None)


def missing(plan: Plan, out: Path) -> list[State]:
    """The runs that are not finished, those that have begun first. A diverged one is not repeated."""
    found = [state(plan, out, run, seed) for run in plan.runs for seed in range(plan.seeds)]
    return sorted((each for each in found if each.to_do), key=lambda each: each.stage == "missing")


def run_here(plan: Plan, out: Path, terms: Terms, hears: Hears) -> None:
    """Runs everything that is missing, in this process. Raises `Stopped`, `FileError`, `SpecError`, `TooLarge`."""
    from archspec.train.classification import Classification
    from archspec.train.evaluate import device_named
    from archspec.train.loop import Diverged
    from archspec.train.loop import Terms as Computing
    from archspec.train.run import Job
    from archspec.train.run import Stopped as RunStopped
    from archspec.train.run import run as train

    with stoppable():
        to_do = missing(plan, out)
        if not to_do:
            return
        device = device_named(terms.device)
        splits, place = read_data(plan, terms)
        of_runs = networks(plan, terms, splits)
        for each in to_do:
            recipe = load_recipe(
                recipe_file(terms.folder, Said(each.run.recipe, ())), each.run.recipe_settings
            )
            job = Job(
                Classification(of_runs[each.run.label], recipe, splits, place),
                each.folder,
                Computing(device, seed=each.seed),
                checkpoint_every=terms.checkpoint_every,
                last=terms.last,
            )
            watch = hears.begins(each, place)
            try:
                train(job, [watch])
            except RunStopped as stopped:
                raise Stopped(str(stopped)) from None
            except Diverged as diverged:
                note_divergence(each.folder, diverged.step)
            after = state(plan, out, each.run, each.seed)
            write_run_card(after, out)
            hears.ended(after)


def read_data(plan: Plan, terms: Terms) -> tuple[Splits, str]:
    """The images of the study, and where they were found. Raises `FileError`."""
    from archspec.api import load
    from archspec.train.fitting import sought

    first = plan.runs[0]
    architecture = load(spec_file(terms.folder, Said(first.spec, ())), settings=first.settings)
    source = sought(plan.data, terms.root, architecture, fetch=terms.download, say=terms.said)
    return source.read(), source.place


def networks(plan: Plan, terms: Terms, splits: Splits) -> dict[str, Architecture]:
    """The network of every run, for these images. Raises `FileError`, `SpecError`."""
    return {run.label: network(run, terms.folder, splits) for run in plan.runs}


def network(run: Planned, folder: Path, splits: Splits) -> Architecture:
    """The spec of a run with the input of the images. Raises `FileError`, `SpecError`."""
    from archspec.train.fitting import fitted

    recipe = load_recipe(recipe_file(folder, Said(run.recipe, ())), run.recipe_settings).recipe
    return fitted(spec_file(folder, Said(run.spec, ())), run.settings, splits, recipe)


def write_run_card(after: State, out: Path) -> None:
    """The card of the seeds of a run, as far as they are."""
    from archspec.runs.card import write_card

    if after.found is not None:
        write_card(out / after.run.slug)


@contextmanager
def stoppable() -> Iterator[None]:
    """Between runs, SIGTERM and Ctrl-C raise `Stopped`; within one, the training has its own way to stop."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped("stopped")

    numbers: Sequence[int] = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
