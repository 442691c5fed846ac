"""Opening an ONNX file that nobody vouches for: bounded, without its external data, without running anything."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from archspec.errors import file_error
from archspec.lift.lifted import Unliftable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onnx import ModelProto, NodeProto

MAX_BYTES = 2**31
MAX_NODES = 50_000
MAX_TENSORS = 100_000
OLDEST_OPSET = 7
OLDEST_IR = 3


def read_model(path: Path) -> ModelProto:
    """The model in a file; tensors that lie in other files stay there. Raises `FileError` (AS511)."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    file = str(path)
    content = _content(path, file)
    try:
        model: ModelProto = ModelProto.FromString(content)
    except (DecodeError, ValueError, RecursionError) as error:
        message = "this is not an ONNX model, or it was cut short"
        raise file_error(
            file, "AS511", message, hint="a model of ONNX is a protobuf file, mostly *.onnx"
        ) from error
    if not model.HasField("graph") or not model.graph.node or not model.opset_import:
        raise file_error(file, "AS511", "this is not an ONNX model: it holds no graph of operators")
    if any(isinstance(text, bytes) for text in _texts(model)):
        raise file_error(file, "AS511", "the model is broken: a name in it is not UTF-8")
    return model


def _texts(model: ModelProto) -> Iterator[str | bytes]:
    """Every name that is read. What is not UTF-8 comes out of protobuf as bytes."""
    graph = model.graph
    yield from (each.domain for each in model.opset_import)
    for each in model.metadata_props:
        yield from (each.key, each.value)
    for node in graph.node:
        yield from (node.op_type, node.name, node.domain, *node.input, *node.output)
        yield from (each.name for each in node.attribute)
    for group in (graph.initializer, graph.input, graph.output, graph.value_info, model.functions):
        yield from (each.name for each in group)


def _content(path: Path, file: str) -> bytes:
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise file_error(file, "AS511", "this is not a regular file")
            if status.st_size > MAX_BYTES:
                raise file_error(file, "AS511", "larger than 2 GiB, which no ONNX file can be")
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise file_error(file, "AS511", f"the file cannot be read: {why}") from error


def checked(model: ModelProto) -> int:
    """The opset of a model that is small and plain enough to be read. Raises `Unliftable`."""
    from onnx import defs

    graph = model.graph
    for what, count, most in (
        ("nodes", len(graph.node), MAX_NODES),
        ("tensors", len(graph.initializer), MAX_TENSORS),
    ):
        if count > most:
            raise Unliftable(f"the graph has {count:,} {what}; {most:,} are read at most")
    opsets: list[int] = [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")]
    newest = defs.onnx_opset_version()
    if not opsets or not OLDEST_OPSET <= opsets[0] <= newest:
        written = f"opset {opsets[0]}" if opsets else "no opset of ONNX itself"
        raise Unliftable(f"the model uses {written}; {OLDEST_OPSET} to {newest} are known")
    if model.ir_version < OLDEST_IR:
        raise Unliftable(f"the model has IR version {model.ir_version}; {OLDEST_IR} and later are known")
    if graph.sparse_initializer:
        raise Unliftable("the model holds sparse tensors")
    if model.functions:
        raise Unliftable(f"the model defines operators of its own, such as {shown(model.functions[0].name)}")
    return opsets[0]


def attributes(node: NodeProto, opset: int) -> dict[str, Any]:
    """A node's numbers, texts and tensors by name, once it is as its operator's definition wants it.

    Raises `Unliftable` for an unknown operator, a wrong number of inputs or outputs, attributes of another kind.
    """
    from onnx import AttributeProto, defs

    try:
        schema = defs.get_schema(node.op_type, opset, "")
    except defs.SchemaError as error:
        raise Unliftable(f"{title(node)} is no operator of opset {opset}") from error
    counts = (schema.min_input, len(node.input), schema.max_input), (1, len(node.output), schema.max_output)
    if any(not least <= count <= most for least, count, most in counts):
        raise Unliftable(f"{title(node)} has {len(node.input)} inputs and {len(node.output)} outputs")
    kinds: dict[int, str] = {
        AttributeProto.INT: "i",
        AttributeProto.FLOAT: "f",
        AttributeProto.STRING: "s",
        AttributeProto.INTS: "ints",
        AttributeProto.FLOATS: "floats",
        AttributeProto.TENSOR: "t",
    }
    found: dict[str, Any] = {}
    for each in node.attribute:
        known = schema.attributes.get(each.name)
        kind = kinds.get(each.type)
        if (
            known is None
            or kind is None
            or str(known.type).rpartition(".")[2] != AttributeProto.AttributeType.Name(each.type)
        ):
            raise Unliftable(
                f"{title(node)} has the attribute {shown(each.name)}, of a kind that is not read"
            )
        value = getattr(each, kind)
        found[each.name] = list(value) if kind in ("ints", "floats") else value
    lacking = next(
        (name for name, known in schema.attributes.items() if known.required and name not in found), None
    )
    if lacking is not None:
        raise Unliftable(f"{title(node)} lacks the attribute {shown(lacking)}")
    return found


def title(node: NodeProto) -> str:
    """A node as messages name it: its operator, and its name or its value's."""
    return f"{shown(node.op_type)[1:-1]} {shown(node.name or (node.output[0] if node.output else ''))}"
