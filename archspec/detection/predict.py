"""From picture files to the boxes in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec.data.telling import silent
from archspec.deploy.pictures import STDIN, read_picture
from archspec.detection.scenes.flat import refuse_flat
from archspec.errors import FileError, file_error
from archspec.preprocessing import colored, upright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from PIL.Image import Image

    from archspec.data.telling import Say
    from archspec.detection.judging.average_precision import Detected
    from archspec.detection.load import LoadedDetector
    from archspec.detection.modules import RegionDetector


class Seen(NamedTuple):
    """A picture, upright and in RGB, and what was found in it, the best score first; boxes are in its pixels."""

    file: str
    picture: Image
    found: Detected


def ready(
    model: Path, device: str = "auto", *, threads: int | None = None, say: Say = silent
) -> tuple[LoadedDetector, RegionDetector]:
    """A detector from its weights file or its run, on a device.

    Raises `FileError`, and `ValueError` for a device that is not there.
    """
    from archspec.detection.stored import opened, restored
    from archspec.train.evaluate import device_named  # with it comes torch, which takes seconds

    place = device_named(device)
    if threads:
        import torch

        torch.set_num_threads(threads)
    loaded, weights = opened(model, say)
    return loaded, restored(loaded, weights).to(place)


def predict(
    detector: RegionDetector,
    files: Iterable[str],
    *,
    score: float = 0.5,
    refused: Callable[[FileError], None] | None = None,
) -> Iterator[Seen]:
    """What is found in each picture with at least a `score`, one picture after another.

    A score below the detector's own `detections.score` is allowed: its threshold is lowered. A picture that cannot be
    used is given to `refused`, and the others go on; without it its `FileError` is raised.
    """
    heads = detector.roi_heads
    # changes nothing of what scores better, for suppression begins there; a box of the score itself is to stay
    heads.score_thresh = min(heads.score_thresh, score * 0.999999)
    for file in files:
        try:
            picture = _read(detector, file)
        except FileError as error:
            if refused is None:
                raise
            refused(error)
            continue
        yield Seen(file, picture, _found(detector, file, picture, score))


def _read(detector: RegionDetector, file: str) -> Image:
    """Raises `FileError`: AS521."""
    shown = "<stdin>" if file == STDIN else file
    picture = read_picture(file)
    try:
        picture = colored(upright(picture), "RGB")
    except (OSError, ValueError) as error:
        raise file_error(shown, "AS521", f"a picture that cannot be used: {str(error)[:200]}") from error
    transform = detector.transform
    refuse_flat(shown, (picture.height, picture.width), transform.min_size[-1], transform.max_size)
    return picture


def _found(detector: RegionDetector, file: str, picture: Image, score: float) -> Detected:
    """Raises `FileError`: AS523 where a detector gives what are no numbers."""
    import numpy as np

    from archspec.detection.judging.average_precision import Detected
    from archspec.detection.testing import detected

    everything = detected([detector], np.asarray(picture))
    if not (np.isfinite(everything.boxes).all() and np.isfinite(everything.scores).all()):
        raise file_error(file, "AS523", "what the detector gives for it are not finite numbers")
    order = np.argsort(-everything.scores, kind="stable")
    kept = order[everything.scores[order] >= score]
    return Detected(everything.boxes[kept], everything.scores[kept], everything.labels[kept])
