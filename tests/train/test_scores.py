"""Counting what is right: exact, whatever the batches, with ties and one class too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from archspec.train.scores import Scores, Tally, Untestable


def counted(scores: Tensor, labels: Tensor, batch: int = 1000) -> Scores:
    tally = Tally(scores.shape[1])
    for part, true in zip(scores.split(batch), labels.split(batch), strict=True):
        tally.add(part, true)
    return tally.read()


def by_hand(scores: Tensor, labels: Tensor) -> tuple[list[list[int]], list[int]]:
    """Confusion and right among five, by sorting: of equal scores the lower class comes first."""
    classes = scores.shape[1]
    confusion, among = [[0] * classes for _ in range(classes)], [0] * classes
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        order = sorted(range(classes), key=lambda each: (-row[each], each))
        confusion[label][order[0]] += 1
        among[label] += label in order[:5]
    return confusion, among


@settings(max_examples=60)
@given(
    classes=st.integers(1, 12),
    images=st.integers(1, 40),
    levels=st.integers(1, 6),
    batch=st.integers(1, 41),
    seed=st.integers(0, 2**31),
)
def test_counts_are_those_of_sorting_for_any_batch(
    classes: int, images: int, levels: int, batch: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, levels, (images, classes), generator=draw).double()  # many are equal
    labels = torch.randint(0, classes, (images,), generator=draw)
    found, (confusion, among) = counted(scores, labels, batch), by_hand(scores, labels)
    assert found.confusion.tolist() == confusion
    assert found.among.tolist() == among
    assert found.images == images
    assert found.right() == sum(confusion[each][each] for each in range(classes))
    assert found.right(5) == sum(among)
    assert found.accuracy() + found.error() == pytest.approx(1)


def test_of_seven_equal_scores_the_first_five_classes_are_the_best_five() -> None:
    found = counted(torch.zeros(7, 7), torch.arange(7))
    assert found.among.tolist() == [1, 1, 1, 1, 1, 0, 0]
    assert found.confusion[:, 0].tolist() == [1] * 7
    assert (found.right(), found.right(5)) == (1, 5)


def test_of_one_class_all_is_right() -> None:
    found = counted(torch.tensor([[0.5], [0.1]]), torch.tensor([0, 0]))
    assert (found.accuracy(), found.accuracy(5), found.error(5)) == (1, 1, 0)
    assert found.confused() == []


def test_fewer_classes_than_five_are_all_among_the_best_five() -> None:
    found = counted(torch.tensor([[0.1, 0.7, 0.2]] * 3), torch.tensor([0, 1, 2]))
    assert (found.right(), found.right(5)) == (1, 3)


def test_parts_add_up() -> None:
    draw = torch.Generator().manual_seed(1)
    scores, labels = torch.rand(30, 8, generator=draw), torch.randint(0, 8, (30,), generator=draw)
    whole, sum_ = (
        counted(scores, labels),
        counted(scores[:11], labels[:11]) + counted(scores[11:], labels[11:]),
    )
    assert np.array_equal(whole.confusion, sum_.confusion)
    assert np.array_equal(whole.among, sum_.among)


def test_classes_have_rows_and_confusions_an_order() -> None:
    told = torch.tensor([1, 1, 1, 0, 2, 0, 0])
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 2])
    found = counted(torch.nn.functional.one_hot(told, 4).double(), labels)
    rows = found.rows()
    assert [(row.images, row.right, row.told) for row in rows] == [(2, 0, 3), (2, 1, 3), (3, 1, 1), (0, 0, 0)]
    assert rows[2].accuracy == pytest.approx(1 / 3)
    assert rows[3].accuracy is None
    assert found.confused() == [(0, 1, 2), (2, 0, 2), (1, 0, 1)]
    table = found.as_json()
    assert table["images"] == 7
    assert table["top1"]["right"] == 2
    assert table["confused"] == [[0, 1, 2], [2, 0, 2], [1, 0, 1]]
    assert table["per_class"][3]["accuracy"] is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_no_numbers_are_nobodys_success(value: float) -> None:
    scores = torch.rand(4, 6)
    scores[2, 5] = value
    with pytest.raises(Untestable, match="scores of 1 of 4 images are not finite") as caught:
        counted(scores, torch.tensor([0, 1, 2, 3]))
    assert caught.value.code == "AS523"


def test_nothing_to_count_is_said() -> None:
    with pytest.raises(Untestable, match="no images") as caught:
        Tally(3).read()
    assert caught.value.code == "AS531"
