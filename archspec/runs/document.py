"""A protocol card as one document, for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from archspec.runs.card import spread
from archspec.runs.detectors import shipped_as
from archspec.runs.deviations import normalises_batches, protocol_of
from archspec.runs.folder import MapResultTold

if TYPE_CHECKING:
    from archspec.runs.card import Card, DetectorCard, Figure
    from archspec.runs.deviations import Deviation
    from archspec.runs.folder import RunFolder, RunTold


@dataclass(frozen=True, slots=True)
class OfClass:
    """A class of the test: its objects, and its AP over the runs that have ended, where it has objects."""

    name: str
    objects: int
    ap: Figure | None


def document(made: Card) -> dict[str, Any]:
    """The card of runs of a network."""
    job, told = made.job, made.job.told
    total, protocol = job.architecture.measure.total, protocol_of(job)
    return {
        **_runs(made),
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
        **_held(made),
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
        **_trained(made),
        "batch_norm_images": {
            "here": told.batch_norm_images if normalises_batches(job) else None,
            "paper": protocol.batch_norm_images,
            "source": protocol.batch_norm,
        },
        **_each_run(made),
    }


def detector_document(made: DetectorCard) -> dict[str, Any]:
    """The card of runs of a detector."""
    job, told = made.job, made.job.told
    backbone, initial = told.spec.backbone, told.initial
    assert backbone is not None, "a run of a detector has one"
    return {
        **_runs(made),
        "paper": [
            {
                "network": each.net,
                **each.printed.model_dump(),
                "comparable": False,
                "why_not": each.why_not,
            }
            for each in made.printed
        ],
        **_held(made),
        "detector": {
            "name": told.spec.name,
            "hash": told.spec.hash,
            "shipped": shipped_as(job),
            "parameters": told.spec.parameters,
            "multiply_adds": told.spec.multiply_adds,
            "multiply_adds_per_region": told.spec.multiply_adds_per_region,
            "cut": job.detector.cut,
            "frozen": list(job.detector.frozen),
            "batch_norm": job.detector.batch_norm,
            "backbone": backbone.model_dump(),
            "initial": {"from": initial and initial.file, "sha256": initial and initial.sha256},
            "text": told.spec.text,
        },
        **_trained(made),
        "classes": [asdict(each) for each in classes(made)],
        **_each_run(made),
    }


def classes(made: DetectorCard) -> tuple[OfClass, ...]:
    """AP of each class of the test, in the set's order."""
    found: dict[str, list[float]] = {}
    objects: dict[str, int] = {}
    for run in made.ended:
        test = run.result.test if isinstance(run.result, MapResultTold) else None
        for each in test.classes if test is not None else ():
            objects[each.name] = each.objects
            found.setdefault(each.name, []).extend([each.ap] if each.ap is not None else [])
    return tuple(
        OfClass(name, objects[name], spread(tuple(each)) if each else None) for name, each in found.items()
    )


def _runs(made: Card) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "title": made.title,
        "runs": len(made.runs),
        "ended": len(made.ended),
        "going": [asdict(each) for each in made.going],
        "chosen_on_validation": made.chosen,
        "views": made.views,
        "figures": {name: {**asdict(each), "n": len(each.values)} for name, each in made.figures.items()},
    }


def _held(made: Card) -> dict[str, Any]:
    protocol = made.held.protocol
    return {
        "in_paper": made.held.in_paper,
        "protocol": {"title": protocol.title, "place": protocol.place, "recipe": made.held.recipe},
        "deviations": [_row(each) for each in made.deviations if not each.open],
        "readings": [_row(each) for each in made.deviations if each.open],
    }


def _trained(made: Card) -> dict[str, Any]:
    job, told = made.job, made.job.told
    return {
        "recipe": {
            "name": told.recipe.name,
            "digest": told.recipe.digest,
            "source": job.recipe.source,
            "changed": None if made.changed is None else [list(each) for each in made.changed],
            "says": dict(job.recipe.says),
            "text": told.recipe.text,
        },
        "data": told.data.model_dump(mode="json", exclude={"place"}),
    }


def _each_run(made: Card) -> dict[str, Any]:
    return {"each": [_each(run, run.told) for run in made.runs if run.told is not None]}


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
