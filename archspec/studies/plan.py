"""A plan: the runs of a study on a budget, and what is shown of them. It is kept beside the runs as JSON.

A plan is all that `status` and `report` need: a study's folder can be read without the study's file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from archspec.errors import file_error
from archspec.spec.fields import About, Name
from archspec.spec.models import Model
from archspec.studies.grid import slug
from archspec.studies.models import Claim, Heading, Label, Plot, Reference, Seeds, Setting, Table
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from pathlib import Path

PLAN = "study.json"
MAX_BYTES = 2**22
Word = Annotated[str, StringConstraints(max_length=4096)]
Settings = Annotated[tuple[Setting, ...], Field(max_length=400, strict=False)]


class Planned(Model):
    """One run of the plan: a spec and a recipe, each with its changes."""

    label: Label
    about: About = ""
    spec: Reference
    settings: Settings = ()
    recipe: Reference
    recipe_settings: Settings = ()
    data: Name
    """The data set of the recipe."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the recipe."""

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return slug(self.label)


class Plan(Model):
    """What is run and what is shown."""

    schema_version: Literal[1] = 1
    study: Name
    about: About = ""
    question: About = ""
    source: About = ""
    budget: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_. -]{0,127}$")]
    budget_about: About = ""
    takes: Heading | None = None
    data: Name
    seeds: Seeds
    runs: Annotated[tuple[Planned, ...], Field(min_length=1, max_length=256, strict=False)]
    plots: Annotated[tuple[Plot, ...], Field(max_length=16, strict=False)] = ()
    tables: Annotated[tuple[Table, ...], Field(max_length=16, strict=False)] = ()
    claims: Annotated[tuple[Claim, ...], Field(max_length=64, strict=False)] = ()
    command: Annotated[tuple[Word, ...], Field(max_length=64, strict=False)] = ()
    """What was typed after `archspec study run`, without `--out`, so that it can be repeated."""

    def folder(self, out: Path, run: Planned, seed: int) -> Path:
        """Where a run of a seed lies."""
        return out / run.slug / f"seed-{seed}"

    def run(self, label: str) -> Planned | None:
        """The run of that label, if it is part of the budget."""
        return next((each for each in self.runs if each.label == label), None)


def write_plan(plan: Plan, out: Path) -> None:
    """Keeps the plan beside its runs. Raises `FileError`: AS562 where the folder holds another study."""
    before = out / PLAN
    if before.exists():
        other = read_plan(out)
        if (other.study, other.budget, other.data) != (plan.study, plan.budget, plan.data):
            message = f"the folder holds {other.study} ({other.budget}, {other.data})"
            raise file_error(out, "AS562", message, hint="name another folder with --out")
    text = json.dumps(plan.model_dump(mode="json"), indent=1) + "\n"
    try:
        with staged(before) as temporary:
            temporary.write_bytes(text.encode())
    except OSError as error:
        raise file_error(
            before, "AS551", f"the plan could not be written: {error.strerror or error}"
        ) from error


def read_plan(out: Path) -> Plan:
    """The plan in a study's folder. Raises `FileError` (AS562)."""
    file = out / PLAN
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "a study's folder is what archspec study run --out names"
        raise file_error(
            file, "AS562", f"the file cannot be read: {error.strerror or error}", hint=hint
        ) from error
    if len(content) > MAX_BYTES:
        raise file_error(file, "AS562", f"the file has more than {MAX_BYTES:,} bytes")
    try:
        plan = Plan.model_validate_json(content)
    except ValidationError as error:
        found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}"[:300] for each in error.errors()[:8]]
        raise file_error(file, "AS562", *found) from error
    slugs = [run.slug for run in plan.runs]
    if len(set(slugs)) != len(slugs):
        raise file_error(file, "AS562", "two runs share a folder")
    return plan
