"""Verify: what a file says of itself, recomputed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torchvision

import archspec
from archspec import provenance
from archspec.errors import FileError
from archspec.weights.files import read_weights, write_weights
from archspec.weights.importing import import_weights
from archspec.weights.verify import verify_weights
from tests.weights.making import small, state_of, trained, written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def verdicts(path: Path, *arguments: object) -> dict[str, bool]:
    return {each.name: each.ok for each in verify_weights(path, *arguments)}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A file of ours, sound."""
    architecture = small(tmp_path)
    imported = import_weights(written(tmp_path / "a.pth", state_of(architecture)), architecture)
    imported.save(tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def rewritten(path: Path, changes: Mapping[str, str | None], **tensors: np.ndarray) -> None:
    """The same file with other claims; its digest is made anew."""
    weights = read_weights(path)
    metadata = {**weights.metadata, **changes}
    content = {key: np.array(each) for key, each in {**weights.tensors, **tensors}.items()}
    write_weights(path, content, {key: each for key, each in metadata.items() if each is not None})


def test_a_file_of_ours_holds(ours: Path, tmp_path: Path) -> None:
    sound = {"digest": True, "spec": True, "keys": True, "values": True, "function": True}
    assert verdicts(ours) == sound
    assert verdicts(ours, small(tmp_path)) == sound


def test_a_flipped_bit_fails_the_digest_alone(ours: Path) -> None:
    content = bytearray(ours.read_bytes())
    content[-1] ^= 1
    ours.write_bytes(content)
    assert verdicts(ours) == {"digest": False, "spec": True, "keys": True, "values": True, "function": True}


def test_a_spec_that_was_exchanged_fails(ours: Path, tmp_path: Path) -> None:
    other = provenance.spec_text(small(tmp_path, "defaults.pad=both"))
    rewritten(ours, {provenance.SPEC: other})
    assert verdicts(ours) == {"digest": True, "spec": False, "keys": False}
    rewritten(ours, {provenance.SPEC: "not toml ["})
    assert verdicts(ours)["spec"] is False


def test_a_file_is_held_against_the_spec_that_is_given(ours: Path, tmp_path: Path) -> None:
    assert verdicts(ours, small(tmp_path, "defaults.pad=both")) == {
        "digest": True,
        "spec": True,
        "function": False,
    }
    found = verdicts(ours, archspec.load("torchvision/resnet18"))
    assert found == {"digest": True, "spec": True, "function": False, "keys": False, "shapes": False}


def test_values_that_are_not_finite_fail(ours: Path) -> None:
    rewritten(ours, {}, **{"fc.bias": np.full(3, np.nan, np.float32)})
    assert verdicts(ours) == {"digest": True, "spec": True, "values": False}


@pytest.mark.parametrize(
    ("labels", "ok"),
    [('["a","b","c"]', True), ('["a","b"]', False), ("[1,2,3]", False), ("{}", False), ("[" * 10**5, False)],
)
def test_labels_are_as_many_as_classes(ours: Path, labels: str, ok: bool) -> None:
    rewritten(ours, {provenance.LABELS: labels})
    assert verdicts(ours)["labels"] is ok


def test_preprocessing_is_checked(ours: Path) -> None:
    rewritten(ours, {provenance.PREPROCESSING: "{}"})
    assert verdicts(ours)["preprocessing"] is False
    rewritten(ours, {provenance.PREPROCESSING: '{"size":[8,8],"mean":[0,0,0],"std":[1,1,1]}'})
    assert verdicts(ours)["preprocessing"] is True
    rewritten(ours, {provenance.PREPROCESSING: '{"size":[8,8],"color":"L","mean":[0],"std":[1]}'})
    assert verdicts(ours)["preprocessing"] is False


def test_a_file_that_says_nothing_is_only_held_against_a_spec(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    path = written(tmp_path / "a.pth", state_of(architecture))
    assert verdicts(path) == {"digest": False, "spec": False, "keys": False}
    assert verdicts(path, architecture) == {"keys": True, "values": True}


def test_outputs_are_held_against_a_library(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pth", trained(torchvision.models.resnet18()).state_dict())
    settings = ["input.size=[32,32]"]
    sound = archspec.load("torchvision/resnet18", settings=settings)
    assert verdicts(path, sound, "torchvision:resnet18")["outputs"] is True
    other = archspec.load("torchvision/resnet18", settings=[*settings, "norm.eps=0.01"])
    assert verdicts(path, other, "torchvision:resnet18")["outputs"] is False


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="AS501"):
        verify_weights(tmp_path / "missing.safetensors")
