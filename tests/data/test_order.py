"""Order and noise: pure functions, uniform, and the same for every number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.data.order import (
    Use,
    _counted,
    batches,
    below,
    noise,
    normal,
    order,
    pieces,
    spaced,
    steps,
    uniform,
)

N = 40_000
EVERY = np.arange(N)
FROZEN = [16243450829873959913, 7691045517760467747, 3849325248020025758]
FROZEN_ORDER = [7, 6, 1, 0, 3, 5, 4, 2]


def chi_square(values: np.ndarray, cells: int) -> float:
    """In deviations from what is expected; beyond 5 has no chance."""
    counts = np.bincount(values, minlength=cells)
    assert len(counts) == cells
    expected = len(values) / cells
    return float((((counts - expected) ** 2 / expected).sum() - (cells - 1)) / (2 * (cells - 1)) ** 0.5)


def test_the_numbers_are_splitmix64s() -> None:
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert _counted(1234567, np.arange(4)).tolist() == published


def test_the_numbers_never_change() -> None:
    """Runs are resumed by other versions: these are frozen."""
    assert noise(0, 0, np.arange(3), Use.ORDER).tolist() == FROZEN
    assert order(7, 3, 8).tolist() == FROZEN_ORDER


@given(st.integers(0, 2**40), st.integers(0, 10**6), st.permutations(range(50)))
def test_the_number_of_an_index_does_not_depend_on_who_asks(seed: int, epoch: int, asked: list[int]) -> None:
    whole = noise(seed, epoch, np.arange(50), Use.FLIP)
    assert np.array_equal(noise(seed, epoch, np.array(asked), Use.FLIP), whole[asked])
    assert noise(seed, epoch, np.array([asked[0]]), Use.FLIP)[0] == whole[asked[0]]


def test_seed_epoch_and_use_each_give_other_numbers() -> None:
    asked = [
        (0, 0, 0),
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (2, 0, 0),
        (0, 2, 0),
        (1, 1, 0),
        (0, 1, 1),
        (1, 0, 1),
    ]
    seen = [set(noise(*each[:2], EVERY[:1000], each[2]).tolist()) for each in asked]
    assert len(set().union(*seen)) == 1000 * len(asked)


@pytest.mark.parametrize("use", [Use.TOP, Use.LEFT, Use.FLIP, Use.SIDE])
@pytest.mark.parametrize("cells", [2, 9, 225, 1000])
def test_whole_numbers_are_uniform(use: Use, cells: int) -> None:
    assert abs(chi_square(below(noise(3, 5, EVERY, use), cells), cells)) < 5


@pytest.mark.parametrize("other", [(0, 0, Use.LEFT), (0, 1, Use.TOP), (1, 0, Use.TOP)])
def test_numbers_for_different_things_are_independent(other: tuple[int, int, Use]) -> None:
    one = below(noise(0, 0, EVERY, Use.TOP), 9)
    two = below(noise(*other[:2], EVERY, other[2]), 9)
    assert abs(chi_square(9 * one + two, 81)) < 5
    assert abs(chi_square(9 * one[:-1] + one[1:], 81)) < 5


def test_fractions_are_below_1_and_normal_numbers_are_normal() -> None:
    fractions = uniform(np.array([0, 2**64 - 1], np.uint64))
    assert fractions.tolist() == [0, 1 - 2.0**-53]
    values = normal(0, 0, EVERY, Use.COLOUR)
    assert abs(values.mean()) < 4 / N**0.5
    assert abs(values.var() - 1) < 4 * (2 / N) ** 0.5
    within = [(np.abs(values) < limit).mean() for limit in (1, 2, 3)]
    assert np.allclose(within, [0.6827, 0.9545, 0.9973], atol=0.01)
    one = np.concatenate([normal(0, 0, EVERY[[place]], Use.COLOUR) for place in range(64)])
    assert np.array_equal(one.astype(np.float32), values[:64].astype(np.float32))


@given(st.integers(0, 10**9), st.integers(0, 1000), st.integers(0, 300))
def test_an_order_is_a_permutation(seed: int, epoch: int, n: int) -> None:
    assert sorted(order(seed, epoch, n).tolist()) == list(range(n))


def test_orders_differ_and_each_place_gets_every_index() -> None:
    many = np.stack([order(0, epoch, 8) for epoch in range(5000)])
    assert len({tuple(each) for each in many.tolist()}) > 4500
    for place in range(8):
        assert abs(chi_square(many[:, place], 8)) < 5


@given(
    n=st.integers(1, 200),
    batch=st.integers(1, 64),
    ranks=st.integers(1, 5),
    start=st.integers(0, 10),
    last=st.sampled_from(["keep", "drop"]),
)
def test_the_pieces_of_all_ranks_are_the_batch(n: int, batch: int, ranks: int, start: int, last: str) -> None:
    whole = list(batches(3, 1, n, batch, last=last))
    assert len(whole) == steps(n, batch, last)
    together = [
        list(batches(3, 1, n, batch, rank=rank, ranks=ranks, start=start, last=last)) for rank in range(ranks)
    ]
    joined = [np.concatenate(each) for each in zip(*together, strict=True)]
    assert [each.tolist() for each in joined] == [each.tolist() for each in whole[start:]]
    for each in zip(*together, strict=True):
        assert max(map(len, each)) - min(map(len, each)) <= 1
    seen = np.concatenate(whole) if whole else np.array([])
    assert len(set(seen.tolist())) == len(seen) == (n if last == "keep" else n // batch * batch)


def test_the_papers_split_has_352_steps() -> None:
    assert steps(45_000, 128) == 352
    assert [len(each) for each in pieces(np.arange(10), 4, rank=1, ranks=2)] == [2, 2, 1]


def test_a_sample_is_evenly_spaced() -> None:
    assert spaced(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert spaced(10, 0).tolist() == spaced(10, 99).tolist() == list(range(10))
