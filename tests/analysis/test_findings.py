"""Figure 7's two findings, by their criterion."""

from __future__ import annotations

import pytest

from archspec.analysis.findings import DEEPER, RESIDUAL, Pair, findings
from archspec.analysis.responses import Responses
from tests.analysis.nets import layer


def net(label: str, *stds: float, residual: bool = True, channels: int = 8) -> Responses:
    layers = tuple(layer(f"conv{place}", channels=channels) for place in range(len(stds)))
    return Responses(label, residual, layers, tuple(0.0 for _ in stds), stds)


PLAIN, NET = net("plain", 3, 2, 2, 3, residual=False), net("net", 1, 1, 3, 1)
DEEP = net("deep", 0.9, 0.8, 0.7, 0.6, 0.9, 0.9, 0.9)


def test_each_net_is_held_against_its_counterpart_and_the_next_deeper_one() -> None:
    first, second = findings([PLAIN, DEEP, NET])
    assert (first.claim, [(pair.smaller.label, pair.larger.label) for pair in first.pairs]) == (
        RESIDUAL,
        [("net", "plain")],
    )
    assert (second.claim, [(pair.smaller.label, pair.larger.label) for pair in second.pairs]) == (
        DEEPER,
        [("deep", "net")],
    )
    assert first.holds
    assert second.holds
    assert str(first) == (
        f"Figure 7, {RESIDUAL}: holds (1 of 1). net has a median of 1.000, plain one of 2.500; "
        "net is smaller in 3 of 4 layers."
    )
    record = first.as_json()
    assert record["holds"] is True
    assert record["pairs"][0]["layers_smaller"] == 3
    assert "relative depth" in record["criterion"]


@pytest.mark.parametrize(
    ("stds", "holds"),
    [
        ((2.9, 1.9, 1.9, 2.9), True),
        ((2, 2, 2, 2), False),  # a lower median, but not more than half of the layers
        ((2.5, 1, 1, 9), True),
        ((4, 3, 3, 4), False),
        ((2.9, 1.9, 4, 4), False),
    ],
)
def test_median_and_most_layers_have_to_be_smaller(stds: tuple[float, ...], holds: bool) -> None:
    assert Pair(net("net", *stds), PLAIN).holds is holds


def test_nets_of_other_depths_are_compared_at_the_same_relative_depth() -> None:
    pair = Pair(net("deep", 0, 1, 2, 3, 4), net("flat", 10, 20, 30))
    assert pair.compared == ((0, 10), (2, 20), (4, 30))
    uneven = Pair(net("deep", 0, 1, 2, 3), net("flat", 5, 6, 7))
    assert uneven.compared == ((0, 5), (1.5, 6), (3, 7))
    assert Pair(net("one", 1), net("many", 2, 3)).compared == ((1, 2),)


def test_without_a_counterpart_all_plain_nets_are_taken() -> None:
    (first,) = findings([PLAIN, DEEP])
    assert [(pair.smaller.label, pair.larger.label) for pair in first.pairs] == [("deep", "plain")]


def test_nothing_is_said_where_nothing_can_be_compared() -> None:
    assert findings([NET]) == ()
    assert findings([PLAIN, net("other plain", 1, 1, residual=False)]) == ()
    assert findings([NET, net("wide", 1, 2, 3, 4, 5, channels=64)]) == ()
    assert findings([PLAIN, net("wide", 1, 2, 3, 4, channels=64)]) == ()
    assert findings([NET, net("again", 1, 2, 3, 4)]) == ()


def test_what_holds_for_some_only_holds_in_part() -> None:
    (first,) = findings([PLAIN, NET, net("large", 9, 9, 9, 9)])
    assert not first.holds
    assert "holds in part (1 of 2)" in str(first)
    (none,) = findings([PLAIN, net("large", 9, 9, 9, 9)])
    assert "does not hold (0 of 1)" in str(none)
