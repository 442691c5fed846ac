"""What a user says of weights in files of their own: labels, and how pictures are prepared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archspec.errors import did_you_mean, file_error
from archspec.preprocessing import PRESETS, Preprocessing, preset
from archspec.weights.match import classes

if TYPE_CHECKING:
    from archspec.architecture import Architecture

MAX_BYTES = 2**20
LONGEST = 200


def labels_from(path: Path, architecture: Architecture) -> tuple[str, ...]:
    """Labels, one a line, one for each class. Raises `FileError`."""
    labels = tuple(line.strip() for line in _text(path).rstrip().splitlines())
    wanted = classes(architecture)
    if len(labels) != wanted:
        raise file_error(
            path, "AS522", f"there are {len(labels):,} lines for {wanted:,} classes: one label a line"
        )
    wrong = next((place for place, label in enumerate(labels, 1) if not 0 < len(label) <= LONGEST), None)
    if wrong is not None:
        raise file_error(path, "AS522", f"line {wrong} is no label: one to {LONGEST} characters")
    return labels


def preprocessing_from(name: str, architecture: Architecture) -> Preprocessing:
    """A preset by name, fitted to the network, or what a JSON file says. Raises `FileError`."""
    if name in PRESETS:
        try:
            return preset(name, architecture.input_shape)
        except ValueError as error:
            raise file_error(name, "AS522", str(error)) from error
    path = Path(name)
    if not path.exists() and path.suffix != ".json":
        raise file_error(name, "AS522", "this is no preset and no file", hint=did_you_mean(name, PRESETS))
    return Preprocessing.from_json(_text(path), path)


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise file_error(
                path, "AS522", "there is no such file" if not path.exists() else "this is no regular file"
            )
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise file_error(path, "AS522", f"the file cannot be read: {error}") from error
    if len(content) > MAX_BYTES:
        raise file_error(path, "AS522", f"the file has more than {MAX_BYTES:,} bytes")
    return text
