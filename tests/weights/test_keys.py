"""Other projects' names for the same tensors, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import archspec
from archspec.errors import FileError
from archspec.passes.flatten import state
from archspec.weights.keys import NAMES, STYLES, Renamed, Style, fits, renamed, style_of
from archspec.weights.match import matched
from tests.weights.making import LinearNet, nested, read, state_of, trained

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture

RESNETS = ["cifar/resnet20", "torchvision/resnet18", "torchvision/resnet50", "facebook/resnet50-pretrained"]
CALLED = {
    "akamaster": {
        "fc.bias": "linear.bias",
        "layer2.0.downsample.1.running_var": "layer2.0.shortcut.1.running_var",
        "layer3.1.conv2.weight": "layer3.1.conv2.weight",
    },
    "facebook": {
        "conv1.weight": "0.weight",
        "bn1.running_mean": "1.running_mean",
        "layer1.2.conv3.weight": "4.2.0.0.6.weight",
        "layer4.0.downsample.0.weight": "7.0.0.1.0.weight",
        "fc.weight": "10.weight",
    },
    "facebook-cifar": {
        "layer1.0.conv1.weight": "3.0.0.0.0.weight",
        "layer3.8.bn2.bias": "5.8.0.0.4.bias",
        "fc.bias": "8.bias",
    },
    "huggingface": {
        "conv1.weight": "resnet.embedder.embedder.convolution.weight",
        "layer1.0.downsample.1.bias": "resnet.encoder.stages.0.layers.0.shortcut.normalization.bias",
        "layer4.2.conv3.weight": "resnet.encoder.stages.3.layers.2.layer.2.convolution.weight",
        "fc.weight": "classifier.1.weight",
    },
    "detectron2": {
        "bn1.weight": "stem.conv1.norm.weight",
        "layer1.0.downsample.0.weight": "res2.0.shortcut.weight",
        "layer4.2.bn3.running_mean": "res5.2.conv3.norm.running_mean",
    },
    "timm-deep-stem": {
        "conv2.weight": "conv1.3.weight",
        "bn3.weight": "bn1.weight",
        "layer1.0.downsample.1.weight": "layer1.0.downsample.1.weight",
    },
    "torchvision": {"fc.weight": "fc.weight", "features.0.weight": "features.0.weight"},
}


@pytest.mark.parametrize("style", STYLES, ids=NAMES)
def test_names_are_those_of_the_projects(style: Style) -> None:
    for ours, theirs in CALLED[style.name].items():
        assert style.names(ours)[0] == theirs


@pytest.mark.parametrize(
    "style", [style for style in STYLES if style.name != "timm-deep-stem"], ids=lambda each: each.name
)
@pytest.mark.parametrize("spec", RESNETS)
def test_every_style_is_recognised_and_undone(tmp_path: Path, spec: str, style: Style) -> None:
    architecture = archspec.load(spec)
    shapes = state(architecture.graph)
    content = {
        style.names(key)[0]: torch.empty(()).expand(shape).contiguous() for key, shape in shapes.items()
    }
    assert len(content) == len(shapes)
    first, second, *_ = fits(architecture, content)
    assert first.style is style
    assert first.found == first.wanted > second.found
    assert style_of(content) is style
    weights = read(tmp_path / "a.pth", content)
    assert renamed(architecture, weights, style.name).weights.shapes == shapes


def test_other_names_are_no_style() -> None:
    assert style_of({"encoder.weight": 1, "decoder.weight": 2}) is None
    assert style_of({"features.0.weight": 1, "classifier.0.weight": 2}) is STYLES[0]


@pytest.mark.parametrize(("spec", "shortcut"), [("akamaster/resnet20", "A"), ("cifar/resnet20", "B")])
def test_akamasters_networks_give_the_same_from_their_own_files(
    tmp_path: Path, spec: str, shortcut: str
) -> None:
    theirs = trained(LinearNet(3, shortcut))
    architecture = archspec.load(spec, settings=[f"defaults.shortcut={shortcut}"])
    weights = read(
        tmp_path / "a.th",
        {"state_dict": {f"module.{key}": each for key, each in theirs.state_dict().items()}},
    )
    found = renamed(architecture, weights)
    assert found.fit.style.name == "akamaster"
    assert "fc.weight is called linear.weight" in found.fit.reason or "shortcut" in found.fit.reason
    assert_same(architecture, theirs, found)


@pytest.mark.parametrize(
    ("spec", "layers", "bottleneck"),
    [("torchvision/resnet18", (2, 2, 2, 2), False), ("torchvision/resnet50", (3, 4, 6, 3), True)],
)
def test_facebooks_nested_containers_give_the_same_from_their_own_files(
    tmp_path: Path, spec: str, layers: tuple[int, ...], bottleneck: bool
) -> None:
    theirs = trained(nested(layers, bottleneck=bottleneck))
    architecture = archspec.load(spec, settings=["input.size=[32,32]"])
    found = renamed(architecture, read(tmp_path / "a.pth", theirs.state_dict()))
    assert found.fit.style.name == "facebook"
    assert_same(architecture, theirs, found)


def assert_same(architecture: Architecture, theirs: torch.nn.Module, found: Renamed) -> None:
    ours = archspec.build(architecture, init=False)
    tensors = matched(architecture, found.weights)
    ours.load_state_dict({key: torch.tensor(each) for key, each in tensors.items()}, strict=True)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(images)
        assert (ours.eval()(images) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_biases_of_zeros_that_the_spec_lacks_are_dropped_and_others_are_not(tmp_path: Path) -> None:
    architecture = archspec.load("cifar/resnet20")
    content = state_of(architecture)
    with_zeros = {**content, "conv1.bias": torch.zeros(16), "layer1.0.conv1.bias": torch.zeros(16)}
    found = renamed(architecture, read(tmp_path / "a.pth", with_zeros))
    assert found.dropped == ("conv1.bias", "layer1.0.conv1.bias")
    assert np.array_equal(matched(architecture, found.weights)["conv1.weight"], content["conv1.weight"])
    other = renamed(architecture, read(tmp_path / "b.pth", {**content, "conv1.bias": torch.ones(16)}))
    assert other.dropped == ()
    with pytest.raises(FileError, match=r"AS503 1 tensor is not in the spec: conv1\.bias"):
        matched(architecture, other.weights)


def test_keys_of_no_style_are_missing_by_our_names(tmp_path: Path) -> None:
    architecture = archspec.load("cifar/resnet20")
    found = renamed(architecture, read(tmp_path / "a.pth", {"a": torch.ones(1)}))
    with pytest.raises(FileError, match="97 tensors are missing") as caught:
        matched(architecture, found.weights)
    assert "1 tensor is not in the spec: a" in str(caught.value)


def test_a_tensor_under_our_name_and_another_under_theirs_is_not_lost(tmp_path: Path) -> None:
    architecture = archspec.load("akamaster/resnet20")
    content = {**LinearNet(3, "A").state_dict(), "fc.weight": torch.ones(10, 64)}
    found = renamed(architecture, read(tmp_path / "a.pth", content), "akamaster")
    with pytest.raises(FileError, match=r"AS503 1 tensor is not in the spec: fc\.weight \(in the file\)"):
        matched(architecture, found.weights)


def test_a_style_of_another_name_is_our_mistake(tmp_path: Path) -> None:
    weights = read(tmp_path / "a.pth", {"a": torch.ones(1)})
    with pytest.raises(ValueError, match="no key style"):
        renamed(archspec.load("cifar/resnet20"), weights, "akamster")
