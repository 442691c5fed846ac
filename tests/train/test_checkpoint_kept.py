"""Which checkpoints are kept, and which is found."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from archspec.errors import FileError
from archspec.train.checkpoint import keep, model_weights, save
from archspec.train.stored import MODEL, STATE
from tests.train.checkpoints import flipped, snapshot, steps

if TYPE_CHECKING:
    from pathlib import Path


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    paths = [save(tmp_path, snapshot(step), {}) for step in range(6)]
    keep(tmp_path, 2, paths[1])
    assert steps(tmp_path) == ["best.json", *(paths[place].name for place in (1, 4, 5))]
    assert model_weights(tmp_path) == paths[1] / MODEL


def test_without_a_new_best_the_old_one_stays_until_there_is_one(tmp_path: Path) -> None:
    best = save(tmp_path, snapshot(0), {})
    keep(tmp_path, 1, best)
    for step in (1, 2):
        save(tmp_path, snapshot(step), {})
        keep(tmp_path, 1, None)
    assert steps(tmp_path) == ["best.json", "step-00000000", "step-00000002"]
    keep(tmp_path, 1, save(tmp_path, snapshot(3), {}))
    assert steps(tmp_path) == ["best.json", "step-00000003"]


def test_the_newest_that_verifies_is_kept_whatever_is_newer(tmp_path: Path) -> None:
    paths = [save(tmp_path, snapshot(step), {}) for step in range(6)]
    for path in paths[3:]:
        flipped(path / MODEL)  # in full size: only its hash can tell
    keep(tmp_path, 1, None)
    assert steps(tmp_path) == ["step-00000002", "step-00000005"]


def test_what_is_not_whole_counts_for_nothing_and_goes_with_its_age(tmp_path: Path) -> None:
    paths = [save(tmp_path, snapshot(step), {}) for step in range(6)]
    for place in (1, 4):
        (paths[place] / STATE).unlink()
    keep(tmp_path, 3, None)
    assert steps(tmp_path) == [paths[place].name for place in (2, 3, 4, 5)]


def test_nothing_goes_while_there_are_few(tmp_path: Path) -> None:
    paths = [save(tmp_path, snapshot(step), {}) for step in range(3)]
    (paths[0] / STATE).unlink()
    keep(tmp_path, 3, None)
    assert len(steps(tmp_path)) == 3


def test_leftovers_are_swept_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    save(tmp_path, snapshot(1), {})
    for name in (".step-00000002.0123abcd", "notes", "step-five"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".best.json.xyz").touch()
    keep(tmp_path, 1, None)
    assert steps(tmp_path) == ["notes", "step-00000001", "step-five"]


# -- the weights of a run


def test_weights_are_found_in_whatever_is_given(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    best, last = (save(folder, snapshot(step), {}) for step in (1, 2))
    assert model_weights(tmp_path) == last / MODEL
    keep(folder, 2, best)
    assert model_weights(tmp_path) == model_weights(folder) == model_weights(best) == best / MODEL
    assert model_weights(last) == model_weights(last / MODEL) == last / MODEL
    shutil.copytree(last, tmp_path / "copy")
    assert model_weights(tmp_path / "copy") == tmp_path / "copy" / MODEL


def test_a_best_that_is_damaged_is_passed_over_and_said(tmp_path: Path) -> None:
    best, last = (save(tmp_path, snapshot(step), {}) for step in (1, 2))
    keep(tmp_path, 2, best)
    flipped(best / MODEL)
    said: list[str] = []
    assert model_weights(tmp_path, said.append) == last / MODEL
    assert said == ["step-00000001: model.safetensors has another SHA-256; using step-00000002"]
    flipped(last / MODEL)
    with pytest.raises(FileError, match="AS552"):
        model_weights(tmp_path)
    with pytest.raises(FileError, match=r"AS552 model\.safetensors has another SHA-256"):
        model_weights(best)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"checkpoint": "../../etc"}', '{"checkpoint": 3}', "[" * 4000]
)
def test_a_note_of_the_best_that_makes_no_sense_is_no_note(tmp_path: Path, text: str) -> None:
    last = save(tmp_path, snapshot(2), {})
    (tmp_path / "best.json").write_text(text)
    assert model_weights(tmp_path) == last / MODEL


def test_a_folder_without_checkpoints_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="AS552 the folder holds no checkpoint"):
        model_weights(tmp_path)
