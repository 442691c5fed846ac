"""Filter response normalisation and its thresholds: the paper's listing, and all that a live module must do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import archspec
from archspec.backends.onnx.write import Form
from archspec.backends.support import FilterResponseNorm2d, ThresholdedLinearUnit
from tests.backends.conftest import gradients, images, printed, printed_class
from tests.backends.test_onnx import net, worst
from tests.strategies import load

if TYPE_CHECKING:
    from archspec.architecture import Architecture


def resnet(*settings: str) -> Architecture:
    return archspec.load("cifar/resnet20", settings=["norm.kind=frn", *settings])


def test_norm_and_threshold_are_the_papers_listing() -> None:
    """Listing 1 of Singh and Krishnan 2020, channels last as there."""
    random = np.random.default_rng(0)
    x = random.standard_normal((2, 5, 7, 3)) + 1
    gamma, beta, tau = random.standard_normal((3, 1, 1, 1, 3))
    nu2 = np.mean(np.square(x), axis=(1, 2), keepdims=True)
    expected = np.maximum(gamma * (x * (1 / np.sqrt(nu2 + abs(1e-6)))) + beta, tau)

    norm, unit = FilterResponseNorm2d(3).double(), ThresholdedLinearUnit(3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.from_numpy(gamma.reshape(3)))
        norm.bias.copy_(torch.from_numpy(beta.reshape(3)))
        unit.tau.copy_(torch.from_numpy(tau.reshape(3)))
        made = unit(norm(torch.from_numpy(x.transpose(0, 3, 1, 2)))).numpy()
    np.testing.assert_allclose(made.transpose(0, 2, 3, 1), expected, rtol=1e-12)


def test_gradients_are_those_of_the_formula() -> None:
    x = torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    stacked = torch.nn.Sequential(FilterResponseNorm2d(2), ThresholdedLinearUnit(2)).double()
    assert torch.autograd.gradcheck(stacked, (x,))


@pytest.mark.parametrize("settings", [(), ("defaults.act=tlu",), ("defaults.act=tlu", "defaults.order=pre")])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_printed_and_live_networks_are_one_function(
    settings: tuple[str, ...], layout: torch.memory_format
) -> None:
    declared = resnet(*settings)
    torch.manual_seed(7)
    live = archspec.build(declared).to(memory_format=layout)  # type: ignore[call-overload]
    torch.manual_seed(7)
    twin = printed(declared).to(memory_format=layout)  # type: ignore[call-overload]
    assert list(live.state_dict()) == list(twin.state_dict())
    batch = images(declared).to(memory_format=layout)
    assert torch.equal(live(batch), twin(batch))
    assert all(map(torch.equal, gradients(live, batch), gradients(twin, batch)))


def test_no_image_sees_another_and_nothing_is_kept() -> None:
    module, batch = archspec.build(resnet("defaults.act=tlu")), images(resnet(), 3)
    assert not list(module.buffers())
    together, alone = module.train()(batch), module.eval()(batch[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-5, atol=1e-5)


def test_thresholds_begin_as_relu() -> None:
    relu, tlu = archspec.build(resnet()), archspec.build(resnet("defaults.act=tlu"))
    found = tlu.load_state_dict(relu.state_dict(), strict=False)
    assert {key.rpartition(".")[2] for key in found.missing_keys} == {"tau"}
    batch = images(resnet())
    assert torch.equal(relu(batch), tlu(batch))


def test_compiles_and_exports_with_a_dynamic_batch() -> None:
    declared = net({"conv": 3, "out": 8, "stride": 2}, norm={"kind": "frn"}, defaults={"act": "tlu"})
    module, batch = archspec.build(declared).eval(), images(declared, 3)
    with torch.no_grad():
        compiled = torch.compile(module, backend="eager", fullgraph=True)
        assert torch.equal(compiled(batch), module(batch))
        dynamic = ({0: torch.export.Dim("batch", min=2)},)
        exported = torch.export.export(module, (images(declared),), dynamic_shapes=dynamic).module()
        assert torch.equal(exported(batch), module(batch))


@pytest.mark.parametrize("opset", [14, 18, 20])
def test_thresholds_of_maps_and_of_flat_values_in_onnx(opset: int) -> None:
    head = [{"pool": "average"}, {"linear": 6, "act": "tlu"}, {"linear": 5}]
    one = net({"conv": 3, "out": 8, "act": "tlu"}, norm={"kind": "frn"}, head={"layers": head})
    assert worst(one, Form(opset=opset, dynamic_size=True)) < 1e-5


def test_eps_is_the_papers_unless_it_is_said() -> None:
    declared = resnet()
    assert declared.hash == resnet("norm.eps=1e-6").hash != resnet("norm.eps=1e-5").hash
    assert declared.declared.spec.norm.eps == 1e-6
    assert load(declared.declared.short()).hash == declared.hash
    assert load(declared.declared.resolved()).hash == declared.hash
    back = archspec.load("cifar/resnet20", settings=["norm.kind=group", "norm.groups=8"])
    assert back.declared.spec.norm.eps == 1e-5


def test_a_residual_branch_may_start_at_zero() -> None:
    module = archspec.build(resnet("init.zero_last_norm=true"))
    assert not module.get_parameter("layer1.0.norm2.weight").any()
    x = torch.rand(2, 16, 8, 8)
    assert torch.equal(module.get_submodule("layer1.0")(x), x)


def test_a_network_is_not_called_as_a_class_that_its_file_carries() -> None:
    declared = resnet("defaults.act=tlu", "name=thresholded-linear-unit")
    twin = printed_class(archspec.source(declared))()
    assert twin(images(declared)).shape == (2, 10)
