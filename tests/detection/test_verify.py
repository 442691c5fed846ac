"""A file with a whole detector: every claim of it is recomputed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from archspec.detection.keys import shapes
from archspec.detection.load import load_detector
from archspec.detection.stored import stamp
from archspec.detection.verify import verify_stored
from archspec.errors import FileError
from archspec.lift.files import lift_file
from archspec.provenance import DETECTOR, DIGEST
from archspec.provenance import stamp as of_network
from archspec.weights.files import write_weights

if TYPE_CHECKING:
    from pathlib import Path

LOADED = load_detector("faster-rcnn-resnet18-shapes")
TENSORS = {
    key: np.zeros(shape, np.int64 if key.endswith("tracked") else np.float32)
    for key, shape in shapes(LOADED).items()
}


def verdicts(file: Path) -> dict[str, bool]:
    checks = verify_stored(file)
    assert checks is not None
    return {check.name: check.ok for check in checks}


def test_a_file_that_is_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "whole.safetensors"
    write_weights(file, TENSORS, stamp(LOADED))
    assert verdicts(file) == {"digest": True, "detector": True, "keys": True, "values": True}


@pytest.mark.parametrize("key", [DETECTOR, DIGEST])
def test_another_detector_than_it_says(tmp_path: Path, key: str) -> None:
    file, said = tmp_path / "whole.safetensors", stamp(LOADED)
    said[key] = said[key].replace("keep_test = 50", "keep_test = 51") if key == DETECTOR else "0"
    write_weights(file, TENSORS, said)
    assert verdicts(file) == {"digest": True, "detector": False}


def test_other_tensors_than_its_detector_has(tmp_path: Path) -> None:
    file = tmp_path / "whole.safetensors"
    first = next(iter(TENSORS))
    write_weights(file, {**TENSORS, first: np.zeros(3, np.float32)}, stamp(LOADED))
    assert verdicts(file) == {"digest": True, "detector": True, "shapes": False}


def test_weights_of_a_network_are_not_a_detectors(tmp_path: Path) -> None:
    file = tmp_path / "net.safetensors"
    write_weights(file, {"fc.weight": np.zeros((2, 2), np.float32)}, of_network(LOADED.architecture))
    assert verify_stored(file) is None


def test_a_detectors_weights_are_not_lifted_to_a_network(tmp_path: Path) -> None:
    file = tmp_path / "whole.safetensors"
    write_weights(file, TENSORS, stamp(LOADED))
    with pytest.raises(FileError, match=r"AS503 these are a detector's weights"):
        lift_file(file)
