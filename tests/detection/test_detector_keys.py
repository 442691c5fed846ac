"""Keys and shapes without torch, what is a detector, and what tells two apart."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from archspec.detection.build import detector
from archspec.detection.differences import differences
from archspec.detection.keys import shapes
from archspec.detection.kind import declares_detector, is_detector
from archspec.detection.load import detector_names, load_detector
from archspec.spec.documents import parse
from archspec.spec.library import shipped_detectors, shipped_names, spec_folder

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.compare import Comparison
    from archspec.detection.load import LoadedDetector

SMALL = "faster-rcnn-resnet18-shapes"
CONTEXT = "detector.regions.context=true"
MINIMAL = 'format = 1\nname = "x"\n[detector]\nbackbone = "resnet18"\ncut = "conv4_x"\nclasses = 1\n'


@cache
def loaded(name: str, *settings: str) -> LoadedDetector:
    """A detector, read once."""
    return load_detector(name, settings)


@pytest.mark.parametrize(
    ("name", "settings"), [*((each, ()) for each in detector_names()), (SMALL, (CONTEXT,))]
)
def test_shapes_are_those_of_the_module_in_its_order(name: str, settings: tuple[str, ...]) -> None:
    with torch.device("meta"):
        module = detector(loaded(name, *settings), init=False)
    own = [(key, tuple(tensor.shape)) for key, tensor in module.state_dict().items()]
    assert list(shapes(loaded(name, *settings)).items()) == own


class TestKind:
    """What is a detector is found without reading it as one."""

    def test_every_shipped_one_is_and_no_network(self) -> None:
        assert detector_names() == shipped_detectors()
        assert all(is_detector(name) for name in detector_names())
        assert all(is_detector(spec_folder() / "detection" / f"{name}.toml") for name in detector_names())
        assert not any(is_detector(name) for name in shipped_names())
        assert set(detector_names()).isdisjoint(shipped_names())

    @pytest.mark.parametrize("name", ["nothing", "-", ".", "", "\0", "a\nb"])
    def test_what_cannot_be_read_is_none(
        self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert not is_detector(name)

    @pytest.mark.parametrize(
        ("text", "is_one"),
        [
            (MINIMAL, True),
            ('extends = "base.toml"\n', True),
            ('extends = "base.toml"\n[stage.conv4_x]\ndepth = 2\n', True),
            ('extends = "base.toml"\n[[stages]]\nname = "a"\n', False),
            ('extends = "gone.toml"\n', False),
            ('extends = "x.toml"\n', False),
            ("extends = 3\n", False),
            ("detector = [\n", False),
            ('about = "[detector]"\n', False),
        ],
    )
    def test_a_file_that_extends_one_is_one(self, text: str, is_one: bool, tmp_path: Path) -> None:
        (tmp_path / "base.toml").write_text(MINIMAL)
        (tmp_path / "x.toml").write_text(text)
        assert is_detector(tmp_path / "x.toml") is is_one

    def test_a_file_outside_is_looked_at_only_where_that_is_allowed(self, tmp_path: Path) -> None:
        (tmp_path / "base.toml").write_text(MINIMAL)
        inner = tmp_path / "inner"
        inner.mkdir()
        (inner / "x.toml").write_text('extends = "../base.toml"\n')
        assert not is_detector(inner / "x.toml")
        assert is_detector(inner / "x.toml", allow_outside=True)

    def test_a_runs_folder_does_not_hide_what_ships(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / SMALL).mkdir()
        (tmp_path / "resnet18").mkdir()
        assert is_detector(SMALL)
        assert archspec.load("resnet18").name == "resnet18"

    def test_a_network_is_not_followed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("archspec.spec.inherit.read", lambda _: pytest.fail("a file was read"))
        document = parse(b'extends = "far.toml"\n[defaults]\nblock = "basic"\n', "x", None)
        assert not declares_detector(document)


class TestALoaderOfNetworks:
    """A detector is named as what it is, once, with its network."""

    @pytest.mark.parametrize("name", ["faster-rcnn-vgg16", "detection/faster-rcnn-vgg16"])
    def test_refuses_a_detector(self, name: str) -> None:
        with pytest.raises(archspec.SpecError) as caught:
            archspec.load(name)
        (found,) = caught.value.diagnostics
        assert (found.code, found.message) == ("AS101", "this is a detector, and a network's spec is needed")
        assert found.hint == 'its network is "vgg16"'
        assert found.span.file.endswith("faster-rcnn-vgg16.toml")
        assert caught.value.texts[found.span.file].split("\n")[found.span.line - 1] == "[detector]"

    def test_says_that_the_network_is_changed(self) -> None:
        with pytest.raises(archspec.SpecError) as caught:
            archspec.load(SMALL)
        assert caught.value.diagnostics[0].hint.endswith('"resnet18-b" with the changes of detector.set')

    @pytest.mark.parametrize(
        "text", ["[detector]\n", "[detector]\nbackbone = 3\n", 'detector.backbone = "\\u001b[31m"\n']
    )
    def test_needs_no_valid_one(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "x.toml").write_text(text)
        with pytest.raises(archspec.SpecError) as caught:
            archspec.load(tmp_path / "x.toml")
        assert [each.code for each in caught.value.diagnostics] == ["AS101"]

    def test_still_calls_a_key_of_no_table_unknown(self) -> None:
        with pytest.raises(archspec.SpecError, match='unknown key "detector"'):
            archspec.load("resnet18", settings=["detector=3"])


def _found(*settings: str) -> Comparison:
    return differences(loaded(SMALL), loaded(SMALL, *settings))


class TestDifferences:
    """Fields, counts, keys."""

    def test_of_one_detector_there_are_none(self) -> None:
        found = _found()
        assert (found.fields, found.rows, found.same_function, found.loads) == ((), (), True, True)

    def test_a_field_that_no_weights_show(self) -> None:
        found = _found("detector.detections.nms=0.5")
        assert [(each.name, each.left, each.right) for each in found.fields] == [
            ("detector.detections.nms", 0.3, 0.5)
        ]
        assert (found.rows, found.loads, found.same_function) == ((), True, False)

    def test_a_name_alone_makes_no_other_detector(self) -> None:
        assert _found("name=other").same_function

    def test_more_classes_change_the_predictor_alone(self) -> None:
        found = _found("detector.classes=4")
        assert [row.name for row in found.rows] == ["predictor cls_score", "predictor bbox_pred"]
        assert {key.rpartition(".")[0] for key in found.other_shape} == {
            "roi_heads.box_predictor.cls_score",
            "roi_heads.box_predictor.bbox_pred",
        }
        assert not found.loads

    def test_another_network_is_told_by_its_own_fields(self) -> None:
        found = differences(loaded("faster-rcnn-resnet50"), loaded("faster-rcnn-resnet101"))
        assert ("network.stages.conv4_x.depth", 6, 23) in [
            (each.name, each.left, each.right) for each in found.fields
        ]
        assert found.only_left == ()
        # 17 blocks of 3 convolutions with 5 tensors of normalisation each
        assert len(found.only_right) == 17 * 3 * 6
        assert [row.name for row in found.rows] == ["shared conv4_x"]

    def test_another_cut_moves_keys(self) -> None:
        found = _found("detector.cut=conv4_x")
        assert any(key.startswith("roi_heads.box_head.layer3.") for key in found.only_left)
        assert any(key.startswith("backbone.layer3.") for key in found.only_right)
