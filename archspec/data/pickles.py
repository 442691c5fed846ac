"""Pickles of CIFAR, read without running anything that they name.

A pickle is a program. Only the instructions that those files need are let through, and the few functions that
they name are stand-ins, which check what they are given and call nothing.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from math import prod
from typing import TYPE_CHECKING, Any

from archspec.data.reading import content, damaged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

_INSTRUCTIONS = frozenset(
    [
        *(
            "PROTO",
            "FRAME",
            "STOP",
            "MARK",
            "NONE",
            "NEWTRUE",
            "NEWFALSE",
            "GLOBAL",
            "STACK_GLOBAL",
            "REDUCE",
            "BUILD",
        ),
        *("INT", "LONG", "LONG1", "BININT", "BININT1", "BININT2", "STRING", "BINSTRING", "SHORT_BINSTRING"),
        *(
            "BINBYTES",
            "SHORT_BINBYTES",
            "BINUNICODE",
            "SHORT_BINUNICODE",
            "EMPTY_LIST",
            "APPEND",
            "APPENDS",
            "LIST",
        ),
        *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET"),
    ]
)
_MEMO = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))


class Refused(ValueError):
    """A pickle that is not one of those files."""


class _Dtype:
    """Stands in for `numpy.dtype`: of bytes, or refused."""

    def __init__(self, code: object = None, *_: object) -> None:
        if code not in ("u1", b"u1"):
            raise Refused(f"an array of {str(code)[:20]!r}, where bytes are expected")

    def __setstate__(self, state: object) -> None:
        """Byte order and flags, which say nothing of single bytes."""


class _Array:
    """Stands in for an array while it is read: its state is checked, then viewed."""

    values: NDArray[Any] | None = None

    def __setstate__(self, state: object) -> None:
        import numpy as np

        if not isinstance(state, tuple) or len(state) != 5:
            raise Refused("an array without its shape and bytes")
        _, shape, dtype, by_columns, data = state
        data = data.encode("latin-1") if isinstance(data, str) else data
        if not (isinstance(dtype, _Dtype) and isinstance(data, bytes) and _is_shape(shape)):
            raise Refused("an array that is not rows of bytes")
        if prod(shape) != len(data):
            raise Refused(f"an array of shape {shape} with {len(data):,} bytes")
        self.values = np.frombuffer(data, np.uint8).reshape(shape, order="F" if by_columns else "C")


def _is_shape(shape: object) -> bool:
    return (
        isinstance(shape, tuple) and len(shape) <= 4 and all(type(n) is int and 0 <= n < 2**40 for n in shape)
    )


def _array(*_: object) -> _Array:
    return _Array()


def _encoded(text: object, encoding: object) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("bytes in an unusual writing")
    return text.encode("latin-1")


class _Nothing:
    """Stands in for a class that is only handed on."""


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): _Nothing,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encoded,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _KNOWN.get((module, name))
        if found is None:
            raise Refused(f"it wants to run {module[:60]}.{name[:60]}; nothing was run")
        return found


def read(path: Path, most: int) -> dict[str, Any]:
    """The one table that a file holds, with text for keys and arrays of bytes. Raises `FileError`: AS532."""
    data = content(path, most)
    try:
        _look_through(data)
        table = _Reader(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(table, dict):
            raise Refused("it holds no table")
        return {_text(key): _value(value) for key, value in table.items()}
    except Refused as error:
        raise damaged(path, f"this is no file of CIFAR: {error}") from error
    except Exception as error:  # the unpickler fails in every way there is on bytes that are not sound
        why = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise damaged(path, f"the pickle is damaged: {why}") from error


def _look_through(data: bytes) -> None:
    """Every instruction, before one is carried out. A far place in the memo would allocate all up to there."""
    for count, (instruction, argument, _) in enumerate(pickletools.genops(data), 1):
        if instruction.name not in _INSTRUCTIONS:
            raise Refused(f"it has the instruction {instruction.name}")
        if instruction.name in _MEMO and isinstance(argument, int) and argument > count:
            raise Refused("it skips places")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value)


def _value(value: Any) -> Any:
    return value.values if isinstance(value, _Array) else value


def strings(values: object) -> tuple[str, ...]:
    """A list of text, as text; empty for what is none."""
    if not isinstance(values, list) or not all(isinstance(each, bytes | str) for each in values):
        return ()
    return tuple(_text(each) for each in values)
