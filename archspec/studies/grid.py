"""From a study to its runs: the grid, the list, and what a budget makes of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archspec.errors import Loc
    from archspec.studies.models import Budget, Change, Study, Value

FULL = "full"
"""The budget that changes nothing."""


@dataclass(frozen=True, slots=True)
class Said:
    """A setting, and where in the study it stands."""

    text: str
    loc: Loc


@dataclass(frozen=True, slots=True)
class Combination:
    """A run with all layers of the study laid over each other."""

    label: str
    about: str
    spec: Said | None
    recipe: Said
    settings: tuple[Said, ...]
    recipe_settings: tuple[Said, ...]

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return slug(self.label)


def slug(label: str) -> str:
    """A label as the name of a folder: `ResNet-34 A` is `resnet-34-a`."""
    # a point stays between digits alone, so that no run is called like a file of the study
    words = re.sub(r"(?<![0-9])\.|\.(?![0-9])|[^a-z0-9.]+", "-", label.lower())
    return re.sub(r"-+", "-", words).strip("-")


def size(study: Study) -> int:
    """How many runs there are, not counting seeds; no run is made for that."""
    return len(study.runs) + (prod(len(axis.values) for axis in study.axes) if study.axes else 0)


def labels(study: Study) -> Iterator[tuple[str, Loc]]:
    """The label of every run, and where it comes from."""
    for combined in _grid(study):
        yield "-".join(value.label for _, value in combined), ("axes",)
    for place, run in enumerate(study.runs):
        yield run.label, ("runs", place, "label")


def combinations(study: Study, budget: str = FULL) -> tuple[Combination, ...]:
    """All runs of a study on a budget, the grid's first. The last axis varies fastest."""
    cheap = study.budgets.get(budget)
    base: list[tuple[Change | Study, Loc]] = [(study, ())]
    found = []
    for combined in _grid(study):
        label = "-".join(value.label for _, value in combined)
        layers = [*base, *((value, loc) for loc, value in combined)]
        found.append((label, "", layers))
    for place, run in enumerate(study.runs):
        found.append((run.label, run.about, [*base, (run, ("runs", place))]))
    wanted = set(cheap.only) if cheap is not None else set()
    return tuple(
        _laid(label, about, [*layers, *_of_budget(cheap, budget, label)])
        for label, about, layers in found
        if not wanted or label in wanted
    )


def _grid(study: Study) -> Iterable[tuple[tuple[Loc, Value], ...]]:
    if not study.axes:
        return ()
    along = [
        [(("axes", place, "values", each), value) for each, value in enumerate(axis.values)]
        for place, axis in enumerate(study.axes)
    ]
    return product(*along)


def _of_budget(cheap: Budget | None, name: str, label: str) -> Iterator[tuple[Change, Loc]]:
    if cheap is None:
        return
    yield cheap, ("budgets", name)
    if label in cheap.runs:
        yield cheap.runs[label], ("budgets", name, "runs", label)


def _laid(label: str, about: str, layers: list[tuple[Change | Study, Loc]]) -> Combination:
    spec, recipe = None, None
    settings: list[Said] = []
    recipe_settings: list[Said] = []
    for layer, loc in layers:
        spec = Said(layer.spec, (*loc, "spec")) if layer.spec else spec
        recipe = Said(layer.recipe, (*loc, "recipe")) if layer.recipe else recipe
        settings += [Said(text, (*loc, "set", place)) for place, text in enumerate(layer.set)]
        recipe_settings += [
            Said(text, (*loc, "set_recipe", place)) for place, text in enumerate(layer.set_recipe)
        ]
    assert recipe is not None, "a study has a recipe"
    return Combination(label, about, spec, recipe, tuple(settings), tuple(recipe_settings))
