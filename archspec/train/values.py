"""Nested values as JSON and tensors by name, and back to the same bits: types, orders and keys included.

JSON knows no tuples, no keys but texts, and no infinity. Those are objects with one key: `$tuple`, `$dict`, `$float`.
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from archspec.weights.contents import Array


def packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON. Its tensors go into `tensors`, under names that say where they stood.

    Raises `TypeError` for what is neither a number, a text, a tensor, nor made of these.
    """
    from torch import Tensor

    if isinstance(value, Tensor):
        free = name
        while free in tensors:  # two paths can read alike: {"a.b": ...} and {"a": {"b": ...}}
            free += "'"
        tensors[free] = value
        return {"$tensor": free}
    if isinstance(value, float):
        return value if isfinite(value) else {"$float": str(float(value))}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, list | tuple):
        items = [packed(item, f"{name}.{place}", tensors) for place, item in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    if not isinstance(value, dict):
        raise TypeError(f"{name} is a {type(value).__name__}, which a checkpoint does not hold")
    pairs = [
        (packed(key, f"{name}.key", tensors), packed(item, f"{name}.{key}", tensors))
        for key, item in value.items()
    ]
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return dict(pairs)
    return {"$dict": pairs}


def unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The value that was packed."""
    if isinstance(value, list):
        return [unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    kind, inner = cast("tuple[str, Any]", next(iter(value.items()), ("", None)))
    match kind:
        case "$tensor":
            return tensors[inner]
        case "$float":
            return float(inner)
        case "$tuple":
            return tuple(unpacked(item, tensors) for item in inner)
        case "$dict":
            return {unpacked(key, tensors): unpacked(item, tensors) for key, item in inner}
    return {key: unpacked(item, tensors) for key, item in value.items()}


def array(tensor: Tensor, name: str) -> Array:
    """A tensor's values, row by row, on the host. Raises `TypeError` for types that safetensors files here lack."""
    import torch

    from archspec.weights.safetensors import DTYPES

    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise TypeError(f"{name} is {dtype}, which a checkpoint does not hold")
    plain = tensor.detach().cpu().contiguous()
    if dtype != "bfloat16":
        values: Array = plain.numpy()
        return values
    import ml_dtypes

    return plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)


def strides(tensors: Mapping[str, Tensor]) -> dict[str, list[int]]:
    """In which order tensors lie in memory, where that is not row by row.

    Fused optimisers go through parameter and momentum side by side and look at no stride: a momentum that came back
    row by row, beside a channels-last parameter, would be added to the wrong weights, without an error.
    """
    found = {name: list(tensor.stride()) for name, tensor in tensors.items()}
    return {
        name: stride
        for name, stride in found.items()
        if tuple(stride) != _rows(tensors[name]) and _dense(list(tensors[name].shape), stride)
    }


def laid_out(tensors: Mapping[str, Tensor], found: Mapping[str, list[int]]) -> dict[str, Tensor]:
    """The same tensors, in memory as they were."""
    return {name: _laid_out(tensor, found.get(name)) for name, tensor in tensors.items()}


def _laid_out(tensor: Tensor, stride: list[int] | None) -> Tensor:
    import torch

    if stride is None or not _dense(list(tensor.shape), stride):
        return tensor
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)


def _rows(tensor: Tensor) -> tuple[int, ...]:
    """The strides of a tensor of this shape that lies row by row."""
    import torch

    return torch.empty(tensor.shape, device="meta").stride()


def _dense(shape: list[int], stride: list[int]) -> bool:
    """Whether every value has a place of its own, and no place is left over."""
    if len(shape) != len(stride) or 0 in shape:
        return False
    expected = 1
    for step, size in sorted(zip(stride, shape, strict=True)):
        if size > 1 and step != expected:
            return False
        expected *= size
    return True
