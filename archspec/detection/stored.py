"""A whole detector in a file: its declaration, its network's spec and all tensors, so that it needs nothing else."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from archspec import provenance
from archspec.data.telling import silent
from archspec.detection.load import resolve_detector
from archspec.errors import SpecError, file_error
from archspec.provenance import BACKBONE, BACKBONE_HASH, DETECTOR, DIGEST
from archspec.spec.documents import MAX_BYTES, parse

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.data.telling import Say
    from archspec.detection.load import LoadedDetector
    from archspec.detection.modules import RegionDetector
    from archspec.weights.files import Weights


def stamp(loaded: LoadedDetector) -> dict[str, str]:
    """What an artefact of a detector carries. There is no `archspec.spec` in it: these are no network's weights."""
    return {
        provenance.VERSION: version("archspec-nn"),
        DETECTOR: loaded.text(),
        DIGEST: loaded.digest,
        BACKBONE: provenance.spec_text(loaded.architecture),
        BACKBONE_HASH: loaded.architecture.hash,
    }


def recalled(weights: Weights) -> LoadedDetector | None:
    """The detector that weights are of; None where they are of none.

    Raises `FileError` (AS507) where what they say of themselves cannot be used, or does not hang together.
    """
    text, said = weights.metadata.get(DETECTOR), weights.metadata
    if text is None:
        return None
    network = provenance.recalled(
        {provenance.SPEC: said.get(BACKBONE, ""), provenance.FUNCTION: said.get(BACKBONE_HASH, "")},
        weights.file,
    )
    try:
        document = parse(text.encode()[: MAX_BYTES + 1], f"{weights.file} (its detector)", None)
        if "extends" in document.data:
            raise file_error(
                weights.file, "AS507", "the detector that the file carries leans on another file"
            )
        loaded = resolve_detector(document, network=network)
    except SpecError as error:
        message = f"the detector that the file carries cannot be used: {error}"
        raise file_error(weights.file, "AS507", message) from error
    if said.get(DIGEST) != loaded.digest:
        hint = "one of the two was changed after it was written"
        raise file_error(
            weights.file, "AS507", "the file's detector has another hash than it says", hint=hint
        )
    return loaded


def opened(path: Path, say: Say = silent) -> tuple[LoadedDetector, Weights]:
    """A detector from a run's folder, one of its checkpoints or a weights file. Raises `FileError`."""
    from archspec.train.checkpoint import model_weights
    from archspec.weights.files import checked, read_weights

    weights = checked(read_weights(model_weights(path, say)))
    loaded = recalled(weights)
    if loaded is None:
        message = "these are not a detector's weights: the file carries no detector"
        raise file_error(weights.file, "AS503", message)
    return loaded, weights


def restored(loaded: LoadedDetector, weights: Weights) -> RegionDetector:
    """The detector with these weights, for tests. Raises `FileError` with all keys and shapes that do not fit."""
    from archspec.detection import keys
    from archspec.detection.build import detector
    from archspec.weights.match import fitting, load_into

    # before anything is built: a small file may say that it is of a detector of gigabytes
    arrays = fitting(keys.shapes(loaded), weights)
    module = detector(loaded, init=False)
    load_into(module, arrays)
    module.eval()
    return module


def fill(module: RegionDetector, weights: Weights, *, but: str | None = None) -> None:
    """Writes the tensors of a file into a module; `but` is the beginning of the keys that are left as they are.

    Raises `FileError` with all that do not fit.
    """
    from archspec.weights.match import fitting, load_into

    def wanted(key: str) -> bool:
        return but is None or not key.startswith(but)

    own = {key: tuple(each.shape) for key, each in module.state_dict().items() if wanted(key)}
    given = replace(weights, shapes={key: each for key, each in weights.shapes.items() if wanted(key)})
    load_into(module, fitting(own, given), strict=but is None)
