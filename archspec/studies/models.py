"""The language of studies as frozen Pydantic models. Every key is listed here; every other key is an error.

A study is data: a base, what is changed in which run, how much of it is run on a budget, and what is shown at the end.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from archspec.spec.fields import About, Format, Name, like
from archspec.spec.models import Model

MOST_RUNS = 256
MOST_SEEDS = 100
MOST_DRAWN = 16

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9 .,+()/=_-]{0,62}[A-Za-z0-9)+])?"
_REFERENCE = r"[A-Za-z0-9][A-Za-z0-9._/-]*"
_LINE = r"[^\x00-\x1f\x7f]*"
_SETTING = r"[^\x00-\x1f\x7f=]+=[^\x00-\x1f\x7f]*"


Label = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    Field(json_schema_extra={"pattern": f"^{_LABEL}$"}),
    like(
        *(_LABEL, "AS113", "is not a label"),
        "a letter or digit, then also spaces and . , + ( ) / = _ -, at most 64",
    ),
]
Sentence = Annotated[
    str, StringConstraints(min_length=1, max_length=600), like(_LINE, "AS561", "is not one line of text")
]
Heading = Annotated[
    str, StringConstraints(min_length=1, max_length=120), like(_LINE, "AS561", "is not one line of text")
]
Reference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    Field(json_schema_extra={"pattern": f"^{_REFERENCE}$"}),
    like(
        *(_REFERENCE, "AS561", "names nothing that ships"),
        "a path begins beside the study, and ends with .toml",
    ),
]
"""The name of what ships (`cifar/resnet20`), or of a .toml file beside the study."""
Setting = Annotated[
    str,
    StringConstraints(max_length=400),
    like(_SETTING, "AS014", "is not KEY=VALUE, for example n=18 or norm.kind=group"),
]
Settings = Annotated[tuple[Setting, ...], Field(max_length=64, strict=False)]
Labels = Annotated[tuple[Label, ...], Field(max_length=MOST_RUNS, strict=False)]
Seeds = Annotated[int, Field(ge=1, le=MOST_SEEDS)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Measure = Literal[
    "test_error",
    "top5_error",
    "train_error",
    "validation_error",
    "parameters",
    "multiply_adds",
    "layers",
    "steps",
    "images_per_second",
]
ErrorMeasure = Literal["test_error", "top5_error", "train_error", "validation_error"]

_SPEC = "A spec: the name of one that ships, or a .toml file beside the study."
_RECIPE = "A recipe: the name of one that ships, or a .toml file beside the study."
_SET = "Changes to the spec, as `--set` takes them: `KEY=VALUE`."
_SET_RECIPE = "Changes to the recipe, as `--set-recipe` takes them: `KEY=VALUE`."


class Change(Model):
    """What one layer of a study says of its runs. Later layers win: base, axes or run, budget, budget's run."""

    spec: Reference | None = Field(None, description=_SPEC)
    recipe: Reference | None = Field(None, description=_RECIPE)
    set: Settings = Field((), description=_SET)
    set_recipe: Settings = Field((), description=_SET_RECIPE)


class Value(Change):
    """One value on an axis."""

    label: Label = Field(description="Its part of the run's label.")


class Axis(Model):
    """Values that are combined with those of all other axes."""

    name: Name = Field(description="What is varied.")
    values: tuple[Value, ...] = Field(
        strict=False, min_length=1, max_length=64, description="The values, in the order of the tables."
    )


class Run(Change):
    """A run that is listed, beside those of the grid."""

    label: Label = Field(description="The name of the run, in tables, figures and folders.")
    about: About = Field("", description="What is to be known of it.")


class Budget(Change):
    """A cheaper way to run the study: other data, fewer steps, fewer runs, smaller nets."""

    about: About = Field("", description="What it leaves of the study.")
    takes: Heading | None = Field(None, description="About how long it takes, on which machine.")
    data: Name | None = Field(None, description="The data set.")
    seeds: Seeds | None = Field(None, description="Runs of each, with seeds from 0 on.")
    only: Labels = Field((), description="The runs that are left; none says all.")
    runs: dict[Label, Change] = Field({}, max_length=MOST_RUNS, description="Changes to single runs.")


class Plot(Model):
    """A figure of curves: training errors thin, validation errors bold."""

    title: Heading = Field(description="Above the figure.")
    runs: Labels = Field((), description="The runs in it; none says all.")
    unit: Literal["iteration", "epoch"] = Field("iteration", description="Of the axis along the training.")
    y_max: Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)] | None = Field(
        None,
        description="The highest error shown, in per cent, of the study at full length; by default, as the curves end.",
    )
    log: bool = Field(False, description="Logarithmic errors.")


class Beside(Model):
    """Figures of others, in a column beside ours."""

    name: Heading = Field(description='Who says it: "the paper".')
    where: Heading = Field(description='Where: "Table 6".')
    of: ErrorMeasure = Field("test_error", description="Which of our figures they stand beside.")
    data: Name = Field(description="The data set that they are of: a difference is told only on the same.")
    crops: Literal["single", "ten", "full"] | None = Field(
        None, description="How it was tested: a difference is told only where ours is tested alike."
    )
    values: dict[Label, Percent] = Field(max_length=MOST_RUNS, description="Per cent, by run.")
    notes: dict[Label, Heading] = Field(
        {}, max_length=MOST_RUNS, description="What is to be known of single ones."
    )


class Table(Model):
    """A table: one row a run, its figures, and those of others beside them."""

    title: Heading = Field(description="Above the table.")
    rows: Labels = Field((), description="The runs in it; none says all.")
    columns: Annotated[tuple[Measure, ...], Field(strict=False, min_length=1, max_length=9)] = Field(
        ("parameters", "train_error", "test_error"), description="What is told of each run."
    )
    beside: tuple[Beside, ...] = Field(
        (), strict=False, max_length=6, description="Columns of others' figures."
    )
    note: About = Field("", description="Below the table.")


class Claim(Model):
    """Something that is to be seen, held against what was measured."""

    says: Sentence = Field(description="The claim, as a sentence.")
    run: Label = Field(description="The run that it is about.")
    against: Label = Field(description="The run that it is held against.")
    of: ErrorMeasure = Field("train_error", description="Which error is compared.")
    relation: Literal["above", "not above", "below", "not below"] = Field(
        description="Above is above by more than twice the standard error of the difference of the seeds' means."
    )


class Study(Model):
    """An experiment of many runs, declared."""

    format: Format = Field(description="Version of the language of studies.")
    name: Name = Field(description="Lower-case letters, digits, `_`, `.` and `-`.")
    about: About = Field("", description="What it is.")
    question: About = Field("", description="What is asked.")
    source: About = Field("", description="Where it comes from: a figure of a paper, an exercise.")
    spec: Reference | None = Field(None, description=_SPEC)
    recipe: Reference = Field(description=_RECIPE)
    data: Name | None = Field(None, description="The data set; by default the recipe's.")
    seeds: Seeds = Field(1, description="Runs of each, with seeds from 0 on.")
    set: Settings = Field((), description=_SET)
    set_recipe: Settings = Field((), description=_SET_RECIPE)
    axes: tuple[Axis, ...] = Field(
        (), strict=False, max_length=4, description="The grid: every value with every other axis's."
    )
    runs: tuple[Run, ...] = Field(
        (), strict=False, max_length=MOST_RUNS, description="Runs, listed; they come behind the grid's."
    )
    budgets: dict[Name, Budget] = Field({}, max_length=16, description="Cheaper ways to run it.")
    plots: tuple[Plot, ...] = Field((), strict=False, max_length=16, description="Figures of the report.")
    tables: tuple[Table, ...] = Field((), strict=False, max_length=16, description="Tables of the report.")
    claims: tuple[Claim, ...] = Field(
        (), strict=False, max_length=64, description="What is to be seen, and is held against the results."
    )
