"""Models behind one face: files of ours and of strangers, and specs with weights."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import archspec
from archspec import provenance
from archspec.deploy.pictures import read_picture
from archspec.deploy.predict import Reading, predict, reading
from archspec.deploy.proof import initial
from archspec.deploy.runners import ModuleRunner, OnnxRunner, recalled
from archspec.errors import FileError
from archspec.preprocessing import Preprocessing
from tests.deploy.test_pictures import BLUE, GREEN, RED, paint

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = Preprocessing(size=(8, 8), resize=8, mean=(0.0,) * 3, std=(1.0,) * 3)
SAID = {
    provenance.PREPROCESSING: PLAIN.to_json(),
    provenance.LABELS: json.dumps(["red", "green", "blue"]),
}
SMALL = """\
format = 1
name = "small"
[input]
size = [8, 8]
[stem]
layers = [{ conv = 3, out = 4 }]
[head]
layers = [{ pool = "average" }, { linear = 3 }]
"""


def model(
    path: Path,
    metadata: dict[str, str] | None = None,
    *,
    shape: tuple[str | int | None, ...] = ("batch", 3, 8, 8),
    dtype: int = TensorProto.FLOAT,
    output: str = "logits",
    softmax: bool = False,
    scale: float = 10.0,
) -> Path:
    """A file that scores a picture by how red, green and blue it is on average."""
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("Cast", ["picture"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["scores"]),
        helper.make_node("Softmax" if softmax else "Identity", ["scores"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("picture", dtype, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [shape[0], 3])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], axes),
            helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(made, metadata or {})
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 32])
def test_batches_do_not_change_what_is_seen(batch: int, tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID))
    colors = [RED, GREEN, BLUE, BLUE, GREEN]
    files = [paint(tmp_path / f"{place}.png", color) for place, color in enumerate(colors)]
    predictions = list(predict(runner, reading(runner), files, batch=batch, top=2))
    assert [each.file for each in predictions] == files
    assert [each.guesses[0].label for each in predictions] == ["red", "green", "blue", "blue", "green"]
    assert [each.guesses[0].index for each in predictions] == [0, 1, 2, 2, 1]
    assert all(len(each.guesses) == 2 for each in predictions)
    expected = np.exp([10.0, 0, 0]) / np.exp([10.0, 0, 0]).sum()
    assert predictions[0].guesses[0].probability == pytest.approx(expected[0], rel=1e-6)


@pytest.mark.parametrize("fixed", [1, 4])
def test_a_model_of_one_batch_size_gets_it(fixed: int, tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID, shape=(fixed, 3, 8, 8)))
    files = [paint(tmp_path / f"{place}.png", (RED, GREEN)[place % 2]) for place in range(7)]
    labels = [each.guesses[0].label for each in predict(runner, reading(runner), files)]
    assert labels == ["red", "green"] * 3 + ["red"]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        (("n", 8, 8, 3), TensorProto.FLOAT),
        (("n", 8, 8, 3), TensorProto.UINT8),
        (("n", 3, 8, 8), TensorProto.UINT8),
        (("n", 3, 8, 8), TensorProto.FLOAT16),
        (("n", 3, "h", "w"), TensorProto.FLOAT),
        ((1, "h", "w", 3), TensorProto.UINT8),
    ],
)
def test_a_strangers_layout_and_type_are_seen_in_the_file(
    shape: tuple[str | int | None, ...], dtype: int, tmp_path: Path
) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", shape=shape, dtype=dtype))
    files = [paint(tmp_path / "r.png", RED), paint(tmp_path / "b.png", BLUE)]
    predictions = list(predict(runner, reading(runner, "none"), files))
    assert [each.guesses[0].label for each in predictions] == ["class 0", "class 2"]


@pytest.mark.parametrize(
    ("output", "softmax"),
    [("logits", False), ("probabilities", True), ("y", True), ("y", False)],
)
def test_softmax_is_taken_once(output: str, softmax: bool, tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", SAID, output=output, softmax=softmax, scale=2.0)
    runner = OnnxRunner(path)
    (only,) = predict(runner, reading(runner), [paint(tmp_path / "r.png", RED)])
    assert only.guesses[0].probability == pytest.approx(np.exp(2) / (np.exp(2) + 2), rel=1e-6)


def test_scores_that_happen_to_sum_to_one_are_scores_where_the_name_says_so(tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID, scale=1.0))
    (only,) = predict(runner, reading(runner), [paint(tmp_path / "r.png", RED)])
    assert only.guesses[0].probability == pytest.approx(np.e / (np.e + 2), rel=1e-6)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_a_diagnostic(scale: float, tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID, scale=scale))
    with pytest.raises(FileError, match="AS523 it gives values that are not finite"):
        list(predict(runner, reading(runner), [paint(tmp_path / "r.png", RED)]))


def _foreign(path: Path, inputs: list[Any], nodes: list[Any], outputs: list[Any]) -> Path:
    made = helper.make_model(
        helper.make_graph(nodes, "foreign", inputs, outputs), opset_imports=[helper.make_opsetid("", 18)]
    )
    made.ir_version = 9
    path.write_bytes(made.SerializeToString())
    return path


def test_what_is_no_classifier_of_pictures_is_said_to_be_none(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    text = value("ids", TensorProto.INT64, ["n", 12])
    out = value("out", TensorProto.INT64, ["n", 12])
    path = _foreign(tmp_path / "text.onnx", [text], [helper.make_node("Identity", ["ids"], ["out"])], [out])
    with pytest.raises(FileError, match="AS511 its input is tensor"):
        OnnxRunner(path)
    one, two = (value(name, TensorProto.FLOAT, ["n", 3, 8, 8]) for name in "ab")
    out = value("out", TensorProto.FLOAT, ["n", 3, 8, 8])
    path = _foreign(tmp_path / "two.onnx", [one, two], [helper.make_node("Add", ["a", "b"], ["out"])], [out])
    with pytest.raises(FileError, match="AS511 it takes 2 inputs"):
        OnnxRunner(path)
    path = _foreign(tmp_path / "map.onnx", [one], [helper.make_node("Relu", ["a"], ["out"])], [out])
    runner = OnnxRunner(path)
    with pytest.raises(FileError, match="AS523 it gives"):
        list(predict(runner, Reading(PLAIN), [paint(tmp_path / "r.png", RED)]))


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(500), b"\x08\x09\x12\x03abc"])
def test_what_is_no_onnx_is_a_diagnostic(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(FileError, match="AS511"):
        OnnxRunner(tmp_path / "m.onnx")
    with pytest.raises(FileError, match="AS511"):
        OnnxRunner(tmp_path / "gone.onnx")


@pytest.fixture
def trained(tmp_path: Path) -> tuple[archspec.Architecture, Path]:
    """A spec, and weights that carry all that they should."""
    from archspec.weights.files import write_weights

    (tmp_path / "small.toml").write_text(SMALL)
    architecture = archspec.load(tmp_path / "small.toml")
    path = tmp_path / "small.safetensors"
    write_weights(path, initial(architecture), provenance.stamp(architecture) | SAID)
    return architecture, path


def test_a_spec_with_weights_sees_what_its_module_sees(
    trained: tuple[archspec.Architecture, Path], tmp_path: Path
) -> None:
    import torch

    architecture, path = trained
    runner = ModuleRunner(architecture, path)
    file = paint(tmp_path / "r.png", RED)
    (only,) = predict(runner, reading(runner), [file])
    torch.manual_seed(0)
    module = archspec.build(architecture).eval()
    with torch.inference_mode():
        wanted = module(torch.from_numpy(PLAIN.apply(read_picture(file)))[None]).softmax(1)[0]
    got = {guess.index: guess.probability for guess in only.guesses}
    assert [got[place] for place in range(3)] == pytest.approx(wanted.tolist(), rel=1e-5)
    assert {guess.label for guess in only.guesses} == {"red", "green", "blue"}


def test_weights_that_carry_their_spec_need_no_other(trained: tuple[archspec.Architecture, Path]) -> None:
    architecture, path = trained
    assert recalled(path).hash == architecture.hash


def test_our_own_exports_are_read_back(trained: tuple[archspec.Architecture, Path], tmp_path: Path) -> None:
    from archspec.deploy.export import Order, written

    architecture, path = trained
    file = paint(tmp_path / "r.png", GREEN)
    module = ModuleRunner(architecture, path)
    (wanted,) = predict(module, reading(module), [file])
    inside = PLAIN.model_copy(update={"layout": "NHWC", "in_graph": True})
    for by in (PLAIN, inside):
        order = Order(preprocessing=by, labels=("red", "green", "blue"))
        model = written(architecture, initial(architecture), order).model
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        runner = OnnxRunner(tmp_path / "m.onnx")
        read_as = reading(runner)
        (got,) = predict(runner, read_as, [file])
        assert read_as.preprocessing == by
        assert [guess.label for guess in got.guesses] == [guess.label for guess in wanted.guesses]
        ours, theirs = ([guess.probability for guess in each.guesses] for each in (got, wanted))
        assert ours == pytest.approx(theirs, rel=1e-4)
