"""Recipes are read as specs are: by name or path, with `extends` and `--set`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archspec.errors import SpecError
from archspec.recipes.load import find_recipe, load_recipe, recipe_names
from tests.recipes.making import GOOD

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.recipes.models import Recipe


class TestExtends:
    """A recipe laid over another."""

    def load(self, folder: Path, text: str, *settings: str) -> Recipe:
        (folder / "base.toml").write_text(GOOD + '[says]\nsplit = "none"\nbatch = "ours"\n', encoding="utf-8")
        (folder / "over.toml").write_text(text, encoding="utf-8")
        return load_recipe(folder / "over.toml", settings).recipe

    def test_tables_merge_and_arrays_are_replaced(self, tmp_path: Path) -> None:
        over = 'extends = "base.toml"\nname = "over"\n[schedule]\nmilestones = [10]\n[says]\nbatch = "256"\n'
        recipe = self.load(tmp_path, over)
        assert (recipe.name, recipe.schedule.milestones, recipe.schedule.total) == ("over", (10,), 90)
        assert recipe.says == {"split": "none", "batch": "256"}

    def test_what_the_base_says_for_another_kind_is_no_mistake(self, tmp_path: Path) -> None:
        recipe = self.load(tmp_path, 'extends = "base.toml"\n[schedule]\nkind = "cosine"\n')
        assert recipe.schedule.kind == "cosine"
        assert self.load(tmp_path, 'extends = "base.toml"\n', "schedule.kind=cosine") == recipe

    def test_what_it_says_itself_for_another_kind_is_one(self, tmp_path: Path) -> None:
        over = 'extends = "base.toml"\n[schedule]\nkind = "cosine"\nmilestones = [5]\n'
        with pytest.raises(SpecError, match="AS541") as caught:
            self.load(tmp_path, over)
        (found,) = caught.value.diagnostics
        assert (found.span.file, found.span.line) == (str(tmp_path / "over.toml"), 4)

    def test_a_mistake_of_the_base_is_placed_in_the_base(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError) as caught:
            self.load(tmp_path, 'extends = "base.toml"\n[schedule]\ntotal = 60\n')
        (found,) = caught.value.diagnostics
        assert (found.span.file, found.span.line) == (str(tmp_path / "base.toml"), 6)
        assert found.related[0].span.file == str(tmp_path / "over.toml")

    def test_a_base_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="AS010"):
            self.load(tmp_path, 'extends = "bose.toml"\n')


class TestSettings:
    """`--set KEY=VALUE`."""

    def test_a_field_is_set(self) -> None:
        recipe = load_recipe(
            "cifar10-paper", ["data.batch=64", "optimiser.decay=conv", "schedule.milestones=[5]"]
        )
        assert recipe.recipe.data.batch == 64
        assert recipe.recipe.optimiser.decay == "conv"
        assert recipe.recipe.schedule.milestones == (5,)

    @pytest.mark.parametrize(
        ("setting", "code"),
        [
            ("data.bach=64", "AS101"),
            ("data.batch=0", "AS104"),
            ("data.batch", "AS014"),
            ("test.crops=ten", "AS541"),
        ],
    )
    def test_a_wrong_one_is_quoted(self, setting: str, code: str) -> None:
        with pytest.raises(SpecError) as caught:
            load_recipe("cifar10-paper", [setting])
        (found,) = caught.value.diagnostics
        assert (found.code, found.span.file) == (code, f"--set {setting}")

    def test_the_papers_second_way_of_testing_is_two_settings(self) -> None:
        sizes = [224, 256, 384, 480, 640]
        test = load_recipe("imagenet-paper", ["test.crops=full", f"test.sizes={sizes}"]).recipe.test
        assert (test.crops, list(test.sizes)) == ("full", sizes)


class TestNames:
    """Shipped recipes by name, others by path."""

    @pytest.mark.parametrize(
        "name",
        ["digits", "digits.toml", "recipes/digits", "recipes/digits.toml", "specs/recipes/digits.toml"],
    )
    def test_a_shipped_one_has_a_name(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert load_recipe(name).name == "digits"

    def test_a_file_goes_before_a_name_and_a_folder_does_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "digits").mkdir()
        assert load_recipe("digits").name == "digits"
        (tmp_path / "digits.toml").write_text(GOOD, encoding="utf-8")
        assert load_recipe("digits.toml").name == "good"

    def test_a_name_is_no_way_out_of_the_folder(self) -> None:
        assert find_recipe("../resnet50").parts[0] == ".."
        assert find_recipe("cifar/resnet20").parts == ("cifar", "resnet20")

    def test_a_mistyped_name_gets_the_nearest(self) -> None:
        with pytest.raises(SpecError) as caught:
            load_recipe("cifar-paper")
        assert caught.value.diagnostics[0].hint == 'did you mean "cifar10-paper"?'

    def test_a_strange_name_gets_all_of_them(self) -> None:
        with pytest.raises(SpecError) as caught:
            load_recipe("zzz")
        assert all(name in caught.value.diagnostics[0].hint for name in recipe_names())
