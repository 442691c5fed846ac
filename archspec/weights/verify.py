"""Whether a weights file is what it says it is: every claim recomputed, none believed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.errors import FileError
from archspec.preprocessing import Preprocessing
from archspec.provenance import FUNCTION, LABELS, PREPROCESSING, SPEC, TENSORS, recalled
from archspec.weights.files import checked, read_weights
from archspec.weights.match import classes, matched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.weights.files import Weights


@dataclass(frozen=True, slots=True)
class Check:
    """One claim, and whether it holds."""

    name: str
    ok: bool
    detail: str


# how what `matched` refuses is called here
_ASPECTS = {"AS506": "function", "AS503": "keys", "AS504": "shapes", "AS505": "values"}


def verify_weights(
    path: Path, architecture: Architecture | None = None, against: str | None = None
) -> list[Check]:
    """Recomputes what a file says of itself, and holds it against a spec and a module of a library where asked.

    Raises `FileError` for a file that cannot be read at all, `UnknownOriginError` for a module that is not there.
    """
    weights = read_weights(path)
    checks, carried = [], None
    if architecture is None or weights.metadata.keys() & {TENSORS, SPEC, FUNCTION}:
        carried, said = _carried(weights)
        checks = [digest_check(weights), said]
    target = architecture or carried
    if target is None:
        return [*checks, Check("keys", False, "there is no spec to hold the tensors against")]
    checks += fits(lambda: matched(target, weights), target.name)
    if FUNCTION in weights.metadata and all(each.ok for each in checks[-2:]):
        detail = f"the weights are of the function that {target.name} computes"
        checks.append(Check("function", True, detail))
    checks += _described(target, weights)
    if against is not None and all(each.ok for each in checks if each.name in _ASPECTS.values()):
        checks.append(_agreement(target, weights, against))
    return checks


def digest_check(weights: Weights) -> Check:
    """Whether the tensors have the SHA-256 that the file says."""
    if TENSORS not in weights.metadata:
        return Check("digest", False, "the file does not say what its tensors' SHA-256 is")
    try:
        checked(weights)
    except FileError as error:
        return Check("digest", False, messages(error))
    return Check(
        "digest", True, f"the tensors have the SHA-256 that the file says: {weights.metadata[TENSORS][:12]}"
    )


def _carried(weights: Weights) -> tuple[Architecture | None, Check]:
    if SPEC not in weights.metadata:
        return None, Check("spec", False, "the file carries no spec")
    try:
        carried = recalled(weights.metadata, weights.file)
    except FileError as error:
        return None, Check("spec", False, messages(error))
    assert carried is not None
    detail = f"{carried.name} compiles to the function that the file says: {weights.metadata[FUNCTION][:12]}"
    return carried, Check("spec", True, detail)


def fits(tensors_of: Callable[[], Mapping[str, Any]], name: str) -> Iterator[Check]:
    """What `matched` or `fitting` looks at, one check each."""
    found: dict[str, list[str]] = {}
    try:
        tensors = tensors_of()
    except FileError as error:
        for each in error.diagnostics:
            found.setdefault(_ASPECTS.get(each.code, "spec"), []).append(each.message)
    else:
        yield Check("keys", True, f"{len(tensors):,} tensors have the keys, shapes and types of {name}")
        yield Check("values", True, "all values are finite")
    for aspect, messages in found.items():
        yield Check(aspect, False, "; ".join(messages))


def _described(architecture: Architecture, weights: Weights) -> Iterator[Check]:
    """Labels and preprocessing, where the file has them."""
    if LABELS in weights.metadata:
        yield _labels(weights.metadata[LABELS], classes(architecture))
    if PREPROCESSING in weights.metadata:
        yield _preprocessing(weights.metadata[PREPROCESSING], weights.file, architecture)


def _labels(text: str, wanted: int) -> Check:
    try:
        labels: Any = json.loads(text)
    except (ValueError, RecursionError):
        labels = None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        return Check("labels", False, "the labels are no list of texts")
    same = len(labels) == wanted
    return Check("labels", same, f"{len(labels):,} labels for {wanted:,} classes")


def _preprocessing(text: str, file: str, architecture: Architecture) -> Check:
    try:
        found = Preprocessing.from_json(text, file)
    except FileError as error:
        return Check("preprocessing", False, messages(error))
    channels = architecture.input_shape[0]
    if found.channels != channels:
        detail = f"it gives {found.channels} channels, and the network takes {channels}"
        return Check("preprocessing", False, detail)
    return Check("preprocessing", True, f"it gives {found.color} of {found.size[0]}x{found.size[1]}")


def _agreement(architecture: Architecture, weights: Weights, against: str) -> Check:
    from archspec.weights.importing import agreed

    try:
        found = agreed(architecture, matched(architecture, weights), weights, against=against)
    except FileError as error:
        return Check("outputs", False, messages(error))
    worst = max(layer.error for layer in found.layers)
    detail = f"{len(found.layers)} layers give what {against}'s give, worst relative error {worst:.2g}"
    return Check("outputs", True, detail)


def messages(error: FileError) -> str:
    """What is wrong, in one line."""
    return "; ".join(each.message for each in error.diagnostics)
