"""Safetensors: a header that says what is where, then the values. Nothing in it can run."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from hashlib import sha256
from itertools import chain
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any

from archspec.errors import file_error
from archspec.provenance import TENSORS
from archspec.weights.contents import Contents, Lazy, digest, raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.weights.contents import Array

DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
_NAMES = {short: name for name, short in DTYPES.items()}


def read(path: Path, file: str) -> Contents:
    """Opens a file: keys, shapes and types from its header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        opened: Any = safe_open(path, framework="numpy")
        slices = {key: opened.get_slice(key) for key in opened.offset_keys()}
        metadata = dict(opened.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise file_error(file, "AS501", f"the file is not sound safetensors: {error}") from error
    dtypes = {key: _name(part.get_dtype()) for key, part in slices.items()}

    def make(key: str) -> Array:
        if dtypes[key] not in DTYPES:
            raise file_error(file, "AS505", f"{key} is {dtypes[key]}, which is not read here")
        array: Array = opened.get_tensor(key)
        return array

    shapes = {key: tuple(part.get_shape()) for key, part in slices.items()}
    return Contents(Lazy(slices, make), shapes, dtypes, metadata)


def _name(short: str) -> str:
    return _NAMES.get(short, short.lower())


def write(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Writes a file, whole or not at all, and returns its SHA-256."""
    with staged(path) as temporary:
        return store(temporary, tensors, metadata)


def store(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Fills a file and returns its SHA-256. Wider types come first, so that every tensor is aligned."""
    known = {key: (array.dtype, array.shape, array.nbytes) for key, array in tensors.items()}
    order = sorted(known, key=lambda key: -known[key][0].itemsize)
    header: dict[str, object] = {"__metadata__": dict(sorted({**metadata, TENSORS: digest(tensors)}.items()))}
    offset = 0
    for key in order:
        dtype, shape, length = known[key]
        place = [offset, offset + length]
        header[key] = {"dtype": DTYPES[dtype.name], "shape": list(shape), "data_offsets": place}
        offset += length
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    total = sha256()
    with path.open("wb") as stream:
        parts: Iterator[bytes | memoryview] = (raw(tensors[key]) for key in order)
        for part in chain((len(text).to_bytes(8, "little") + text,), parts):
            stream.write(part)
            total.update(part)
    return total.hexdigest()


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """A temporary file beside a path, which takes its place when nothing went wrong and leaves no trace otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync(path: Path) -> None:
    """Makes what was written last. Not every file system lets a folder be opened for that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        if path.is_file():
            raise
    finally:
        os.close(descriptor)
