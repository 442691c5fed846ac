"""The protocol card of a run, or of several seeds of one: what a reader needs to trust a figure, or to repeat it."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from archspec.errors import file_error
from archspec.recipes.differences import differences
from archspec.recipes.load import load_recipe, recipe_names
from archspec.recipes.schedule import total_steps
from archspec.runs import metrics
from archspec.runs.detectors import (
    DetectorJob,
    detector_deviations,
    detector_in_paper,
    detector_net,
    detector_protocol,
)
from archspec.runs.deviations import (
    MULTI_SCALE,
    Deviation,
    Job,
    Printed,
    Shipped,
    deviations,
    in_paper,
    net_of,
    paper_recipe,
    protocol_of,
    shipped,
    shown_value,
)
from archspec.runs.folder import RunFolder, read_run
from archspec.runs.jobs import job_of, of_one_job
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from archspec.runs.detectors import Mean
    from archspec.runs.deviations import Trained

CARD, CARD_JSON = "card.md", "card.json"


@dataclass(frozen=True, slots=True)
class Figure:
    """A quantity over the runs that have ended. `std` is the sample's (ddof 1), and none of a single run."""

    values: tuple[float, ...]
    mean: float
    std: float | None
    best: float


@dataclass(frozen=True, slots=True)
class Against:
    """A figure of the paper's beside the one here, in percent. `why_not` is empty where the two are comparable."""

    net: str
    printed: Printed
    why_not: str
    difference: float | None
    top5_difference: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is that has not ended."""

    seed: int
    step: int
    steps: int
    train_error: float | None
    validation_error: float | None


@dataclass(frozen=True, slots=True)
class Held:
    """What runs are held against: the paper's protocol for the set, and whether the set is in the paper."""

    protocol: Trained
    recipe: str
    in_paper: bool


@dataclass(frozen=True, slots=True)
class Card:
    """Runs of one job, in the order of their seeds, and what is to be said of them."""

    runs: tuple[RunFolder, ...]
    job: Job
    held: Held
    going: tuple[Progress, ...]
    against: tuple[Against, ...]
    deviations: tuple[Deviation, ...]
    shipped: tuple[Shipped, ...]
    changed: tuple[tuple[str, str, str], ...] | None
    """Fields in which the recipe is not the shipped one of its name; None where none ships under it."""

    @property
    def ended(self) -> tuple[RunFolder, ...]:
        """The runs that have a result."""
        return tuple(run for run in self.runs if run.result is not None)

    @property
    def title(self) -> str:
        """What was run, in words."""
        told = self.job.told
        return f"{told.spec.name} by {told.recipe.name} on {told.data.name}"

    @property
    def chosen(self) -> bool:
        """Whether the tested networks were chosen, on validation."""
        return all(run.result is None or run.result.best_validation is not None for run in self.runs)

    @property
    def views(self) -> list[str]:
        """How test pictures were looked at."""
        return sorted({run.result.view for run in self.runs if run.result and run.result.view})

    @property
    def figures(self) -> dict[str, Figure]:
        """All quantities that are known of what has ended."""
        return _figures(self.ended)

    def figure(self, name: str) -> Figure | None:
        """`test_error`, `top5_error`, `validation_error`, `train_error` or `images_per_second` of what has ended.

        Of detectors `test_map`, `test_map_50`, `validation_map` and `images_per_second`.
        """
        return self.figures.get(name)

    def distinct(self, pick: Iterable[tuple[int, str]]) -> str:
        """A value, or each of several with its seeds."""
        seeds: dict[str, list[int]] = {}
        for seed, value in pick:
            seeds.setdefault(value, []).append(seed)
        if len(seeds) == 1:
            return next(iter(seeds))
        return "; ".join(f"{value} (seed {', '.join(map(str, each))})" for value, each in seeds.items())

    def as_json(self) -> dict[str, Any]:
        """The card as one document."""
        from archspec.runs.document import document

        return document(self)

    def as_markdown(self) -> str:
        """The card to be read. Equal runs give equal bytes."""
        from archspec.runs.markdown import markdown

        return markdown(self)


@dataclass(frozen=True, slots=True)
class AgainstMap:
    """A mAP of the paper's, in percent, and why the one here is not comparable."""

    net: str
    printed: Mean
    why_not: str


@dataclass(frozen=True, slots=True)
class DetectorCard(Card):
    """Runs of one job that trains a detector."""

    job: DetectorJob
    printed: tuple[AgainstMap, ...]

    def as_json(self) -> dict[str, Any]:
        """The card as one document."""
        from archspec.runs.document import detector_document

        return detector_document(self)

    def as_markdown(self) -> str:
        """The card to be read. Equal runs give equal bytes."""
        from archspec.runs.detector_markdown import markdown

        return markdown(self)


def write_card(folder: Path) -> Card:
    """Writes `card.md` and `card.json` of a run, or of the seeds in a folder, into it. Raises `FileError`."""
    made = card([read_run(folder)])
    texts = {CARD: made.as_markdown(), CARD_JSON: json.dumps(made.as_json(), indent=2) + "\n"}
    for name, text in texts.items():
        try:
            with staged(folder / name) as temporary:
                temporary.write_bytes(text.encode())
        except OSError as error:
            message = f"the card could not be written: {error.strerror or error}"
            raise file_error(folder / name, "AS551", message) from error
    return made


def card(folders: Sequence[RunFolder]) -> Card:
    """The card of runs of one job. Raises `FileError`: AS554 with all that differs, where they are of several."""
    told = [(run, job_of(run, run.told)) for each in folders for run in each.runs if run.told is not None]
    told.sort(key=lambda each: each[1].told.seed)
    of_one_job(told)
    job, runs = told[0][1], tuple(run for run, _ in told)
    if isinstance(job, DetectorJob):
        return _of_detectors(job, runs)
    found = deviations(job)
    return Card(
        runs=runs,
        job=job,
        held=Held(protocol_of(job), paper_recipe(job), in_paper(job)),
        going=tuple(_progress(run, job) for run in runs if run.result is None),
        against=tuple(_against(job, found, _figures([run for run in runs if run.result]))),
        deviations=found,
        shipped=shipped(job),
        changed=_changed(job),
    )


def _of_detectors(job: DetectorJob, runs: tuple[RunFolder, ...]) -> DetectorCard:
    found, protocol = detector_deviations(job), detector_protocol(job)
    return DetectorCard(
        runs=runs,
        job=job,
        held=Held(protocol, protocol.recipe, detector_in_paper(job)),
        going=tuple(_progress(run, job) for run in runs if run.result is None),
        against=(),
        deviations=found,
        shipped=(),
        changed=_changed(job),
        printed=tuple(_printed(job, found)),
    )


def _figures(ended: Sequence[RunFolder]) -> dict[str, Figure]:
    results = [run.result for run in ended if run.result is not None]
    each = [result.figures() for result in results]
    values = {name: [figures[name] for figures in each] for name in (each[0] if each else ())}
    known = {name: tuple(value for value in every if value is not None) for name, every in values.items()}
    return {name: spread(each, lower=name.endswith("error")) for name, each in known.items() if each}


def spread(values: tuple[float, ...], *, lower: bool = False) -> Figure:
    """Mean, sample deviation and best of some values; the best is the highest, or the lowest."""
    best = min(values) if lower else max(values)
    return Figure(values, fmean(values), stdev(values) if len(values) > 1 else None, best)


def _progress(run: RunFolder, job: Job) -> Progress:
    records = metrics.read(run.metrics) if run.metrics.exists() else []
    epochs = [each for each in records if each.get("kind") == "epoch"]
    last = epochs[-1] if epochs else {}
    steps = [each["step"] for each in records if isinstance(each.get("step"), int)]
    assert run.told is not None
    return Progress(
        seed=run.told.seed,
        step=max(steps, default=0),
        steps=total_steps(job.recipe, steps_per_epoch=job.steps_per_epoch),
        train_error=_share(last.get("train_error")),
        validation_error=_share(last.get("validation_error")),
    )


def _share(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def _against(job: Job, found: Sequence[Deviation], here: dict[str, Figure]) -> Iterable[Against]:
    """The paper's figures for the network on that set; a difference only where the two are comparable."""
    net, same = net_of(job)
    if net is None or not in_paper(job):
        return
    departures = [each for each in found if not each.open]
    for printed in net.results:
        reasons = [] if same else [f"another function than {net.name}"]
        if departures:
            reasons.append(
                f"{len(departures)} deviation{'s' * (len(departures) > 1)} from the paper, listed below"
            )
        reasons += [] if _tested_alike(job, printed) else ["another way of testing"]
        reasons += [] if here else ["no run has ended"]
        if reasons:
            yield Against(net.name, printed, "; ".join(reasons), None, None)
            continue
        theirs = printed.error if printed.mean is None else printed.mean
        top5 = None if printed.top5 is None else 100 * here["top5_error"].mean - printed.top5
        yield Against(net.name, printed, "", 100 * here["test_error"].mean - theirs, top5)


def _tested_alike(job: Job, printed: Printed) -> bool:
    test = job.recipe.test
    if printed.crops != test.crops:
        return False
    if test.crops == "full":
        return set(test.sizes) == MULTI_SCALE
    return test.crops == "single" or test.crop == job.recipe.augment.crop


def _printed(job: DetectorJob, found: Sequence[Deviation]) -> Iterable[AgainstMap]:
    """The paper's mAP of the network on that set. Joint training alone is a deviation, so there is no difference."""
    net, same = detector_net(job)
    if net is None:
        return
    departures = sum(not each.open for each in found)
    reasons = [] if same else [f"another function than {net.name}"]
    reasons.append(f"{departures} deviation{'s' * (departures > 1)} from the paper, listed below")
    for printed in net.results:
        if printed.data == job.told.data.name:
            yield AgainstMap(net.name, printed, "; ".join(reasons))


def _changed(job: Job) -> tuple[tuple[str, str, str], ...] | None:
    if job.recipe.name not in recipe_names():
        return None
    found = differences(job.recipe, load_recipe(job.recipe.name).recipe)
    return tuple((each.field, shown_value(each.here), shown_value(each.there)) for each in found)


def command_line(arguments: Sequence[str]) -> str:
    """A command as a shell takes it, on one line: what cannot be printed is escaped."""
    return " ".join(map(_argument, arguments))


def _argument(text: str) -> str:
    if text.isprintable():
        return shlex.quote(text)
    escaped = "".join(
        f"\\{char}" if char in "\\'" else char if char.isprintable() else f"\\U{ord(char):08x}"
        for char in text
    )
    return f"$'{escaped}'"
