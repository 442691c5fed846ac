"""Compiled detectors: our network in two parts inside torchvision's detection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from archspec.detection.build import REGION, SHARED, detector
from archspec.detection.load import load_detector
from archspec.detection.modules import RegionPool
from archspec.errors import FileError
from archspec.weights.files import read_weights, write_weights

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.detection.load import LoadedDetector
    from archspec.detection.modules import RegionDetector

SMALL = """\
format = 1
name = "small"
[detector]
backbone = "torchvision/resnet18"
set = [
  "stem.layers=[{ conv = 7, out = 8, stride = 2 }, { pool = 'max', size = 3, stride = 2, padding = 1 }]",
  "stage.conv2_x.width=8",
  "stage.conv3_x.width=12",
  "stage.conv4_x.width=16",
  "stage.conv5_x.width=24",
  "head.layers=[{ pool = 'average' }, { linear = 10 }]",
]
cut = "conv4_x"
frozen = ["conv1", "conv2_x"]
classes = ["cat", "dog"]
image = { shorter = [64], longest = 80 }
anchors = { sizes = [16, 32], ratios = [0.5, 1.0] }
proposals = { width = 8, keep_train = 20, keep_test = 10, sampled = 16 }
regions = { size = 4, sampled = 8 }
"""


SMALL_IMAGE = "input.size=[32, 32]"
THIN = "head.layers=[{ pool = 'average', output = 2 }, { linear = 8, act = true, dropout = 0.5 }, { linear = 3 }]"


def small(folder: Path, *settings: str) -> LoadedDetector:
    """A detector that runs in a blink."""
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    return load_detector(folder / "small.toml", settings)


def images(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    """Pictures of some sizes."""
    return [torch.rand(3, *size) for size in sizes]


def targets() -> list[dict[str, torch.Tensor]]:
    """One picture with an object and one without."""
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    return [{"boxes": torch.tensor([[4.0, 4, 40, 30]]), "labels": torch.tensor([2])}, none]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def norms(module: torch.nn.Module) -> list[torch.nn.BatchNorm2d]:
    """The batch normalisations in a module."""
    return [each for each in module.modules() if isinstance(each, torch.nn.BatchNorm2d)]


def state(made: RegionDetector) -> dict[str, torch.Tensor]:
    """A copy of all tensors."""
    return {key: value.clone() for key, value in made.state_dict().items()}


@pytest.mark.parametrize("kind", ["pool", "align"])
def test_it_takes_pictures_of_several_sizes_and_learns_from_them(tmp_path: Path, kind: str) -> None:
    made = detector(small(tmp_path, f"detector.regions.kind={kind}"))
    losses = made(images((64, 80), (50, 40)), targets())
    assert sorted(losses) == ["loss_box_reg", "loss_classifier", "loss_objectness", "loss_rpn_box_reg"]
    sum(losses.values()).backward()
    trained = {key: each for key, each in made.named_parameters() if each.requires_grad}
    assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in trained.values())
    assert made.eval().labels == ("background", "cat", "dog")
    for found, size in zip(made(images((64, 80), (50, 40))), [(64, 80), (50, 40)], strict=True):
        assert set(found) == {"boxes", "labels", "scores"}
        assert set(found["labels"].tolist()) <= {1, 2}
        assert bool((found["boxes"] <= torch.tensor([size[1], size[0]] * 2) + 1e-3).all())


def test_what_is_frozen_is_not_trained_and_statistics_stay(tmp_path: Path) -> None:
    made = detector(small(tmp_path))
    before = state(made)
    optimiser = torch.optim.SGD([each for each in made.parameters() if each.requires_grad], lr=0.1)
    assert made.training
    sum(made(images((64, 80), (50, 40)), targets()).values()).backward()
    optimiser.step()
    changed = {key for key, value in made.state_dict().items() if not torch.equal(value, before[key])}
    assert not [key for key in changed if ".bn" in key or "downsample.1" in key]
    assert not [key for key in changed if key.startswith((f"{SHARED}.conv1", f"{SHARED}.layer1"))]
    assert {f"{SHARED}.layer2.0.conv1.weight", f"{REGION}.layer4.0.conv1.weight"} <= changed


@pytest.mark.parametrize(
    ("kind", "affine", "running"), [("frozen", 0, 0), ("statistics", 15, 0), ("trained", 15, 15)]
)
def test_batch_norm_is_fixed_as_far_as_it_is_said(
    tmp_path: Path, kind: str, affine: int, running: int
) -> None:
    # 20 in all, and the 5 of what is frozen stay fixed
    made = detector(small(tmp_path, f"detector.batch_norm={kind}")).eval().train()
    assert len(norms(made)) == 20
    assert sum(each.training for each in norms(made)) == running
    assert sum(each.weight.requires_grad for each in norms(made)) == affine


def test_keys_are_the_networks_own_behind_two_prefixes(tmp_path: Path) -> None:
    loaded = small(tmp_path)
    whole = archspec.build(loaded.architecture).state_dict()
    held = detector(loaded).state_dict()
    mine = [key.removeprefix(f"{SHARED}.") for key in held if key.startswith(f"{SHARED}.")]
    mine += [key.removeprefix(f"{REGION}.") for key in held if key.startswith(f"{REGION}.")]
    assert mine == [key for key in whole if not key.startswith("fc.")]


def test_weights_of_classification_fill_it(tmp_path: Path) -> None:
    loaded = small(tmp_path)
    network = archspec.build(loaded.architecture).eval()
    tensors = {key: value.numpy() for key, value in network.state_dict().items()}
    write_weights(tmp_path / "a.safetensors", tensors, {})
    made = detector(loaded, read_weights(tmp_path / "a.safetensors")).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        whole = made.roi_heads.box_head(made.backbone(image))
        # nothing is pooled between them here, so the parts in a row are the network without its last layer
        assert torch.equal(network.fc(whole), network(image))
    del tensors["layer4.0.conv1.weight"]
    write_weights(tmp_path / "b.safetensors", tensors, {})
    with pytest.raises(FileError, match="AS503"):
        detector(loaded, read_weights(tmp_path / "b.safetensors"))


@pytest.mark.parametrize(
    ("backbone", "cut", "settings"),
    [
        ("cifar/resnet20", "conv3_x", ()),
        ("cifar/plain20", "conv4_x", ()),
        ("beyond/preact-resnet110", "conv3_x", ("params.n=1",)),
        ("beyond/mobilenetv2", "bottleneck4", (SMALL_IMAGE,)),
        ("torchvision/vgg16", "conv3", (SMALL_IMAGE, THIN, "stage.conv4.width=8", "stage.conv5.width=8")),
    ],
)
def test_the_parts_in_a_row_are_the_network_without_its_last_layer(
    tmp_path: Path, backbone: str, cut: str, settings: tuple[str, ...]
) -> None:
    said = "".join(f'"{each}", ' for each in settings)
    text = f'format = 1\nname = "a"\n[detector]\nbackbone = "{backbone}"\nset = [{said}]\ncut = "{cut}"\nclasses = 1\n'
    (tmp_path / "a.toml").write_text(f"{text}regions.size = 8\n", encoding="utf-8")
    loaded = load_detector(tmp_path / "a.toml")
    network = archspec.build(loaded.architecture).eval()
    tensors = {key: value.numpy() for key, value in network.state_dict().items()}
    write_weights(tmp_path / "a.safetensors", tensors, {})
    made = detector(loaded, read_weights(tmp_path / "a.safetensors")).eval()
    image = torch.rand(1, *loaded.architecture.input_shape)
    last = [key for key, each in network.named_modules() if isinstance(each, torch.nn.Linear)][-1]
    with torch.no_grad():
        shared = made.backbone(image)
        if backbone == "torchvision/vgg16":  # a pool gave way there
            shared = torch.nn.functional.max_pool2d(shared, 2)
        values = made.roi_heads.box_head(shared)
        assert torch.equal(network.get_submodule(last)(values), network(image))


def test_one_seed_makes_one_detector(tmp_path: Path) -> None:
    loaded = small(tmp_path)
    torch.manual_seed(1)
    first = state(detector(loaded))
    torch.manual_seed(1)
    second = detector(loaded).state_dict()
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_vgg_is_cut_behind_its_last_convolution_and_its_fully_connected_layers_are_the_head() -> None:
    with torch.device("meta"):
        made = detector(load_detector("faster-rcnn-vgg16"), init=False)
    assert list(made.backbone.features._modules) == [str(place) for place in range(30)]
    assert isinstance(made.backbone.features[-1], torch.nn.ReLU)
    assert [
        each.out_features for each in made.roi_heads.box_head.modules() if isinstance(each, torch.nn.Linear)
    ] == [
        4096,
        4096,
    ]
    assert next(iter(made.roi_heads.box_head.state_dict())) == "classifier.0.weight"


def test_a_chain_is_cut_in_its_middle_under_the_keys_it_has(tmp_path: Path) -> None:
    text = SMALL.partition("backbone")[0] + (
        'backbone = "torchvision/vgg16"\ncut = "conv4"\nclasses = 1\nregions.size = 14\n'
    )
    (tmp_path / "vgg.toml").write_text(text, encoding="utf-8")
    with torch.device("meta"):
        made = detector(load_detector(tmp_path / "vgg.toml"), init=False)
    assert list(made.backbone.features._modules)[-1] == "22"
    # 23 is the pool that gave way to the pooling of regions
    assert next(iter(made.roi_heads.box_head.features._modules)) == "24"


@pytest.mark.parametrize("kind", ["pool", "align"])
def test_a_region_is_pooled_where_it_lies(kind: str) -> None:
    shared = torch.zeros(1, 1, 8, 8)
    shared[0, 0, 2:4, 4:6] = 1.0
    pool = RegionPool("pool" if kind == "pool" else "align", 2, 16, 2)
    there, elsewhere = torch.tensor([[64.0, 32, 96, 64]]), torch.tensor([[0.0, 80, 32, 112]])
    if kind == "pool":  # whole positions, the last one with it
        there = there - torch.tensor([0.0, 0, 16, 16])
    found = pool({"0": shared}, [torch.cat([there, elsewhere])], [(128, 128)])
    assert found.shape == (2, 1, 2, 2)
    assert bool((found[0] >= 0.5).all())
    assert found[1].abs().max() == 0


def test_an_anchor_stands_at_every_place_of_the_map(tmp_path: Path) -> None:
    made = detector(small(tmp_path)).eval()
    listed, _ = made.transform(images((50, 70)))
    assert [side % 16 for side in listed.tensors.shape[-2:]] == [0, 0]
    shared = made.backbone(listed.tensors)
    (anchors,) = made.rpn.anchor_generator(listed, [shared])
    assert len(anchors) == shared.shape[2] * shared.shape[3] * 4
    middles = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert middles[-1].tolist() == [16.0 * (shared.shape[3] - 1), 16.0 * (shared.shape[2] - 1)]
