"""The runs that a study makes: properties of grids, lists, budgets and cut schedules."""

from __future__ import annotations

from math import prod

from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.recipes.load import load_recipe, recipe_names
from archspec.studies.checks import contradictions
from archspec.studies.grid import combinations, labels, size, slug
from archspec.studies.length import Length, shortened
from archspec.studies.models import Study

words = st.sampled_from(["a", "A", "b", "1", "1.5", "a.b", "a-b", "a b", "b-1"])
changes = st.lists(words.map(lambda word: f"key={word}"), max_size=2)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    def change() -> dict[str, object]:
        named = {} if draw(st.booleans()) else {"recipe": draw(st.sampled_from(["one", "two"]))}
        return {**named, "set": draw(changes), "set_recipe": draw(changes)}

    axes = [
        {
            "name": f"axis{place}",
            "values": [
                {"label": label, **change()}
                for label in draw(st.lists(words, min_size=1, max_size=3, unique=True))
            ],
        }
        for place in range(draw(st.integers(0, 3)))
    ]
    runs = [{"label": label, **change()} for label in draw(st.lists(words, max_size=3, unique=True))]
    known = [
        "-".join(each) for each in _products([[value["label"] for value in axis["values"]] for axis in axes])
    ]
    known += [run["label"] for run in runs]
    only = draw(st.lists(st.sampled_from(known), unique=True)) if known else []
    budget = {**change(), "only": only}
    return Study.model_validate(
        {
            "format": 1,
            "name": "any",
            "spec": "base",
            "recipe": "base",
            "axes": axes,
            "runs": runs,
            "budgets": {"small": budget},
        }
    )


def _products(lists: list[list[str]]) -> list[list[str]]:
    if not lists:
        return []
    out: list[list[str]] = [[]]
    for each in lists:
        out = [[*before, value] for before in out for value in each]
    return out


@settings(max_examples=40)
@given(studies())
def test_a_grid_holds_every_combination_once_and_the_list_behind_it(study: Study) -> None:
    found = combinations(study)
    grid = prod(len(axis.values) for axis in study.axes) if study.axes else 0
    assert len(found) == size(study) == grid + len(study.runs)
    assert [each.label for each in found] == [label for label, _ in labels(study)]
    assert [each.label for each in found[grid:]] == [run.label for run in study.runs]
    for each in found:
        assert each.spec is not None
        assert each.spec.text == "base"


@settings(max_examples=40)
@given(studies())
def test_later_layers_win_and_all_settings_are_kept_in_order(study: Study) -> None:
    budget = study.budgets["small"]
    before = {each.label: each for each in combinations(study)}
    after = combinations(study, "small")
    if len(before) == size(study):
        assert {each.label for each in after} == (set(budget.only) or set(before))
    for each in after:
        # labels may be twice in a study that no check has seen
        if len(before) == size(study):
            was = before[each.label]
            assert each.settings[: len(was.settings)] == was.settings
            assert [said.text for said in each.settings[len(was.settings) :]] == list(budget.set)
            assert each.recipe.text == (budget.recipe or was.recipe.text)


@settings(max_examples=40)
@given(studies())
def test_a_study_without_contradictions_has_a_folder_for_each_run(study: Study) -> None:
    found = [each.slug for each in combinations(study)]
    if not contradictions(study):
        assert len(set(found)) == len(found) > 0


@settings(max_examples=60)
@given(st.from_regex(r"^[A-Za-z0-9](?:[A-Za-z0-9 .,+()/=_-]{0,62}[A-Za-z0-9)+])?\Z", fullmatch=True))
def test_a_folder_is_named_by_plain_characters(label: str) -> None:
    name = slug(label)
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-")
    assert not name.startswith((".", "-"))
    assert not name.endswith((".json", ".html", ".md", ".svg", "."))
    assert slug(name) == name


@settings(max_examples=60)
@given(st.sampled_from(recipe_names()), st.integers(1, 400), st.sampled_from(["epoch", "iteration"]))
def test_a_cut_schedule_is_a_schedule_of_that_length(name: str, total: int, unit: str) -> None:
    length = Length(total, unit)  # type: ignore[arg-type]
    before = load_recipe(name).recipe.schedule
    cut = load_recipe(name, shortened(before, length)).recipe.schedule
    assert (cut.total, cut.unit) == (total, unit)
    if cut.kind == "steps":
        assert list(cut.milestones) == sorted(set(cut.milestones))
        assert cut.milestones[-1] < total


def test_milestones_stay_where_they_are_as_shares() -> None:
    schedule = load_recipe("cifar10-paper").recipe.schedule
    assert shortened(schedule, Length(16, "epoch"))[-1] == "schedule.milestones=[8, 12]"
    assert shortened(schedule, Length(2, "epoch"))[-1] == "schedule.milestones=[1]"
    assert shortened(schedule, Length(1, "epoch"))[-1] == "schedule.kind=constant"
