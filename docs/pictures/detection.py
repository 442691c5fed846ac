"""Draws `shapes-found.png`: the first eight test pictures with the boxes that a run's detector finds, and the truth.

`python docs/pictures/detection.py RUN` for a run of `archspec train` on shapes. The pictures are not chosen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import ImageOps

from archspec.detection.boxes import Captioned, drawn, encoded, sheet
from archspec.detection.judging.average_precision import Detected
from archspec.detection.scenes import shapes
from archspec.detection.stored import opened, restored
from archspec.detection.testing import detected
from archspec.weights.safetensors import staged

FILE = Path(__file__).parent / "shapes-found.png"
PICTURES, COLUMNS, SCORE = 8, 4, 0.5


def main(run: Path, file: Path = FILE) -> None:
    """Writes the sheet."""
    loaded, weights = opened(run)
    module = restored(loaded, weights)
    test = shapes.make().test
    assert test is not None, "shapes come with their objects"
    pictures = []
    for annotated in test.part(slice(0, PICTURES)):
        picture = annotated.decoded()
        found = detected([module], np.asarray(picture))
        kept = found.scores >= SCORE
        found = Detected(found.boxes[kept], found.scores[kept], found.labels[kept])
        objects = len(annotated.labels)
        caption = f"{objects} {'object' if objects == 1 else 'objects'}, {len(found)} found"
        # noise takes most of a file's bytes: a part of it is not drawn
        coarse = ImageOps.posterize(picture, 5)
        pictures.append(Captioned(drawn(coarse, found, loaded.detector.labels, annotated.boxes), caption))
    with staged(file) as temporary:
        temporary.write_bytes(encoded(sheet(pictures, COLUMNS), file.suffix))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
