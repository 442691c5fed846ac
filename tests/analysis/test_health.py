"""Signals against a loop written by hand; verdicts by their criterion."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import archspec
from archspec.analysis.health import signals
from archspec.analysis.layers import layers
from archspec.analysis.trend import trend
from tests.analysis.nets import ALL, ByHand, images, layer

LABELS = torch.arange(10) % 5


def test_signals_are_those_of_a_loop_written_by_hand() -> None:
    network = ByHand().train()
    a = network.conv1(images())
    x = network.bn1(a).relu()
    b = network.conv2(x)
    c = network.conv3(network.bn2(b).relu())
    d = network.fc((x + c.relu()).mean((2, 3)))
    outputs = (a, b, c, d)
    for each in outputs:
        each.retain_grad()
    loss = cross_entropy(d, LABELS)
    loss.backward()
    told: list[str] = []
    found = signals(ByHand().eval(), ALL, images(), LABELS, tell=told.append)
    assert found.loss == pytest.approx(loss.item(), rel=1e-6)
    weights = [network.get_submodule(each.layer.name).weight for each in found.signals]
    for signal, output, weight in zip(found.signals, outputs, weights, strict=True):
        assert output.grad is not None
        assert signal.activation == pytest.approx(output.double().std(correction=0).item(), rel=1e-5)
        assert signal.gradient == pytest.approx(output.grad.double().std(correction=0).item(), rel=1e-4)
        assert signal.weight_gradient == pytest.approx(weight.grad.norm().item(), rel=1e-4)
        assert signal.weight == pytest.approx(weight.norm().item(), rel=1e-6)
        assert signal.ratio == pytest.approx(signal.weight_gradient / signal.weight)
    assert told[0] == "at layer 1 of 4"
    assert told[-1] == "back at layer 1 of 4"


def test_dropout_rests_and_nothing_stays_behind() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout(0.9), nn.Conv2d(4, 5, 3), nn.AdaptiveAvgPool2d(1))
    told = [signals(network, (layer("0"), layer("2")), images(), LABELS).as_json() for _ in range(2)]
    assert told[0] == told[1]
    assert all(each.grad is None for each in network.parameters())
    assert not network.training
    assert not any(module._forward_hooks for module in network.modules())


def chain(factor: float, depth: int = 12) -> nn.Sequential:
    """Convolutions that multiply by `factor` and do nothing else."""
    made = nn.Sequential(*(nn.Conv2d(3, 3, 1, bias=False) for _ in range(depth)), nn.AdaptiveAvgPool2d(1))
    with torch.no_grad():
        for each in made:
            if isinstance(each, nn.Conv2d):
                each.weight.copy_(factor * torch.eye(3)[:, :, None, None])
    return made


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.0, "healthy"), (1.5, "healthy"), (2.0, "exploding"), (0.5, "vanishing")]
)
def test_a_chain_of_factors_is_found_out(factor: float, verdict: str) -> None:
    watched = tuple(layer(str(place), kind="1x1") for place in range(12))
    found = signals(chain(factor), watched, images(), LABELS % 3)
    assert found.forward.per_layer == pytest.approx(factor, rel=1e-6)
    assert found.backward.per_layer == pytest.approx(factor, rel=1e-6)
    assert (found.forward.verdict, found.backward.verdict, found.verdict) == (verdict,) * 3
    # back: the gradient at a layer is that of the next one, times its factor
    for one, other in pairwise(found.signals):
        assert one.gradient == pytest.approx(factor * other.gradient, rel=1e-5)


def test_the_first_layer_without_numbers_is_named() -> None:
    watched = tuple(layer(str(place), kind="1x1") for place in range(12))
    forward = signals(chain(1e10), watched, images(), LABELS % 3)
    assert forward.forward.not_finite == "3"
    assert "no finite number from 3 on" in str(forward)
    json.loads(json.dumps(forward.as_json(), allow_nan=False))
    back = signals(
        nn.Sequential(_Swell(), *chain(1.0)),
        tuple(layer(str(place + 1)) for place in range(12)),
        images(),
        LABELS % 3,
    )
    assert back.verdict == "healthy"
    nan = signals(nn.Sequential(*chain(1.0, 6), _Swell(), *chain(1.0, 6)), _around(), images(), LABELS % 3)
    assert (nan.forward.verdict, nan.backward.verdict) == ("healthy", "exploding")
    assert nan.backward.not_finite == "5"


class _Swell(nn.Module):
    """Does nothing forward, and makes gradients infinite."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x * 1
        if out.requires_grad:
            out.register_hook(lambda gradient: gradient * float("inf"))
        return out


def _around() -> tuple:
    return tuple(layer(str(place)) for place in (*range(6), *range(8, 14)))


def test_a_trend_is_fitted_to_logarithms() -> None:
    found = trend(["a", "b", "c", "d"], [8.0, 0.0, 2.0, 1.0])
    assert found.per_layer == pytest.approx(0.5)
    assert found.orders == pytest.approx(-0.90309, rel=1e-4)
    assert found.zeros == ("b",)
    assert found.verdict == "healthy"
    assert "nothing but zeros at b" in str(found)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.0, 1.0, 0.0], "vanishing"),
        ([0.0, 0.0, 0.0], "vanishing"),
        ([1.0, float("nan"), 1.0], "exploding"),
        ([1.0, 1.0, float("inf")], "exploding"),
        ([1.0, 30.0, 900.0], "healthy"),
        ([1.0, 40.0, 1600.0], "exploding"),
        ([1600.0, 40.0, 1.0], "vanishing"),
        ([5.0], "healthy"),
        ([], "healthy"),
    ],
)
def test_verdicts(values: list[float], verdict: str) -> None:
    found = trend(["first", "middle", "last"][: len(values)], values)
    assert found.verdict == verdict
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["verdict"] == verdict


def test_growth_past_all_numbers_is_said() -> None:
    assert "x10^" in str(
        trend(
            [str(place) for place in range(2000)],
            [10.0 ** (place / 4) for place in range(1200)] + [float("inf")] * 800,
        )
    )


def test_branches_that_start_at_zero_are_not_taken_for_vanishing() -> None:
    architecture = archspec.load(
        "cifar/resnet20", settings=("n=1", "init.zero_last_norm=true", "input.size=[8, 8]")
    )
    torch.manual_seed(0)
    found = signals(archspec.build(architecture), layers(architecture), images(), LABELS)
    assert found.backward.zeros
    assert found.verdict == "healthy"


def test_a_deep_plain_net_explodes_backwards_and_a_residual_one_does_not() -> None:
    """At initialisation, behind batch normalisation: the mean field of Yang et al. 2019 has it so."""
    verdicts = {}
    for name in ("plain20", "resnet20"):
        architecture = archspec.load(f"cifar/{name}", settings=("n=12", "input.size=[8, 8]"))
        torch.manual_seed(0)
        found = signals(archspec.build(architecture), layers(architecture), images(), LABELS)
        verdicts[name] = found.forward.verdict, found.backward.verdict
    assert verdicts == {"plain20": ("healthy", "exploding"), "resnet20": ("healthy", "healthy")}
