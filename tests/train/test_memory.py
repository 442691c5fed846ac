"""Too little memory: what would fit, and nothing that the failed try still holds."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archspec.data.feed import Batch
from archspec.recipes.load import load_recipe
from archspec.train.loop import Terms, Trainer
from archspec.train.memory import TooLarge, largest_fitting
from tests.train.running import of_module


class Small(nn.Module):
    """A network on a device that has room for the activations of so many images."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.room = room
        self.held: list[tuple[Any, int]] = []

    def forward(self, images: Tensor) -> Tensor:
        held = images * 1.0
        taken = sum(size for reference, size in self.held if reference() is not None)
        self.held.append((weakref.ref(held), len(images)))
        if taken + len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        out: Tensor = self.linear(held)
        return out


def trainer(room: int, *recipe: str) -> Trainer:
    return Trainer(of_module(Small(room), load_recipe("digits", recipe)), Terms(channels_last=False), 100)


def batch(count: int) -> Batch:
    return Batch(torch.randn(count, 4), torch.zeros(count, dtype=torch.int64), count)


@pytest.mark.parametrize(("room", "fits"), [(32, 32), (63, 32), (31, 16), (8, 8), (1, 1), (0, 0)])
def test_the_half_that_fits_is_found_with_the_memory_free_again(room: int, fits: int) -> None:
    made = trainer(room)
    with pytest.raises(TooLarge, match="a batch of 64 images does not fit") as caught:
        made.step(batch(64))
    assert (caught.value.images, caught.value.fits) == (64, fits)
    assert all(each.grad is None for each in made.network.parameters())


def test_a_part_of_a_batch_is_what_has_to_fit() -> None:
    made = trainer(16, "train.accumulate=4")
    made.step(batch(64))
    assert made.progress.step == 1
    with pytest.raises(TooLarge, match="a batch of 16 images") as caught:
        trainer(15, "train.accumulate=4").step(batch(64))
    assert caught.value.fits == 8


def test_another_error_is_no_lack_of_memory() -> None:
    def attempt(_: int) -> None:
        raise RuntimeError("CUDA error")

    with pytest.raises(RuntimeError, match="CUDA error"):
        largest_fitting(8, attempt)
