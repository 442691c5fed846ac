"""A model to a file, tensor by tensor: the same bytes as protobuf's own, without a second copy of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from onnx import ModelProto

# fields of ModelProto and GraphProto in onnx.proto; protobuf writes fields in the order of their numbers
GRAPH, INITIALIZER = 7, 5
_HAS_A_LENGTH = 2


def store(model: ModelProto, stream: BinaryIO) -> None:
    """Writes what `model.SerializeToString(deterministic=True)` would return."""
    graph, tensors = model.graph, model.graph.initializer
    before, after = _fields(graph, 0, INITIALIZER), _fields(graph, INITIALIZER + 1)
    heads = [_head(INITIALIZER, tensor.ByteSize()) for tensor in tensors]
    size = sum(len(head) + tensor.ByteSize() for head, tensor in zip(heads, tensors, strict=True))
    stream.write(_fields(model, 0, GRAPH))
    stream.write(_head(GRAPH, len(before) + size + len(after)))
    stream.write(before)
    for head, tensor in zip(heads, tensors, strict=True):
        stream.write(head)
        stream.write(tensor.SerializeToString(deterministic=True))
    stream.write(after)
    stream.write(_fields(model, GRAPH + 1))


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
