"""Heads as convolutions: the same function at the network's own size, a sliding window at others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import archspec
from archspec.train.convolutional import fully_convolutional
from archspec.train.scores import Untestable
from tests.train.nets import HEADS, TOP, VGG, load, net, normal, pixels

if TYPE_CHECKING:
    from pathlib import Path


REFUSED = {
    "fixed pool": (VGG + '[head]\nlayers = [{ pool = "average", output = 3 }, { linear = 7 }]\n', "one size"),
    "no linear layer": (
        TOP + '[head]\nlayers = [{ conv = 1, out = 7 }, { pool = "average" }]\n',
        "no linear",
    ),
    "fixed pool inside": (
        TOP + '[head]\nlayers = [{ pool = "average", output = 4 }, { conv = 1, out = 6 }, { linear = 7 }]\n',
        "one size",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("specs")


@pytest.mark.parametrize("head", HEADS)
def test_at_its_own_size_the_fully_convolutional_form_computes_the_same(folder: Path, head: str) -> None:
    made = net(folder, head)
    images = torch.randn(3, *made.architecture.input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, found = made.module(images), fully_convolutional(made.module, made.architecture)(images)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("head", ["no pool", "vgg", "torchvision's vgg", "oblong"])
def test_a_head_without_a_pool_slides_over_the_map(folder: Path, head: str) -> None:
    made = net(folder, head)
    dense = fully_convolutional(made.module, made.architecture)
    images = normal(pixels(24, 28))
    with torch.no_grad():
        maps = dense.body(images)
        h, w = dense.window
        layers = [each for each in made.module.modules() if isinstance(each, nn.Linear)]
        scores = []
        for top in range(maps.shape[2] - h + 1):
            for left in range(maps.shape[3] - w + 1):
                values = maps[:, :, top : top + h, left : left + w].flatten(1)
                for place, layer in enumerate(layers):
                    values = layer(values)
                    values = F.relu(values) if place < len(layers) - 1 else values
                scores.append(values)
        found = dense(images)
    assert len(scores) > 4
    torch.testing.assert_close(found, torch.stack(scores).mean(0), atol=1e-5, rtol=1e-4)


def test_a_linear_head_behind_a_global_pool_scores_every_position(folder: Path) -> None:
    made = net(folder)
    dense = fully_convolutional(made.module, made.architecture)
    images = normal(pixels(24, 28))
    with torch.no_grad():
        positions = dense.body(images).flatten(2).permute(0, 2, 1)  # (N, positions, C)
        wanted = made.module.get_submodule("fc")(positions).mean(1)
        torch.testing.assert_close(dense(images), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(dense(images), made.module(images), atol=1e-5, rtol=1e-4)


def test_weights_are_shared_and_follow_the_network(folder: Path) -> None:
    made = net(folder, "vgg")
    dense = fully_convolutional(made.module, made.architecture)
    mine = {each.data_ptr() for each in made.module.parameters()}
    assert {each.data_ptr() for each in dense.parameters()} == mine
    images = normal(pixels())
    with torch.no_grad():
        before = dense(images)
        made.module.get_submodule("classifier.5").bias.add_(1)  # type: ignore[operator]
        torch.testing.assert_close(dense(images), before + 1)


@pytest.mark.parametrize("case", REFUSED)
def test_other_heads_are_refused_with_the_reason(folder: Path, case: str) -> None:
    text, reason = REFUSED[case]
    architecture = load(folder, text)
    with pytest.raises(Untestable, match=reason) as caught:
        fully_convolutional(archspec.build(architecture), architecture)
    assert "single and ten crops" in caught.value.hint


def test_an_image_that_is_too_small_for_the_head_is_refused(folder: Path) -> None:
    made = net(folder, "vgg")
    with pytest.raises(Untestable, match="14x20 makes a map of 3x5, and the head needs at least 4x4"):
        fully_convolutional(made.module, made.architecture)(torch.zeros(1, 3, 14, 20))


def test_a_network_of_another_spec_is_refused(folder: Path) -> None:
    with pytest.raises(Untestable, match="not of this spec"):
        fully_convolutional(net(folder).module, net(folder, "vgg").architecture)


@pytest.mark.parametrize(
    "spec", ["resnet50", "caffe/resnet50", "vgg16", "torchvision/vgg16", "beyond/mobilenetv2"]
)
def test_shipped_networks_have_a_fully_convolutional_form(spec: str) -> None:
    architecture = archspec.load(spec)
    with torch.device("meta"):
        dense = fully_convolutional(archspec.build(architecture, init=False), architecture).eval()
        assert dense(torch.empty(2, 3, 256, 320)).shape == (2, 1000)
