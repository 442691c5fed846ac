"""What every artefact says of itself: the spec it came from, whole, and the hash of its function.

Safetensors files, ONNX files and generated source carry the same keys, so that one command can recompute them.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import tomli_w

from archspec.architecture import compiled
from archspec.errors import SpecError, file_error
from archspec.spec.documents import MAX_BYTES, parse
from archspec.spec.load import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.architecture import Architecture
    from archspec.passes.budget import Budget

VERSION = "archspec.version"
SPEC = "archspec.spec"
FUNCTION = "archspec.function_hash"
TENSORS = "archspec.tensors_sha256"
"""Of the tensors an artefact holds, whatever the file around them."""
WEIGHTS = "archspec.weights_sha256"
"""Of the weights file that a model was made from, byte for byte."""
DETECTOR = "archspec.detector"
"""A detector's declaration: its weights carry it in place of a spec, and the spec of its network as the backbone."""
DIGEST = "archspec.detector_hash"
BACKBONE = "archspec.backbone"
BACKBONE_HASH = "archspec.backbone_hash"
PREPROCESSING = "archspec.preprocessing"
LABELS = "archspec.labels"
LICENSE = "archspec.license"
ORIGIN = "archspec.origin"
"""Where weights were imported from, in words."""


def spec_text(architecture: Architecture) -> str:
    """The resolved spec as TOML: nothing implied, no `extends`."""
    return tomli_w.dumps(architecture.declared.resolved())


def stamp(architecture: Architecture) -> dict[str, str]:
    """What an artefact of an architecture carries."""
    return {
        VERSION: version("archspec-nn"),
        SPEC: spec_text(architecture),
        FUNCTION: architecture.hash,
    }


def recalled(metadata: Mapping[str, str], file: str, budget: Budget | None = None) -> Architecture | None:
    """The architecture that an artefact says it is, compiled anew; None where it carries no spec.

    Raises `FileError` where the spec does not compile, or has another hash than the one beside it.
    """
    text = metadata.get(SPEC)
    if text is None:
        return None
    try:
        document = parse(text.encode()[: MAX_BYTES + 1], f"{file} (its spec)", None)
        if "extends" in document.data:
            raise file_error(file, "AS507", "the spec that the file carries leans on another file")
        architecture = compiled(resolve(document), budget)
    except SpecError as error:
        message = f"the spec that the file carries cannot be used: {error}"
        raise file_error(file, "AS507", message) from error
    claimed = metadata.get(FUNCTION, "")
    if claimed != architecture.hash:
        message = (
            f"the file says function {claimed[:12] or 'nothing'}, but its spec has {architecture.hash[:12]}"
        )
        raise file_error(file, "AS507", message, hint="one of the two was changed after it was written")
    return architecture
