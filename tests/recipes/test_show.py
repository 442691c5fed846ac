"""The table of a schedule: where the rate changes, and what only training will tell."""

from __future__ import annotations

import json

import pytest
from archspec_cli.commands.recipes import show_schedule
from hypothesis import given
from hypothesis import strategies as st

from archspec.recipes.load import load_recipe, recipe_names
from archspec.recipes.models import Recipe
from archspec.recipes.schedule import ScheduleState, epoch_steps, lr, total_steps
from archspec.recipes.table import MOST_ROWS, table

IMAGES = {
    "cifar10": 50_000,
    "cifar100": 50_000,
    "imagenet": 1_281_167,
    "digits": 1_437,
    "fashion-mnist": 60_000,
    "shapes": 1000,
    "07+12": 16_551,
    "07++12": 21_503,
    "coco": 82_783,
    "folder": 500,
}


def rows(name: str, steps: int, state: ScheduleState | None = None) -> list[tuple[int | None, float]]:
    """A shipped schedule's table, without its words."""
    found = table(load_recipe(name).recipe, steps_per_epoch=steps, state=state or ScheduleState())
    return [(row.iteration, row.lr) for row in found]


def test_the_papers_schedule() -> None:
    assert rows("cifar10-paper", 352) == [(0, 0.1), (32_000, 0.01), (48_000, 0.001), (63_999, 0.001)]


def test_a_warm_up_that_waits_has_no_iteration_until_it_is_over() -> None:
    behind = [(32_000, 0.01), (48_000, 0.001), (63_999, 0.001)]
    assert rows("cifar10-paper-warmup", 352) == [(0, 0.01), (None, 0.1), *behind]
    assert rows("cifar10-paper-warmup", 352, ScheduleState(released_at=400)) == [
        (0, 0.01),
        (400, 0.1),
        *behind,
    ]


def test_a_plateau_tells_what_has_happened_and_what_may() -> None:
    assert rows("imagenet-paper", 5005) == [(0, 0.1), (None, 0.01), (599_999, 0.1)]
    dropped = ScheduleState(drops=(150_150,), best=0.3, best_at=150_150)
    assert rows("imagenet-paper", 5005, dropped) == [
        (0, 0.1),
        (150_150, 0.01),
        (None, 0.001),
        (599_999, 0.01),
    ]
    done = ScheduleState(drops=(1, 2, 3))
    assert rows("imagenet-paper", 5005, done)[-2:] == [(3, 0.1 / 10**3), (599_999, 0.1 / 10**3)]


def test_a_warm_up_of_some_epochs_ends_between_its_neighbours() -> None:
    settings = ["schedule.warmup.lr=0.01", "schedule.warmup.until=5"]
    loaded = load_recipe("torchvision-imagenet", settings).recipe
    found = [(row.iteration, row.epoch, row.lr) for row in table(loaded, steps_per_epoch=10)]
    assert found[:3] == [(0, 0.0, 0.01), (50, 5.0, 0.1), (300, 30.0, 0.01)]


@pytest.mark.parametrize("name", recipe_names())
def test_every_row_is_the_rate_of_its_step(name: str) -> None:
    recipe = load_recipe(name).recipe
    found = table(recipe, steps_per_epoch=97)
    state = ScheduleState(released_at=0)
    timed = [row for row in found[1:] if row.iteration is not None]
    assert [row.lr for row in timed] == [
        lr(recipe, row.iteration, steps_per_epoch=97, state=state)
        for row in timed
        if row.iteration is not None
    ]
    assert [row.iteration for row in timed] == sorted(row.iteration or 0 for row in timed)
    assert timed[-1].iteration == total_steps(recipe, steps_per_epoch=97) - 1


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.floats(1.01, 1e6), st.integers(1, 10**6))
def test_no_schedule_is_too_long_to_show(total: int, period: int, by: float, steps: int) -> None:
    schedule = {"kind": "every", "unit": "epoch", "total": total, "period": period, "divide_by": by}
    recipe = Recipe.model_validate({"format": 1, "name": "it", "schedule": schedule})
    assert 2 <= len(table(recipe, steps_per_epoch=steps)) <= MOST_ROWS + 2


@pytest.mark.parametrize("name", recipe_names())
def test_it_is_printed_with_all_that_the_source_leaves_open(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(name).recipe
    show_schedule(recipe, images=IMAGES[recipe.data.name] - recipe.data.split, as_json=False)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{name}: {recipe.about}\n")
    assert all(f"  {topic}: {sentence}\n" in printed for topic, sentence in recipe.says.items())


def test_the_papers_is_printed_as_people_read_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_schedule(load_recipe("cifar10-paper").recipe, images=45_000, as_json=False)
    printed = capsys.readouterr().out
    assert "   32,000   90.9   0.01  divided by 10\n" in printed
    assert "64,000 steps of 128 images, 352 an epoch of 45,000 images: 181.8 epochs.\n" in printed


def test_it_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    show_schedule(load_recipe("cifar10-paper-warmup").recipe, images=45_000, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["steps_per_epoch"], document["steps"], document["batch"]) == (352, 64_000, 128)
    assert [row["iteration"] for row in document["rows"]] == [0, None, 32_000, 48_000, 63_999]
    assert document["says"]["warm-up"]


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (0, [], "no images are left to train on"),
        (-5, [], "no images are left to train on"),
        (100, ["data.last=drop"], "100 images make no whole batch of 128"),
    ],
)
def test_a_schedule_without_a_step_is_not_shown(
    images: int, settings: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        show_schedule(load_recipe("cifar10-paper", settings).recipe, images=images, as_json=False)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_batches_that_are_dropped_shorten_epochs() -> None:
    of = load_recipe("facebook-cifar", ["data.last=drop"]).recipe
    assert epoch_steps(of, 50_000) == 390
    assert total_steps(of, steps_per_epoch=390) == 164 * 390
