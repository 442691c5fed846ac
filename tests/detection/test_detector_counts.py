"""What detectors cost, by three witnesses; and the paper's cut of ResNet-101."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
import torch

from archspec.detection.build import detector
from archspec.detection.counts import counted
from archspec.detection.load import detector_names, load_detector
from archspec.detection.witness import hear

if TYPE_CHECKING:
    from archspec.detection.load import LoadedDetector

TINY = (64, 96)


@cache
def loaded(name: str) -> LoadedDetector:
    """A detector, read once."""
    return load_detector(name)


@pytest.mark.parametrize("name", detector_names())
class TestWitnesses:
    """The graph's integers against those of others."""

    def test_torch_counts_the_same_at_full_size(self, name: str) -> None:
        assert hear(loaded(name), "torch") == hear(loaded(name), "graph")

    def test_fvcore_counts_the_same_on_a_small_image(self, name: str) -> None:
        assert hear(loaded(name), "fvcore", TINY) == hear(loaded(name), "graph", TINY)

    def test_the_parts_add_up(self, name: str) -> None:
        counts = counted(loaded(name))
        assert counts.with_regions(300) == counts.per_image + 300 * counts.per_region
        assert sum(row.counts.macs for part in counts.parts for row in part.rows) == (
            counts.per_image + counts.per_region
        )


@pytest.mark.parametrize(
    ("name", "parameters", "per_image", "per_region"),
    [
        ("faster-rcnn-vgg16", 137_073_622, 188_626_553_856, 119_967_744),
        ("faster-rcnn-resnet50", 28_465_366, 49_060_730_880, 732_383_232),
        ("faster-rcnn-resnet101", 47_457_494, 94_402_861_056, 732_383_232),
    ],
)
def test_these_are_the_counts_at_600_pixels(
    name: str, parameters: int, per_image: int, per_region: int
) -> None:
    counts = counted(loaded(name))
    assert counts.size == (600, 1000)
    assert (counts.parameters, counts.per_image, counts.per_region) == (parameters, per_image, per_region)


def test_the_classifier_alone_is_missing_from_the_network() -> None:
    # ResNet-101 has 44,549,160 with its 2,049,000 of the classifier
    counts = counted(loaded("faster-rcnn-resnet101"))
    kept = sum(counts.part(name).counts.params for name in ("shared", "region"))
    assert kept == loaded("faster-rcnn-resnet101").architecture.measure.total.params - 2_049_000
    assert counts.part("predictor").counts.params == 2049 * 21 * 5
    assert counts.part("proposals").counts.params == 512 * (9 * 1024 + 1) + 513 * 9 * 5


def test_resnet_101_shares_91_convolutions_at_stride_16() -> None:
    detector_ = loaded("faster-rcnn-resnet101")
    shared = counted(detector_).part("shared")
    assert (shared.counts.layers, detector_.parts.stride, shared.output) == (91, 16, (1024, 38, 63))
    with torch.device("meta"):
        made = detector(detector_, init=False)
    found = [key for key, each in made.backbone.named_modules() if isinstance(each, torch.nn.Conv2d)]
    assert len([key for key in found if "downsample" not in key]) == 91
    assert [row.name for row in shared.rows] == ["conv1", "maxpool", "conv2_x", "conv3_x", "conv4_x"]
    assert [row.name for row in counted(detector_).part("region").rows] == ["conv5_x", "avgpool", "fc"]


def test_shared_features_are_those_of_torchvisions_resnet_101() -> None:
    import torchvision

    with torch.device("meta"):
        theirs = torchvision.models.resnet101(weights=None).eval()
        loaded_ = load_detector("faster-rcnn-resnet101", ["detector.backbone=torchvision/resnet101"])
        ours = detector(loaded_, init=False).eval()
    held = random(theirs.state_dict())
    theirs.load_state_dict(held, assign=True)
    shared, region = ours.backbone, ours.roi_heads.box_head
    for part in (shared, region):
        part.load_state_dict({key: held[key] for key in part.state_dict()}, assign=True)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        features = theirs.layer3(theirs.layer2(theirs.layer1(x)))
        assert features.shape == (1, 1024, 4, 4)
        assert features.std() > 0.1
        # bit for bit
        assert torch.equal(shared(image), features)
        assert torch.equal(region(features), theirs.avgpool(theirs.layer4(features)).flatten(1))


def random(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Values that keep maps in bounds; statistics too, since fresh ones (0 and 1) hide a norm that is left out."""
    torch.manual_seed(0)
    made = {}
    for key, each in state.items():
        if each.dim() > 1:
            bound = (3 / each[0].numel()) ** 0.5
            made[key] = torch.empty(each.shape).uniform_(-bound, bound)
        elif key.endswith("num_batches_tracked"):
            made[key] = torch.zeros((), dtype=torch.long)
        else:
            low, high = (0.5, 1.0) if key.endswith(("weight", "var")) else (-0.1, 0.1)
            made[key] = torch.empty(each.shape).uniform_(low, high)
    return made
