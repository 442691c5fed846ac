"""Export: every spec passes its proof, equal input gives equal bytes, and a wrong file is never left behind."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch

import archspec
from archspec import provenance
from archspec.backends.onnx import table
from archspec.backends.onnx.write import Form
from archspec.deploy import proof
from archspec.deploy.card import card, report, write_beside
from archspec.deploy.export import Order, export
from archspec.deploy.proof import TOLERANCE, initial, live, shaken
from archspec.deploy.session import open_session
from archspec.deploy.verify import verify_model
from archspec.errors import FileError
from archspec.ir import ops
from archspec.preprocessing import PRESETS, Preprocessing
from archspec.weights.files import read_weights, write_weights
from tests.backends.conftest import image_size
from tests.conftest import ROOT, SPECS, architecture

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.backends.onnx.nodes import Nodes, Site

NET = "specs/cifar/resnet20.toml"


def small(spec: str) -> Architecture:
    """A spec at the smallest image it takes: its function is the same, and a proof of it is quick."""
    one = architecture(spec)
    if "vgg" in spec:
        # half a gigabyte of linear weights shows nothing that a narrow head does not; benchmarks/proofs.py has them all
        pool = [] if "torchvision" not in spec else ['{pool="average", output=7}']
        hidden = "{linear=64, act=true, dropout=0.5}"
        head = ", ".join([*pool, hidden, hidden, "{linear=1000}"])
        return archspec.load(ROOT / spec, settings=[f"head.layers=[{head}]", "input.size=[64, 64]"])
    size = image_size(one)
    if size == one.input_shape[1]:
        return one
    return archspec.load(ROOT / spec, settings=[f"input.size=[{size}, {size}]"])


def pictures(one: Architecture, count: int = 2) -> tuple[np.ndarray[Any, Any], ...]:
    generator = np.random.default_rng(0)
    return tuple(generator.standard_normal((4, *one.input_shape), np.float32) for _ in range(count))


@pytest.fixture(scope="module")
def net() -> Architecture:
    return architecture(NET)


@pytest.fixture(scope="module")
def tensors(net: Architecture) -> dict[str, np.ndarray[Any, Any]]:
    return shaken(net, seed=3)


@pytest.mark.parametrize("spec", SPECS)
def test_every_spec_exports_and_passes_its_proof(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = small(spec)
    if one.measure.total.macs > 5e9 or one.measure.total.params > 1e8:
        # benchmarks/proofs.py proves every spec at its own size and at all batches
        monkeypatch.setattr(proof, "BATCHES", (1, 2))
    done = export(one, initial(one), tmp_path / "m.onnx", Order())
    assert done.proof is not None
    assert done.proof.holds
    assert {case.batch for case in done.proof.cases} == set(proof.BATCHES)
    assert {case.weights for case in done.proof.cases} == {"given", "random"}
    assert os.listdir(tmp_path) == ["m.onnx"]
    # a network that says one thing to every picture would agree for nothing
    session = open_session(tmp_path / "m.onnx")
    (outputs,) = session.run(None, {"input": pictures(one, 1)[0]})
    assert not np.isfinite(outputs).all() or np.ptp(outputs, axis=0).max() > 0


def test_a_dynamic_size_is_proved_at_two(net: Architecture, tmp_path: Path) -> None:
    done = export(net, initial(net), tmp_path / "m.onnx", Order(form=Form(dynamic_size=True)))
    assert done.proof is not None
    assert {case.size for case in done.proof.cases} == {(32, 32), (48, 40)}
    assert done.input.shape == ("batch", 3, "height", "width")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_equal_input_gives_equal_bytes_anywhere(
    precision: Any, net: Architecture, tensors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(precision=precision, prove=False, calibration=pictures(net))
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        export(net, tensors, tmp_path / place / "m.onnx", order)
    one, two = ((tmp_path / place / "m.onnx").read_bytes() for place in ("one", "two"))
    assert one == two
    for word in (str(tmp_path), str(ROOT), os.path.expanduser("~")):
        assert word.encode() not in one


def test_the_file_says_what_it_is(net: Architecture, tensors: Any, tmp_path: Path) -> None:
    by = PRESETS["cifar10"]
    order = Order(
        preprocessing=by, labels=tuple("abcdefghij"), license="MIT", origin="a test", weights_sha256="f" * 64
    )
    export(net, tensors, tmp_path / "m.onnx", order)
    said = {each.key: each.value for each in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert said[provenance.FUNCTION] == net.hash
    assert said[provenance.WEIGHTS] == "f" * 64
    assert said[provenance.PREPROCESSING] == by.to_json()
    assert json.loads(said[provenance.LABELS]) == list("abcdefghij")
    assert said[provenance.LICENSE] == "MIT"
    assert said[provenance.ORIGIN] == "a test"
    recalled = provenance.recalled(said, "m.onnx")
    assert recalled is not None
    assert recalled.hash == net.hash
    assert all(check.ok for check in verify_model(tmp_path / "m.onnx"))


def test_bytes_in_the_graph_give_what_preprocessing_outside_gives(
    net: Architecture, tensors: Any, tmp_path: Path
) -> None:
    by = PRESETS["cifar10"].model_copy(update={"layout": "NHWC", "in_graph": True})
    done = export(net, tensors, tmp_path / "m.onnx", Order(preprocessing=by, form=Form(softmax=True)))
    assert done.input.type == "uint8"
    assert done.input.shape == ("batch", 32, 32, 3)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    (found,) = open_session(tmp_path / "m.onnx").run(None, {"image": pixels})
    mean, std = np.array(by.mean, np.float32), np.array(by.std, np.float32)
    outside = ((pixels.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        wanted = live(net, tensors)(torch.from_numpy(outside.copy())).softmax(1).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_int8_states_its_error_and_its_agreement(net: Architecture, tensors: Any, tmp_path: Path) -> None:
    order = Order(precision="int8", calibration=pictures(net), tolerance=0.5)
    done = export(net, tensors, tmp_path / "m.onnx", order)
    assert done.proof is not None
    given = [case for case in done.proof.cases if case.weights == "given"]
    assert 1e-4 < max(case.relative for case in given) < 0.5
    kinds = {node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node}
    assert "QuantizeLinear" in kinds
    assert done.sizes["m.onnx"] < 0.45 * 4 * net.measure.total.params


def test_int8_is_proved_on_the_pictures_it_was_calibrated_with(
    net: Architecture, tensors: Any, tmp_path: Path
) -> None:
    """Scales that fit pictures of 0 to 255 do not fit noise around 0, and the other way round."""
    bytes_ = tuple(np.abs(batch) * 80 for batch in pictures(net, 4))
    order = Order(precision="int8", calibration=bytes_)
    done = export(net, tensors, tmp_path / "m.onnx", order)
    assert done.proof is not None
    assert done.proof.holds


def test_half_precision_is_proved_on_pixels_as_they_are_prepared(
    net: Architecture, tensors: Any, tmp_path: Path
) -> None:
    """Pixels of 0 to 255 overflow where unit noise does not."""
    large = {key: values * (1000 if key == "conv1.weight" else 1) for key, values in tensors.items()}
    raw = Preprocessing(size=(32, 32), range=255, mean=(0.0,) * 3, std=(1.0,) * 3)
    export(net, large, tmp_path / "unit.onnx", Order(precision="fp16"))
    with pytest.raises(FileError, match=r"AS513 .* reaches .* and fp16 ends at 65,504"):
        export(net, large, tmp_path / "m.onnx", Order(precision="fp16", preprocessing=raw))


def test_the_second_file_can_be_read_by_a_server(net: Architecture, tensors: Any, tmp_path: Path) -> None:
    export(net, tensors, tmp_path / "m.onnx", Order(external=True, prove=False))
    assert (tmp_path / "m.onnx.data").stat().st_mode & 0o777 == 0o644


def test_int8_needs_pictures(net: Architecture, tensors: Any, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="AS514 int8 needs pictures"):
        export(net, tensors, tmp_path / "m.onnx", Order(precision="int8"))
    assert not os.listdir(tmp_path)


def test_external_data_is_a_second_file(net: Architecture, tensors: Any, tmp_path: Path) -> None:
    done = export(net, tensors, tmp_path / "m.onnx", Order(external=True))
    assert sorted(done.sizes) == ["m.onnx", "m.onnx.data"]
    assert sorted(os.listdir(tmp_path)) == ["m.onnx", "m.onnx.data"]
    assert done.sizes["m.onnx"] < 1e5
    assert all(check.ok for check in verify_model(tmp_path / "m.onnx"))


def _shifted(op: Any, at: Site, nodes: Nodes, real: Any = table.write) -> str:
    """The table with a mistake: the strided convolutions of the third stage pad like their smaller sisters."""
    if isinstance(op, ops.Conv2d) and at.path == "layer3.0.conv2":
        at = replace(at, tensors={**at.tensors, "weight": at.tensors["weight"][:, :, ::-1, :]})
    return str(real(op, at, nodes))


@pytest.mark.parametrize("existing", [False, True])
def test_a_wrong_file_is_refused_names_its_layer_and_leaves_nothing(
    existing: bool, net: Architecture, tensors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "m.onnx"
    if existing:
        target.write_bytes(b"an older file")
    monkeypatch.setattr(table, "write", _shifted)
    with pytest.raises(FileError, match=r"AS513 .*first layer that diverges is layer3\.0\.(bn2|conv2)"):
        export(net, tensors, target, Order())
    assert os.listdir(tmp_path) == (["m.onnx"] if existing else [])
    assert not existing or target.read_bytes() == b"an older file"


def test_the_random_weights_find_what_fresh_ones_hide(
    net: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fresh running statistics are zero and one: a folding that forgets the mean is right for them."""
    from archspec.backends.onnx.graph import GraphWriter

    def forgetful(self: Any, conv: Any, norm: Any, real: Any = GraphWriter._fold) -> Any:
        key = f"{norm.path}.running_mean"
        mean = self.tensors[key]
        self.tensors = {**self.tensors, key: np.zeros_like(mean)}
        return real(self, conv, norm)

    monkeypatch.setattr(GraphWriter, "_fold", forgetful)
    with pytest.raises(FileError, match=r"AS513 .* with random weights .*first layer that diverges is bn1 "):
        export(net, initial(net), tmp_path / "m.onnx", Order())
    assert not os.listdir(tmp_path)


def test_a_tolerance_that_nothing_meets(net: Architecture, tensors: Any, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"AS513 .*past the tolerance of 1e-12"):
        export(net, tensors, tmp_path / "m.onnx", Order(tolerance=1e-12))
    assert not os.listdir(tmp_path)


def test_tolerances_are_those_of_the_docs() -> None:
    assert TOLERANCE == {"fp32": 1e-4, "fp16": 2e-2, "int8": 2e-1}


def test_cards_and_reports_stand_beside(net: Architecture, tensors: Any, tmp_path: Path) -> None:
    hostile = replace_about(net, "[x](http://y) <script>`*_|\n# no heading")
    beside = [lambda done, folder: write_beside(hostile, done, folder)]
    done = export(hostile, tensors, tmp_path / "m.onnx", Order(license="<b>MIT</b>"), extras=beside)
    assert sorted(os.listdir(tmp_path)) == ["m.card.md", "m.onnx", "m.report.json"]
    text = (tmp_path / "m.card.md").read_text()
    head = text.split("```")[0]
    assert "<script>" not in head
    assert "<b>" not in head
    assert "\n# no heading" not in head
    document = json.loads((tmp_path / "m.report.json").read_text())
    assert document == json.loads(json.dumps(report(hostile, done, tmp_path)))
    assert document["proof"]["holds"] is True
    assert card(hostile, done, tmp_path) == text


def replace_about(one: Architecture, about: str) -> Architecture:
    return archspec.load(ROOT / NET, settings=[f"about={json.dumps(about)}"]) if one else one


@pytest.mark.parametrize("spec", ["cifar/resnet20", "resnet18-c", "caffe/resnet50", "akamaster/resnet20"])
def test_torchs_own_exporter_agrees(spec: str, tmp_path: Path) -> None:
    one = small(f"specs/{spec}.toml")
    weights = shaken(one)
    module = live(one, weights)
    image = torch.from_numpy(pictures(one, 1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter leans on what torch deprecates
        program = torch.onnx.export(module, (image,), dynamo=True, verbose=False)
    assert program is not None
    program.save(str(tmp_path / "theirs.onnx"))
    export(one, weights, tmp_path / "ours.onnx", Order(prove=False))
    theirs = open_session(tmp_path / "theirs.onnx")
    (wanted,) = theirs.run(None, {theirs.get_inputs()[0].name: image.numpy()})
    (found,) = open_session(tmp_path / "ours.onnx").run(None, {"input": image.numpy()})
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvision_goes_all_the_way(name: str, tmp_path: Path) -> None:
    """Module to safetensors to spec to ONNX to onnxruntime; benchmarks/deploy.py does all six nets at 224."""
    from torchvision.models import get_model

    one = small(f"specs/torchvision/{name}.toml")
    torch.manual_seed(0)
    module = get_model(name, weights=None)
    with torch.no_grad():
        for norm in (each for each in module.modules() if isinstance(each, torch.nn.BatchNorm2d)):
            norm.running_mean.copy_(0.1 * torch.randn(norm.num_features))
            norm.running_var.copy_(0.5 + torch.rand(norm.num_features))
    held = {key: value.numpy() for key, value in module.eval().state_dict().items()}
    write_weights(tmp_path / "w.safetensors", held, {})
    from archspec.weights.match import matched

    weights = read_weights(tmp_path / "w.safetensors")
    export(one, matched(one, weights), tmp_path / "m.onnx", Order(weights_sha256=weights.sha256))
    images = pictures(one, 1)[0]
    with torch.inference_mode():
        wanted = module(torch.from_numpy(images)).numpy()
    (found,) = open_session(tmp_path / "m.onnx").run(None, {"input": images})
    assert (found.argmax(1) == wanted.argmax(1)).all()
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()
    assert all(check.ok for check in verify_model(tmp_path / "m.onnx", weights))


def test_verify_sees_a_changed_tensor_a_changed_node_and_a_changed_spec(
    net: Architecture, tensors: Any, tmp_path: Path
) -> None:
    target = tmp_path / "m.onnx"
    export(net, tensors, target, Order(prove=False))
    sound = onnx.load(target)

    def verdicts(change: Any) -> dict[str, bool]:
        model = onnx.ModelProto()
        model.CopyFrom(sound)
        change(model)
        target.write_bytes(model.SerializeToString())
        return {check.name: check.ok for check in verify_model(target)}

    def tensor(model: onnx.ModelProto) -> None:
        raw = bytearray(model.graph.initializer[0].raw_data)
        raw[0] ^= 1
        model.graph.initializer[0].raw_data = bytes(raw)

    def node(model: onnx.ModelProto) -> None:
        first = next(each for each in model.graph.node if each.op_type == "Slice")
        first.op_type, first.name = "Slice", "elsewhere"

    def spec(model: onnx.ModelProto) -> None:
        said = next(each for each in model.metadata_props if each.key == provenance.SPEC)
        said.value = said.value.replace('pad = "end"', 'pad = "both"')

    assert verdicts(lambda model: None) == {"spec": True, "digest": True, "graph": True}
    assert verdicts(tensor) == {"spec": True, "digest": False, "graph": True}
    assert verdicts(node) == {"spec": True, "digest": False, "graph": False}
    assert verdicts(spec) == {"spec": False}


@pytest.mark.parametrize("spec", ["cifar/resnet20", "beyond/se-resnet50"])
def test_live_weights_are_those_given(spec: str) -> None:
    one = architecture(f"specs/{spec}.toml")
    weights = shaken(one)
    for key, value in live(one, weights).state_dict().items():
        assert np.array_equal(value.numpy(), weights[key])
