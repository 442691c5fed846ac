"""What is known of a network's pictures and classes: from options, else from what its weights carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec import provenance
from archspec.deploy.predict import asked_labels, asked_preprocessing, json_labels
from archspec.errors import file_error
from archspec.preprocessing import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
        names = asked_labels(labels)
    elif provenance.LABELS in said:
        names = json_labels(said[provenance.LABELS], file)
    found = asked_preprocessing(asked, input_shape) if asked else None
    if found is None and provenance.PREPROCESSING in said:
        found = Preprocessing.from_json(said[provenance.PREPROCESSING], file)
    try:
        return Known(found and found.fitted(input_shape), names)
    except ValueError as error:
        raise file_error(file, "AS522", str(error)) from error
