"""What runs say that they ran, compiled and resolved anew, and whether several of them are one job."""

from __future__ import annotations

import json
import tomllib
from hashlib import sha256
from typing import TYPE_CHECKING

from archspec import provenance
from archspec.errors import Diagnostic, FileError, Span, SpecError, file_error
from archspec.recipes.differences import differences
from archspec.recipes.load import resolve_recipe
from archspec.runs.detectors import detector_job
from archspec.runs.deviations import Job, shown_value
from archspec.runs.folder import RUN
from archspec.spec.documents import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.recipes.models import Recipe
    from archspec.runs.folder import RunFolder, RunTold

_WORDS = frozenset({"name", "about", "source", "says"})


def job_of(run: RunFolder, told: RunTold) -> Job:
    """What a run says of itself, compiled and resolved anew. Raises `FileError` where one contradicts another."""
    file = str(run.path / RUN)
    if told.spec.kind == "detector":
        return detector_job(file, told, _recipe(file, told))
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
    return Job(told, architecture, _recipe(file, told))


def _recipe(file: str, told: RunTold) -> Recipe:
    """Raises `FileError`."""
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
    return recipe


def of_one_job(runs: Sequence[tuple[RunFolder, Job]]) -> None:
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
    what = "detector" if here.spec.kind == there.spec.kind == "detector" else "network"
    same = {
        "kind of spec": (here.spec.kind, there.spec.kind),
        what: (here.spec.hash, there.spec.hash),
        "file of first weights": (
            here.initial and here.initial.sha256,
            there.initial and there.initial.sha256,
        ),
        f"name of the {what}": (here.spec.name, there.spec.name),
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
