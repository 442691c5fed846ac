"""What is in a weights file: tensors by key, read when they are asked for, and what is known without reading them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Array = NDArray[Any]


class Lazy(Mapping[str, Any]):
    """Tensors by key, each made when it is asked for, and not kept."""

    def __init__(self, keys: Iterable[str], make: Callable[[str], Array]) -> None:
        self._keys = dict.fromkeys(keys)
        self._make = make

    def __getitem__(self, key: str) -> Array:
        if key not in self._keys:
            raise KeyError(key)
        return self._make(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a reader found. `remarks` say what it passed over."""

    tensors: Mapping[str, Array]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    metadata: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def renamed(contents: Contents, names: Mapping[str, str], remark: str) -> Contents:
    """The same tensors under other keys, new to old; what `names` does not hold is left out."""
    return replace(
        contents,
        tensors=Lazy(names, lambda key: contents.tensors[names[key]]),
        shapes={new: contents.shapes[old] for new, old in names.items()},
        dtypes={new: contents.dtypes[old] for new, old in names.items()},
        remarks=(*contents.remarks, remark),
    )


def raw(array: Array) -> memoryview:
    """An array's bytes, row by row, little-endian."""
    import numpy as np

    order = array.dtype.byteorder
    if order == ">" or (order == "=" and sys.byteorder == "big" and array.dtype.itemsize > 1):
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def digest(tensors: Mapping[str, Array]) -> str:
    """SHA-256 of tensors: key, type, shape and bytes of each, in the order of their keys."""
    total = sha256()
    for key in sorted(tensors):
        array = tensors[key]
        total.update(json.dumps([key, array.dtype.name, list(array.shape)]).encode() + b"\n")
        total.update(raw(array))
    return total.hexdigest()
