"""From a study to its plan: every spec and every recipe is read, before the first run is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.api import load
from archspec.errors import Problem, SpecError, concise, did_you_mean
from archspec.recipes.load import load_recipe, recipe_folder, recipe_names
from archspec.spec.library import shipped_names, spec_folder
from archspec.studies.grid import FULL, Said, combinations
from archspec.studies.length import shortened
from archspec.studies.plan import Plan, Planned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.studies.grid import Combination
    from archspec.studies.length import Length
    from archspec.studies.load import LoadedStudy
    from archspec.studies.models import Plot


def planned(
    loaded: LoadedStudy,
    budget: str = FULL,
    *,
    data: str | None = None,
    seeds: int | None = None,
    length: Length | None = None,
    recipe_settings: Sequence[str] = (),
) -> Plan:
    """The plan of a study on a budget. Raises `SpecError` for everything in it that cannot be run.

    Specs and recipes of all runs are read here, so that a mistake in the last one is found before the first is trained.
    """
    study = loaded.study
    if budget != FULL and budget not in study.budgets:
        known = [FULL, *study.budgets]
        problem = Problem("AS561", f'the study has no budget "{budget}"', ("budgets",), at="key")
        raise loaded.sources.error([problem._replace(hint=did_you_mean(budget, known))])
    cheap = study.budgets.get(budget)
    found, problems = [], []
    for each in combinations(study, budget):
        try:
            found.append(_planned(loaded, each, length, recipe_settings))
        except _Wrong as wrong:
            problems.append(wrong.problem)
    if problems:
        raise loaded.sources.error(list(dict.fromkeys(problems)))
    own = found[0].data
    return Plan(
        study=study.name,
        about=study.about,
        question=study.question,
        source=study.source,
        budget=f"{budget} {length}" if length else budget,
        budget_about=cheap.about if cheap else "",
        takes=cheap.takes if cheap and length is None else None,
        data=data or (cheap.data if cheap else None) or study.data or own,
        seeds=seeds or (cheap.seeds if cheap else None) or study.seeds,
        runs=tuple(found),
        plots=tuple(_scaled(plot) for plot in study.plots) if cheap or length else study.plots,
        tables=study.tables,
        claims=study.claims,
    )


def _scaled(plot: Plot) -> Plot:
    """Errors on a budget are not those that the axis was made for."""
    return plot.model_copy(update={"y_max": None})


class _Wrong(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def _planned(loaded: LoadedStudy, run: Combination, length: Length | None, more: Sequence[str]) -> Planned:
    assert run.spec is not None, "a checked study gives every run a spec"
    spec, recipe = spec_file(loaded.folder, run.spec), recipe_file(loaded.folder, run.recipe)
    settings = tuple(said.text for said in run.settings)
    try:
        load(spec, settings=settings)
    except SpecError as error:
        raise _Wrong(_placed(error, run, run.spec, run.settings)) from error
    changes = [*(said.text for said in run.recipe_settings), *more]
    try:
        resolved = load_recipe(recipe, changes)
        if length is not None:
            changes += shortened(resolved.recipe.schedule, length)
            resolved = load_recipe(recipe, changes)
    except SpecError as error:
        raise _Wrong(_placed(error, run, run.recipe, run.recipe_settings)) from error
    return Planned(
        label=run.label,
        about=run.about,
        spec=run.spec.text,
        settings=settings,
        recipe=run.recipe.text,
        recipe_settings=tuple(changes),
        data=resolved.recipe.data.name,
        digest=resolved.digest,
    )


def spec_file(folder: Path, said: Said) -> Path:
    """The file of a spec that a study names."""
    return _located(folder, said, spec_folder(), shipped_names())


def recipe_file(folder: Path, said: Said) -> Path:
    """The file of a recipe that a study names."""
    return _located(folder, said, recipe_folder(), recipe_names())


def _located(folder: Path, said: Said, shipped: Path, names: list[str]) -> Path:
    """One that ships, or one beside the study; never one elsewhere."""
    if said.text in names:
        return shipped / f"{said.text}.toml"
    path = folder / said.text
    if not said.text.endswith(".toml"):
        hint = did_you_mean(said.text, names)
        raise _Wrong(Problem("AS561", f'nothing that ships is called "{said.text}"', said.loc, hint))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _Wrong(Problem("AS561", f'"{said.text}" lies outside the study\'s folder', said.loc))
    if not path.is_file():
        raise _Wrong(Problem("AS561", f'there is no file "{said.text}" beside the study', said.loc))
    return path


def _placed(error: SpecError, run: Combination, whole: Said, settings: Sequence[Said]) -> Problem:
    """A mistake in what a run is made of, where the study says it."""
    first = error.diagnostics[0]
    for said in settings:
        if first.span.file == f"--set {said.text}":
            return Problem(first.code, f"{first.message} (in {said.text})", said.loc, first.hint)
    return Problem("AS561", f'the run "{run.label}" cannot be made: {concise(first)}', whole.loc, first.hint)
