"""The studies that ship: complete, true to the paper, and with a budget for a small machine."""

from __future__ import annotations

import jsonschema
import pytest

from archspec.api import load
from archspec.recipes.load import load_recipe
from archspec.runs.deviations import paper
from archspec.spec.library import spec_folder
from archspec.studies.grid import FULL, Said
from archspec.studies.load import load_study, study_folder, study_names
from archspec.studies.planning import planned, recipe_file, spec_file
from archspec.studies.schema import SCHEMA_FILE, json_schema, schema_text

SHIPPED = study_names()


@pytest.mark.parametrize("name", SHIPPED)
class TestShipped:
    """Every study that ships."""

    def test_it_says_what_is_asked_and_where_it_comes_from(self, name: str) -> None:
        study = load_study(name).study
        assert study.name == name
        assert study.about.endswith(".")
        assert study.question.endswith("?")
        assert study.source
        assert study.plots
        assert study.tables
        assert study.claims

    def test_every_budget_can_be_planned_and_says_what_it_takes(self, name: str) -> None:
        loaded = load_study(name)
        assert "small" in loaded.study.budgets
        for budget in (FULL, *loaded.study.budgets):
            plan = planned(loaded, budget)
            assert len({run.slug for run in plan.runs}) == len(plan.runs)
        for budget in loaded.study.budgets.values():
            assert budget.takes is not None
            assert budget.data in ("digits", "fashion-mnist")

    def test_its_small_nets_tell_ten_classes_apart(self, name: str) -> None:
        loaded = load_study(name)
        for run in planned(loaded, "small").runs:
            settings = [*run.settings, "input.channels=1", "input.size=[8, 8]"]
            architecture = load(spec_file(study_folder(), Said(run.spec, ())), settings=settings)
            assert architecture.measure.output[0] == 10

    def test_it_fits_the_schema(self, name: str) -> None:
        document = load_study(name).sources.documents[-1].data
        jsonschema.validate(document, json_schema(), cls=jsonschema.Draft7Validator)


def test_the_committed_schema_is_current() -> None:
    assert (spec_folder() / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text()


def test_the_papers_figures_are_those_that_cards_know() -> None:
    known: dict[str, set[float]] = {}
    for net in paper().networks.nets:
        for printed in net.results:
            figures = {printed.error, printed.top5, printed.mean} - {None}
            known.setdefault(load(net.spec).hash, set()).update(each for each in figures if each is not None)
    seen = 0
    for name in SHIPPED:
        plan = planned(load_study(name))
        for beside in (each for table in plan.tables for each in table.beside):
            if not beside.name.startswith("the paper") or beside.where == "4.2":
                continue
            for label, value in beside.values.items():
                run = plan.run(label)
                assert run is not None
                spec = load(spec_file(study_folder(), Said(run.spec, ())), settings=run.settings)
                assert value in known[spec.hash], (name, label, value)
                seen += 1
    assert seen > 30


def test_warmup_110_is_the_papers_own_recipe() -> None:
    run = planned(load_study("warmup-110")).run("with warm-up")
    assert run is not None
    assert run.digest == load_recipe("cifar10-paper-warmup").digest


def test_the_depths_are_those_of_the_labels() -> None:
    for name in ("degradation-cifar", "degradation-imagenet", "depth-imagenet", "resnet1202"):
        for run in planned(load_study(name)).runs:
            depth = int("".join(each for each in run.label.split("-")[-1].split()[0] if each.isdigit()))
            architecture = load(spec_file(study_folder(), Said(run.spec, ())), settings=run.settings)
            assert architecture.measure.total.layers == depth


def test_recipes_are_those_of_the_paper() -> None:
    plan = planned(load_study("degradation-cifar"))
    for run in plan.runs:
        loaded = load_recipe(recipe_file(study_folder(), Said(run.recipe, ())), run.recipe_settings)
        assert loaded.recipe.schedule.total == 64_000
        assert (loaded.recipe.schedule.warmup is not None) == (run.label == "ResNet-110")
