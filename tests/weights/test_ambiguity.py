"""What weights cannot tell: every field named changes the function and no tensor, and every such field is named."""

from __future__ import annotations

import pytest

import archspec
from archspec.compare import compare
from archspec.weights.ambiguity import ambiguous


def fields(spec: str, *settings: str) -> dict[str, str]:
    return {each.field: each.value for each in ambiguous(archspec.load(spec, settings=settings))}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("resnet50", {"defaults.stride_on": "1x1", "stem.layers.1": "padding 1, floor"}),
        ("torchvision/resnet50", {"defaults.stride_on": "3x3"}),
        ("caffe/resnet50", {"stem.layers.1": "padding 0, ceil"}),
        ("beyond/resnet50-d", {"blocks.bottleneck-d.layers.1.stride": "3x3"}),
        ("cifar/resnet20", {"defaults.pad": "end", "defaults.subsample": "stride", "norm.eps": "1e-05"}),
        ("akamaster/resnet20", {"defaults.pad": "both", "stages.*.stride": "1, 2, 2"}),
        ("torchvision/vgg16", {"defaults.act": "relu", "head.layers.*.dropout": "0.5"}),
        ("beyond/mobilenetv2", {"defaults.act": "relu6"}),
    ],
)
def test_the_specs_own_values_are_named(spec: str, expected: dict[str, str]) -> None:
    assert expected.items() <= fields(spec).items()


@pytest.mark.parametrize(
    ("spec", "absent"),
    [
        (
            "torchvision/resnet18",
            {"defaults.stride_on", "defaults.pad", "defaults.subsample", "defaults.order"},
        ),
        ("torchvision/vgg16", {"norm.eps", "stages.*.stride", "defaults.stride_on"}),
        ("cifar/plain20", {"defaults.pad", "defaults.subsample"}),
        ("cifar/resnet20", {"defaults.stride_on", "head.layers.*.dropout", "stem.layers.1"}),
    ],
)
def test_what_a_network_does_not_have_is_not_named(spec: str, absent: set[str]) -> None:
    assert not absent & fields(spec).keys()


@pytest.mark.parametrize(
    ("spec", "field", "setting"),
    [
        ("resnet50", "defaults.stride_on", "3x3"),
        ("cifar/resnet20", "defaults.pad", "both"),
        ("cifar/resnet20", "defaults.subsample", "average"),
        ("cifar/resnet20", "defaults.act", "silu"),
        ("cifar/resnet20", "norm.eps", "0.001"),
    ],
)
def test_each_alternative_loads_and_is_another_function(spec: str, field: str, setting: str) -> None:
    each = next(each for each in ambiguous(archspec.load(spec)) if each.field == field)
    assert setting in each.alternatives
    assert each.value not in each.alternatives
    other = archspec.load(spec, settings=[f"{field}={setting}"])
    assert compare(archspec.load(spec), other).weights == "loads, but another function"


def test_norms_that_share_their_tensors_are_named() -> None:
    assert fields("cifar/resnet20", "norm.kind=group", "norm.groups=8")["norm.kind"] == "group (8 groups)"
    assert "norm.kind" not in fields("cifar/resnet20")


@pytest.mark.parametrize(("setting", "place"), [("first", "1x1"), ("1x1", "1x1"), ("3x3", "3x3")])
def test_the_stride_is_named_by_the_convolution_that_has_it(setting: str, place: str) -> None:
    assert fields("resnet50", f"defaults.stride_on={setting}")["defaults.stride_on"] == place


def test_only_training_shows_dropout() -> None:
    found = {each.field: each.training_only for each in ambiguous(archspec.load("torchvision/vgg16"))}
    assert found == {"defaults.act": False, "head.layers.*.dropout": True}
