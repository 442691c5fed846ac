"""Torch checkpoints, `.pth` and `.pt`: read with `weights_only` alone, so that nothing in them runs."""

from __future__ import annotations

import re
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from archspec.errors import file_error
from archspec.weights.contents import Contents, Lazy
from archspec.weights.safetensors import DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from archspec.weights.contents import Array

CONTAINERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "ema",
)
"""Under which names training scripts keep the tensors, the likeliest first."""
DEEPEST = 4
MOST_SHOWN = 5

# what torch's refusals call the thing that would have to run
_CODE = re.compile(r"GLOBAL ([\w.]+)|unrecognized (?:function|class|type) (?:<[^']*')?([\w.]+)")
_SAFER = (
    "save the tensors alone, where you trust the file: torch.save(model.state_dict(), ...) or safetensors"
)


def read(path: Path, file: str) -> Contents:
    """Reads a checkpoint, in torch's zip format or the one before it."""
    remarks = _sound(path, file) if _is_zip(path) else []
    document = _loaded(path, file)
    entries, where = _entries(document, file)
    remarks += [f'read the tensors under "{where}"'] if where else []
    tensors = {key: value for key, value in entries.items() if isinstance(key, str) and _is_tensor(value)}
    others = [str(key) for key in entries if key not in tensors]
    if others:
        remarks.append(f"passed over {len(others)} entries that are no tensors: {_some(others)}")
    if not tensors:
        raise file_error(file, "AS501", "the file holds no tensors by name", hint=_seen(document))
    _refuse_unusual(tensors, file)
    return Contents(
        tensors=Lazy(tensors, lambda key: _array(tensors[key], key, file)),
        shapes={key: tuple(tensor.shape) for key, tensor in tensors.items()},
        dtypes={key: _dtype(tensor) for key, tensor in tensors.items()},
        remarks=tuple(remarks),
    )


def _is_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"


def _sound(path: Path, file: str) -> list[str]:
    """Checks an archive before torch reads it: torch looks at no checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            why = _unlike_torch(entries, path.stat().st_size)
            summed = any(entry.CRC for entry in entries)
            damaged = archive.testzip() if summed and not why else None
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
        LookupError,
    ) as error:
        raise file_error(file, "AS501", f"the checkpoint's archive is damaged: {error}") from error
    if why:
        raise file_error(file, "AS501", why)
    if damaged is not None:
        raise file_error(file, "AS501", f"the checkpoint is damaged: the checksum of {damaged} is wrong")
    return [] if summed else ["the checkpoint was written without checksums"]


def _unlike_torch(entries: list[zipfile.ZipInfo], length: int) -> str:
    """What tells an archive from one of torch's, or nothing."""
    names = [entry.filename for entry in entries]
    if any(name.endswith("/constants.pkl") for name in names):
        return "this is a TorchScript archive: a program, not a set of tensors"
    if sum(name == "data.pkl" or name.endswith("/data.pkl") for name in names) != 1:
        npz = bool(names) and all(name.endswith(".npy") for name in names)
        return "this is an archive of NumPy arrays" if npz else "this archive is no checkpoint of torch"
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        return "the archive's entries are compressed, and torch compresses none"
    if sum(entry.file_size for entry in entries) > length:
        return "the archive's entries claim more bytes than the file has"
    return ""


def _loaded(path: Path, file: str) -> Any:
    import torch

    try:
        # a stream, because torch goes by the suffix of a path
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")  # about pickle protocols and storages: nothing a user can act on
            return torch.load(stream, weights_only=True, map_location="cpu")
    except Exception as error:  # whatever torch's unpickler stumbles on in a file that is not sound
        raise _refused(file, error) from error


def _refused(file: str, error: Exception) -> Exception:
    text = str(error)
    found = _CODE.search(text)
    if found:
        name = (found[1] or found[2])[:100]
        message = f"the file wants to run {name}, and only tensors are read from it; nothing was run"
        return file_error(file, "AS502", message, hint=_SAFER)
    if "Unsupported operand" in text:
        message = (
            "this is a pickle of Python's own, and torch cannot read it without running it; it was not run"
        )
        return file_error(file, "AS501", message, hint=_SAFER)
    why = (text.strip().splitlines() or [""])[-1][:200] or type(error).__name__
    return file_error(file, "AS501", f"torch cannot read the checkpoint: {why}")


def _entries(document: Any, file: str) -> tuple[Mapping[Any, Any], str]:
    """The mapping that holds the tensors, and under which names it was found."""
    where: list[str] = []
    for _ in range(DEEPEST):
        if not isinstance(document, dict):
            break
        inner = next((name for name in CONTAINERS if isinstance(document.get(name), dict)), None)
        if inner is None:
            return document, ".".join(where)
        document = document[inner]
        where.append(inner)
    raise file_error(file, "AS501", "the file holds no tensors by name", hint=_seen(document))


def _seen(document: Any) -> str:
    if isinstance(document, dict) and document:
        return f"what is there: {_some([str(key) for key in document])}"
    return f"what is there: {type(document).__name__}"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(name[:60] for name in names[:MOST_SHOWN]) + more


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _refuse_unusual(tensors: Mapping[str, Tensor], file: str) -> None:
    """Refuses tensors that are not simply their values, all at once."""
    found = [
        f"{key[:120]} is {why}"
        for key, why in ((key, _unusual(each)) for key, each in tensors.items())
        if why
    ]
    if found:
        more = [f"and {len(found) - MOST_SHOWN} more like these"] if len(found) > MOST_SHOWN else []
        raise file_error(file, "AS505", *found[:MOST_SHOWN], *more)


def _unusual(tensor: Tensor) -> str:
    if tensor.is_nested:
        return "a nested tensor"
    if str(tensor.layout) != "torch.strided":
        return f"a sparse tensor ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_quantized:
        return f"a quantised tensor ({_dtype(tensor)})"
    if tensor.is_meta:
        return "a tensor without values (meta)"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "a view that repeats its values, so that a small file becomes a large tensor"
    return ""


def _array(tensor: Tensor, key: str, file: str) -> Array:
    """A tensor's values as an array, whatever its strides."""
    import torch

    name = _dtype(tensor)
    if name not in DTYPES:
        raise file_error(file, "AS505", f"{key} is {name}, which is not read here")
    plain = tensor.detach().contiguous()
    if name != "bfloat16":
        array: Array = plain.numpy()
        return array
    import ml_dtypes

    return plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
