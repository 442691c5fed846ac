"""What came out of the runs of a study: figures over the seeds, beside what others say, and what is claimed of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Literal

from archspec.runs.card import card
from archspec.runs.folder import read_run
from archspec.studies.state import states

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.runs.card import Card
    from archspec.studies.models import Beside, Claim, Measure
    from archspec.studies.plan import Plan, Planned
    from archspec.studies.state import State

Verdict = Literal["holds", "does not hold", "is not shown", "is not refuted", "is not known"]
SURE = 2.0
"""Standard errors of a difference, beyond which a mean lies above another."""
RULE = (
    "An error lies above another where the mean over the seeds does, by more than twice the standard error of the "
    "difference; with single seeds, by anything. A smaller difference is not shown, and that there is none is not "
    "refuted by it."
)
"""The same in words, with what is found where that is not so."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run of the plan with all its seeds."""

    run: Planned
    states: tuple[State, ...]
    card: Card | None
    """Of the seeds that have begun."""

    def values(self, measure: Measure) -> tuple[float, ...]:
        """A figure of each seed that has finished; errors as shares. Counts are the same for all."""
        if self.card is None:
            return ()
        total = self.card.job.architecture.measure.total
        counts = {"parameters": total.params, "multiply_adds": total.macs, "layers": total.layers}
        if measure in counts:
            return (float(counts[measure]),)
        if measure == "steps":
            return tuple(float(each.result.steps) for each in self.card.ended if each.result)
        figure = self.card.figure(measure)
        return figure.values if figure is not None else ()

    @property
    def finished(self) -> int:
        """Seeds that have finished."""
        return sum(each.stage == "finished" for each in self.states)

    @property
    def departs(self) -> bool:
        """Whether it was run in another way than the paper says."""
        return self.card is not None and any(not each.open for each in self.card.deviations)


@dataclass(frozen=True, slots=True)
class Held:
    """A claim, and what was found."""

    claim: Claim
    verdict: Verdict
    found: str


def outcomes(plan: Plan, out: Path) -> tuple[Outcome, ...]:
    """All runs of a plan. Raises `FileError` for what is damaged, or belongs to another study."""
    every = states(plan, out)
    return tuple(_outcome(run, [each for each in every if each.run is run], out) for run in plan.runs)


def _outcome(run: Planned, found: Sequence[State], out: Path) -> Outcome:
    begun = any(each.found is not None for each in found)
    return Outcome(run, tuple(found), card([read_run(out / run.slug)]) if begun else None)


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample deviation."""
    return fmean(values), stdev(values) if len(values) > 1 else None


def held(plan: Plan, found: Sequence[Outcome]) -> tuple[Held, ...]:
    """Every claim about runs of this plan, held against what was measured."""
    by_label = {each.run.label: each for each in found}
    return tuple(
        _held(plan, claim, by_label[claim.run], by_label[claim.against])
        for claim in plan.claims
        if claim.run in by_label and claim.against in by_label
    )


def _held(plan: Plan, claim: Claim, one: Outcome, other: Outcome) -> Held:
    here, there = one.values(claim.of), other.values(claim.of)
    if not here or not there:
        return Held(claim, "is not known", _why_unknown([one, other], claim.of))
    difference = fmean(here) - fmean(there)
    error = _standard_error(here, there)
    verdict = _verdict(claim.relation, difference, SURE * error)
    words = (
        f"{one.run.label} {said(here)}, {other.run.label} {said(there)}: "
        f"{abs(100 * difference):.2f} points {'higher' if difference > 0 else 'lower'}"
        if difference
        else f"{one.run.label} and {other.run.label} {said(here)}"
    )
    if min(len(here), len(there)) > 1:
        words += f", standard error {100 * error:.2f}"
    else:
        words += ", of single seeds, so that chance is not ruled out"
    missing = 2 * plan.seeds - len(here) - len(there)
    words += f"; {missing} of {2 * plan.seeds} runs are missing" if missing else ""
    return Held(claim, verdict, words)


def _verdict(relation: str, difference: float, chance: float) -> Verdict:
    """What lies within chance shows no difference, and does not refute that there is none."""
    towards = difference if relation.endswith("above") else -difference
    if relation.startswith("not "):
        return "holds" if towards <= 0 else "does not hold" if towards > chance else "is not refuted"
    return "holds" if towards > chance else "does not hold" if -towards > chance else "is not shown"


def said(values: Sequence[float]) -> str:
    """Errors, in per cent."""
    mean, deviation = spread(values)
    return f"{100 * mean:.2f} %" if deviation is None else f"{100 * mean:.2f} ± {100 * deviation:.2f} %"


def _standard_error(here: Sequence[float], there: Sequence[float]) -> float:
    return sqrt(sum(stdev(each) ** 2 / len(each) for each in (here, there) if len(each) > 1))


def _why_unknown(runs: Sequence[Outcome], measure: Measure) -> str:
    words = []
    for each in runs:
        if each.values(measure):
            continue
        if any(state.stage == "diverged" for state in each.states):
            words.append(f"{each.run.label} diverged")
        else:
            words.append(
                f"no run of {each.run.label} has finished"
                if not each.finished
                else f"{each.run.label} tells none"
            )
    return ", ".join(words)


def difference(outcome: Outcome, beside: Beside) -> tuple[float | None, str]:
    """Ours minus theirs in points, and why there is none, or what is to be known of it."""
    printed = beside.values.get(outcome.run.label)
    ours = outcome.values(beside.of)
    if printed is None or outcome.card is None or not ours:
        return None, ""
    job = outcome.card.job
    if job.told.data.name != beside.data:
        return None, f"no difference: ours is of {job.told.data.name}, {beside.name} of {beside.data}"
    if beside.crops is not None and job.recipe.test.crops != beside.crops:
        return (
            None,
            f"no difference: ours is tested in another way ({job.recipe.test.crops}, not {beside.crops})",
        )
    remark = "the run departs from the paper's protocol, as listed below" if outcome.departs else ""
    return 100 * fmean(ours) - printed, remark
