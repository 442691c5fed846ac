"""The learning rate by iteration: the paper's values, warm-ups that wait, plateaus, units, and what always holds."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from archspec.recipes.load import load_recipe
from archspec.recipes.models import Recipe
from archspec.recipes.schedule import (
    NEW,
    ScheduleState,
    epoch_steps,
    lr,
    plateaued,
    released,
    total_steps,
    warming,
)

PAPER_EPOCH = 352  # steps of 128 in 45,000 images


def recipe(schedule: dict[str, Any], rate: float = 0.1) -> Recipe:
    """A recipe with a schedule, unchecked across fields."""
    return Recipe.model_validate(
        {"format": 1, "name": "it", "optimiser": {"lr": rate}, "schedule": {"total": 1000, **schedule}}
    )


@pytest.mark.parametrize("name", ["cifar10-paper", "cifar10-paper-full50k"])
@pytest.mark.parametrize(
    ("iteration", "rate"),
    [(0, 0.1), (400, 0.1), (31_999, 0.1), (32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)],
)
def test_the_paper_divides_at_32k_and_48k_to_the_bit(name: str, iteration: int, rate: float) -> None:
    loaded = load_recipe(name).recipe
    assert lr(loaded, iteration, steps_per_epoch=PAPER_EPOCH) == rate
    assert total_steps(loaded, steps_per_epoch=PAPER_EPOCH) == 64_000


@pytest.mark.parametrize(
    ("name", "iteration", "rate"),
    [
        *(("coco-detection", step, 0.001) for step in (0, 239_999)),
        *(("coco-detection", step, 0.0001) for step in (240_000, 319_999)),
        *(("voc0712-detection", step, 0.001) for step in (0, 79_999)),
        *(("voc0712-detection", step, 0.0001) for step in (80_000, 109_999)),
    ],
)
def test_detection_divides_once_at_its_place(name: str, iteration: int, rate: float) -> None:
    loaded = load_recipe(name).recipe
    assert lr(loaded, iteration, steps_per_epoch=10_000) == rate
    assert total_steps(loaded, steps_per_epoch=10_000) == {"c": 320_000, "v": 110_000}[name[0]]


def test_a_folders_epochs_are_about_the_iterations_of_07_and_12() -> None:
    recipe = load_recipe("folder-detection").recipe
    steps = epoch_steps(recipe, 16_551)
    assert abs(total_steps(recipe, steps_per_epoch=steps) - 110_000) < steps
    assert abs(10 * steps - 80_000) < steps
    assert lr(recipe, 10 * steps - 1, steps_per_epoch=steps) == 0.001
    assert lr(recipe, 10 * steps, steps_per_epoch=steps) == 0.0001


def test_an_epoch_of_the_papers_split_has_352_steps_and_of_all_images_391() -> None:
    assert epoch_steps(load_recipe("cifar10-paper").recipe, 45_000) == 352
    assert epoch_steps(load_recipe("cifar10-paper-full50k").recipe, 50_000) == 391


class TestWarmup:
    """0.01 until the training error is below 80 %, then as without it."""

    recipe = load_recipe("cifar10-paper-warmup").recipe

    def rate(self, iteration: int, state: ScheduleState) -> float:
        return lr(self.recipe, iteration, steps_per_epoch=PAPER_EPOCH, state=state)

    def test_it_waits_as_long_as_the_error_is_not_below(self) -> None:
        state = NEW
        for iteration, error in ((100, 0.9), (200, 0.85), (300, 0.8)):
            state = released(self.recipe, state, iteration, error)
        assert state == NEW
        assert [self.rate(at, state) for at in (0, 300, 399, 31_999)] == [0.01] * 4

    @pytest.mark.parametrize(
        ("iteration", "rate"),
        [
            *((0, 0.01), (399, 0.01), (400, 0.1), (31_999, 0.1)),
            *((32_000, 0.01), (47_999, 0.01), (48_000, 0.001), (63_999, 0.001)),
        ],
    )
    def test_behind_it_the_schedule_is_where_it_would_be_without(self, iteration: int, rate: float) -> None:
        state = released(self.recipe, NEW, 400, 0.799)
        assert state.released_at == 400
        assert self.rate(iteration, state) == rate

    def test_a_worse_error_does_not_bring_it_back(self) -> None:
        state = released(self.recipe, NEW, 400, 0.5)
        assert released(self.recipe, state, 500, 0.95) == state
        assert released(self.recipe, state, 500, 0.1) == state

    def test_an_error_that_is_no_number_releases_nothing(self) -> None:
        assert released(self.recipe, NEW, 400, math.nan) == NEW

    @pytest.mark.parametrize(("unit", "end"), [("iteration", 5), ("epoch", 50)])
    def test_a_length_is_counted_in_the_schedules_unit(self, unit: str, end: int) -> None:
        timed = recipe({"unit": unit, "warmup": {"lr": 0.01, "until": 5}})
        assert lr(timed, end - 1, steps_per_epoch=10) == 0.01
        assert lr(timed, end, steps_per_epoch=10) == 0.1
        assert released(timed, NEW, 3, 0.0) == NEW

    def test_a_linear_one_rises_evenly(self) -> None:
        rising = recipe({"warmup": {"lr": 0.02, "until": 4, "shape": "linear"}})
        rates = [lr(rising, at, steps_per_epoch=10) for at in range(6)]
        assert rates == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1, 0.1])


class TestPlateau:
    """Divided when the watched error has not fallen for the patience."""

    recipe = recipe({"kind": "plateau", "unit": "epoch", "patience": 3, "threshold": 0.01, "most_drops": 2})

    def states(self, errors: list[float]) -> list[ScheduleState]:
        found = [NEW]
        for epoch, error in enumerate(errors, 1):
            found.append(plateaued(self.recipe, found[-1], epoch * 10, error, steps_per_epoch=10))
        return found[1:]

    def rate(self, iteration: int, state: ScheduleState) -> float:
        return lr(self.recipe, iteration, steps_per_epoch=10, state=state)

    def test_it_drops_after_the_patience_and_from_that_iteration_on(self) -> None:
        *_, before, after = self.states([0.5, 0.4, 0.4, 0.4, 0.4])
        assert before.drops == ()
        assert after == ScheduleState(drops=(50,), best=0.4, best_at=50)
        assert [self.rate(at, after) for at in (0, 49, 50, 999)] == [0.1, 0.1, 0.01, 0.01]

    def test_a_fall_smaller_than_the_threshold_is_none(self) -> None:
        assert self.states([0.5, 0.495, 0.494, 0.493])[-1].drops == (40,)
        assert self.states([0.5, 0.48, 0.46, 0.44])[-1].drops == ()

    def test_small_falls_add_up(self) -> None:
        assert self.states([0.5, 0.496, 0.492, 0.488, 0.484])[-1].drops == ()

    def test_it_drops_so_often_and_no_more(self) -> None:
        assert self.states([0.5] * 30)[-1].drops == (40, 70)

    def test_an_equal_error_is_no_fall_even_without_a_threshold(self) -> None:
        flat = recipe({"kind": "plateau", "patience": 1, "threshold": 0.0})
        state = plateaued(flat, NEW, 10, 0.5, steps_per_epoch=10)
        assert plateaued(flat, state, 20, 0.5, steps_per_epoch=10).drops == (20,)

    def test_a_warm_up_has_no_plateau(self) -> None:
        waiting = recipe({"kind": "plateau", "patience": 1, "warmup": {"lr": 0.01, "until": "train-error"}})
        assert plateaued(waiting, NEW, 10, 0.9, steps_per_epoch=10) == NEW

    def test_another_kind_knows_no_plateau(self) -> None:
        assert plateaued(recipe({}), NEW, 10, 0.9, steps_per_epoch=10) == NEW

    def test_the_papers_imagenet_waits_five_epochs(self) -> None:
        paper = load_recipe("imagenet-paper").recipe
        state = NEW
        for epoch in range(1, 8):
            state = plateaued(paper, state, epoch * 5005, 0.5, steps_per_epoch=5005)
        assert state.drops == (6 * 5005,)
        assert lr(paper, 6 * 5005, steps_per_epoch=5005, state=state) == 0.01

    @given(st.lists(st.integers(0, 20), min_size=1, max_size=40))
    def test_it_is_torchs_own_rule(self, errors: list[int]) -> None:
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        # whole numbers, so that no rounding decides: torch wants a fall of more than 1/2, the recipe one of 1.
        # torch divides when the epochs without a fall are more than its patience
        theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=0.5, patience=2, threshold=0.5, threshold_mode="abs", min_lr=0.25
        )
        rule = {"patience": 3, "threshold": 1.0, "most_drops": 2}
        ours = recipe({"kind": "plateau", "unit": "epoch", "divide_by": 2.0, **rule}, rate=1.0)
        state = NEW
        for epoch, error in enumerate(errors, 1):
            theirs.step(error)
            state = plateaued(ours, state, epoch, error, steps_per_epoch=1)
            assert lr(ours, epoch, steps_per_epoch=1, state=state) == optimiser.param_groups[0]["lr"]


class TestUnits:
    """Milestones, periods and the end, in epochs of so many steps."""

    @pytest.mark.parametrize("steps", [1, 7, 352, 391, 5005])
    def test_milestones_of_epochs_fall_on_their_first_step(self, steps: int) -> None:
        by_epoch = recipe({"kind": "steps", "unit": "epoch", "milestones": [2, 5], "total": 6})
        for epoch, before, after in ((2, 0.1, 0.01), (5, 0.01, 0.001)):
            assert lr(by_epoch, epoch * steps - 1, steps_per_epoch=steps) == before
            assert lr(by_epoch, epoch * steps, steps_per_epoch=steps) == after
        assert total_steps(by_epoch, steps_per_epoch=steps) == 6 * steps

    def test_facebook_counts_epochs_from_1(self) -> None:
        """`decay = epoch >= 122 and 2 or epoch >= 81 and 1 or 0`, for epoch = 1, nEpochs."""
        facebook = load_recipe("facebook-cifar").recipe
        for epoch in range(1, 165):
            decay = 2 if epoch >= 122 else 1 if epoch >= 81 else 0
            first, last = (epoch - 1) * 391, epoch * 391 - 1
            rates = {lr(facebook, at, steps_per_epoch=391) for at in (first, last)}
            assert rates == {0.1 / 10**decay}
        assert total_steps(facebook, steps_per_epoch=391) == 164 * 391

    @pytest.mark.parametrize("name", ["facebook-imagenet", "torchvision-imagenet"])
    def test_imagenet_is_divided_every_30_epochs(self, name: str) -> None:
        loaded = load_recipe(name).recipe
        rates = [lr(loaded, epoch * 5005, steps_per_epoch=5005) for epoch in (0, 29, 30, 59, 60, 89)]
        assert rates == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
        assert total_steps(loaded, steps_per_epoch=5005) == 90 * 5005

    def test_the_classroom_divides_by_3_every_20_epochs(self) -> None:
        loaded = load_recipe("classroom").recipe
        steps = epoch_steps(loaded, 50_000)
        assert steps == 500
        rates = [lr(loaded, epoch * steps, steps_per_epoch=steps) for epoch in (0, 19, 20, 40, 60, 79)]
        assert rates == pytest.approx([1e-3, 1e-3, 1e-3 / 3, 1e-3 / 9, 1e-3 / 27, 1e-3 / 27], rel=1e-12)

    def test_a_cosine_falls_from_the_rate_to_nothing(self) -> None:
        falling = recipe({"kind": "cosine", "total": 100})
        rates = [lr(falling, at, steps_per_epoch=10) for at in (0, 50, 100, 200)]
        assert rates == pytest.approx([0.1, 0.05, 0.0, 0.0])


def test_akamasters_warm_up_never_ends_with_torchs_scheduler() -> None:
    """What `says` of akamaster-cifar claims, and that `--set optimiser.lr=0.01` is what the script then does."""
    group = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(group, milestones=[100, 150])
    for each in group.param_groups:
        each["lr"] = 0.01
    said = load_recipe("akamaster-cifar", ["optimiser.lr=0.01"]).recipe
    for epoch in range(200):
        assert lr(said, epoch * 391, steps_per_epoch=391) == pytest.approx(group.param_groups[0]["lr"])
        group.step()
        scheduler.step()


rates = st.floats(1e-6, 10)
schedules = st.one_of(
    st.just({"kind": "constant"}),
    st.just({"kind": "cosine"}),
    st.lists(st.integers(1, 999), min_size=1, max_size=6, unique=True).map(
        lambda them: {"kind": "steps", "milestones": sorted(them)}
    ),
    st.integers(1, 1000).map(lambda period: {"kind": "every", "period": period}),
    st.integers(1, 300).map(lambda patience: {"kind": "plateau", "patience": patience}),
)
warmups = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "until": st.integers(1, 999) | st.just("train-error"),
            "lr": rates,
            "shape": st.sampled_from(["constant", "linear"]),
        }
    ),
)
states = st.builds(
    ScheduleState,
    released_at=st.none() | st.integers(0, 1000),
    drops=st.lists(st.integers(0, 1000), max_size=5, unique=True).map(lambda them: tuple(sorted(them))),
    best=st.none() | st.floats(0, 1),
    best_at=st.integers(0, 10**9),
)


@given(
    schedules,
    warmups,
    st.sampled_from(["iteration", "epoch"]),
    st.floats(1.01, 1e6),
    rates,
    states,
    st.integers(1, 50),
    st.data(),
)
def test_behind_the_warm_up_the_rate_never_rises(
    schedule: dict[str, Any],
    warmup: dict[str, Any] | None,
    unit: str,
    by: float,
    rate: float,
    state: ScheduleState,
    steps: int,
    data: st.DataObject,
) -> None:
    table = {**schedule, "unit": unit, "divide_by": by} | ({"warmup": warmup} if warmup else {})
    made = recipe(table, rate)
    total = total_steps(made, steps_per_epoch=steps)
    earlier = data.draw(st.integers(0, total - 1))
    later = data.draw(st.integers(earlier, total - 1))
    known = {"steps_per_epoch": steps, "state": state}
    assert 0 <= lr(made, later, **known) < math.inf
    if not warming(made, earlier, **known):
        assert not warming(made, later, **known)
        assert lr(made, later, **known) <= lr(made, earlier, **known) <= rate


@given(states)
def test_a_state_survives_json(state: ScheduleState) -> None:
    assert ScheduleState.from_json(json.loads(json.dumps(state.as_json()))) == state
