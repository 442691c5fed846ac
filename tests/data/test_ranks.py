"""Batches of several ranks: as many for each, exactly those of one, with the size of the whole beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from archspec.data.feed import steps_of
from archspec.data.folders import pictures
from archspec.data.order import Plan, sizes
from archspec.data.prepare import Placement, prepared
from archspec.data.sets import Splits
from archspec.data.synthetic import make
from archspec.recipes.schedule import epoch_steps, steps
from tests.data.making import classes_of, recipe

if TYPE_CHECKING:
    from archspec.data.feed import Batch, Feed

BATCH = 4
STREAMED = ("augment.crop=8", "test.crop=8", "test.sizes=[9]", "augment.colour=pca")


def in_memory(last: str, *, channels_last: bool) -> Feed:
    splits = make((3, 8, 8), 4, train=9, test=9)
    of = recipe("cifar10-paper", "augment.crop=8", "augment.jitter=0.2", "data.batch=4", f"data.last={last}")
    return prepared(splits, of, Plan.of(of.data, 3), Placement(channels_last=channels_last)).train


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Any:
    files = pictures(classes_of(tmp_path_factory.mktemp("set"), ("a", "b", "c"), 3), "x", 3)

    def feed(last: str, *, channels_last: bool) -> Feed:
        of = recipe("facebook-imagenet", *STREAMED, "data.batch=4", f"data.last={last}")
        splits, placement = Splits(files, None, files), Placement(channels_last=channels_last)
        return prepared(splits, of, Plan.of(of.data, 3), placement).train

    return feed


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("last", ["keep", "drop"])
@pytest.mark.parametrize("streamed", [False, True])
def test_every_rank_takes_every_step_even_with_no_image_left(
    on_disk: Any, streamed: bool, last: str, channels_last: bool
) -> None:
    feed: Feed = (on_disk if streamed else in_memory)(last, channels_last=channels_last)
    alone = list(feed.training(1))
    assert [each.whole for each in alone] == ([4, 4, 1] if last == "keep" else [4, 4])
    assert [len(each.labels) for each in alone] == [each.whole for each in alone]
    assert [each.whole for each in feed.training(1, rank=2, ranks=3, start=1)] == [
        each.whole for each in alone[1:]
    ]
    ranks = [list(feed.training(1, rank=rank, ranks=3)) for rank in range(3)]
    assert {len(each) for each in ranks} == {len(alone)} == {steps_of(feed)}
    for whole, parts in zip(alone, zip(*ranks, strict=True), strict=True):
        _are(parts, whole)
    if last == "keep":
        assert sorted(len(rank[-1].labels) for rank in ranks) == [0, 0, 1]


def _are(parts: tuple[Batch, ...], whole: Batch) -> None:
    assert {each.whole for each in parts} == {whole.whole}
    assert torch.equal(torch.cat([each.images for each in parts]), whole.images)
    assert torch.equal(torch.cat([each.labels for each in parts]), whole.labels)
    assert all(each.images.shape[1:] == whole.images.shape[1:] for each in parts)
    assert all(each.images.dtype == torch.float32 for each in parts)


def test_no_rank_tests_on_an_empty_batch() -> None:
    feed = in_memory("drop", channels_last=False)
    ranks = [list(feed.testing(rank=rank, ranks=3)) for rank in range(3)]
    assert [len(each) for each in ranks] == [2, 2, 3]
    assert ranks[2][-1].whole == len(ranks[2][-1].labels) == 1
    assert sum(len(batch.labels) for each in ranks for batch in each) == len(feed), "a test drops nothing"


@given(st.integers(1, 300), st.integers(1, 70), st.integers(0, 8), st.sampled_from(["keep", "drop"]))
def test_steps_of_recipe_and_order_agree(n: int, batch: int, start: int, last: Any) -> None:
    of = recipe("digits", f"data.batch={batch}", f"data.last={last}")
    plan = Plan.of(of.data, 7)
    assert plan == Plan(batch, 7, last)
    assert epoch_steps(of, n) == steps(n, plan.batch, plan.last)
    assert list(sizes(n, batch, start=start, last=last)) == [
        len(np.arange(n)[at * batch : (at + 1) * batch]) for at in range(start, epoch_steps(of, n))
    ]
