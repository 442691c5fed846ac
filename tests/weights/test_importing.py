"""Import: from somebody's file to ours, with the proof that it is the same function."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
import torchvision
from torch import nn

import archspec
from archspec import provenance
from archspec.errors import FileError
from archspec.preprocessing import PRESETS
from archspec.weights.agreement import compared
from archspec.weights.describing import labels_from, preprocessing_from
from archspec.weights.files import checked, read_weights
from archspec.weights.importing import Facts, import_weights
from archspec.weights.match import matched
from archspec.weights.origins import UnknownOriginError, module_of
from tests.weights.making import LinearNet, images, small, state_of, trained, written

if TYPE_CHECKING:
    from pathlib import Path

SIZE = "input.size=[64,64]"


@pytest.fixture(scope="module")
def eighteen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of torchvision's resnet18, with random weights and statistics."""
    module = trained(torchvision.models.resnet18())
    return written(tmp_path_factory.mktemp("torchvision") / "resnet18.pth", module.state_dict())


@pytest.fixture(scope="module")
def fifty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module = trained(torchvision.models.resnet50())
    return written(tmp_path_factory.mktemp("torchvision") / "resnet50.pth", module.state_dict())


def test_torchvisions_weights_come_through_equal_and_proved(tmp_path: Path, eighteen: Path) -> None:
    architecture = archspec.load("torchvision/resnet18", settings=[SIZE])
    imported = import_weights(eighteen, architecture, against="torchvision:resnet18")
    assert imported.agreement is not None
    assert imported.agreement.first is None
    assert imported.agreement.same_top
    assert imported.ambiguous == ()  # the run has told
    assert list(imported.agreement.stages)[-2:] == ["fc", "the output"]
    assert {"conv1", "layer1", "layer2", "layer3", "layer4", "fc"} <= set(imported.agreement.stages)
    assert len(imported.agreement.layers) > 50
    imported.save(tmp_path / "a.safetensors")
    theirs = torchvision.models.resnet18()
    theirs.load_state_dict(torch.load(eighteen, weights_only=True))
    ours = archspec.build(architecture, init=False)
    tensors = matched(architecture, checked(read_weights(tmp_path / "a.safetensors")))
    ours.load_state_dict({key: torch.tensor(each) for key, each in tensors.items()}, strict=True)
    with torch.no_grad():
        assert torch.equal(ours.eval()(images(architecture)), theirs.eval()(images(architecture)))


def test_weights_of_a_later_version_are_refused_by_the_first_layer_that_differs(
    tmp_path: Path, fifty: Path
) -> None:
    architecture = archspec.load("resnet50", settings=[SIZE])
    with pytest.raises(FileError) as caught:
        import_weights(fifty, architecture, against="torchvision:resnet50")
    (found,) = caught.value.diagnostics
    assert found.code == "AS508"
    assert (
        "layer2.0.conv1 (2x128x8x8 here, 2x128x16x16 there) is the first layer that differs" in found.message
    )
    assert found.message.endswith("equal on 2 random images: conv1, bn1, relu, maxpool, layer1")
    assert "defaults.stride_on (1x1, or 3x3)" in found.hint
    # nothing but running it tells
    assert import_weights(fifty, architecture).ambiguous[0].field == "defaults.stride_on"


def test_a_difference_of_values_alone_is_seen_where_it_begins(eighteen: Path) -> None:
    architecture = archspec.load("torchvision/resnet18", settings=[SIZE, "norm.eps=1e-3"])
    with pytest.raises(FileError, match=r"bn1 \(relative error 0\.0.*\) is the first layer that differs"):
        import_weights(eighteen, architecture, against="torchvision:resnet18")


VGG = """\
format = 1
name = "tiny-vgg"
keys = "sequential"
input.size = [8, 8]
norm.kind = "none"
head.layers = [{ pool = "average", output = 2 }, { linear = 5, act = true, dropout = 0.5 }, { linear = 3 }]

[[stages]]
name = "conv1"
block = "conv"
width = 4
after = [{ pool = "max", size = 2 }]
"""


class Vgg(nn.Module):
    """The same with torchvision's names."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.avgpool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(nn.Linear(16, 5), nn.ReLU(), nn.Dropout(), nn.Linear(5, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def test_an_origin_that_cannot_run_at_the_specs_size_says_so(tmp_path: Path) -> None:
    (tmp_path / "vgg.toml").write_text(
        VGG.replace("[8, 8]", "[1, 1]").replace('after = [{ pool = "max", size = 2 }]', "")
    )
    architecture = archspec.load(tmp_path / "vgg.toml")
    path = written(tmp_path / "a.pth", state_of(architecture))

    class Refusing(Vgg):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("input height doesn't match model")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("archspec.weights.origins.module_of", lambda *_: Refusing())
        with pytest.raises(
            FileError, match="AS508 torchvision:x does not run on images of 3x1x1: input height"
        ):
            import_weights(path, architecture, against="torchvision:x")


def test_timms_deep_stem_is_held_against_the_right_layers(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    module = trained(timm.create_model("resnet50d"))
    path = written(tmp_path / "a.pth", module.state_dict())
    architecture = archspec.load("beyond/resnet50-d", settings=[SIZE])
    imported = import_weights(path, architecture, against="timm:resnet50d")
    assert imported.receipt["style"]["name"] == "timm-deep-stem"
    assert imported.agreement is not None
    assert {"conv1", "conv2", "bn3", "layer4"} <= set(imported.agreement.stages)


def test_vgg_is_compared_by_features_and_classifier(tmp_path: Path) -> None:
    (tmp_path / "vgg.toml").write_text(VGG)
    architecture = archspec.load(tmp_path / "vgg.toml")
    theirs = trained(Vgg())
    ours = archspec.build(architecture, init=False)
    ours.load_state_dict(theirs.state_dict())
    found = compared(ours, theirs, architecture.input_shape)
    assert found.first is None
    assert list(found.stages) == ["features", "avgpool", "classifier", "the output"]
    assert len(found.layers) == 3 + 1 + 4 + 3


def test_layers_that_run_several_times_are_left_out() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU(inplace=True)
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(self.conv(self.relu(x))).flatten(1)

    found = compared(Twice(), Twice(), (3, 4, 4))
    assert [layer.path for layer in found.layers] == ["conv", "the output"]
    assert found.first is not None
    assert found.first.path == "conv"
    same = Twice()
    assert compared(same, same, (3, 4, 4)).first is None


@pytest.mark.parametrize(
    "name", ["torchvision:resnet1", "timm:nothing-of-the-kind", "elsewhere:resnet18", "resnet18", ""]
)
def test_an_origin_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UnknownOriginError):
        module_of(name, archspec.load("torchvision/resnet18"))


def test_a_file_of_another_model_does_not_load_into_the_origin(eighteen: Path) -> None:
    with pytest.raises(FileError, match="AS503 the file does not load into torchvision:resnet34"):
        import_weights(eighteen, archspec.load("torchvision/resnet18"), against="torchvision:resnet34")


def test_the_receipt_says_what_was_done_and_no_folder(tmp_path: Path) -> None:
    theirs = trained(LinearNet(3, "A"))
    content = {
        f"module.{key}": each.half() if each.is_floating_point() else each
        for key, each in theirs.state_dict().items()
        if "num_b" not in key
    }
    path = written(tmp_path / "net.th", {"state_dict": content, "best_prec1": 91.7})
    architecture = archspec.load("akamaster/resnet20")
    output = tmp_path / "out" / "net.safetensors"
    receipt = import_weights(
        path, architecture, facts=Facts(origin="akamaster", license="BSD-2-Clause")
    ).save(output)
    assert receipt == tmp_path / "out" / "net.receipt.json"
    text = receipt.read_text()
    assert str(tmp_path) not in text
    said = json.loads(text)
    weights = checked(read_weights(output))
    assert said["source"]["file"] == "net.th"
    assert said["source"]["origin"] == "akamaster"
    assert said["source"]["remarks"] == [
        'read the tensors under "state_dict"',
        'the prefix "module." was taken off 97 keys',
    ]
    assert said["style"]["name"] == "akamaster"
    assert said["renamed"] == {"fc.weight": "linear.weight", "fc.bias": "linear.bias"}
    assert said["cast_to_float32"] == {"float16": 97}
    assert len(said["counters_set_to_zero"]) == 19
    assert said["spec"] == {"name": "resnet20", "function_hash": architecture.hash}
    assert said["comparison"] is None
    assert [each["field"] for each in said["ambiguous"]][:2] == ["defaults.pad", "defaults.subsample"]
    assert said["output"] == {"file": "net.safetensors", "sha256": weights.sha256}
    assert said["matched"]["sha256"] == weights.metadata[provenance.TENSORS]
    assert weights.metadata[provenance.WEIGHTS] == said["source"]["sha256"]
    assert weights.metadata[provenance.LICENSE] == "BSD-2-Clause"
    assert provenance.recalled(weights.metadata, "a").hash == architecture.hash


def test_an_import_is_the_same_every_time(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    path = written(tmp_path / "a.pth", state_of(architecture))
    for name in ("x", "y"):
        import_weights(path, architecture).save(tmp_path / name / "a.safetensors")
    for name in ("a.safetensors", "a.receipt.json"):
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


def test_a_file_that_carries_its_function_leaves_nothing_open(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    path = written(tmp_path / "a.pth", state_of(architecture))
    facts = Facts(license="MIT", labels=("a", "b", "c"), preprocessing=PRESETS["cifar10"])
    first = import_weights(path, architecture, facts=facts)
    assert first.ambiguous
    first.save(tmp_path / "a.safetensors")
    second = import_weights(tmp_path / "a.safetensors", architecture)
    assert not second.ambiguous
    kept = (provenance.LICENSE, provenance.LABELS, provenance.PREPROCESSING, provenance.FUNCTION)
    assert all(second.metadata[key] == first.metadata[key] for key in kept)


def test_a_file_that_was_changed_after_it_was_written_is_not_imported(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    path = tmp_path / "a.safetensors"
    import_weights(written(tmp_path / "a.pth", state_of(architecture)), architecture).save(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileError, match="AS507"):
        import_weights(path, architecture)


def test_a_save_that_fails_leaves_neither_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = small(tmp_path)
    imported = import_weights(written(tmp_path / "a.pth", state_of(architecture)), architecture)
    monkeypatch.setattr("archspec.weights.importing.json.dumps", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        imported.save(tmp_path / "out" / "a.safetensors")
    assert list((tmp_path / "out").iterdir()) == []


def test_labels_and_preprocessing_are_checked(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nétagère\n", encoding="utf-8")
    assert labels_from(labels, architecture) == ("cat", "dog", "étagère")
    assert preprocessing_from("cifar10", architecture).size == (8, 8)
    (tmp_path / "own.json").write_text(PRESETS["imagenet"].to_json())
    assert preprocessing_from(str(tmp_path / "own.json"), architecture) == PRESETS["imagenet"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"cat\ndog\n", "2 lines for 3 classes"),
        (b"cat\n\ndog\n", "line 2 is no label"),
        (b"cat\ndog\n" + b"x" * 300, "line 3 is no label"),
        (b"\xff\xfe", "cannot be read"),
        (b"a" * (2**20 + 1), "more than"),
    ],
)
def test_labels_that_make_no_sense_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(FileError, match=f"AS522 .*{said}"):
        labels_from(path, small(tmp_path))


@pytest.mark.parametrize("name", ["imagnet", "missing.json", "."])
def test_preprocessing_that_is_not_there_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="AS522"):
        preprocessing_from(name, small(tmp_path))
