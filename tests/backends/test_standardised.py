"""Weight standardisation: which filters it touches, in print and live, in ONNX and in every count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import archspec
from archspec import SpecError
from archspec.audit.witness import WITNESSES, hear
from archspec.backends.onnx.write import Form, write_model
from archspec.backends.support import StandardisedConv2d
from archspec.deploy.proof import shaken
from archspec.lift.onnx_graph import lift_onnx
from archspec.provenance import stamp
from tests.backends.conftest import gradients, images, printed
from tests.backends.test_onnx import net, worst

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture


def resnet(*settings: str) -> Architecture:
    given = ("norm.kind=group", "norm.groups=8", "defaults.standardise=true")
    return archspec.load("cifar/resnet20", settings=[*given, *settings])


def test_filters_have_mean_0_and_variance_1_whatever_is_trained() -> None:
    conv = StandardisedConv2d(4, 6, 3, groups=2, bias=False).double()
    image = torch.zeros(1, 4, 5, 5, dtype=torch.float64)
    image[:, :, 2, 2] = 1  # what comes out is the filters, one place after the other
    with torch.no_grad():
        conv.weight.mul_(30).add_(7)
        used = conv(image).flatten(2)
        # a group's two inputs are summed, so its nine places hold sums of two weights
        assert used.sum(2).abs().max() < 1e-12
        weight = (conv.weight - conv.weight.mean((1, 2, 3), keepdim=True)).flatten(1)
        expected = (weight / (weight.square().mean(1, keepdim=True) + 1e-5).sqrt()).view(6, 2, 9).sum(1)
        torch.testing.assert_close(used[0].flip(1), expected)


@pytest.mark.parametrize("init", ["he-normal-fan-out", "torch"])
def test_printed_and_live_networks_are_one_function(init: str) -> None:
    declared = resnet(f"init.conv={init}")
    torch.manual_seed(7)
    live = archspec.build(declared)
    torch.manual_seed(7)
    twin = printed(declared)
    ours, theirs = live.state_dict(), twin.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours), "one seed gives one network"
    batch = images(declared)
    assert torch.equal(live(batch), twin(batch))
    assert all(map(torch.equal, gradients(live, batch), gradients(twin, batch)))


def test_only_where_it_is_said_and_never_in_a_gate_by_itself() -> None:
    gate = {"gate": [{"pool": "average"}, {"conv": 1, "out": 8, "act": "sigmoid"}]}
    one = net(
        {"conv": 3, "out": 8, "standardise": False},
        gate,
        {"gate": [{"conv": 1, "out": 8, "standardise": True, "act": "sigmoid"}]},
        defaults={"standardise": True},
    )
    found = [type(each).__name__ for each in archspec.build(one).modules() if hasattr(each, "stride")]
    assert found == ["StandardisedConv2d", "Conv2d", "Conv2d", "StandardisedConv2d"]


@pytest.mark.parametrize("kind", ["batch", "group", "none"])
@pytest.mark.parametrize("fold", [True, False])
def test_an_onnx_file_holds_standardised_weights(kind: str, fold: bool) -> None:
    one = net(
        {"conv": 3, "out": 8, "groups": 2},
        norm={"kind": kind, "groups": 4},
        defaults={"standardise": True},
    )
    assert worst(one, Form(fold=fold)) < 1e-5


def test_what_is_lifted_is_the_same_in_evaluation(tmp_path: Path) -> None:
    one: Any = archspec.load("cifar/resnet20", settings=["defaults.standardise=true"])
    model = write_model(one, shaken(one), Form(), stamp(one)).model
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    found = lift_onnx(tmp_path / "net.onnx")
    assert found.carried == "the same in evaluation"
    assert "StandardisedConv2d" not in archspec.source(found.architecture)


def test_all_witnesses_count_the_same() -> None:
    counted = {
        (each.params, each.macs, each.conv_macs, each.layers)
        for each in (hear(resnet(), witness) for witness in WITNESSES)
    }
    plain = hear(resnet("defaults.standardise=false"), "graph")
    assert counted == {(plain.params, plain.macs, plain.conv_macs, plain.layers)}


def test_a_filter_of_one_weight_is_refused() -> None:
    with pytest.raises(SpecError, match="AS303 standardising a filter of one weight"):
        net({"conv": 1, "out": 8, "groups": 8}, defaults={"standardise": True})
