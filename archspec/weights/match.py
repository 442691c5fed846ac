"""Weights against a spec: the same keys, shapes, types and function, or every difference at once."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any

from archspec.compare import function_fields
from archspec.errors import Diagnostic, FileError, Span
from archspec.ir.operation import dims
from archspec.ir.ops import Linear
from archspec.passes.flatten import flatten, state
from archspec.provenance import FUNCTION, recalled
from archspec.spec.fields import shown
from archspec.weights.contents import Lazy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import nn

    from archspec.architecture import Architecture
    from archspec.weights.contents import Array
    from archspec.weights.files import Weights

FLOATS = ("float32", "float16", "bfloat16", "float64")
COUNTER = "num_batches_tracked"
"""Counts training steps; older files lack it, and no output depends on it."""
MOST = 8
LONGEST = 120

Found = tuple[str, str, str]
"""A code, a message and a hint."""


def matched(architecture: Architecture, weights: Weights) -> Mapping[str, Array]:
    """The tensors that a spec asks for, as float32, in the order of its `state_dict`, made when they are asked for.

    Steps that a file did not count are 0. Raises `FileError` with everything that does not fit.
    """
    return fitting(state(architecture.graph), weights, list(_function(architecture, weights)))


def fitting(
    wanted: Mapping[str, tuple[int, ...]], weights: Weights, problems: Sequence[Found] = ()
) -> Mapping[str, Array]:
    """The tensors of these keys and shapes, as float32, made when they are asked for.

    Raises `FileError` with everything that does not fit, and with what was found before.
    """
    problems = [*problems, *_misfits(wanted, weights)]
    if not problems:
        problems = list(_unusable(wanted, weights))
    if problems:
        span = Span(weights.file, 0, 0, 0, 0)
        raise FileError([Diagnostic(code, message, span, hint) for code, message, hint in problems])
    return Lazy(wanted, lambda key: _made(weights, key))


def load_into(module: nn.Module, arrays: Mapping[str, Array], *, strict: bool = True) -> None:
    """Writes arrays by key into a module. A copy each: torch warns of memory that may not be written to."""
    import torch

    module.load_state_dict({key: torch.tensor(arrays[key]) for key in arrays}, strict=strict)


def casts(weights: Weights) -> dict[str, int]:
    """How many tensors of which type become float32."""
    kinds = (weights.dtypes[key] for key in weights.dtypes if not counts(key))
    return dict(Counter(kind for kind in kinds if kind in FLOATS and kind != "float32"))


def counts(key: str) -> bool:
    """Whether a key counts training steps."""
    return key.rpartition(".")[2] == COUNTER


def classes(architecture: Architecture) -> int:
    """How many values the network puts out for an image."""
    linears = [each.op.out_features for each in flatten(architecture.graph) if isinstance(each.op, Linear)]
    return int(linears[-1]) if linears else int(prod(architecture.measure.rows[-1].output))


def _function(architecture: Architecture, weights: Weights) -> Iterator[Found]:
    """Weights can load strictly into a spec of another function; a file that says its function tells."""
    claimed = weights.metadata.get(FUNCTION)
    if claimed is None or claimed == architecture.hash:
        return
    carried = recalled(weights.metadata, weights.file)
    message = (
        f"these are weights of another function: {claimed[:12]}, and the spec has {architecture.hash[:12]}"
    )
    yield (
        "AS506",
        message,
        "" if carried else "the file does not carry its spec, so it cannot say what differs",
    )
    if carried is None:
        return
    lines = [
        f"{each.name}: the file says {_said(each.left)}, the spec {_said(each.right)}"
        for each in function_fields(_fields(carried), _fields(architecture))
    ]
    yield from _bounded("AS506", lines, "fields")


def _fields(architecture: Architecture) -> dict[str, Any]:
    """A resolved spec with its parameters among the fields: `n` alone can tell two networks apart."""
    return {**architecture.declared.resolved(), "parameters": dict(architecture.declared.params)}


def _said(value: object) -> str:
    return "nothing" if value is None else shown(value)[:LONGEST]


def _misfits(wanted: Mapping[str, tuple[int, ...]], weights: Weights) -> Iterator[Found]:
    """Keys, shapes and types: what is known without reading a tensor."""
    there = weights.shapes
    missing = [key for key in wanted if key not in there and not counts(key)]
    unexpected = [key for key in there if key not in wanted]
    if missing:
        yield "AS503", f"{_tensors(missing)} missing: {some(missing)}", ""
    if unexpected:
        hint = "archspec weights import reads keys of other projects" if missing else ""
        yield "AS503", f"{_tensors(unexpected)} not in the spec: {some(unexpected)}", hint
    common = [key for key in wanted if key in there]
    shapes = [key for key in common if tuple(there[key]) != wanted[key]]
    lines = [f"{_short(key)} is {_size(there[key])}, the spec says {_size(wanted[key])}" for key in shapes]
    yield from _bounded("AS504", lines, "tensors of another shape")
    kinds = [key for key in common if not counts(key) and weights.dtypes[key] not in FLOATS]
    lines = [f"{_short(key)} is {weights.dtypes[key]}, not a floating-point type" for key in kinds]
    yield from _bounded("AS505", lines, "tensors of another type")


def _unusable(wanted: Mapping[str, tuple[int, ...]], weights: Weights) -> Iterator[Found]:
    """Values that no network can work with."""
    lines = [line for key in wanted if not counts(key) for line in _faults(weights, key)]
    yield from _bounded("AS505", lines, "tensors with such values")


def _faults(weights: Weights, key: str) -> Iterator[str]:
    import numpy as np

    array = _made(weights, key)
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        yield f"{_short(key)} has {wrong:,} of {array.size:,} values that are not finite as float32"
    elif key.endswith(".running_var") and bool((array < 0).any()):
        yield f"{_short(key)} has negative variances"


def _made(weights: Weights, key: str) -> Array:
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite, and is refused
        if counts(key):
            return np.asarray(weights.tensors[key] if key in weights.shapes else 0).astype(np.int64)
        return weights.tensors[key].astype(np.float32, copy=False)


def _bounded(code: str, lines: list[str], what: str) -> Iterator[Found]:
    yield from ((code, line, "") for line in lines[:MOST])
    if len(lines) > MOST:
        yield code, f"and {len(lines) - MOST:,} more {what}", ""


def some(keys: Iterable[str]) -> str:
    """The first of many keys, each no longer than a line."""
    known = list(keys)
    more = f" and {len(known) - MOST:,} more" if len(known) > MOST else ""
    return ", ".join(_short(key) for key in known[:MOST]) + more


def _tensors(keys: list[str]) -> str:
    return f"{len(keys):,} tensor{'s are' if len(keys) > 1 else ' is'}"


def _short(key: str) -> str:
    return key if len(key) <= LONGEST else f"{key[:LONGEST]}..."


def _size(shape: tuple[int, ...]) -> str:
    return dims(tuple(shape)) if shape else "a scalar"
