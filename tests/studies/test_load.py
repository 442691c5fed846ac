"""Studies as files: what is read, and what is said of a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archspec.errors import SpecError
from archspec.studies.load import load_study, study_names
from archspec.studies.planning import planned
from tests.studies.making import SMALL, plan_of

if TYPE_CHECKING:
    from pathlib import Path


def wrong(folder: Path, text: str, budget: str = "full") -> list[tuple[str, int, str]]:
    """Code, line and message of each mistake."""
    with pytest.raises(SpecError) as error:
        plan_of(folder, text, budget)
    return [(each.code, each.span.line, each.message) for each in error.value.diagnostics]


def line(text: str, part: str) -> int:
    """The number of the first line with this part."""
    return next(number for number, each in enumerate(text.splitlines(), 1) if part in each)


@pytest.mark.parametrize(
    ("old", "new", "code", "at"),
    [
        ("seeds = 2", "sedes = 2", "AS101", "sedes"),
        ('title = "Both"', 'title = "Bo\\nth"', "AS561", "Bo"),
        ("seeds = 2", "seeds = 0", "AS104", "seeds = 0"),
        ("seeds = 2", "seeds = 101", "AS104", "seeds = 101"),
        ("seeds = 2", "seeds = true", "AS103", "seeds = true"),
        ("format = 1", "format = 2", "AS105", "format"),
        ('relation = "above"', 'relation = "beyond"', "AS105", "beyond"),
        ('label = "plain"', 'label = "../plain"', "AS113", "../plain"),
        ('label = "plain"', 'label = "pl\\u001bain"', "AS113", "ain"),
        ('label = "plain"', 'label = "RESIDUAL"', "AS561", 'label = "residual"'),
        ('label = "plain"', 'label = "residual"', "AS561", 'spec = "cifar/resnet20"'),
        ('spec = "cifar/plain20"', 'spec = "cifar/plain21"', "AS561", "plain21"),
        ('spec = "cifar/plain20"', 'spec = "../../etc/passwd"', "AS561", "passwd"),
        ('spec = "cifar/plain20"', 'spec = "a/../../b.toml"', "AS561", "b.toml"),
        ('spec = "cifar/plain20"', 'spec = "/etc/hostname"', "AS561", "hostname"),
        ('spec = "cifar/plain20"', 'spec = "mine.toml"', "AS561", "mine.toml"),
        ('spec = "cifar/plain20"\n', "", "AS561", "[[runs]]"),
        ('set = ["n=1"]', 'set = ["norm.kind=grop"]', "AS105", "grop"),
        ('set = ["n=1"]', 'set = ["n"]', "AS014", '["n"]'),
        ('set = ["n=1"]', 'set = ["n=1\\nname=2"]', "AS014", "name=2"),
        ("schedule.total=3", "schedule.totl=3", "AS101", "totl"),
        ("schedule.total=3", "schedule.total=0", "AS104", "total=0"),
        ("values = { plain = 2.0 }", "values = { plane = 2.0 }", "AS561", "plane"),
        ("values = { plain = 2.0 }", "values = { plain = nan }", "AS104", "nan"),
        ('title = "Both"', 'title = "Both"\nruns = ["none"]', "AS561", "none"),
        ('run = "plain"', 'run = "residual"', "AS561", "against"),
        ('only = ["plain"]', 'only = ["plan"]', "AS561", "plan"),
        ("[budgets.one]", "[budgets.full]", "AS561", "budgets.full"),
        ("[budgets.one]", "[stage.one]\nx = 1\n[budgets.one]", "AS101", "stage"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, code: str, at: str) -> None:
    assert old in SMALL
    text = SMALL.replace(old, new, 1)
    found = wrong(tmp_path, text)
    assert code in [each[0] for each in found], found
    place = next(each[1] for each in found if each[0] == code)
    assert abs(place - line(text, at)) <= (3 if at == 'spec = "cifar/resnet20"' else 0), found


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = SMALL.replace('set = ["n=1"]', 'set = ["norm.kind=grop"]')
    assert len(wrong(tmp_path, text)) == 2


def test_a_grid_of_thousands_is_refused_before_it_is_made(tmp_path: Path) -> None:
    axis = "values = [" + ", ".join(f'{{label = "{number}"}}' for number in range(64)) + "]"
    axes = "".join(f'[[axes]]\nname = "a{place}"\n{axis}\n' for place in range(4))
    text = f'format = 1\nname = "many"\nrecipe = "digits"\nspec = "resnet18"\n{axes}'
    ((code, _, message),) = wrong(tmp_path, text)
    assert (code, "16,777,216" in message) == ("AS561", True)


def test_a_budget_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    ((code, _, message),) = wrong(tmp_path, SMALL, "two")
    assert (code, message) == ("AS561", 'the study has no budget "two"')


def test_specs_and_recipes_may_lie_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('format = 1\nname = "mine"\n[head]\nlayers = [{ linear = 10 }]\n')
    plan = plan_of(tmp_path, SMALL.replace('spec = "cifar/plain20"\nset = ["n=1"]', 'spec = "mine.toml"', 1))
    assert plan.runs[0].spec == "mine.toml"


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.toml").write_text('secret = "word"\n')
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.toml").symlink_to(tmp_path / "elsewhere.toml")
    found = wrong(tmp_path / "study", SMALL.replace("cifar/plain20", "mine.toml"))
    assert [each[0] for each in found] == ["AS561"]
    assert "outside" in found[0][2]


def test_a_name_that_is_close_is_suggested() -> None:
    with pytest.raises(SpecError) as error:
        load_study("degradation-cifr")
    assert "degradation-cifar" in error.value.diagnostics[0].hint


def test_a_study_may_extend_another(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "more.toml").write_text('extends = "small.toml"\nname = "more"\nseeds = 5\n')
    plan = planned(load_study(tmp_path / "more.toml"))
    assert (plan.study, plan.seeds, len(plan.runs)) == ("more", 5, 2)


def test_these_studies_ship() -> None:
    assert study_names() == [
        *("degradation-cifar", "degradation-imagenet", "depth-imagenet", "first-rate-56", "initialisations"),
        *("normalisations", "resnet1202", "shortcuts", "stems", "warmup-110"),
    ]
