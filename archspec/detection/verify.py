"""Whether a file with a whole detector is what it says it is: every claim recomputed, none believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.detection import keys
from archspec.detection.kind import holds_detector
from archspec.detection.stored import recalled
from archspec.errors import FileError
from archspec.weights.files import read_weights
from archspec.weights.match import fitting
from archspec.weights.verify import Check, digest_check, fits, messages

if TYPE_CHECKING:
    from pathlib import Path


def verify_stored(path: Path) -> list[Check] | None:
    """Recomputes what a detector's weights say of themselves; None for weights of a network.

    Raises `FileError` for a file that cannot be read at all.
    """
    if not holds_detector(path):
        return None
    weights = read_weights(path)
    checks = [digest_check(weights)]
    try:
        loaded = recalled(weights)
    except FileError as error:
        return [*checks, Check("detector", False, messages(error))]
    assert loaded is not None
    detail = f"{loaded.name} and its network have the hashes that the file says: {loaded.digest[:12]}"
    wanted = keys.shapes(loaded)
    return [*checks, Check("detector", True, detail), *fits(lambda: fitting(wanted, weights), loaded.name)]
