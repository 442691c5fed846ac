"""The paper's schedules as the loop applies them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from archspec.data.feed import Batch
from archspec.recipes.load import load_recipe
from archspec.recipes.schedule import ScheduleState
from archspec.train.loop import Terms, Trainer
from archspec.train.task import Loss
from tests.train.running import of_module

EDGES = {0: 0.1, 31_999: 0.1, 32_000: 0.01, 47_999: 0.01, 48_000: 0.001, 63_999: 0.001}


def trainer(recipe: str, *changes: str, images: int = 45_000) -> Trainer:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return Trainer(of_module(network, load_recipe(recipe, changes)), Terms(channels_last=False), images)


def applied(made: Trainer, step: int) -> float:
    """The rate of the step that so many came before, as the optimiser takes it."""
    made.progress.step = step
    before = made.network[1].bias.detach().clone()
    made.optimiser.state.clear()
    made.step(Batch(torch.ones(2, 1, 2, 2), torch.tensor([0, 2]), 2))
    assert {group["lr"] for group in made.optimiser.param_groups} == {made.optimiser.param_groups[0]["lr"]}
    gradient = made.network[1].bias.grad
    assert gradient is not None
    torch.testing.assert_close(before - made.network[1].bias, gradient * made.optimiser.param_groups[0]["lr"])
    rate: float = made.optimiser.param_groups[0]["lr"]
    return rate


@pytest.mark.parametrize("recipe", ["cifar10-paper", "cifar10-paper-full50k"])
def test_the_rates_of_the_paper(recipe: str) -> None:
    made = trainer(recipe, images=45_000 if recipe == "cifar10-paper" else 50_000)
    assert made.total == 64_000
    assert {step: applied(made, step) for step in EDGES} == EDGES


def test_the_warm_up_ends_where_the_error_is_low_enough() -> None:
    """With 110 layers: 0.01 until the training error is below 80 %, then as the others."""
    made = trainer("cifar10-paper-warmup")
    assert applied(made, 0) == 0.01
    made.sums["warm-up"].clear()
    for error, released in ((0.8, None), (0.79, 400)):
        made.sums["warm-up"].add(Loss(torch.tensor(2.0), torch.tensor([error * 12_800])), 12_800)
        made.progress.step = 300 if released is None else 400
        made._end_warmup()
        assert made.progress.schedule == ScheduleState(released_at=released)
    assert applied(made, 399) == 0.01
    for step, rate in EDGES.items():
        assert applied(made, step) == (rate if step else 0.01)
    assert applied(made, 400) == 0.1


def test_between_looks_the_warm_up_goes_on() -> None:
    made = trainer("cifar10-paper-warmup")
    made.sums["warm-up"].add(Loss(torch.tensor(2.0), torch.tensor([0.0])), 128)
    made.progress.step = 399
    made._end_warmup()
    assert made.progress.schedule.released_at is None
