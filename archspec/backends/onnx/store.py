"""A model to a file, tensor by tensor: the same bytes as protobuf's own, without a second copy of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

# fields of ModelProto, GraphProto and TensorProto in onnx.proto; protobuf writes fields in the order of their numbers
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
_HAS_A_LENGTH = 2


def store(model: ModelProto, stream: BinaryIO) -> None:
    """Writes what `model.SerializeToString(deterministic=True)` would return."""
    graph = model.graph
    before, after = _fields(graph, 0, INITIALIZER), _fields(graph, INITIALIZER + 1)
    sizes = [tensor.ByteSize() for tensor in graph.initializer]
    heads = [_head(INITIALIZER, size) for size in sizes]
    stream.write(_fields(model, 0, GRAPH))
    stream.write(_head(GRAPH, len(before) + sum(map(len, heads)) + sum(sizes) + len(after)))
    stream.write(before)
    for tensor, head in zip(graph.initializer, heads, strict=True):
        stream.write(head)
        _store_tensor(tensor, stream)
    stream.write(after)
    stream.write(_fields(model, GRAPH + 1))


def _store_tensor(tensor: TensorProto, stream: BinaryIO) -> None:
    """A tensor's fields, its values as they are: protobuf would copy them twice."""
    values = tensor.raw_data
    if not values or tensor.HasField("doc_string") or tensor.HasField("data_location"):
        stream.write(tensor.SerializeToString(deterministic=True))
        return
    stream.write(_fields(tensor, 0, RAW_DATA))
    stream.write(_head(RAW_DATA, len(values)))
    stream.write(values)


def _fields(message: Any, start: int, end: int = 1 << 29) -> bytes:
    """The part of a message whose fields have these numbers."""
    part = type(message)()
    for descriptor, value in message.ListFields():
        if not start <= descriptor.number < end:
            continue
        if descriptor.is_repeated:
            getattr(part, descriptor.name).extend(value)
        elif descriptor.message_type is not None:
            getattr(part, descriptor.name).CopyFrom(value)
        else:
            setattr(part, descriptor.name, value)
    return bytes(part.SerializeToString(deterministic=True))


def _head(number: int, size: int) -> bytes:
    """What stands before a field with a length: its number, then the length, seven bits a byte."""
    head = bytearray([number << 3 | _HAS_A_LENGTH])
    while size > 127:
        head.append(size & 127 | 128)
        size >>= 7
    return bytes([*head, size])
