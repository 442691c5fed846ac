"""One checkpoint: a folder of four files, and a manifest that no changed byte gets past.

    model.safetensors     the network, stamped like every weights file
    training.safetensors  tensors of the optimiser, and whatever else has tensors
    state.json            the rest of it, and how the tensors hang together
    manifest.json         SHA-256 and size of each

Nothing in it can run, and nothing of it is used before all of it was read and found to be what was written.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from hashlib import sha256
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from archspec.train.values import array, laid_out, packed, strides, unpacked
from archspec.weights.files import write_weights
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT = 1
MODEL, TRAINING, STATE, MANIFEST = "model.safetensors", "training.safetensors", "state.json", "manifest.json"
FILES = (MODEL, TRAINING, STATE)
NAME = re.compile(r"step-(\d{8,18})(?:-(\d{1,9}))?")
"""A step, and which of several checkpoints of that step."""
LONGEST_MANIFEST = 4096


class DamagedError(Exception):
    """A checkpoint that is not what was written; says what is wrong with which file."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a run stands after `step` steps. `state` may hold what JSON holds, tuples, and any float."""

    step: int
    model: Mapping[str, Tensor] = field(repr=False)
    optimizer: dict[str, Any] = field(repr=False)
    extra: Mapping[str, Tensor] = field(repr=False)
    state: dict[str, Any]


def write(folder: Path, snapshot: Snapshot, stamp: Mapping[str, str]) -> None:
    """Fills an empty folder. The manifest comes last, and everything is on the disk when this returns."""
    tensors: dict[str, Tensor] = {}
    tree = {
        "step": snapshot.step,
        "state": packed(snapshot.state, "state", tensors),
        "optimizer": packed(snapshot.optimizer, "optimizer", tensors),
        "extra": packed(dict(snapshot.extra), "extra", tensors),
        "strides": {"model": strides(snapshot.model), "training": strides(tensors)},
    }
    text = json.dumps(tree, indent=1, allow_nan=False).encode() + b"\n"
    digests = {
        MODEL: write_weights(folder / MODEL, _arrays(snapshot.model), stamp),
        TRAINING: write_weights(folder / TRAINING, _arrays(tensors), {}),
        STATE: sha256(text).hexdigest(),
    }
    _put(folder / STATE, text)
    sizes = {name: (folder / name).stat().st_size for name in FILES}
    _put(folder / MANIFEST, _manifest(snapshot.step, digests, sizes))


def read(folder: Path) -> tuple[Snapshot, dict[str, str]]:
    """What was written, and the stamp of its model. Raises `DamagedError`."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    contents = dict(_contents(folder))
    try:
        tree = json.loads(contents[STATE])
        model = laid_out(load(contents[MODEL]), tree["strides"]["model"])
        training = laid_out(load(contents[TRAINING]), tree["strides"]["training"])
        snapshot = Snapshot(
            step=tree["step"],
            model=model,
            optimizer=unpacked(tree["optimizer"], training),
            extra=unpacked(tree["extra"], training),
            state=unpacked(tree["state"], training),
        )
        return snapshot, _stamp(contents[MODEL])
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        raise DamagedError(f"it cannot be understood: {type(error).__name__}: {str(error)[:200]}") from error


def verify(folder: Path) -> None:
    """Reads every byte. Raises `DamagedError` where one is not what was written."""
    for _ in _contents(folder):
        pass


def complete(folder: Path) -> bool:
    """Whether all files are there in the right sizes: a quick look, where `verify` would take long."""
    try:
        sizes = _claims(folder)[1]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (DamagedError, OSError):
        return False


def sync(folder: Path) -> None:
    """Makes names in a folder last. Not every file system lets a folder be opened for that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        return
    finally:
        os.close(descriptor)


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: array(tensor, name) for name, tensor in tensors.items()}


def _put(path: Path, content: bytes) -> None:
    with staged(path) as temporary:
        temporary.write_bytes(content)


def _manifest(step: int, digests: Mapping[str, str], sizes: Mapping[str, int]) -> bytes:
    files = {name: {"sha256": digests[name], "size": sizes[name]} for name in FILES}
    return json.dumps({"format": FORMAT, "step": step, "files": files}, indent=1).encode() + b"\n"


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Each file's name and bytes, which are those that the manifest says."""
    digests, sizes = _claims(folder)
    for name in FILES:
        content = _bytes(folder / name, sizes[name])
        if sha256(content).hexdigest() != digests[name]:
            raise DamagedError(f"{name} has another SHA-256")
        yield name, content


def _claims(folder: Path) -> tuple[dict[str, str], dict[str, int]]:
    """The digests and sizes that a manifest says. It must be, to the byte, what would have been written."""
    text = _bytes(folder / MANIFEST)
    try:
        table = json.loads(text)
        version, step, files = table["format"], table["step"], table["files"]
        if version != FORMAT:
            raise DamagedError(f"{MANIFEST} has format {version!r:.20}, and this archspec reads {FORMAT}")
        digests = {name: files[name]["sha256"] for name in FILES}
        sizes = {name: files[name]["size"] for name in FILES}
        same = text == _manifest(step, digests, sizes)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST} is damaged") from error
    if not same:
        raise DamagedError(f"{MANIFEST} is damaged")
    named = NAME.fullmatch(folder.name)
    if named and int(named[1]) != step:
        raise DamagedError(f"{MANIFEST} is of step {step}")
    return digests, sizes


def _bytes(path: Path, size: int | None = None) -> bytes:
    """A file's content, once it is known to be a file, and of which size. A manifest is short."""
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            raise DamagedError(f"{path.name} is no file")
        if size is not None and status.st_size != size:
            raise DamagedError(f"{path.name} has {status.st_size:,} bytes instead of {size:,}")
        if size is None and status.st_size > LONGEST_MANIFEST:
            raise DamagedError(f"{path.name} is too long")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(f"{path.name} is missing") from error
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read: {error.strerror or error}") from error


def _stamp(content: bytes) -> dict[str, str]:
    """What a safetensors file says of itself."""
    length = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + length]).get("__metadata__", {}))
