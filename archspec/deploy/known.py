"""What is known of a network's pictures and classes: from options, else from what its weights carry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archspec import provenance
from archspec.deploy.predict import json_labels, labels_of
from archspec.errors import did_you_mean, file_error
from archspec.preprocessing import PRESETS, Preprocessing, preset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.ir.operation import Shape


class Known(NamedTuple):
    """How pictures are prepared, and what classes are called, where that is known."""

    preprocessing: Preprocessing | None
    labels: tuple[str, ...]


def known(
    said: Mapping[str, str], file: str, input_shape: Shape, *, asked: str | None, labels: Path | None
) -> Known:
    """From the options (a preset's name or a JSON file; a file of labels), else from metadata. Raises `FileError`."""
    names: tuple[str, ...] = ()
    if labels is not None:
        names = labels_of(labels.read_text(encoding="utf-8-sig"), labels)
    elif provenance.LABELS in said:
        names = json_labels(said[provenance.LABELS], file)
    found = _asked(asked, input_shape) if asked else None
    if found is None and provenance.PREPROCESSING in said:
        found = Preprocessing.from_json(said[provenance.PREPROCESSING], file)
    try:
        return Known(found and found.fitted(input_shape), names)
    except ValueError as error:
        raise file_error(file, "AS522", str(error)) from error


def _asked(name: str, input_shape: Shape) -> Preprocessing:
    if name in PRESETS:
        try:
            return preset(name, input_shape)
        except ValueError as error:
            raise file_error(name, "AS522", str(error)) from error
    if not name.endswith(".json"):
        hint = did_you_mean(name, PRESETS) or "a file of one's own ends in .json"
        raise file_error(name, "AS522", "no preprocessing has this name", hint=hint)
    return Preprocessing.from_json(Path(name).read_text(encoding="utf-8-sig"), name)
