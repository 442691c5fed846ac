"""Responses against loops written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from archspec.analysis.moments import Moments, deviation, norm
from archspec.analysis.responses import NotFinite, Responses, measured
from tests.analysis.nets import LAYERS, ByHand, images, layer

NUMBERS = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=40)
@given(st.lists(st.lists(NUMBERS, max_size=20), min_size=1).filter(any))
def test_moments_of_pieces_are_those_of_the_whole(pieces: list[list[float]]) -> None:
    moments = Moments()
    for piece in pieces:
        moments.add(torch.tensor(piece))
    whole = np.array([value for piece in pieces for value in piece], np.float32).astype(np.float64)
    assert moments.count == len(whole)
    assert moments.mean == pytest.approx(whole.mean(), rel=1e-12, abs=1e-9)
    assert moments.std == pytest.approx(whole.std(), rel=1e-9, abs=1e-7)


@settings(max_examples=40)
@given(NUMBERS, st.integers(1, 500), st.integers(1, 5))
def test_what_is_the_same_everywhere_has_no_deviation_at_all(value: float, count: int, pieces: int) -> None:
    moments = Moments()
    for _ in range(pieces):
        moments.add(torch.full((count,), value))
    assert (moments.std, moments.mean) == (0.0, value)


def test_moments_do_not_cancel_far_from_zero() -> None:
    values = torch.tensor([2.0**23, 2.0**23 + 1] * 50)
    assert deviation(values) == 0.5
    assert norm(torch.tensor([3.0, -4.0])) == 5.0


def by_hand(network: ByHand, batches: list[Tensor], *, training: bool = False) -> list[Tensor]:
    """The outputs of LAYERS, written out."""
    out: list[list[Tensor]] = [[], [], []]
    with torch.no_grad():
        for x in batches:
            for norm_ in (network.bn1, network.bn2):
                norm_.train(training)
            a = network.bn1(network.conv1(x))
            b = network.bn2(network.conv2(a.relu()))
            c = network.conv3(b.relu())
            for into, value in zip(out, (a, b, c), strict=True):
                into.append(value.double().flatten())
    return [torch.cat(each) for each in out]


@pytest.mark.parametrize("training", [False, True])
def test_deviations_are_those_of_a_loop_written_by_hand(training: bool) -> None:
    batches = list(images().split(4))
    found = measured(ByHand(), LAYERS, batches, batch_statistics=training)
    for moments, values in zip(found, by_hand(ByHand(), batches, training=training), strict=True):
        assert moments.count == len(values) == 10 * 8 * 64
        assert moments.std == pytest.approx(float(values.std(correction=0)), rel=1e-12)
        assert moments.mean == pytest.approx(float(values.mean()), rel=1e-9)


def test_batch_statistics_make_a_difference_and_training_mode_none() -> None:
    network = ByHand().train()
    running = measured(network, LAYERS, [images()])
    assert running == measured(ByHand(), LAYERS, [images()])
    assert not network.training
    assert running[0].std != pytest.approx(
        measured(ByHand(), LAYERS, [images()], batch_statistics=True)[0].std, rel=1e-3
    )


def test_it_is_exact_on_constant_input() -> None:
    """A 1x1 net in which nothing is rounded: a constant image gives 0, one of two values their half distance."""
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0), nn.ReLU(inplace=True))
    with torch.no_grad():
        network[0].weight.fill_(-2.0)
        network[0].bias.fill_(0.5)
    at = (layer("0", "1"),)
    (constant,) = measured(network, at, [torch.full((3, 1, 4, 4), 0.25)] * 2)
    assert (constant.mean, constant.std) == (0.0, 0.0)
    (halves,) = measured(network, at, [torch.tensor([1.0, 3.0]).view(1, 1, 1, 2)] * 5)
    assert (halves.mean, halves.std) == (-3.5, 2.0)


def test_the_first_layer_without_numbers_is_named_and_no_hook_stays() -> None:
    network = ByHand()
    with torch.no_grad():
        network.conv2.weight[0, 0, 0, 0] = float("inf")
    with pytest.raises(NotFinite, match="the output of conv2 holds"):
        measured(network, LAYERS, [images()])
    assert not any(module._forward_hooks for module in network.modules())


def test_layers_are_told_in_both_orders() -> None:
    found = Responses("net", False, LAYERS, (0.0, 0.0, 0.0), (1.0, 3.0, 2.0))
    assert found.sorted == (3.0, 2.0, 1.0)
    assert found.measured == "after batch normalisation or of the convolution itself"
    record = found.as_json()
    assert [(each["name"], each["rank"]) for each in record["layers"]] == [
        ("conv1", 3),
        ("conv2", 1),
        ("conv3", 2),
    ]
    assert (record["median"], record["mean"], record["sorted"]) == (2.0, 2.0, [3.0, 2.0, 1.0])
