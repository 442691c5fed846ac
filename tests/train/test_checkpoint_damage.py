"""A checkpoint that is damaged is passed over, and said to be."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.errors import FileError
from archspec.train import stored
from archspec.train.checkpoint import keep, model_weights, newest, save
from archspec.train.stored import FILES, MANIFEST, MODEL, STATE, TRAINING, verify
from tests.train.checkpoints import FEW, flipped, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pair")
    save(folder, snapshot(900, size=4), {})
    save(folder, snapshot(1000, size=4), {"archspec.version": "1"})
    return folder


def damaged(folder: Path, name: str, change: Callable[[bytes], bytes]) -> tuple[str, tuple[str, ...]]:
    """Which checkpoint is used, and what is said, while a file of the newest is another. Puts it back."""
    path = folder / "step-00001000" / name
    content = path.read_bytes()
    path.write_bytes(change(content))
    try:
        found = newest(folder)
    finally:
        path.write_bytes(content)
    assert found is not None
    return found[0].name, found[1].remarks


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_no_flipped_bit_gets_past(pair: Path, name: str) -> None:
    length = (pair / "step-00001000" / name).stat().st_size
    for place in range(0, length, 1 if name == MANIFEST else 5):
        bit = 1 << place % 8

        def flip(content: bytes, place: int = place, bit: int = bit) -> bytes:
            return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]

        used, remarks = damaged(pair, name, flip)
        assert used == "step-00000900", place
        assert len(remarks) == 1
    used, remarks = damaged(pair, name, lambda content: content)
    assert (used, remarks) == ("step-00001000", ())


@FEW
@given(
    name=st.sampled_from([*FILES, MANIFEST]),
    place=st.floats(0, 1, exclude_max=True),
    put=st.binary(max_size=12),
    cut=st.integers(0, 40),
)
def test_no_other_bytes_get_past(pair: Path, name: str, place: float, put: bytes, cut: int) -> None:
    def change(content: bytes) -> bytes:
        at = int(place * len(content))
        return content[:at] + put + content[at + cut :]

    content = (pair / "step-00001000" / name).read_bytes()
    used, remarks = damaged(pair, name, change)
    assert used == ("step-00001000" if change(content) == content else "step-00000900")
    assert all(each.startswith("step-00001000: ") for each in remarks)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_no_truncated_file_gets_past(pair: Path, name: str) -> None:
    length = (pair / "step-00001000" / name).stat().st_size
    for tenth in range(10):
        used, _ = damaged(pair, name, lambda content, end=length * tenth // 10: content[:end])
        assert used == "step-00000900"


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


@pytest.mark.parametrize(
    ("harm", "remark"),
    [
        (lambda path: flipped(path / MODEL), "model.safetensors has another SHA-256"),
        (lambda path: (path / TRAINING).unlink(), "training.safetensors is missing"),
        (lambda path: os.truncate(path / MODEL, 10), "model.safetensors has 10 bytes instead of"),
        (lambda path: (path / MANIFEST).unlink(), "manifest.json is missing"),
        (lambda path: (path / MANIFEST).write_text("[" * 4000), "manifest.json is damaged"),
        (lambda path: (path / MANIFEST).write_text(" " * 5000), "manifest.json is too long"),
        (lambda path: flipped(path / MANIFEST), "manifest.json is damaged"),
        (lambda path: append(path / MANIFEST, " "), "manifest.json is damaged"),
        (lambda path: append(path / MANIFEST, "\n"), "manifest.json is damaged"),
        (lambda path: (shutil.rmtree(path), path.mkdir()), "manifest.json is missing"),
        (lambda path: (shutil.rmtree(path), path.touch()), "manifest.json cannot be read: Not a directory"),
        (lambda path: ((path / STATE).unlink(), os.mkfifo(path / STATE)), "state.json is no file"),
        (
            lambda path: (shutil.rmtree(path), shutil.copytree(path.with_name("step-00000900"), path)),
            "manifest.json is of step 900",
        ),
        (
            lambda path: (path / MANIFEST).write_text('{"format": 2, "step": 1000, "files": {}}'),
            "manifest.json has format 2, and this archspec reads 1",
        ),
    ],
)
def test_the_remark_says_what_is_wrong_and_what_is_used(
    tmp_path: Path, harm: Callable[[Path], object], remark: str
) -> None:
    save(tmp_path, snapshot(900), {})
    harm(save(tmp_path, snapshot(1000), {}))
    found = newest(tmp_path)
    assert found is not None
    assert found[0].name == "step-00000900"
    assert len(found[1].remarks) == 1
    assert found[1].remarks[0].startswith(f"step-00001000: {remark}")
    assert found[1].remarks[0].endswith("; using step-00000900")


PLAIN = {"step": 1000, "state": {}, "optimizer": {}, "extra": {}, "strides": {"model": {}, "training": {}}}


@pytest.mark.parametrize(
    "tree",
    [
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps({**PLAIN, "optimizer": {"$tensor": "no"}}),
        json.dumps({**PLAIN, "strides": {"model": {"a.weight": ["x", 1]}, "training": {}}}),
        json.dumps(
            {**PLAIN, "strides": {"model": {"a.weight": [1, -3]}, "training": {}}, "extra": {"$tuple": 3}}
        ),
    ],
    ids=["list", "empty", "deep", "dangling", "strides", "tuple"],
)
def test_one_that_verifies_and_makes_no_sense_is_passed_over(tmp_path: Path, tree: str) -> None:
    save(tmp_path, snapshot(900), {})
    path = save(tmp_path, snapshot(1000), {})
    (path / STATE).write_text(tree)
    digests, sizes = stored._claims(path)
    digests[STATE] = stored.sha256(tree.encode()).hexdigest()
    sizes[STATE] = len(tree)
    (path / MANIFEST).write_bytes(stored._manifest(1000, digests, sizes))
    verify(path)
    found = newest(tmp_path)
    assert found is not None
    assert "it cannot be understood" in found[1].remarks[0]


def test_several_are_passed_over(tmp_path: Path) -> None:
    for step in range(5):
        save(tmp_path, snapshot(step), {})
    for step in (2, 3, 4):
        flipped(tmp_path / f"step-{step:08d}" / TRAINING)
    found = newest(tmp_path)
    assert found is not None
    assert found[1].snapshot.step == 1
    assert [each[:13] for each in found[1].remarks] == ["step-00000004", "step-00000003", "step-00000002"]


@pytest.mark.parametrize("finds", [newest, model_weights])
def test_one_that_is_pruned_while_it_is_read_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finds: Callable[[Path], object]
) -> None:
    """The run that goes on has saved another by then, and keeps one."""
    save(tmp_path, snapshot(1), {})
    real = stored._contents

    def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
        monkeypatch.undo()
        keep(tmp_path, 1, save(tmp_path, snapshot(2), {}))
        yield from real(folder)

    monkeypatch.setattr(stored, "_contents", contents)
    found = finds(tmp_path)
    if isinstance(found, tuple):
        assert found[1].remarks == ()
        assert found[1].snapshot.step == 2
    else:
        assert found == tmp_path / "step-00000002" / MODEL


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "missing") is None


def test_where_none_verifies_nobody_starts_anew_by_mistake(tmp_path: Path) -> None:
    for step in range(20):
        (save(tmp_path, snapshot(step), {}) / MODEL).unlink()
    with pytest.raises(FileError) as raised:
        newest(tmp_path)
    assert {each.code for each in raised.value.diagnostics} == {"AS552"}
    assert len(raised.value.diagnostics) == 9
    assert "step-00000019: model.safetensors is missing" in str(raised.value)
