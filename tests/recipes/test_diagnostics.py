"""A recipe's mistakes are named where they stand, and so is what makes no sense."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import jsonschema
import pytest
from pydantic import BaseModel, Field, ValidationError

from archspec.errors import SpecError, where
from archspec.recipes.load import load_recipe
from archspec.recipes.schema import json_schema
from archspec.spec.validate import problems
from tests.recipes.making import GOOD

if TYPE_CHECKING:
    from pathlib import Path


def diagnostics(folder: Path, text: str, *settings: str) -> list[str]:
    """`line:column: CODE message [hint]` of every mistake in a recipe."""
    path = folder / "it.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_recipe(path, settings)
    return [
        f"{where(each.span).removeprefix(f'{path}:')}: {each.code} {each.message}"
        + (f" [{each.hint}]" if each.hint else "")
        for each in caught.value.diagnostics
    ]


MISTAKES = {
    "an unknown key of a table": (
        GOOD + "\n[optimiser]\nmomentun = 0.9\n",
        ['10:1: AS101 unknown key "momentun" in optimiser [did you mean "momentum"?]'],
    ),
    "an unknown table": (
        GOOD + "\n[optimizer]\nlr = 0.1\n",
        ['9:2: AS101 unknown key "optimizer" [did you mean "optimiser"?]'],
    ),
    "a misspelt word of files": (
        'extend = "base.toml"\n' + GOOD,
        ['1:1: AS101 unknown key "extend" [did you mean "extends"?]'],
    ),
    "that word within a table": (
        GOOD + "\n[data]\nextend = 1\n",
        ['10:1: AS101 unknown key "extend" in data [known here: batch, last, name, split, which]'],
    ),
    "a word of networks": (
        GOOD + "\n[stage.conv2_x]\nwidth = 3\n",
        ['9:2: AS101 unknown key "stage" [known here:'],
    ),
    "a missing table": ('format = 1\nname = "it"\n', ['1:1: AS102 "schedule" is missing']),
    "a missing key": (
        GOOD.replace("total = 90\n", ""),
        ['4:2: AS102 "total" is missing in schedule'],
    ),
    "a wrong type": (
        GOOD + '\n[optimiser]\nlr = "fast"\n',
        ['10:6: AS103 "lr" must be a number, not "fast"'],
    ),
    "a truth value for a number": (
        GOOD + "\n[data]\nbatch = true\n",
        ['10:9: AS103 "batch" must be a whole number, not true'],
    ),
    "a value out of range": (
        GOOD + "\n[optimiser]\nmomentum = 1.5\n",
        ["10:12: AS104 1.5 is out of range: less than 1.0"],
    ),
    "a rate that is not finite": (GOOD + "\n[optimiser]\nlr = nan\n", ["10:6: AS104 nan is out of range"]),
    "an unknown word": (
        GOOD.replace('"steps"', '"step"'),
        ['5:8: AS105 "step" is not a known "kind" [did you mean "steps"?]'],
    ),
    "another format": (GOOD.replace("format = 1", "format = 2"), ["1:10: AS105 unknown format 2"]),
    "a range with one end": (
        GOOD + "\n[augment]\nresize = [256]\n",
        ['10:1: AS104 "resize" has too few entries: 2 at least'],
    ),
    "a range with three": (GOOD + "\n[augment]\nresize = [1, 2, 3]\n", ["10:1: AS104 too long: at most 2"]),
    "a side that is none": (
        GOOD + '\n[augment]\nresize = "256"\n',
        ['10:10: AS103 a side is a whole number or [lowest, highest], not "256"'],
    ),
    "a side of nothing": (GOOD + "\n[augment]\nresize = 0\n", ["10:10: AS104 0 is out of range"]),
    "a warm-up that waits for something else": (
        GOOD + '\n[schedule.warmup]\nlr = 0.01\nuntil = "train-eror"\n',
        ['11:9: AS105 "train-eror" is nothing that a warm-up waits for [did you mean "train-error"?]'],
    ),
    "a warm-up of no length": (
        GOOD + "\n[schedule.warmup]\nlr = 0.01\nuntil = 0\n",
        ["11:9: AS104 0 is out"],
    ),
    "a sentence without an end": (GOOD + f'\n[says]\nsplit = "{"x" * 601}"\n', ["10:1: AS104 too long"]),
    "not TOML": ("format = \n", ["1:10: AS005"]),
    "several mistakes": (
        GOOD.replace("milestones", "milestone") + "\n[test]\ncrop = -1\n",
        [
            '6:1: AS101 unknown key "milestone" in schedule [did you mean "milestones"?]',
            "10:8: AS104 -1 is out",
        ],
    ),
}

SENSELESS = {
    "milestones out of order": (
        GOOD.replace("[30, 60]", "[60, 30]"),
        "6:14: AS541 milestones come in order, each once",
    ),
    "a milestone behind the end": (
        GOOD.replace("[30, 60]", "[30, 90]"),
        "6:14: AS541 a milestone of 90 lies behind the end",
    ),
    "steps without milestones": (
        GOOD.replace("milestones = [30, 60]\n", ""),
        '5:8: AS541 a schedule of steps has "milestones"',
    ),
    "every without a period": (
        GOOD.replace('"steps"\nmilestones = [30, 60]', '"every"'),
        '5:8: AS541 a schedule with kind "every" has a "period"',
    ),
    "milestones of a cosine": (
        GOOD.replace('"steps"', '"cosine"'),
        '6:1: AS541 "milestones" changes nothing here: it goes with kind = "steps"',
    ),
    "a plateau of nothing": (
        GOOD.replace('"steps"\nmilestones = [30, 60]', '"plateau"'),
        "5:8: AS541 there is no validation error to watch: no images are held out [hold images out",
    ),
    "which of none": (
        GOOD + '\n[data]\nwhich = "random"\n',
        '10:1: AS541 "which" changes nothing here: it goes with a split',
    ),
    "momentum of adam": (
        GOOD + '\n[optimiser]\nkind = "adam"\nmomentum = 0.9\n',
        '11:1: AS541 "momentum" changes nothing here: it goes with kind = "sgd"',
    ),
    "betas of the default": (
        GOOD + "\n[optimiser]\nbetas = [0.9, 0.99]\n",
        '10:1: AS541 "betas" changes nothing here: it goes with adam or adamw',
    ),
    "nesterov without momentum": (
        GOOD + "\n[optimiser]\nmomentum = 0.0\nnesterov = true\n",
        "11:12: AS541 Nesterov's momentum needs a momentum",
    ),
    "what decays of nothing": (
        GOOD + '\n[optimiser]\ndecay = "conv"\n',
        '10:1: AS541 "decay" changes nothing here: it goes with a weight_decay',
    ),
    "a warm-up to a lower rate": (
        GOOD + "\n[schedule.warmup]\nlr = 1.0\nuntil = 5\n",
        "10:6: AS541 a warm-up has a lower rate than what follows",
    ),
    "a warm-up without an end": (
        GOOD + "\n[schedule.warmup]\nlr = 0.01\nuntil = 90\n",
        "11:9: AS541 the warm-up never ends",
    ),
    "a slope without a length": (
        GOOD + '\n[schedule.warmup]\nlr = 0.01\nuntil = "train-error"\nshape = "linear"\n',
        "11:9: AS541 a linear warm-up needs a length",
    ),
    "an error for a timed warm-up": (
        GOOD + "\n[schedule.warmup]\nlr = 0.01\nuntil = 5\nbelow = 0.5\n",
        '12:1: AS541 "below" changes nothing here: it goes with until = "train-error"',
    ),
    "a range upside down": (
        GOOD + "\n[augment]\nresize = [480, 256]\ncrop = 224\n",
        '10:10: AS541 "resize" is [lowest, highest]',
    ),
    "an area and a side": (
        GOOD + "\n[augment]\nresize = 256\narea = [0.1, 1.0]\ncrop = 224\n",
        "11:8: AS541 a shorter side is drawn, or an area: not both",
    ),
    "an area of nothing": (
        GOOD + "\n[augment]\narea = [0.0, 0.0]\ncrop = 224\n",
        "10:8: AS541 an area of 0 holds no image",
    ),
    "padding without a crop": (
        GOOD + "\n[augment]\npad = 4\n",
        '10:7: AS541 "pad" needs a crop behind it [set augment.crop]',
    ),
    "sides without a crop": (
        GOOD + "\n[augment]\nresize = [256, 480]\n",
        '10:10: AS541 "resize" needs a crop behind it [set augment.crop]',
    ),
    "a crop that does not fit": (
        GOOD + "\n[augment]\nresize = [200, 480]\ncrop = 224\n",
        "11:8: AS541 a crop of 224 does not fit",
    ),
    "one mean too few": (
        GOOD + '\n[normalise]\nkind = "fixed"\nmean = [0.5]\nstd = [0.5, 0.5]\n',
        "10:8: AS541 fixed normalisation takes a mean and a std for each channel: 1 and 2 are given",
    ),
    "a mean for nobody": (
        GOOD + "\n[normalise]\nmean = [0.5]\n",
        '10:1: AS541 "mean" changes nothing here: it goes with kind = "fixed"',
    ),
    "unequal parts": (
        GOOD + "\n[train]\naccumulate = 3\n",
        "10:14: AS541 a batch of 128 has no 3 equal parts",
    ),
    "ten crops of no size": (
        GOOD + '\n[test]\ncrops = "ten"\n',
        "10:9: AS541 ten crops need the side of a crop",
    ),
    "a crop past the image": (
        GOOD + "\n[test]\ncrop = 224\nsizes = [256, 200]\n",
        "10:8: AS541 a crop of 224 does not fit",
    ),
    "a crop of the whole": (
        GOOD + '\n[test]\ncrops = "full"\ncrop = 224\n',
        '11:1: AS541 "crop" changes nothing here: it goes with single or ten crops',
    ),
}


@pytest.mark.parametrize(("text", "wanted"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_where_it_stands(text: str, wanted: list[str], tmp_path: Path) -> None:
    found = diagnostics(tmp_path, text)
    assert len(found) == len(wanted)
    assert all(each.startswith(start) for each, start in zip(found, wanted, strict=True)), found


@pytest.mark.parametrize(("text", "wanted"), SENSELESS.values(), ids=SENSELESS)
def test_what_makes_no_sense_is_named_where_it_stands(text: str, wanted: str, tmp_path: Path) -> None:
    found = diagnostics(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(wanted), found


def test_a_contradiction_points_at_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "it.toml"
    path.write_text(GOOD.replace("[30, 60]", "[30, 90]"), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_recipe(path)
    (note,) = caught.value.diagnostics[0].related
    assert (note.message, note.span.line) == ("training ends at 90", 7)


@pytest.mark.parametrize("name", sorted({*MISTAKES} - {"not TOML"}))
def test_the_schema_refuses_the_same_shapes(name: str) -> None:
    beyond_a_schema = {"a rate that is not finite"}
    document = tomllib.loads(MISTAKES[name][0])
    refused = not jsonschema.Draft7Validator(json_schema()).is_valid(document)
    if name == "a missing key":
        return  # a file that extends another may leave any key of a table out
    assert refused is (name not in beyond_a_schema)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "too short: at least 2 are needed"),
        ([1, 2, 3, 4], "too long: at most 3 are allowed"),
    ],
)
def test_too_few_and_too_many_are_told_apart(value: list[int], message: str) -> None:
    """No field of today has a least length: this is what one would say."""

    class Table(BaseModel):
        """With a field of two or three."""

        values: tuple[int, ...] = Field(min_length=2, max_length=3)

    table = {"values": value}
    with pytest.raises(ValidationError) as caught:
        Table.model_validate(table)
    (problem,) = problems(caught.value, Table, table)
    assert (problem.code, problem.message, problem.loc) == ("AS104", message, ("values",))
