"""Weights files: safetensors and torch checkpoints, told apart by content, read without running anything.

Files are written as safetensors, whole or not at all, and equal tensors give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import file_digest
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Literal

from archspec.errors import file_error
from archspec.provenance import TENSORS
from archspec.weights.contents import Contents, digest, renamed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archspec.weights.contents import Array

__all__ = ["Weights", "checked", "digest", "read_weights", "write_weights"]

WRAPPERS = ("module.", "_orig_mod.")
"""What `DataParallel`, averaging and `torch.compile` put before every key."""

_FOREIGN = {
    b"version https://git-lfs": "a pointer of Git LFS; the file itself was not fetched",
    b"<!": "a web page; its download went wrong",
    b"<html": "a web page; its download went wrong",
    b"\x89HDF": "an HDF5 file, as Keras writes it",
    b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "compressed with gzip",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"GGUF": "a GGUF file",
}


@dataclass(frozen=True)
class Weights:
    """A weights file that has been opened. Tensors are read when they are asked for."""

    file: str
    tensors: Mapping[str, Array] = field(repr=False)
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)
    dtypes: Mapping[str, str] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)
    sha256: str
    format: Literal["safetensors", "pth"]
    remarks: tuple[str, ...] = ()
    """What was passed over or taken off on the way to the tensors, in words."""

    @property
    def origin(self) -> dict[str, str]:
        """For the record of what begins with them."""
        return {"from": self.file, "sha256": self.sha256}


def read_weights(path: Path) -> Weights:
    """Opens a safetensors file or a torch checkpoint. Raises `FileError`; runs no code of the file."""
    file = str(path)
    kind = _kind(path, file)
    if kind == "safetensors":
        from archspec.weights.safetensors import read
    else:
        from archspec.weights.checkpoint import read
    contents = _unwrapped(read(path, file))
    if not contents.shapes:
        raise file_error(file, "AS501", "the file holds no tensors")
    with path.open("rb") as stream:
        whole = file_digest(stream, "sha256").hexdigest()
    return Weights(
        file=file,
        tensors=contents.tensors,
        shapes=contents.shapes,
        dtypes=contents.dtypes,
        metadata=contents.metadata,
        sha256=whole,
        format=kind,
        remarks=contents.remarks,
    )


def said_by(path: Path) -> Mapping[str, str]:
    """What a file says of itself, from its header alone: no tensor is read. A checkpoint of torch says nothing.

    Raises `FileError`.
    """
    file = str(path)
    if _kind(path, file) != "safetensors":
        return {}
    from archspec.weights.safetensors import read

    return read(path, file).metadata


def _kind(path: Path, file: str) -> Literal["safetensors", "pth"]:
    """What a file is, from its first bytes; suffixes are not trusted."""
    head = _head(path, file)
    # the length of a header in eight bytes, the first of which may be a pickle's 0x80; no header has four gigabytes
    if head[4:9] == b"\0\0\0\0{":
        return "safetensors"
    if head[:4] == b"PK\x03\x04" or head[:1] == b"\x80":
        return "pth"
    if head[8:9] == b"{":
        return "safetensors"
    what = next((what for start, what in _FOREIGN.items() if head.startswith(start)), None)
    message = f"this is {what}" if what else "this is neither safetensors nor a checkpoint of torch"
    raise file_error(file, "AS501", message)


def _head(path: Path, file: str) -> bytes:
    try:
        status = path.stat()
        if S_ISDIR(status.st_mode):
            raise file_error(file, "AS501", "this is a folder, not a weights file")
        if not S_ISREG(status.st_mode):
            raise file_error(file, "AS501", "this is not a regular file")
        with path.open("rb") as stream:
            head = stream.read(64)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise file_error(file, "AS501", f"the file cannot be read: {why}") from error
    if not head:
        raise file_error(file, "AS501", "the file is empty")
    return head


def _unwrapped(contents: Contents) -> Contents:
    """Without the prefixes that wrappers of modules put before every key."""
    found = next((prefix for prefix in WRAPPERS if _wraps(prefix, contents)), None)
    if found is None:
        return contents
    # an averaged module also counts its steps, outside of the prefix
    names = {key.removeprefix(found): key for key in contents.shapes if key.startswith(found)}
    taken_off = renamed(contents, names, f'the prefix "{found}" was taken off {len(names)} keys')
    return _unwrapped(taken_off)


def _wraps(prefix: str, contents: Contents) -> bool:
    keys = [key for key in contents.shapes if key != "n_averaged"]
    return bool(keys) and all(key.startswith(prefix) and key != prefix for key in keys)


def write_weights(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """Writes safetensors, whole or not at all, and returns the file's SHA-256. The tensors' digest is added."""
    from archspec.weights.safetensors import write

    return write(path, tensors, metadata)


def checked(weights: Weights) -> Weights:
    """The same weights, once their tensors have the digest that their file says they have. Raises `FileError`."""
    claimed = weights.metadata.get(TENSORS)
    if claimed is None:
        return weights
    found = digest(weights.tensors)
    if found != claimed:
        message = f"the file says its tensors have SHA-256 {claimed[:12]}, but they have {found[:12]}"
        hint = "a tensor was changed after the file was written"
        raise file_error(weights.file, "AS507", message, hint=hint)
    return weights
