"""The protocol card of a run, or of several seeds of one: what a reader needs to trust a figure, or to repeat it."""

from __future__ import annotations

import json
import shlex
import tomllib
from dataclasses import asdict, dataclass
from hashlib import sha256
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from archspec import provenance
from archspec.errors import Diagnostic, FileError, Span, SpecError, file_error
from archspec.recipes.differences import differences
from archspec.recipes.load import load_recipe, recipe_names, resolve_recipe
from archspec.recipes.schedule import total_steps
from archspec.runs import metrics
from archspec.runs.deviations import (
    MULTI_SCALE,
    Deviation,
    Job,
    Printed,
    Shipped,
    deviations,
    in_paper,
    net_of,
    normalises_batches,
    paper_recipe,
    protocol_of,
    shipped,
    shown_value,
)
from archspec.runs.folder import RUN, RunFolder, RunTold, read_run
from archspec.spec.documents import parse
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

CARD, CARD_JSON = "card.md", "card.json"
_WORDS = frozenset({"name", "about", "source", "says"})


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
class Card:
    """Runs of one job, in the order of their seeds, and what is to be said of them."""

    runs: tuple[RunFolder, ...]
    job: Job
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
        return all(run.result is None or run.result.best_val_accuracy is not None for run in self.runs)

    def figure(self, name: str) -> Figure | None:
        """`test_error`, `top5_error`, `validation_error`, `train_error` or `images_per_second` of what has ended."""
        return _figures(self.ended).get(name)

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
        return _document(self)

    def as_markdown(self) -> str:
        """The card to be read. Equal runs give equal bytes."""
        from archspec.runs.markdown import markdown

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
    told = [(run, _job(run, run.told)) for each in folders for run in each.runs if run.told is not None]
    told.sort(key=lambda each: each[1].told.seed)
    _of_one_job(told)
    job = told[0][1]
    found = deviations(job)
    runs = tuple(run for run, _ in told)
    return Card(
        runs=runs,
        job=job,
        going=tuple(_progress(run, job) for run in runs if run.result is None),
        against=tuple(_against(job, found, _figures([run for run in runs if run.result]))),
        deviations=found,
        shipped=shipped(job),
        changed=_changed(job),
    )


def _job(run: RunFolder, told: RunTold) -> Job:
    """What a run says of itself, compiled and resolved anew. Raises `FileError` where one contradicts another."""
    file = str(run.path / RUN)
    spec = {provenance.SPEC: told.spec.text, provenance.FUNCTION: told.spec.hash}
    architecture = provenance.recalled(spec, file)
    assert architecture is not None, "the text is there"
    total = architecture.measure.total
    if (architecture.name, total.params, total.macs) != (
        told.spec.name,
        told.spec.parameters,
        told.spec.multiply_adds,
    ):
        raise file_error(file, "AS553", "the spec that it carries has another name or other counts")
    try:
        document = parse(told.recipe.text.encode(), f"{file} (its recipe)", None)
        if "extends" in document.data:
            raise file_error(file, "AS553", "the recipe that it carries leans on another file")
        recipe = resolve_recipe(document).recipe
    except SpecError as error:
        raise file_error(file, "AS553", f"the recipe that it carries cannot be used: {error}") from error
    # of the text as it is: a later archspec may know more fields, with defaults of their own
    table = {key: each for key, each in tomllib.loads(told.recipe.text).items() if key not in _WORDS}
    if sha256(json.dumps(table, sort_keys=True).encode()).hexdigest() != told.recipe.digest:
        raise file_error(file, "AS553", "the recipe that it carries has another digest")
    return Job(told, architecture, recipe)


def _of_one_job(runs: Sequence[tuple[RunFolder, Job]]) -> None:
    """Raises `FileError` with everything in which runs differ that a card cannot sum up."""
    first_run, first = runs[0]
    wrong, seeds = [], {first.told.seed}
    for run, job in runs[1:]:
        found = [f"another {what}" for what in _unlike(job, first)]
        if job.told.seed in seeds:
            found.append(f"the same seed, {job.told.seed}, as another run")
        seeds.add(job.told.seed)
        span = Span(str(run.path), 0, 0, 0, 0)
        hint = "one card sums up runs of one job with several seeds" if found else ""
        message = f"this run has {'; '.join(found)}; held against {first_run.path}"
        wrong += [Diagnostic("AS554", message, span, hint)] if found else []
    if wrong:
        raise FileError(wrong)


def _unlike(job: Job, first: Job) -> list[str]:
    here, there = job.told, first.told
    same = {
        "network": (here.spec.hash, there.spec.hash),
        "name of the network": (here.spec.name, there.spec.name),
        "initialisation": tuple(each.architecture.declared.resolved()["init"] for each in (job, first)),
        "number of images that one BN layer sees": (here.batch_norm_images, there.batch_norm_images),
        **{
            f"data.{name}": (getattr(here.data, name), getattr(there.data, name))
            for name in ("name", "train", "validation", "test", "shape", "classes")
        },
    }
    found = [name for name, (ours, theirs) in same.items() if ours != theirs]
    if here.recipe.digest != there.recipe.digest:
        fields = [
            f"{each.field} {shown_value(each.here)} instead of {shown_value(each.there)}"
            for each in differences(job.recipe, first.recipe)
        ]
        found.append(f"recipe ({', '.join(fields[:8])})" if fields else "recipe")
    return found


def _figures(ended: Sequence[RunFolder]) -> dict[str, Figure]:
    results = [run.result for run in ended if run.result is not None]
    values: dict[str, list[float | None]] = {
        "test_error": [each.test.top1.error for each in results],
        "test_accuracy": [each.test_accuracy for each in results],
        "top5_error": [each.test.top5.error for each in results],
        "validation_error": [
            None if each.best_val_accuracy is None else 1 - each.best_val_accuracy for each in results
        ],
        "train_error": [each.final_train_error for each in results],
        # a run that was resumed behind its last step only tested
        "images_per_second": [each.images_per_second or None for each in results],
    }
    known = {name: tuple(each for each in every if each is not None) for name, every in values.items()}
    return {name: _figure(name, each) for name, each in known.items() if each}


def _figure(name: str, values: tuple[float, ...]) -> Figure:
    best = min(values) if name.endswith("error") else max(values)
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


def _document(made: Card) -> dict[str, Any]:
    job, told = made.job, made.job.told
    total, protocol = job.architecture.measure.total, protocol_of(job)
    figures = _figures(made.ended)
    return {
        "schema_version": 1,
        "title": made.title,
        "runs": len(made.runs),
        "ended": len(made.ended),
        "going": [asdict(each) for each in made.going],
        "chosen_on_validation": made.chosen,
        "views": sorted({run.result.view for run in made.runs if run.result}),
        "figures": {name: {**asdict(each), "n": len(each.values)} for name, each in figures.items()},
        "paper": [
            {
                "network": each.net,
                **each.printed.model_dump(),
                "comparable": not each.why_not,
                "why_not": each.why_not,
                "difference": each.difference,
                "top5_difference": each.top5_difference,
            }
            for each in made.against
        ],
        "in_paper": in_paper(job),
        "protocol": {"title": protocol.title, "place": protocol.place, "recipe": paper_recipe(job)},
        "deviations": [_row(each) for each in made.deviations if not each.open],
        "readings": [_row(each) for each in made.deviations if each.open],
        "spec": {
            "name": told.spec.name,
            "hash": told.spec.hash,
            "layers": total.layers,
            "parameters": total.params,
            "multiply_adds": total.macs,
            "input": list(job.architecture.input_shape),
            "shipped": [asdict(each) for each in made.shipped],
            "text": told.spec.text,
        },
        "recipe": {
            "name": told.recipe.name,
            "digest": told.recipe.digest,
            "source": job.recipe.source,
            "changed": None if made.changed is None else [list(each) for each in made.changed],
            "says": dict(job.recipe.says),
            "text": told.recipe.text,
        },
        "data": told.data.model_dump(mode="json", exclude={"place"}),
        "batch_norm_images": {
            "here": told.batch_norm_images if normalises_batches(job) else None,
            "paper": protocol.batch_norm_images,
            "source": protocol.batch_norm,
        },
        "each": [_each(run, run.told) for run in made.runs if run.told is not None],
    }


def _row(deviation: Deviation) -> dict[str, Any]:
    return {key: each for key, each in asdict(deviation).items() if key != "open"}


def _each(run: RunFolder, told: RunTold) -> dict[str, Any]:
    result = run.result
    return {
        "seed": told.seed,
        "started": told.started,
        "command": list(told.command),
        "terms": told.terms.model_dump(),
        "versions": told.versions,
        "result": None if result is None else result.model_dump(),
    }
