"""From picture files to the likeliest classes of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archspec import provenance
from archspec.deploy.pictures import read_picture
from archspec.errors import FileError, did_you_mean, file_error
from archspec.preprocessing import PRESETS, Preprocessing, preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    from archspec.deploy.runners import Runner

MAX_TEXT = 8 * 2**20
MAX_LABEL = 200


@dataclass(frozen=True, slots=True)
class Guess:
    """A class and how likely it is."""

    label: str
    index: int
    probability: float


class Prediction(NamedTuple):
    """The likeliest classes of a picture, the first one first."""

    file: str
    guesses: tuple[Guess, ...]


class Reading(NamedTuple):
    """How pictures become a model's input, and its outputs words. Without labels classes are numbers."""

    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None


def predict(
    runner: Runner,
    reading: Reading,
    files: Iterable[str],
    *,
    top: int = 5,
    batch: int = 32,
    refused: Callable[[FileError], None] | None = None,
) -> Iterator[Prediction]:
    """The likeliest classes of each picture, in order.

    A picture that cannot be read is given to `refused`, and the others go on; without it its `FileError` is raised.
    """
    pictures = _pictures(reading.preprocessing, files, refused)
    while chunk := list(islice(pictures, batch)):
        probabilities = runner.run(np.stack([pixels for _, pixels in chunk]))
        labels = _named(reading.labels, probabilities.shape[1], runner.name)
        for (file, _), row in zip(chunk, probabilities, strict=True):
            yield Prediction(file, _likeliest(row, labels, top))


def _pictures(
    preprocessing: Preprocessing, files: Iterable[str], refused: Callable[[FileError], None] | None
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    for file in files:
        try:
            yield file, prepared(preprocessing, file)
        except FileError as error:
            if refused is None:
                raise
            refused(error)


def prepared(preprocessing: Preprocessing, file: str) -> np.ndarray[Any, Any]:
    """A picture file as a model's input. Raises `FileError`: AS521."""
    picture = read_picture(file)
    try:
        return preprocessing.apply(picture)
    except (OSError, ValueError) as error:
        raise file_error(file, "AS521", f"a picture that cannot be used: {str(error)[:200]}") from error


def _likeliest(row: np.ndarray[Any, Any], labels: Sequence[str], top: int) -> tuple[Guess, ...]:
    # stable: of equal ones the first class comes first
    order = np.argsort(-row, kind="stable")[:top]
    return tuple(Guess(labels[place], int(place), float(row[place])) for place in order)


def _named(labels: Sequence[str] | None, classes: int, name: str) -> Sequence[str]:
    if labels is None:
        return [f"class {place}" for place in range(classes)]
    if len(labels) != classes:
        raise file_error(name, "AS522", f"there are {len(labels)} labels for {classes} classes")
    return labels


def reading(runner: Runner, asked: str | None = None, labels: Path | None = None) -> Reading:
    """What to do to pictures and what classes are called: as asked, else as the model's file says.

    Raises `FileError`: AS522.
    """
    said = runner.metadata.get(provenance.LABELS)
    names = asked_labels(labels) if labels else json_labels(said, runner.name) if said else None
    return Reading(_preprocessing(runner, asked), names)


def _preprocessing(runner: Runner, asked: str | None) -> Preprocessing:
    said = runner.metadata.get(provenance.PREPROCESSING)
    if asked is not None:
        usual = PRESETS[asked].size if asked in PRESETS else (0, 0)
        height, width = (side or other for side, other in zip(runner.input.sides, usual, strict=True))
        found = asked_preprocessing(asked, (runner.input.channels, height, width))
    elif said is not None:
        found = Preprocessing.from_json(said, runner.name)
    else:
        hint = f"--preprocessing takes {', '.join(PRESETS)} or a JSON file: the one the weights were trained with"
        raise file_error(runner.name, "AS522", "the file does not say how pictures are prepared", hint=hint)
    # how the numbers lie is the model's; what they are is the preprocessing's
    in_graph = runner.input.dtype is np.uint8
    found = found.model_copy(update={"layout": runner.input.layout, "in_graph": in_graph})
    _check(found, runner)
    return found


def asked_preprocessing(name: str, input_shape: Sequence[int]) -> Preprocessing:
    """A preset by its name, for a network that takes `(C, H, W)`, or a JSON file as it is. Raises `FileError`."""
    if name in PRESETS:
        try:
            return preset(name, input_shape)
        except ValueError as error:
            raise file_error(name, "AS522", str(error)) from error
    if not name.endswith(".json"):
        hint = did_you_mean(name, PRESETS) or "a file of one's own ends in .json"
        raise file_error(name, "AS522", "no preprocessing has this name", hint=hint)
    return Preprocessing.from_json(_text(Path(name)), name)


def _check(preprocessing: Preprocessing, runner: Runner) -> None:
    """Whether a model takes what a preprocessing gives."""
    wanted = runner.input
    sides = tuple(side or given for side, given in zip(wanted.sides, preprocessing.size, strict=True))
    if preprocessing.channels != wanted.channels or preprocessing.size != sides:
        given = f"{preprocessing.channels} channels of {preprocessing.size[0]}x{preprocessing.size[1]}"
        taken = f"{wanted.channels} of {sides[0]}x{sides[1]}"
        raise file_error(
            runner.name, "AS522", f"the preprocessing gives {given}, but the model takes {taken}"
        )


def asked_labels(path: Path) -> tuple[str, ...]:
    """The labels in a file. Raises `FileError`: AS522."""
    return labels_of(_text(path), path)


def labels_of(text: str, file: str | PathLike[str]) -> tuple[str, ...]:
    """Labels as a JSON list, or one a line. Raises `FileError`: AS522."""
    if text.lstrip().startswith("["):
        return json_labels(text, file)
    if not text.strip():
        raise file_error(file, "AS522", "no labels are in the file")
    return tuple(line.strip()[:MAX_LABEL] for line in text.rstrip().split("\n"))


def json_labels(text: str, file: str | PathLike[str]) -> tuple[str, ...]:
    """Labels as a JSON list of strings. Raises `FileError`: AS522."""
    try:
        labels = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise file_error(file, "AS522", f"labels that are no JSON: {str(error)[:200]}") from error
    if not isinstance(labels, list) or not labels or not all(isinstance(each, str) for each in labels):
        raise file_error(file, "AS522", "labels are a JSON list of strings, one a class")
    return tuple(label[:MAX_LABEL] for label in labels)


def _text(path: Path) -> str:
    """A text file of a sane size, with or without a byte order mark. Raises `FileError`: AS522."""
    if not path.is_file():
        raise file_error(path, "AS522", "no such file")
    with path.open("rb") as stream:
        content = stream.read(MAX_TEXT + 1)
    if len(content) > MAX_TEXT:
        raise file_error(path, "AS522", f"the file is larger than {MAX_TEXT:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise file_error(path, "AS522", "the file is not UTF-8") from error
