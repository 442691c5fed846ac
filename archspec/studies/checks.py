"""What single fields cannot show: parts of a study that do not fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.errors import Problem, did_you_mean
from archspec.studies.grid import FULL, labels, size, slug
from archspec.studies.models import MOST_DRAWN, MOST_RUNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archspec.errors import Loc
    from archspec.studies.models import Study


def contradictions(study: Study) -> list[Problem]:
    """Everything about a valid study that makes no sense, each where it is said."""
    count = size(study)
    if count > MOST_RUNS:
        hint = "split the study, or list the runs that are wanted"
        return [_wrong(f"the axes make {count:,} runs: at most {MOST_RUNS} are allowed", "axes", hint=hint)]
    if not count:
        return [_wrong("a study without axes and without runs has nothing to run", hint="say [[runs]]")]
    named = list(labels(study))
    known = [label for label, _ in named]
    return [*_twins(named), *_budgets(study, known), *_shown(study, known), *_specs(study)]


def _wrong(message: str, *loc: str | int, hint: str = "") -> Problem:
    return Problem("AS561", message, loc, hint)


def _twins(named: Iterable[tuple[str, Loc]]) -> Iterator[Problem]:
    """Two runs in one folder."""
    seen: dict[str, str] = {}
    for label, loc in named:
        folder = slug(label)
        if folder in seen:
            same = (
                "twice" if seen[folder] == label else f'too close to "{seen[folder]}" for a folder of its own'
            )
            yield _wrong(f'the label "{label}" is {"there " if same == "twice" else ""}{same}', *loc)
        seen.setdefault(folder, label)


def _specs(study: Study) -> Iterator[Problem]:
    """Runs that no layer gives a spec."""
    if study.spec is not None:
        return
    if study.axes and not any(all(value.spec for value in axis.values) for axis in study.axes):
        yield _wrong("no axis gives every run of the grid a spec", "axes", hint='say spec = "..." at the top')
    for place, run in enumerate(study.runs):
        if run.spec is None:
            yield _wrong(f'the run "{run.label}" has no spec', "runs", place, hint='say spec = "..."')


def _budgets(study: Study, known: list[str]) -> Iterator[Problem]:
    for name, budget in study.budgets.items():
        if name == FULL:
            hint = "it is the study as it stands"
            yield _wrong(f'no budget is called "{FULL}"', "budgets", name, hint=hint)
        yield from _unknown(budget.only, known, ("budgets", name, "only"))
        yield from _unknown(budget.runs, known, ("budgets", name, "runs"), by_name=True)


def _shown(study: Study, known: list[str]) -> Iterator[Problem]:
    for place, plot in enumerate(study.plots):
        yield from _unknown(plot.runs, known, ("plots", place, "runs"))
        if len(plot.runs or known) > MOST_DRAWN:
            hint = "name some of them with runs = [...]"
            yield _wrong(
                f"a figure tells at most {MOST_DRAWN} runs apart: here are {len(plot.runs or known)}",
                *("plots", place),
                hint=hint,
            )
    for place, table in enumerate(study.tables):
        yield from _unknown(table.rows, known, ("tables", place, "rows"))
        for each, beside in enumerate(table.beside):
            loc = ("tables", place, "beside", each)
            yield from _unknown(beside.values, known, (*loc, "values"), by_name=True)
            yield from _unknown(beside.notes, known, (*loc, "notes"), by_name=True)
            if beside.of not in table.columns:
                yield _wrong(f'"{beside.of}" is no column of the table', *loc, "of")
    for place, claim in enumerate(study.claims):
        for field in ("run", "against"):
            yield from _unknown((getattr(claim, field),), known, ("claims", place, field), single=True)
        if claim.run == claim.against:
            yield _wrong("a run is held against itself", "claims", place, "against")


def _unknown(
    said: Iterable[str], known: list[str], loc: Loc, *, by_name: bool = False, single: bool = False
) -> Iterator[Problem]:
    for place, label in enumerate(said):
        if label not in known:
            where = loc if single else (*loc, label if by_name else place)
            yield Problem("AS561", f'no run is called "{label}"', where, did_you_mean(label, known), "value")
