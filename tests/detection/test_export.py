"""Detectors as ONNX files: onnxruntime finds the boxes that torchvision finds, and a wrong file is not left behind."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch

from archspec import provenance
from archspec.backends.onnx.write import Form
from archspec.deploy.session import open_session
from archspec.deploy.verify import loaded as read_model
from archspec.detection import stored
from archspec.detection.build import detector
from archspec.detection.onnx import boxes as onnx_boxes
from archspec.detection.onnx import parts as onnx_parts
from archspec.detection.onnx import proof as onnx_proof
from archspec.detection.onnx.boxes import cell
from archspec.detection.onnx.export import IMAGE, Order, export
from archspec.detection.onnx.proof import live, random
from archspec.detection.onnx.steps import Boxes, alike, boxes, image
from archspec.detection.onnx.verify import verify_detector
from archspec.errors import FileError
from archspec.weights.files import read_weights, write_weights
from tests.cli.running import cli
from tests.detection.test_detector_build import SMALL_IMAGE, THIN, small

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archspec.detection.load import LoadedDetector
    from tests.cli.running import Result

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture

FORM = Form(dynamic_size=True)
OUTPUTS = ["boxes", "scores", "labels"]
KINDS = ["detector.regions.kind=pool", "detector.regions.kind=align"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


_DRAWN: dict[str, dict[str, Any]] = {}


def weights(loaded: LoadedDetector) -> dict[str, Any]:
    """Random weights, drawn once."""
    if loaded.digest not in _DRAWN:
        _DRAWN[loaded.digest] = random(loaded)
    return dict(_DRAWN[loaded.digest])


@pytest.fixture(autouse=True)
def _drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_proof, "random", weights)


def pixels(height: int, width: int, channels: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, channels), np.uint8)


def vgg(folder: Path) -> LoadedDetector:
    """Its last layers are fully connected, with dropout between them."""
    from archspec.detection.load import load_detector

    settings = json.dumps([SMALL_IMAGE, THIN.replace("'", '"'), "stage.conv4.width=8", "stage.conv5.width=8"])
    text = f'format = 1\nname = "thin-vgg"\n[detector]\nbackbone = "torchvision/vgg16"\nset = {settings}\n'
    text += 'cut = "conv3"\nclasses = 3\nimage = { shorter = [40], longest = 64 }\nregions = { size = 8 }\n'
    text += "anchors = { sizes = [8, 16] }\nproposals = { width = 8, keep_test = 20 }\n"
    (folder / "vgg.toml").write_text(text, encoding="utf-8")
    return load_detector(folder / "vgg.toml")


def found_by(model: onnx.ModelProto, picture: np.ndarray[Any, Any]) -> Boxes:
    session = open_session(model.SerializeToString(), threads=1)
    return Boxes(*session.run(OUTPUTS, {"image": picture}))


def found_in_torch(loaded: LoadedDetector, tensors: Any, picture: np.ndarray[Any, Any]) -> Boxes:
    with torch.inference_mode():
        return boxes(live(loaded, tensors)([image(picture)])[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 80), (50, 40), (31, 97), (64, 64)])
def test_the_whole_detector_finds_what_torchvision_finds(
    tmp_path: Path, kind: str, size: tuple[int, int]
) -> None:
    loaded = small(tmp_path, kind)
    tensors = weights(loaded)
    wanted = found_in_torch(loaded, tensors, pixels(*size))
    found = found_by(onnx_parts.made("detector", loaded, tensors, FORM).model, pixels(*size))
    assert len(wanted.boxes)
    assert found.labels.dtype == np.int64
    assert alike(found, wanted, 1e-2, 1e-4) == 1
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.parametrize("settings", [(KINDS[0],), (KINDS[1],), (KINDS[1], "detector.regions.points=0")])
def test_it_is_proved_and_written(tmp_path: Path, settings: tuple[str, ...]) -> None:
    loaded = small(tmp_path, *settings)
    home = tmp_path / "models" / "small"
    done = export(loaded, weights(loaded), home, Order(whole=True, weights_sha256="a"))
    assert sorted(each.name for each in home.iterdir()) == ["detector.onnx", "features.onnx", "regions.onnx"]
    assert done.proof is not None
    assert {case.file for case in done.proof.cases} == {"features", "regions", "detector"}
    whole = [case.figures for case in done.proof.cases if case.file == "detector"]
    assert sum(each.number for each in whole)
    assert all(each.same == 1 for each in whole)
    said = {each.key: each.value for each in onnx.load(home / "regions.onnx").metadata_props}
    assert said[provenance.DETECTOR] == loaded.text()
    assert "archspec.spec" not in said
    assert json.loads(said[IMAGE])["shorter"] == 64
    assert json.loads(said["archspec.labels"]) == ["cat", "dog"]


def test_a_network_with_fully_connected_layers_is_proved_too(tmp_path: Path) -> None:
    loaded = vgg(tmp_path)
    done = export(loaded, weights(loaded), tmp_path / "out", Order(whole=True))
    assert done.proof is not None


@pytest.mark.parametrize("opset", [14, 17, 18, 21])
def test_opsets(tmp_path: Path, opset: int) -> None:
    loaded = small(tmp_path, KINDS[0 if opset < 16 else 1])
    order = Order(form=replace(FORM, opset=opset, fold=False), whole=True)
    assert export(loaded, weights(loaded), tmp_path / "out", order).proof is not None


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    loaded = small(tmp_path)
    tensors = weights(loaded)
    order = Order(whole=True, prove=False)
    one, other = (export(loaded, tensors, tmp_path / name, order) for name in "ab")
    assert [each.sha256 for each in one.files] == [each.sha256 for each in other.files]


def test_a_picture_without_proposals_is_fine(tmp_path: Path) -> None:
    """onnxruntime fails on no regions at all; the file has one of no size more."""
    loaded = small(tmp_path)
    tensors = weights(loaded)
    # anchors grow thin and go
    tensors["rpn.head.bbox_pred.bias"] = np.tile([0, 0, -60, -60], 4).astype(np.float32)
    found = found_by(onnx_parts.made("detector", loaded, tensors, FORM).model, pixels(64, 80))
    assert [each.shape for each in found] == [(0, 4), (0,), (0,)]
    assert not len(found_in_torch(loaded, tensors, pixels(64, 80)).boxes)


def test_anchors_are_torchvisions(tmp_path: Path) -> None:
    made = detector(small(tmp_path))
    (wanted,) = made.rpn.anchor_generator.cell_anchors
    assert np.array_equal(cell(small(tmp_path).detector.anchors), wanted.numpy())


# what each step of the file could get wrong, and what the proof says of it
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MOST_STRETCH", 0.01, "boxes are not those"),
        ("LEAST_DETECTION", 30.0, "boxes are not those"),
        ("cell", lambda told: cell(told) + np.float32(1), "boxes are not those"),
        ("pooled", None, "regions are off"),
    ],
)
def test_a_wrong_step_is_seen_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, said: str
) -> None:
    loaded = small(tmp_path)
    real = onnx_boxes.pooled
    if name == "pooled":
        table = {"regions": loaded.detector.regions.model_copy(update={"kind": "align"})}
        other = replace(
            loaded, file=loaded.file.model_copy(update={"detector": loaded.detector.model_copy(update=table)})
        )
        monkeypatch.setattr(onnx_parts, "pooled", lambda a, b, c, _, nodes: real(a, b, c, other, nodes))
    else:
        monkeypatch.setattr(onnx_boxes, name, value)
    with pytest.raises(FileError, match=rf"AS513 .*{said}"):
        export(loaded, weights(loaded), tmp_path / "out", Order(whole=True))
    assert not (tmp_path / "out").exists()


def test_a_tolerance_that_nothing_meets(tmp_path: Path) -> None:
    loaded = small(tmp_path)
    with pytest.raises(FileError, match=r"AS513 .*networks are off"):
        export(loaded, weights(loaded), tmp_path / "out", Order(tolerance=1e-12))


@pytest.mark.parametrize(
    ("settings", "opset", "said"),
    [
        (("detector.regions.context=true",), 20, "regions.context"),
        ((KINDS[1],), 15, "RoiAlign of opset 15 cannot"),
        ((KINDS[1],), 22, "onnxruntime .* has no RoiAlign of opset 22"),
        ((KINDS[0],), 22, "onnxruntime .* has no MaxRoiPool of opset 22"),
        ((), 13, "opset 13 is not"),
    ],
)
def test_what_cannot_be_said_is_refused(
    tmp_path: Path, settings: tuple[str, ...], opset: int, said: str
) -> None:
    loaded = small(tmp_path, *settings)
    with pytest.raises(FileError, match=rf"AS514 .*{said}"):
        export(loaded, {}, tmp_path / "out", Order(form=replace(FORM, opset=opset), whole=True))


def test_verify_recomputes_a_file(tmp_path: Path) -> None:
    loaded = small(tmp_path)
    tensors = weights(loaded)
    write_weights(tmp_path / "w.safetensors", tensors, stored.stamp(loaded))
    kept = read_weights(tmp_path / "w.safetensors")
    order = Order(whole=True, prove=False, weights_sha256=kept.sha256)
    done = export(loaded, tensors, tmp_path / "out", order)
    for file in done.files:
        checks = verify_detector(file.path, read_model(file.path), kept)
        assert [each.name for each in checks if each.ok] == [
            "detector",
            "digest",
            "graph",
            "weights",
            "tensors",
        ]
    model = read_model(done.files[0].path)
    model.graph.node[-1].name = "other"
    tensor = model.graph.initializer[0]
    tensor.raw_data = bytes(len(tensor.raw_data))
    failed = {each.name for each in verify_detector(tmp_path / "x.onnx", model, kept) if not each.ok}
    assert failed == {"digest", "graph"}


def test_an_earlier_export_leaves_no_file_of_other_weights(tmp_path: Path) -> None:
    loaded = small(tmp_path)
    tensors = weights(loaded)
    export(loaded, tensors, tmp_path / "out", Order(whole=True, prove=False))
    export(loaded, tensors, tmp_path / "out", Order(prove=False))
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["features.onnx", "regions.onnx"]


@pytest.mark.parametrize("content", [b"not ONNX", b"", "a network's"])
def test_a_strangers_file_is_left(tmp_path: Path, content: bytes | str) -> None:
    loaded, said = small(tmp_path), []
    stranger = tmp_path / "out" / "detector.onnx"
    stranger.parent.mkdir()
    if isinstance(content, str):
        graph = onnx.helper.make_graph([], "other", [], [])
        content = onnx.helper.make_model(graph).SerializeToString()
    stranger.write_bytes(content)
    export(loaded, weights(loaded), tmp_path / "out", Order(prove=False), say=said.append)
    assert stranger.read_bytes() == content
    assert f"{stranger} is left: it is not a detector's, and not of this export" in said


@pytest.mark.parametrize("name", ["features", "regions", "detector"])
def test_a_small_file_of_a_large_detector_is_not_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    loaded = small(tmp_path)
    export(loaded, weights(loaded), tmp_path / "out", Order(whole=True, prove=False))
    model = read_model(tmp_path / "out" / f"{name}.onnx")
    kept = max(model.graph.initializer, key=lambda each: each.ByteSize())
    kept.raw_data = b""
    monkeypatch.setattr("archspec.detection.onnx.verify.written", None)
    (graph,) = [each for each in verify_detector(tmp_path / "x.onnx", model) if each.name == "graph"]
    assert not graph.ok
    assert re.fullmatch(
        r"it cannot be written anew: its tensors have [\d,]+ bytes, and the detector's weights [\d,]+",
        graph.detail,
    )


def test_weights_that_do_not_fit_are_refused_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = small(tmp_path)
    write_weights(tmp_path / "w.safetensors", weights(loaded), stored.stamp(loaded))
    monkeypatch.setattr("archspec.detection.build.detector", None)
    with pytest.raises(FileError, match="AS504"):
        stored.restored(
            small(tmp_path, "detector.proposals.width=1024"), read_weights(tmp_path / "w.safetensors")
        )


def test_the_command_takes_weights_that_carry_their_detector(cli: Cli, tmp_path: Path) -> None:
    loaded = small(tmp_path)
    write_weights(tmp_path / "w.safetensors", weights(loaded), stored.stamp(loaded))
    record = cli("export", "w.safetensors", "--whole", "--json").json
    assert record["path"] == "models/small"
    assert [each["file"] for each in record["files"]] == ["features.onnx", "regions.onnx", "detector.onnx"]
    assert record["proof"]["cases"]
    assert cli("verify", "models/small/detector.onnx", "-w", "w.safetensors").code == 0
    done = cli("export", "small.toml", "-w", "w.safetensors", "--no-proof", "-o", "b")
    assert done.code == 0
    assert "not proved" in done.out


@pytest.mark.parametrize(
    "options",
    [["--softmax"], ["--precision", "fp16"], ["--dynamic-size"], ["--preprocessing", "imagenet"], ["--report"],
     ["--external-data"], ["--preprocess", "in-graph"], ["-o", "a.onnx"], ["--force"]],
)  # fmt: skip
def test_options_of_networks_are_refused(cli: Cli, tmp_path: Path, options: list[str]) -> None:
    small(tmp_path)
    done = cli("export", "small.toml", "--no-proof", *options)
    assert done.code == 2
    assert "detector" in done.err
    assert not (tmp_path / "models").exists()


def test_whole_is_for_detectors(cli: Cli) -> None:
    done = cli("export", "good.toml", "--whole")
    assert done.code == 2
    assert "--whole is for detectors" in done.err
