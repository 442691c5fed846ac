"""Weights of others under our keys, with a receipt: what was renamed, what was matched, and what was proved."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec import provenance
from archspec.errors import file_error
from archspec.ir.operation import dims
from archspec.weights.agreement import BATCH, TOLERANCE
from archspec.weights.ambiguity import Ambiguity, ambiguous
from archspec.weights.contents import digest
from archspec.weights.files import checked, read_weights
from archspec.weights.keys import renamed
from archspec.weights.match import casts, counts, matched
from archspec.weights.safetensors import staged, store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.architecture import Architecture
    from archspec.preprocessing import Preprocessing
    from archspec.weights.agreement import Agreement
    from archspec.weights.contents import Array
    from archspec.weights.files import Weights
    from archspec.weights.keys import Renamed

# what a file of ours may carry from one import to the next
_KEPT = (provenance.ORIGIN, provenance.LICENSE, provenance.LABELS, provenance.PREPROCESSING)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file of weights is to say of itself beside its spec."""

    origin: str = ""
    license: str = ""
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing | None = None

    def metadata(self) -> dict[str, str]:
        """Under the keys of `archspec.provenance`; nothing for what is not known."""
        said = {
            provenance.ORIGIN: self.origin,
            provenance.LICENSE: self.license,
            provenance.LABELS: json.dumps(self.labels, ensure_ascii=False) if self.labels else "",
            provenance.PREPROCESSING: self.preprocessing.to_json() if self.preprocessing else "",
        }
        return {key: value for key, value in said.items() if value}


@dataclass(frozen=True)
class Imported:
    """Weights that fit a spec, and how they came to. Nothing is written before `save`."""

    architecture: Architecture
    renamed: Renamed
    tensors: Mapping[str, Array] = field(repr=False)
    metadata: Mapping[str, str] = field(repr=False)
    agreement: Agreement | None
    ambiguous: tuple[Ambiguity, ...]
    """What neither the file nor a run could tell; empty where the file carries its function's hash."""
    receipt: Mapping[str, Any] = field(repr=False)

    def save(self, path: Path) -> Path:
        """Writes the weights and a receipt beside them, both or none, and returns the receipt's path."""
        receipt = path.with_name(f"{path.name.removesuffix('.safetensors')}.receipt.json")
        with staged(path) as temporary, staged(receipt) as temporary_receipt:
            whole = store(temporary, self.tensors, self.metadata)
            document = {**self.receipt, "output": {"file": path.name, "sha256": whole}}
            temporary_receipt.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        return receipt


def import_weights(
    path: Path,
    architecture: Architecture,
    *,
    style: str = "auto",
    against: str | None = None,
    facts: Facts | None = None,
) -> Imported:
    """Reads, renames and matches weights, and runs them against the module they come from where one is named.

    Raises `FileError`, and `UnknownOriginError` for an origin that is not there.
    """
    source = checked(read_weights(path))
    found = renamed(architecture, source, style)
    tensors = matched(architecture, found.weights)
    agreement = None
    if against is not None:
        agreement = agreed(architecture, tensors, source, against=against, names=found.names)
    facts = facts or Facts()
    said = {provenance.ORIGIN: against} if against else {}
    metadata = {
        **{key: source.metadata[key] for key in _KEPT if key in source.metadata},
        **said,
        **facts.metadata(),
        **provenance.stamp(architecture),
        provenance.WEIGHTS: source.sha256,
    }
    unsure = () if provenance.FUNCTION in source.metadata else ambiguous(architecture)
    if agreement is not None:
        unsure = tuple(each for each in unsure if each.training_only)
    receipt = _receipt(architecture, source, found, tensors, metadata) | {
        "comparison": None if agreement is None or against is None else _run_record(agreement, against),
        "ambiguous": [asdict(each) for each in unsure],
    }
    return Imported(architecture, found, tensors, metadata, agreement, unsure, receipt)


def agreed(
    architecture: Architecture,
    tensors: Mapping[str, Array],
    source: Weights,
    *,
    against: str,
    names: Mapping[str, str] | None = None,
) -> Agreement:
    """Runs the spec's module with its tensors and a library's module with the file's own on the same images.

    `names` are keys, ours to the file's, where they differ. Raises `FileError`: AS508 where the outputs do.
    """
    import torch

    from archspec.api import build
    from archspec.weights.agreement import compared
    from archspec.weights.origins import filled, module_of

    theirs = filled(module_of(against, architecture), against, source)
    ours = build(architecture, init=False)
    ours.load_state_dict({key: torch.tensor(array) for key, array in tensors.items()}, strict=True)
    paths = {new.rpartition(".")[0]: old.rpartition(".")[0] for new, old in (names or {}).items()}
    try:
        agreement = compared(ours, theirs, architecture.input_shape, paths)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        why = f"{against} does not run on images of {dims(architecture.input_shape)}: {str(error)[:200]}"
        raise file_error(source.file, "AS508", why) from error
    if agreement.first is None:
        return agreement
    fine = [stage for stage, error in agreement.stages.items() if error <= TOLERANCE]
    unsure = [
        f"{each.field} ({each.value}, or {' or '.join(each.alternatives)})"
        for each in ambiguous(architecture)
        if not each.training_only
    ]
    raise file_error(
        source.file,
        "AS508",
        f"with these weights, {architecture.name} and {against} compute different functions: {agreement.first} "
        f"is the first layer that differs; equal on {BATCH} random images: {', '.join(fine) or 'nothing'}",
        hint=f"what weights cannot tell: {'; '.join(unsure)}",
    )


def _receipt(
    architecture: Architecture,
    source: Weights,
    found: Renamed,
    tensors: Mapping[str, Array],
    metadata: Mapping[str, str],
) -> dict[str, Any]:
    """What was done, without the names of any folder."""
    missing = [key for key in tensors if counts(key) and key not in found.weights.shapes]
    return {
        "archspec": version("archspec-nn"),
        "source": {
            "file": Path(source.file).name,
            "format": source.format,
            "sha256": source.sha256,
            "origin": metadata.get(provenance.ORIGIN),
            "function_hash": source.metadata.get(provenance.FUNCTION),
            "remarks": list(source.remarks),
        },
        "spec": {"name": architecture.name, "function_hash": architecture.hash},
        "style": {"name": found.fit.style.name, "why": found.fit.reason},
        "renamed": dict(found.names),
        "dropped": list(found.dropped),
        "counters_set_to_zero": missing,
        "cast_to_float32": casts(found.weights),
        "matched": {
            "tensors": len(tensors),
            "values": sum(prod(shape) for key, shape in found.weights.shapes.items() if not counts(key)),
            "sha256": digest(tensors),
        },
    }


def _run_record(agreement: Agreement, against: str) -> dict[str, Any]:
    worst = max(agreement.layers, key=lambda layer: layer.error)
    return {
        "against": against,
        "images": list(agreement.images),
        "tolerance": TOLERANCE,
        "layers": len(agreement.layers),
        "worst": {"layer": worst.path, "error": worst.error},
        "stages": agreement.stages,
        "same_top_1": agreement.same_top,
    }
