"""Against networks that others wrote: a hand-written reference in plain PyTorch, and torchvision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torchvision
from torch import nn

import archspec
from tests.backends.conftest import calibrate, images
from tests.conftest import architecture
from tests.reference.mobile import MobileNetV2
from tests.reference.resnet import CifarResNet, ResNet
from tests.reference.vgg import VGG

if TYPE_CHECKING:
    from collections.abc import Callable

D18, D34, D50 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3)
REFERENCES: dict[str, Callable[[], nn.Module]] = {
    "specs/plain18.toml": lambda: ResNet(D18, block="basic", shortcut="none"),
    "specs/plain34.toml": lambda: ResNet(D34, block="basic", shortcut="none"),
    "specs/resnet18.toml": lambda: ResNet(D18, block="basic", shortcut="A"),
    "specs/resnet34.toml": lambda: ResNet(D34, block="basic", shortcut="A"),
    "specs/resnet34-b.toml": lambda: ResNet(D34, block="basic", shortcut="B"),
    "specs/resnet34-c.toml": lambda: ResNet(D34, block="basic", shortcut="C"),
    "specs/resnet50.toml": lambda: ResNet(D50),
    "specs/resnet152.toml": lambda: ResNet((3, 8, 36, 3)),
    "specs/vgg16.toml": lambda: VGG(16),
    "specs/cifar/resnet20.toml": lambda: CifarResNet(3),
    "specs/cifar/resnet110.toml": lambda: CifarResNet(18),
    "specs/cifar/plain56.toml": lambda: CifarResNet(9, shortcut="none"),
    "specs/akamaster/resnet20.toml": lambda: CifarResNet(3, pad="both"),
    "specs/caffe/resnet50.toml": lambda: ResNet(D50, pool="ceil", conv1_bias=True),
    "specs/caffe/resnet101.toml": lambda: ResNet((3, 4, 23, 3), pool="ceil"),
    "specs/beyond/preact-resnet50.toml": lambda: ResNet(D50, order="pre"),
    "specs/beyond/se-resnet50.toml": lambda: ResNet(D50, se=True),
}
TORCHVISION = {
    **{f"specs/torchvision/resnet{depth}.toml": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{f"specs/torchvision/vgg{depth}.toml": f"vgg{depth}" for depth in (16, 19)},
    "specs/beyond/resnext50-32x4d.toml": "resnext50_32x4d",
    "specs/beyond/wide-resnet50-2.toml": "wide_resnet50_2",
}


def _same_outputs(spec: str, reference: nn.Module, weights: dict[str, Any], batch: torch.Tensor) -> None:
    live = archspec.build(spec)
    live.load_state_dict(weights, strict=True)
    with torch.no_grad():
        ours, theirs = live.eval()(batch), reference.eval()(batch)
    # outputs that hardly depend on the image would prove nothing about early layers
    assert (theirs[0] - theirs[1]).abs().max() > 1e-3 * theirs.abs().max()
    if "caffe" in spec:
        # pool5 is a 7x7 window there; torch sums a window and a whole map in different orders
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    else:
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("spec", REFERENCES)
def test_a_hand_written_network_gives_the_same_outputs(spec: str) -> None:
    torch.manual_seed(0)
    reference = REFERENCES[spec]()
    batch = images(architecture(spec))
    calibrate(reference, batch)
    _same_outputs(spec, reference, reference.state_dict(), batch)


@pytest.mark.parametrize("spec", TORCHVISION)
def test_torchvisions_weights_load_by_key_and_give_its_outputs(spec: str) -> None:
    torch.manual_seed(0)
    reference: nn.Module = torchvision.models.get_model(TORCHVISION[spec], weights=None)
    batch = images(architecture(spec))
    calibrate(reference, batch)
    _same_outputs(spec, reference, reference.state_dict(), batch)


@pytest.mark.parametrize(
    "make",
    [MobileNetV2, lambda: torchvision.models.mobilenet_v2(weights=None)],
    ids=["reference", "torchvision"],
)
def test_mobilenet_takes_weights_in_order(make: Callable[[], nn.Module]) -> None:
    spec = "specs/beyond/mobilenetv2.toml"
    torch.manual_seed(0)
    reference = make()
    batch = images(architecture(spec))
    calibrate(reference, batch)
    keys = archspec.build(spec).state_dict()
    moved = dict(zip(keys, reference.state_dict().values(), strict=True))
    _same_outputs(spec, reference, moved, batch)


@pytest.mark.parametrize(
    ("spec", "other"),
    [
        ("specs/resnet50.toml", lambda: ResNet(D50, stride_on="3x3")),
        ("specs/caffe/resnet101.toml", lambda: ResNet((3, 4, 23, 3), pool="floor")),
        ("specs/akamaster/resnet20.toml", lambda: CifarResNet(3, pad="end")),
        ("specs/resnet34.toml", lambda: ResNet(D34, block="basic", shortcut="none")),
    ],
    ids=["stride", "pool", "pad", "plain"],
)
def test_weights_alone_do_not_make_the_function(spec: str, other: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    reference = other()
    batch = images(architecture(spec))
    calibrate(reference, batch)
    live = archspec.build(spec)
    live.load_state_dict(reference.state_dict(), strict=True)
    with torch.no_grad():
        ours, theirs = live.eval()(batch), reference(batch)
    assert not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_initialisation_has_the_stated_spread() -> None:
    torch.manual_seed(0)
    weight = archspec.build("specs/torchvision/resnet18.toml").get_parameter("layer4.1.conv2.weight")
    assert weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    fan_in = archspec.load("specs/torchvision/resnet18.toml", settings=["init.conv=he-normal-fan-in"])
    weight = archspec.build(fan_in).get_parameter("layer4.0.conv1.weight")
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.01)
    xavier = archspec.load("specs/torchvision/resnet18.toml", settings=["init.conv=xavier-normal"])
    weight = archspec.build(xavier).get_parameter("layer4.0.conv1.weight")
    assert weight.std().item() == pytest.approx((2 / (256 * 9 + 512 * 9)) ** 0.5, rel=0.01)
