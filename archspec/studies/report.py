"""The report of a study: one HTML file that needs nothing else, and the same as Markdown beside its figures.

Everything that a file of the study or of a run says is a stranger's text: Jinja escapes it for HTML, and
`archspec.runs.markdown` for Markdown. Equal folders give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from archspec.errors import file_error
from archspec.runs.card import command_line
from archspec.runs.deviations import in_paper, paper_recipe, protocol_of
from archspec.studies.pictures import pictures
from archspec.studies.results import RULE, held, outcomes
from archspec.studies.tables import Shown, shown
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from jinja2 import Environment

    from archspec.studies.pictures import Picture
    from archspec.studies.plan import Plan, Planned
    from archspec.studies.results import Held, Outcome

HTML, MARKDOWN = "report.html", "report.md"
STAGES = ("finished", "running", "stopped", "diverged", "missing")


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report says, as words and tables."""

    plan: Plan
    counts: dict[str, int]
    claims: tuple[Held, ...]
    pictures: tuple[Picture, ...]
    tables: tuple[Shown, ...]
    runs: Shown
    missing: tuple[str, ...]
    protocol: str
    deviations: Shown | None
    readings: Shown | None
    computed: Shown | None
    command: str
    commands: str

    @property
    def total(self) -> int:
        """Runs of all seeds."""
        return sum(self.counts.values())


def write_report(plan: Plan, out: Path) -> tuple[Path, ...]:
    """Writes `report.html`, `report.md` and the figures into the study's folder. Raises `FileError`."""
    from archspec.studies.markdown import markdown

    made = report(plan, out)
    texts = {
        HTML: _environment().get_template("report.html.j2").render(report=made, rule=RULE),
        MARKDOWN: markdown(made),
    }
    for name, text in texts.items():
        try:
            with staged(out / name) as temporary:
                temporary.write_bytes(text.encode("utf-8", "replace"))
        except OSError as error:
            message = f"the report could not be written: {error.strerror or error}"
            raise file_error(out / name, "AS551", message) from error
    files = [out / name for name in texts]
    return (*files, *(out / picture.file for picture in made.pictures if picture.file))


def report(plan: Plan, out: Path) -> Report:
    """What is known of a study by now; figures are drawn into its folder."""
    found = outcomes(plan, out)
    every = [state for each in found for state in each.states]
    tables = (shown(table, found, plan.seeds) for table in plan.tables)
    return Report(
        plan=plan,
        counts={stage: sum(each.stage == stage for each in every) for stage in STAGES},
        claims=held(plan, found),
        pictures=pictures(plan, found, out),
        tables=tuple(each for each in tables if each is not None),
        runs=_runs(plan, found),
        missing=tuple(_missing(plan, found)),
        protocol=_protocol(found),
        deviations=_departures(found, still_open=False),
        readings=_departures(found, still_open=True),
        computed=_computed(found),
        command=command_line(["archspec", "study", "run", *(plan.command or (plan.study,))]),
        commands="\n".join(_commands(plan)),
    )


def _seen(value: Any) -> Any:
    """Nothing that turns the direction of text around or cannot be seen; figures are markup of ours, and stay."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in value
    )


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("archspec.studies", "."),
        autoescape=True,
        finalize=_seen,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _runs(plan: Plan, found: Sequence[Outcome]) -> Shown:
    shared = _common([run.settings for run in plan.runs])
    shared_recipe = _common([run.recipe_settings for run in plan.runs])
    rows = [
        (
            each.run.label,
            each.run.spec,
            _changes(each.run.settings, shared),
            each.run.recipe,
            _changes(each.run.recipe_settings, shared_recipe),
            _stages(each),
        )
        for each in found
    ]
    header = ("run", "spec", "changed", "recipe", "changed", "seeds" if plan.seeds > 1 else "is")
    notes = [f"{each.label}: {each.about}" for each in plan.runs if each.about]
    notes += [f"Changed in the specs of all: {', '.join(shared)}."] if shared else []
    notes += [f"Changed in the recipes of all: {', '.join(shared_recipe)}."] if shared_recipe else []
    return Shown("Runs", header, tuple(rows), tuple(notes))


def _common(several: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What all of them say, where there are several to say it."""
    if len(several) < 2:
        return ()
    return tuple(each for each in dict.fromkeys(several[0]) if all(each in other for other in several))


def _changes(settings: Sequence[str], shared: Sequence[str]) -> str:
    return ", ".join(each for each in settings if each not in shared) or "-"


def _stages(outcome: Outcome) -> str:
    count = {stage: sum(each.stage == stage for each in outcome.states) for stage in STAGES}
    if len(outcome.states) == 1:
        return outcome.states[0].stage
    return ", ".join(f"{number} {stage}" for stage, number in count.items() if number)


def _missing(plan: Plan, found: Sequence[Outcome]) -> Iterable[str]:
    """What a reader does not see yet."""
    for each in found:
        whole = [str(state.seed) for state in each.states if state.stage == "missing"]
        if whole:
            seeds = f", seed {', '.join(whole)}" if plan.seeds > 1 else ""
            yield f"{each.run.label}{seeds}: not begun."
        for state in each.states:
            seed = f", seed {state.seed}" if plan.seeds > 1 else ""
            if state.stage in ("running", "stopped"):
                of = f" of {state.total:,}" if state.total else ""
                yield f"{each.run.label}{seed}: at step {state.step:,}{of}."
            elif state.stage == "diverged":
                yield f"{each.run.label}{seed}: diverged after step {state.step:,}, and is not repeated."


def _protocol(found: Sequence[Outcome]) -> str:
    """What the runs are held against."""
    words: dict[str, None] = {}
    for each in found:
        if each.card is not None:
            protocol, job = protocol_of(each.card.job), each.card.job
            nearest = "" if in_paper(job) else ", the nearest that the paper has"
            words[f"{protocol.title} of He et al. 2015, the recipe {paper_recipe(job)}{nearest}"] = None
    return "; ".join(words)


def _departures(found: Sequence[Outcome], *, still_open: bool) -> Shown | None:
    """Everything that is another way than in the paper, and in which runs."""
    rows: dict[tuple[str, ...], tuple[dict[str, None], dict[str, None]]] = {}
    begun = [each for each in found if each.card is not None]
    for each in begun:
        assert each.card is not None
        for one in each.card.deviations:
            if one.open == still_open:
                sources, labels = rows.setdefault((one.about, one.field, one.here, one.paper), ({}, {}))
                sources[one.source] = labels[each.run.label] = None
    if not rows:
        return None
    lines = tuple(
        (*key, "; ".join(sources), "all" if len(labels) == len(begun) else ", ".join(labels))
        for key, (sources, labels) in rows.items()
    )
    paper = "the paper's, as archspec reads it" if still_open else "the paper"
    title = "Left open by the paper" if still_open else "Deviations from the paper"
    return Shown(title, ("", "field", "here", paper, "where", "runs"), lines, ())


def _computed(found: Sequence[Outcome]) -> Shown | None:
    """Data, machines and versions, each with the runs that have them where they differ."""
    told = [
        (each.run.label, run.told)
        for each in found
        if each.card is not None
        for run in each.card.runs
        if run.told is not None
    ]
    if not told:
        return None
    names = dict.fromkeys(name for _, run in told for name in run.versions)
    rows: list[tuple[str, dict[str, dict[str, None]]]] = []

    def row(name: str, values: Iterable[tuple[str, Any]]) -> None:
        seen: dict[str, dict[str, None]] = {}
        for label, value in values:
            seen.setdefault("none" if value is None else str(value), {})[label] = None
        rows.append((name, seen))

    row("data", ((label, _data(run)) for label, run in told))
    row("device", ((label, f"{run.terms.device}: {run.terms.device_name}") for label, run in told))
    row("threads", ((label, run.terms.threads) for label, run in told))
    row("ranks", ((label, run.terms.ranks) for label, run in told))
    for name in names:
        row(name, ((label, run.versions.get(name)) for label, run in told))
    return Shown("Computed on", ("", ""), tuple((name, _distinct(seen)) for name, seen in rows), ())


def _data(run: Any) -> str:
    data = run.data
    held_out = "" if data.validation is None else f", {data.validation:,} held out"
    return f"{data.name}: {data.train:,} images trained on{held_out}, {data.test:,} tested"


def _distinct(seen: dict[str, dict[str, None]]) -> str:
    if len(seen) == 1:
        return next(iter(seen))
    return "; ".join(f"{value} ({', '.join(labels)})" for value, labels in seen.items())


def _commands(plan: Plan) -> Iterable[str]:
    """Each run by itself, as `archspec train` takes it."""
    for run in plan.runs:
        yield command_line(_command(plan, run))


def _command(plan: Plan, run: Planned) -> list[str]:
    words = ["archspec", "train", run.spec, "--recipe", run.recipe, "--data", plan.data]
    words += [word for each in run.settings for word in ("--set", each)]
    words += [word for each in run.recipe_settings for word in ("--set-recipe", each)]
    words += ["--seeds", str(plan.seeds)] if plan.seeds > 1 else []
    return [*words, "--out", f"runs/{run.slug}"]
