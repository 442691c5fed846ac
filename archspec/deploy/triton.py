"""NVIDIA Triton's model repository: `DIR/NAME/config.pbtxt`, `DIR/NAME/1/model.onnx` and the labels.

The fields are those of `model_config.proto`; the file is protobuf's text format.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archspec import provenance
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_BATCH = 32
LABEL_FILE = "labels.txt"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FORMATS = {"NCHW": "FORMAT_NCHW", "NHWC": "FORMAT_NHWC"}


class Tensor(NamedTuple):
    """An input or output. The first dimension is the batch; None is one that is free."""

    name: str
    type: str
    dims: tuple[int | None, ...]


def repository(folder: Path, model: bytes, metadata: Mapping[str, str], *, force: bool = False) -> Path:
    """Writes a model's folder into a repository, whole or not at all, and returns it. Raises `FileError`."""
    name, inputs, outputs = _signature(model)
    if not _NAME.fullmatch(name):
        raise file_error(
            folder, "AS514", f"Triton names a folder after the model, and {name[:64]!r} cannot be one"
        )
    home = folder / name
    if not force and home.exists() and not (home.is_dir() and not any(home.iterdir())):
        raise file_error(
            home, "AS514", "the model is already there", hint="--force replaces it, versions and all"
        )
    labels = _labels(metadata, name)
    files = {
        "config.pbtxt": config(name, inputs, outputs, metadata, labeled=bool(labels)).encode(),
        "1/model.onnx": model,
    }
    if labels:
        files[LABEL_FILE] = "".join(f"{label}\n" for label in labels).encode()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as place:
        _write(Path(place, "new"), files)
        _swap(home, Path(place, "new"), Path(place, "old"))
    return home


def _swap(home: Path, new: Path, old: Path) -> None:
    """Puts the new folder in the place of what is there, which comes back where that fails."""
    if home.exists():
        home.replace(old)
    try:
        new.replace(home)
    except BaseException:
        if old.exists():
            old.replace(home)
        raise


def config(
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    metadata: Mapping[str, str],
    *,
    labeled: bool = False,
) -> str:
    """The text of `config.pbtxt`. A model whose batch is fixed is served as it is, without batching."""
    batched = all(tensor.dims and tensor.dims[0] is None for tensor in (*inputs, *outputs))
    lines = [*_remarks(metadata), f"name: {quoted(name)}", 'platform: "onnxruntime_onnx"']
    lines.append(f"max_batch_size: {MAX_BATCH if batched else 0}")
    for each in inputs:
        layout = _layout(each) if batched else None
        lines += _tensor("input", each, batched, f"format: {_FORMATS[layout]}" if layout else "")
    for each in outputs:
        lines += _tensor("output", each, batched, f"label_filename: {quoted(LABEL_FILE)}" if labeled else "")
    if batched:
        lines.append("dynamic_batching {}")
    return "\n".join([*lines, ""])


def _tensor(kind: str, tensor: Tensor, batched: bool, more: str) -> list[str]:
    dims = ", ".join(str(-1 if side is None else side) for side in tensor.dims[1 if batched else 0 :])
    fields = [f"name: {quoted(tensor.name)}", f"data_type: {tensor.type}", more, f"dims: [{dims}]"]
    return [f"{kind} {{", *(f"  {field}" for field in fields if field), "}"]


def _layout(tensor: Tensor) -> str | None:
    """Of a picture: where its channels are."""
    if len(tensor.dims) != 4:
        return None
    return "NCHW" if tensor.dims[1] in (1, 3) else "NHWC" if tensor.dims[3] in (1, 3) else None


def _remarks(metadata: Mapping[str, str]) -> list[str]:
    """What a client has to know and Triton does not ask, each on one line."""
    said = {
        "made by archspec": metadata.get(provenance.VERSION),
        "function": metadata.get(provenance.FUNCTION),
        "preprocessing": metadata.get(provenance.PREPROCESSING),
        "license": metadata.get(provenance.LICENSE),
    }
    return [f"# {what}: {_ascii(text)}" for what, text in said.items() if text]


def quoted(text: str) -> str:
    """A string of protobuf's text format: what is not plain ASCII becomes octal bytes of its UTF-8."""
    plain = (_escaped(byte) for byte in text.encode(errors="replace"))
    return f'"{"".join(plain)}"'


def _escaped(byte: int) -> str:
    if byte in b'"\\':
        return f"\\{chr(byte)}"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"


def _ascii(text: str) -> str:
    """For a comment: one line."""
    return ascii(text)[1:-1][:2000]


def _labels(metadata: Mapping[str, str], name: str) -> list[str]:
    """One a line: whatever a label breaks its line with becomes a space."""
    from archspec.deploy.predict import json_labels

    said = metadata.get(provenance.LABELS)
    labels = json_labels(said, name) if said else ()
    return [" ".join(label.encode(errors="replace").decode().split()) for label in labels]


def _signature(model: bytes) -> tuple[str, list[Tensor], list[Tensor]]:
    """A model's name, inputs and outputs. Raises `FileError` for what is no ONNX or lies in two files."""
    import onnx

    try:
        graph = onnx.load_from_string(model).graph
    except Exception as error:  # protobuf's implementations differ in what they raise
        raise file_error("the model", "AS511", "not an ONNX model") from error
    if any(each.data_location == onnx.TensorProto.EXTERNAL for each in graph.initializer):
        raise file_error(graph.name, "AS514", "the weights lie in a second file; Triton gets one")
    held = {each.name for each in graph.initializer}
    inputs = [_described(each) for each in graph.input if each.name not in held]
    return graph.name, inputs, [_described(each) for each in graph.output]


def _described(value: Any) -> Tensor:
    from onnx import TensorProto

    types = {
        TensorProto.FLOAT: "TYPE_FP32",
        TensorProto.FLOAT16: "TYPE_FP16",
        TensorProto.UINT8: "TYPE_UINT8",
    }
    tensor = value.type.tensor_type
    if tensor.elem_type not in types:
        raise file_error(value.name, "AS514", "Triton's file is written for float and byte tensors only")
    dims = (side.dim_value if side.HasField("dim_value") else None for side in tensor.shape.dim)
    return Tensor(value.name, types[tensor.elem_type], tuple(dims))


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
