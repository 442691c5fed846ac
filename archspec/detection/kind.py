"""Whether a file declares a detector, or holds one. Asked of all that is named, so it reads as little as it can."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archspec.errors import SpecError
from archspec.provenance import DETECTOR
from archspec.spec import documents
from archspec.spec.library import find_spec

if TYPE_CHECKING:
    from archspec.spec.documents import Document

_TABLE = "detector"


def is_detector(name: str | Path, *, allow_outside: bool = False) -> bool:
    """Whether a path or a shipped name is a detector's. False for what cannot be read, and for standard input."""
    try:
        return declares_detector(documents.read(find_spec(str(name))), allow_outside=allow_outside)
    except SpecError:
        return False


def declares_detector(document: Document, *, allow_outside: bool = False) -> bool:
    """Whether a document, or one that it extends, has a `[detector]` table."""
    table = document.data
    if _TABLE in table:
        return True
    if "extends" not in table:
        return False
    from archspec.spec.inherit import gather
    from archspec.spec.models import Spec

    # what only networks have: nothing more needs to be read
    if not table.keys().isdisjoint(Spec.model_fields.keys() - _SHARED):
        return False
    root = document.path.parent if document.path is not None else Path.cwd()
    try:
        return any(_TABLE in each.data for each in gather(document, root, allow_outside=allow_outside))
    except SpecError:
        return False


_SHARED = frozenset({"format", "name", "about", "source", "says"})
"""Words that networks and detectors both may have."""


def holds_detector(file: Path) -> bool:
    """Whether a weights file says that it is a detector's. Raises `FileError` for a file that cannot be read at all."""
    from archspec.weights.files import said_by

    return DETECTOR in said_by(file)
