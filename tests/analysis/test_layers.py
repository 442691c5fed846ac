"""Which layers are looked at, and where their responses are taken."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

import archspec
from archspec.analysis.layers import _NORMS, CONVOLUTION, layers, residual, responding
from archspec.ir import ops


@pytest.mark.parametrize(
    ("spec", "three", "every"),
    [
        ("cifar/resnet20", 19, 19),
        ("cifar/plain20", 19, 19),
        ("resnet18-b", 16, 20),
        ("resnet50", 16, 53),
        ("vgg16", 13, 13),
        ("beyond/se-resnet50", 16, 53),
        ("beyond/preact-resnet50", 16, 53),
        ("beyond/mobilenetv2", 18, 52),
    ],
)
def test_the_3x3_layers_are_found_and_all_convolutions_where_asked(spec: str, three: int, every: int) -> None:
    architecture = archspec.load(spec)
    assert len(responding(architecture)) == three
    assert len(responding(architecture, every=True)) == every
    # the paper's depth counts what lies on the main path
    assert sum(each.main for each in layers(architecture)) == architecture.measure.total.layers


@pytest.mark.parametrize(
    ("spec", "settings", "last", "after"),
    [
        ("cifar/resnet20", (), "layer3.2.bn2", "batch normalisation"),
        ("cifar/resnet20", ("norm.kind=group", "norm.groups=4"), "layer3.2.norm2", "group normalisation"),
        ("cifar/resnet20", ("norm.kind=none",), "layer3.2.conv2", CONVOLUTION),
        ("vgg16", (), "features.28", CONVOLUTION),
        ("beyond/preact-resnet110", (), "stages.2.17.conv2", CONVOLUTION),
    ],
)
def test_a_response_is_taken_behind_the_normalisation_that_follows(
    spec: str, settings: tuple[str, ...], last: str, after: str
) -> None:
    found = responding(archspec.load(spec, settings=settings))
    assert {each.after for each in found} == {after}
    if spec != "beyond/preact-resnet110":
        assert found[-1].at == last
    else:  # each block's second convolution goes into an addition, the first one into a norm that is not its own
        assert all(each.at == each.name for each in found)


def test_names_are_those_of_modules_in_the_order_they_are_computed() -> None:
    module = archspec.build("cifar/resnet20", settings=("defaults.shortcut=B",))
    found = layers(archspec.load("cifar/resnet20", settings=("defaults.shortcut=B",)))
    ran: list[str] = []
    for name, each in module.named_modules():
        if isinstance(each, nn.Conv2d | nn.Linear):
            each.register_forward_hook(lambda *_, name=name: ran.append(name))
    module.eval()(torch.zeros(1, 3, 32, 32))
    assert ran == [each.name for each in found]
    assert [each.kind for each in found if each.role == "shortcut"] == ["1x1", "1x1"]
    for each in found:
        if each.after == "batch normalisation":
            assert isinstance(module.get_submodule(each.at), nn.BatchNorm2d)
    assert found[-1].kind == "linear"


def test_nets_with_shortcuts_are_residual() -> None:
    assert residual(archspec.load("cifar/resnet20"))
    assert not residual(archspec.load("cifar/plain20"))
    assert not residual(archspec.load("vgg16"))


def test_every_normalisation_has_a_name() -> None:
    assert set(_NORMS) == set(get_args(ops.Norm))
