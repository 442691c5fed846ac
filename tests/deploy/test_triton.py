"""Triton's model repository: its layout, and a configuration that means what it says whatever names say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from archspec import provenance
from archspec.deploy.export import Order, written
from archspec.deploy.proof import initial
from archspec.deploy.triton import MAX_BATCH, Tensor, config, quoted, repository
from archspec.errors import FileError
from archspec.preprocessing import PRESETS
from tests.conftest import architecture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC = "specs/cifar/resnet20.toml"
LABELS = tuple(f"label {place}" for place in range(10))
_FIELD = descriptor_pb2.FieldDescriptorProto


def _schema() -> Any:
    """The part of Triton's `ModelConfig` that is written, with its own numbers and types."""
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")

    def enum(name: str, values: dict[str, int]) -> None:
        made = file.enum_type.add(name=name)
        for key, number in values.items():
            made.value.add(name=key, number=number)

    def message(name: str, fields: list[tuple[str, int, str, bool]]) -> None:
        made = file.message_type.add(name=name)
        for key, number, kind, repeated in fields:
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            field = made.field.add(name=key, number=number, label=label)
            plain = {"string": _FIELD.TYPE_STRING, "int64": _FIELD.TYPE_INT64, "int32": _FIELD.TYPE_INT32}
            if kind in plain:
                field.type = plain[kind]
            else:
                field.type = _FIELD.TYPE_ENUM if kind in ("DataType", "Format") else _FIELD.TYPE_MESSAGE
                field.type_name = f".inference.{kind}"

    enum("DataType", {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_FP16": 10, "TYPE_FP32": 11})
    enum("Format", {"FORMAT_NONE": 0, "FORMAT_NHWC": 1, "FORMAT_NCHW": 2})
    message("Dynamic", [])
    message(
        "Input",
        [
            ("name", 1, "string", False),
            ("data_type", 2, "DataType", False),
            ("format", 3, "Format", False),
            ("dims", 4, "int64", True),
        ],
    )
    message(
        "Output",
        [
            ("name", 1, "string", False),
            ("data_type", 2, "DataType", False),
            ("dims", 3, "int64", True),
            ("label_filename", 4, "string", False),
        ],
    )
    message(
        "ModelConfig",
        [
            ("name", 1, "string", False),
            ("platform", 2, "string", False),
            ("max_batch_size", 4, "int32", False),
            ("input", 5, "Input", True),
            ("output", 6, "Output", True),
            ("dynamic_batching", 11, "Dynamic", False),
        ],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


ModelConfig = _schema()


def parsed(text: str) -> Any:
    """As Triton reads it: strictly, unknown fields are errors."""
    return text_format.Parse(text, ModelConfig())


def exported(**order: Any) -> tuple[bytes, dict[str, str]]:
    network = architecture(SPEC)
    model = written(network, initial(network), Order(**order)).model
    return model.SerializeToString(), {each.key: each.value for each in model.metadata_props}


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_export_becomes_a_folder_that_triton_reads(tmp_path: Path) -> None:
    model, metadata = exported(preprocessing=PRESETS["cifar10"], labels=LABELS)
    home = repository(tmp_path / "models", model, metadata)
    assert home == tmp_path / "models" / "resnet20"
    assert files(tmp_path) == [
        "models/resnet20/1/model.onnx",
        "models/resnet20/config.pbtxt",
        "models/resnet20/labels.txt",
    ]
    assert (home / "1/model.onnx").read_bytes() == model
    assert (home / "labels.txt").read_text().splitlines() == list(LABELS)
    text = (home / "config.pbtxt").read_text()
    said = parsed(text)
    assert (said.name, said.platform, said.max_batch_size) == ("resnet20", "onnxruntime_onnx", MAX_BATCH)
    (taken,), (given_,) = said.input, said.output
    assert (taken.name, taken.data_type, taken.format, list(taken.dims)) == ("input", 11, 2, [3, 32, 32])
    assert (given_.name, given_.data_type, list(given_.dims)) == ("logits", 11, [10])
    assert given_.label_filename == "labels.txt"
    assert said.HasField("dynamic_batching")
    assert f"# preprocessing: {PRESETS['cifar10'].to_json()}" in text


def test_a_model_that_takes_bytes_says_so(tmp_path: Path) -> None:
    inside = PRESETS["cifar10"].model_copy(update={"layout": "NHWC", "in_graph": True})
    home = repository(tmp_path, *exported(preprocessing=inside))
    said = parsed((home / "config.pbtxt").read_text())
    assert (said.input[0].name, said.input[0].data_type, said.input[0].format) == ("image", 2, 1)
    assert list(said.input[0].dims) == [32, 32, 3]
    assert not said.output[0].label_filename
    assert files(home) == ["1/model.onnx", "config.pbtxt"]


def test_a_fixed_batch_is_served_as_it_is() -> None:
    text = config("m", [Tensor("x", "TYPE_FP32", (1, 3, None, 8))], [Tensor("y", "TYPE_FP16", (1, 5))], {})
    said = parsed(text)
    assert (said.max_batch_size, said.HasField("dynamic_batching")) == (0, False)
    assert list(said.input[0].dims) == [1, 3, -1, 8]
    assert list(said.output[0].dims) == [1, 5]
    assert said.input[0].format == 0


@given(st.text(), st.text(), st.text())
def test_no_name_and_no_remark_can_write_a_field(name: str, taken: str, remark: str) -> None:
    metadata = {provenance.PREPROCESSING: remark, provenance.LICENSE: taken, provenance.FUNCTION: name}
    dims = (None, 3, 8, 8)
    text = config(name, [Tensor(taken, "TYPE_FP32", dims)], [Tensor(name, "TYPE_FP32", (None, 2))], metadata)
    assert text.isascii()
    said = parsed(text)
    assert (said.name, said.input[0].name, said.output[0].name) == tuple(
        each.encode(errors="replace").decode() for each in (name, taken, name)
    )
    assert len(said.input) == len(said.output) == 1
    assert said.platform == "onnxruntime_onnx"


@pytest.mark.parametrize("text", ['a"b', "a\\", "a\nplatform: x", "\x00", "é", "\u2028", "\ud800", "?"])
def test_strings_are_quoted_on_one_line_of_ascii(text: str) -> None:
    written_ = quoted(text)
    assert re.fullmatch(r'"[ -~]*"', written_)
    assert parsed(f"name: {written_}").name == text.encode(errors="replace").decode()


def test_labels_keep_their_lines(tmp_path: Path) -> None:
    model, metadata = exported()
    metadata[provenance.LABELS] = json.dumps(["a\nb", "c\r\n", "", "d\u2028e", *LABELS[:6]])
    home = repository(tmp_path, model, metadata)
    lines = (home / "labels.txt").read_text().split("\n")
    assert lines[:4] == ["a b", "c", "", "d e"]
    assert len(lines) == 11


def test_what_is_there_stays_unless_it_is_to_go(tmp_path: Path) -> None:
    model, metadata = exported()
    home = repository(tmp_path, model, metadata)
    (home / "2").mkdir()
    (home / "2" / "model.onnx").write_bytes(b"other")
    before = files(tmp_path)
    with pytest.raises(FileError, match="AS514 the model is already there"):
        repository(tmp_path, model, metadata)
    assert files(tmp_path) == before
    repository(tmp_path, model, metadata, force=True)
    assert files(tmp_path) == ["resnet20/1/model.onnx", "resnet20/config.pbtxt"]
    assert [path.name for path in tmp_path.iterdir()] == ["resnet20"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "resnet20").mkdir()
    assert files(repository(tmp_path, *exported())) == ["1/model.onnx", "config.pbtxt"]


@pytest.mark.parametrize("step", ["_write", "_swap"])
def test_a_failure_leaves_what_was_there(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, metadata = exported()
    home = repository(tmp_path, model, metadata)
    (home / "config.pbtxt").write_text("mine")
    from pathlib import Path as Real

    replace: Callable[..., Any] = Real.replace

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError("disk full")
        return replace(self, target)

    if step == "_swap":
        monkeypatch.setattr(Real, "replace", failing)
    else:
        monkeypatch.setattr(
            "archspec.deploy.triton.os.fsync", lambda _: (_ for _ in ()).throw(OSError("full"))
        )
    with pytest.raises(OSError, match="full"):
        repository(tmp_path, model, metadata, force=True)
    assert (home / "config.pbtxt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["resnet20"]


def _model(name: str, dtype: int = TensorProto.FLOAT, *, external: bool = False) -> bytes:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    if external:
        weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], raw_data=bytes(4))
        onnx.external_data_helper.set_external_data(weight, "model.data")
    value = helper.make_tensor_value_info
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    ends = [value("x", dtype, ["n", 3, 8, 8])], [value("y", dtype, ["n", 3, 8, 8])]
    graph = helper.make_graph([node], name, *ends, [weight])
    content: bytes = helper.make_model(graph).SerializeToString()
    return content


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (b"not a model", "AS511"),
        (b"", "AS514"),
        (_model("../up"), "AS514"),
        (_model(".."), "AS514"),
        (_model(".hidden"), "AS514"),
        (_model("a/b"), "AS514"),
        (_model("a\n"), "AS514"),
        (_model("x" * 65), "AS514"),
        (_model("ids", TensorProto.INT64), "AS514"),
        (_model("apart", external=True), "AS514"),
    ],
)
def test_what_triton_cannot_serve_is_refused_before_a_folder_is_made(
    model: bytes, code: str, tmp_path: Path
) -> None:
    with pytest.raises(FileError, match=code):
        repository(tmp_path / "models", model, {})
    assert not (tmp_path / "models").exists()
