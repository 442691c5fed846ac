"""`archspec study`: run what is missing of an experiment, say how far it is, report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.runs.exits import STOPPED
from archspec.studies.grid import FULL, combinations
from archspec.studies.length import Length
from archspec.studies.load import load_study, study_names
from archspec.studies.plan import PLAN, read_plan, write_plan
from archspec.studies.planning import planned
from archspec.studies.state import states
from archspec_cli.output import emit_json, fail, say, settings, table, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from archspec.studies.load import LoadedStudy
    from archspec.studies.plan import Plan
    from archspec.studies.run import Terms
    from archspec.studies.state import State

FOLDER = Path("studies")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which study, and how much of it."""

    name: str
    budget: str = FULL
    epochs: int | None = None
    steps: int | None = None
    data: str | None = None
    seeds: int | None = None
    set_recipe: tuple[str, ...] = ()
    output: Path | None = None

    @property
    def length(self) -> Length | None:
        """What every schedule is cut to."""
        if self.epochs is not None and self.steps is not None:
            fail("a study is cut to --epochs or to --steps, not to both")
        if self.epochs is not None:
            return Length(self.epochs, "epoch")
        return None if self.steps is None else Length(self.steps, "iteration")

    def command(self) -> tuple[str, ...]:
        """What was typed that decides what is run."""
        told = [] if self.budget == FULL else ["--budget", self.budget]
        for option, value in (
            ("--epochs", self.epochs),
            ("--steps", self.steps),
            ("--data", self.data),
            ("--seeds", self.seeds),
        ):
            told += [] if value is None else [option, str(value)]
        for each in self.set_recipe:
            told += ["--set-recipe", each]
        return (self.name, *told)


def run(asked: Asked, *, root: Path | None, download: bool, device: str, jobs: int, as_json: bool) -> None:
    from archspec.studies.run import Terms
    from archspec.train.lock import locked

    loaded = load_study(asked.name)
    plan = _planned(loaded, asked)
    out = _folder(asked, plan)
    with locked(out):
        _run(plan, out, Terms(loaded.folder, root, download, device, jobs=jobs, said=say))
    _ended(plan, out, as_json=as_json)


def _run(plan: Plan, out: Path, terms: Terms) -> None:
    from archspec.studies.run import Stopped, run_here
    from archspec.studies.workers import Failed, run_many

    write_plan(plan, out)
    found = states(plan, out)
    done = sum(not each.to_do for each in found)
    say(f"{plan.study} ({plan.budget}) on {plan.data} in {out}: {len(found)} runs, {done} of them done")
    hears = Teller(len(found), done)
    try:
        (run_many if terms.jobs > 1 else run_here)(plan, out, terms, hears)
    except Stopped as stopped:
        say(f"{stopped}; the same command goes on from there")
        raise SystemExit(STOPPED) from None
    except ValueError as error:
        fail(str(error))
    except Failed as failed:
        fail(str(failed))
    finally:
        hears.close()


class Teller:
    """Says a line for each run that ends, and how far the one is that goes on."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self.meter: Any = None

    def begins(self, state: State, place: str) -> Callable[[Mapping[str, Any]], None]:
        from archspec_cli.meter import Meter

        self.close()
        say(f"{state.run.label}, seed {state.seed} ({self.done + 1} of {self.total}), on {place}")
        self.meter = Meter(f"{state.run.label}, seed {state.seed}")
        self.meter.__enter__()
        watch: Callable[[Mapping[str, Any]], None] = self.meter
        return watch

    def ended(self, state: State) -> None:
        self.close()
        self.done += 1
        if not settings.json:
            tell(f"[{self.done}/{self.total}] {state.run.label}, seed {state.seed}: {_outcome(state)}")

    def close(self) -> None:
        """Takes the bar away."""
        if self.meter is not None:
            self.meter.__exit__(None, None, None)
        self.meter = None


def status(asked: Asked, *, as_json: bool) -> None:
    plan, out = _known(asked)
    found = states(plan, out)
    if as_json:
        emit_json(_document(plan, out, found))
        return
    rows = [[each.run.label, str(each.seed), each.stage, _steps(each), *_errors(each)] for each in found]
    tell(f"{plan.study} ({plan.budget}) on {plan.data}, {out}")
    tell(table(["run", "seed", "is", "step", "training error", "test error"], rows))
    counts = _counts(found)
    tell(", ".join(f"{count} {stage}" for stage, count in counts.items() if count))


def report(asked: Asked, *, as_json: bool) -> None:
    from archspec.studies.report import write_report

    plan, out = _known(asked)
    found = states(plan, out)
    if not (out / PLAN).exists():
        fail(f"nothing was run in {out} yet", f"archspec study run {' '.join(asked.command())}")
    files = write_report(plan, out)
    missing = sum(each.stage != "finished" for each in found)
    if missing:
        say(f"{missing} of {len(found)} runs have not finished; the report says which")
    if as_json:
        emit_json({**_document(plan, out, found), "files": [str(each) for each in files]})
    else:
        tell("\n".join(str(each) for each in files))


def list_studies(*, as_json: bool) -> None:
    rows, listed = [], []
    for name in study_names():
        study = load_study(name).study
        budgets = {each: budget.takes or "" for each, budget in study.budgets.items()}
        listed.append(
            {
                "name": name,
                "about": study.about,
                "source": study.source,
                "runs": len(combinations(study)),
                "seeds": study.seeds,
                "budgets": budgets,
            }
        )
        rows.append([name, str(len(combinations(study))), ", ".join([FULL, *budgets]), study.about])
    if as_json:
        emit_json({"studies": listed})
    else:
        tell(table(["study", "runs", "budgets", "what"], rows))


def _planned(loaded: LoadedStudy, asked: Asked) -> Plan:
    plan = planned(
        loaded,
        asked.budget,
        data=asked.data,
        seeds=asked.seeds,
        length=asked.length,
        recipe_settings=asked.set_recipe,
    )
    return plan.model_copy(update={"command": asked.command()})


def _folder(asked: Asked, plan: Plan) -> Path:
    return asked.output or FOLDER / f"{plan.study}-{plan.budget.replace(' ', '-')}"


def _known(asked: Asked) -> tuple[Plan, Path]:
    """The plan in a folder, or that of a study, with the folder in which it would be run."""
    folder = Path(asked.name)
    if (folder / PLAN).is_file():
        return read_plan(folder), folder
    plan = _planned(load_study(asked.name), asked)
    out = _folder(asked, plan)
    return (read_plan(out) if (out / PLAN).is_file() else plan), out


def _counts(found: Sequence[State]) -> dict[str, int]:
    return {
        stage: sum(each.stage == stage for each in found)
        for stage in ("finished", "running", "stopped", "diverged", "missing")
    }


def _document(plan: Plan, out: Path, found: Sequence[State]) -> dict[str, Any]:
    return {
        "study": plan.study,
        "budget": plan.budget,
        "data": plan.data,
        "folder": str(out),
        "counts": _counts(found),
        "runs": [
            {
                "label": each.run.label,
                "seed": each.seed,
                "folder": str(each.folder),
                "stage": each.stage,
                "step": each.step,
                "total": each.total,
                "train_error": _result(each, "final_train_error"),
                "test_accuracy": _result(each, "test_accuracy"),
            }
            for each in found
        ],
    }


def _result(state: State, name: str) -> Any:
    result = state.found.result if state.found else None
    return getattr(result, name) if result else None


def _errors(state: State) -> list[str]:
    train, test = _result(state, "final_train_error"), _result(state, "test_accuracy")
    return ["-" if train is None else f"{train:.2%}", "-" if test is None else f"{1 - test:.2%}"]


def _steps(state: State) -> str:
    if state.stage == "missing" or state.total is None:
        return "-"
    return f"{state.step:,} of {state.total:,}"


def _outcome(state: State) -> str:
    if state.stage == "diverged":
        return f"diverged after step {state.step:,}; delete {state.folder} to try it again"
    train, test = _errors(state)
    return f"training error {train}, test error {test}, {state.folder}"


def _ended(plan: Plan, out: Path, *, as_json: bool) -> None:
    found = states(plan, out)
    if as_json:
        emit_json(_document(plan, out, found))
        return
    counts = _counts(found)
    tell(", ".join(f"{count} {stage}" for stage, count in counts.items() if count))
    tell(f"next: archspec study report {out}")
