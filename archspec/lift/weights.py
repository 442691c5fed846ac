"""From keys and shapes of a `state_dict` to a spec. They tell depths and widths; the rest is assumed, and listed."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from archspec.errors import file_error
from archspec.lift.drafts import compiled_draft
from archspec.lift.known import carried, known_as
from archspec.lift.lifted import Lifted, Unliftable, remark, shown
from archspec.lift.weights_residual import residual_draft
from archspec.lift.weights_vgg import vgg_draft
from archspec.lift.writing import plain, spec_name
from archspec.passes.flatten import state
from archspec.weights.ambiguity import Ambiguity, ambiguous

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.architecture import Architecture

COUNTER = "num_batches_tracked"
STATISTICS = (COUNTER, "running_mean", "running_var")
MAX_TENSORS = 100_000


def lift_shapes(
    shapes: Mapping[str, tuple[int, ...]], file: str, metadata: Mapping[str, str] | None = None
) -> Lifted:
    """The spec of a `state_dict` in torchvision's key style. Raises `FileError` (AS512) where there is none.

    What is given back has exactly the tensors of the file, batch counters aside. `metadata` is what the file says.
    """
    try:
        return _lifted(shapes, file, metadata or {})
    except Unliftable as problem:
        hint = "weights of the residual, plain and VGG families are lifted, by torchvision's keys"
        raise file_error(file, "AS512", str(problem), hint=hint) from problem


def _lifted(shapes: Mapping[str, tuple[int, ...]], file: str, metadata: Mapping[str, str]) -> Lifted:
    if len(shapes) > MAX_TENSORS:
        raise Unliftable(f"the file holds {len(shapes):,} tensors; {MAX_TENSORS:,} are read at most")
    if any(key.startswith("features.") for key in shapes):
        table, assumed = vgg_draft(shapes)
    else:
        table, assumed = residual_draft(shapes)
    name = spec_name(file)
    _, architecture = compiled_draft(table, name, "")
    _prove(architecture, shapes)
    found = (*assumed, *ambiguous(architecture))
    known = known_as(architecture)
    about = f"Lifted from the weights of {plain(PurePath(file).name)}; what they cannot tell is taken to be usual."
    text, architecture = compiled_draft(table, name, about, _remarks(found))
    params = sum(_count(shape) for key, shape in shapes.items() if not key.endswith(STATISTICS))
    said = carried(metadata, file, architecture)
    return Lifted(text, architecture, params, found, known_as=known, carried=said)


def _remarks(found: tuple[Ambiguity, ...]) -> list[str]:
    return ["Weights cannot tell all of this:", *(remark(each) for each in found)] if found else []


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _prove(architecture: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Holds the spec's tensors against the file's. Raises `Unliftable` at the first that differs."""
    own: dict[str, Any] = {
        key: shape for key, shape in state(architecture.graph).items() if not key.endswith(COUNTER)
    }
    file = {key: tuple(shape) for key, shape in shapes.items() if not key.endswith(COUNTER)}
    for key, shape in file.items():
        if key not in own:
            raise Unliftable(f"no tensor of the nearest spec is called {shown(key)}, {list(shape)[:8]}")
        if own[key] != shape:
            raise Unliftable(f"{shown(key)} is {list(shape)[:8]}, but {list(own[key])} in the nearest spec")
    missing = next((key for key in own if key not in file), None)
    if missing is not None:
        raise Unliftable(f"the nearest spec has {shown(missing)}, {list(own[missing])}, which the file lacks")
