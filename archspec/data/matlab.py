"""The little of MATLAB's files (level 5) that ImageNet's devkit needs: an array of structs of texts and numbers."""

from __future__ import annotations

import struct
import zlib
from math import prod
from typing import TYPE_CHECKING

from archspec.data.reading import content, damaged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST = 16 * 2**20
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CHAR, _NUMBERS = 2, 4, range(6, 16)
_FORMATS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le"}

Value = str | int | None


class _Unsound(ValueError):
    """Bytes that are not what they say."""


def structs(path: Path, name: str) -> list[dict[str, Value]]:
    """The named array of structs; fields of other kinds are None. Raises `FileError`: AS532."""
    data = content(path, MOST)
    if data[124:128] != b"\x00\x01IM":
        raise damaged(path, "this is no file of MATLAB, level 5, as ImageNet's devkit has it")
    try:
        for kind, body in _elements(data[_HEADER:]):
            found = _named(kind, body, name)
            if found is not None:
                return found
    except (struct.error, zlib.error, UnicodeDecodeError, _Unsound, StopIteration, ValueError) as error:
        raise damaged(path, f"damaged: {str(error) or 'it ends too early'}") from error
    raise damaged(path, f"it has no array {name}")


def _named(kind: int, body: bytes, name: str) -> list[dict[str, Value]] | None:
    if kind == _COMPRESSED:
        inflate = zlib.decompressobj()
        whole = inflate.decompress(body, MOST)
        if inflate.unconsumed_tail:
            raise _Unsound(f"an array of more than {MOST:,} bytes")
        kind, body = next(_elements(whole))
    if kind != _MATRIX:
        return None
    parts = _elements(body)
    flags, shape = next(parts)[1], _numbers(*next(parts))
    if next(parts)[1] != name.encode() or flags[:1] != bytes((_STRUCT,)):
        return None
    (length,) = _numbers(*next(parts))
    text = next(parts)[1]
    fields = [
        text[at : at + length].rstrip(b"\0").decode("latin-1") for at in range(0, len(text), max(length, 1))
    ]
    if not fields or prod(shape) * len(fields) * 8 > len(body):
        raise _Unsound("more structs than there are bytes")
    return [{field: _value(*next(parts)) for field in fields} for _ in range(prod(shape))]


def _value(kind: int, body: bytes) -> Value:
    """A text, or a number that is whole."""
    if kind != _MATRIX or not body:
        return None
    parts = _elements(body)
    flags, shape = next(parts)[1], _numbers(*next(parts))
    next(parts)
    if flags[0] == _CHAR:
        written, text = next(parts, (1, b""))
        return text.decode(_TEXTS.get(written, "latin-1"))
    if flags[0] in _NUMBERS and prod(shape) == 1:
        (number,) = _numbers(*next(parts))
        return int(number)
    return None


def _numbers(kind: int, body: bytes) -> tuple[int, ...]:
    form = _FORMATS.get(kind)
    if form is None or len(body) % struct.calcsize(form):
        raise _Unsound(f"numbers of the unknown type {kind}")
    return struct.unpack(f"<{len(body) // struct.calcsize(form)}{form}", body)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each element; a short one holds its bytes within its tag."""
    at = 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        start, step = at + 8, 8 + -(-length // 8) * 8
        if kind >> 16:
            kind, length, start, step = kind & 0xFFFF, kind >> 16, at + 4, 8
        if kind == _COMPRESSED:
            step = 8 + length
        if start + length > len(data):
            raise _Unsound("cut off")
        yield kind, data[start : start + length]
        at += step
