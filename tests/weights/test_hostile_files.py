"""Files that are broken or mean harm: a diagnostic each, and no code of theirs runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import FileError
from archspec.weights.files import read_weights
from tests.weights.making import written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archspec.errors import Diagnostic


def refused(path: Path) -> tuple[Diagnostic, ...]:
    """What is said of a file that is not read."""
    with pytest.raises(FileError) as caught:
        dict(read_weights(path).tensors)
    assert all(each.span.file == str(path) for each in caught.value.diagnostics)
    assert all(len(each.message) < 1000 for each in caught.value.diagnostics)
    return caught.value.diagnostics


def header(table: Any, data: bytes = b"") -> bytes:
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data


def archive(**entries: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as opened:
        for name, data in entries.items():
            opened.writestr(name, data)
    return content.getvalue()


def one(**changes: Any) -> dict[str, Any]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"hello, this is text\n", "neither safetensors nor a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file"),
        (b"\x1f\x8b" + bytes(20), "gzip"),
        (struct.pack("<Q", 2) + b"{}", "no tensors"),
        (struct.pack("<Q", 1 << 62) + b"{}", "header too large"),
        (struct.pack("<Q", 500) + b'{"a":', "header"),
        (struct.pack("<Q", 5) + b'{"a":', "header"),
        (header(one()), "not sound"),
        (header(one(), bytes(9)), "not sound"),
        (header({**one(), "b": one(data_offsets=[4, 12])["a"]}, bytes(12)), "not sound"),
        (header(one(data_offsets=[8, 0]), bytes(8)), "not sound"),
        (header(one(shape=[1 << 62, 1 << 62]), bytes(8)), "not sound"),
        (header(one(dtype="X9"), bytes(8)), "not sound"),
        (archive(readme=b"hi"), "no checkpoint of torch"),
        (archive(**{"a.npy": b"x"}), "NumPy"),
        (archive(**{"a/constants.pkl": b"x"}), "TorchScript"),
        (archive(**{"a/data.pkl": b"", "b/data.pkl": b""}), "no checkpoint"),
        (archive(**{"a/data.pkl": b"nonsense"}), "torch cannot read"),
        (archive(readme=b"hi")[:-10], "damaged"),
        (b"PK\x03\x04", "damaged"),
        (b"\x80", "torch cannot read"),
        (b"\x80\x02", "torch cannot read"),
        (pickle.dumps({"a": 1}), ""),
    ],
)
def test_what_is_no_weights_file_is_said_to_be_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "weights"
    path.write_bytes(content)
    found = refused(path)
    assert [each.code for each in found] == ["AS501"]
    assert said in found[0].message


def test_missing_files_folders_and_pipes_are_said_and_not_waited_for(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "missing.pth")[0].message
    assert "folder" in refused(tmp_path)[0].message
    os.mkfifo(tmp_path / "pipe")
    assert "regular" in refused(tmp_path / "pipe")[0].message
    assert refused(tmp_path / ("x" * 300))[0].code == "AS501"
    assert refused(tmp_path / "a\0b")[0].code == "AS501"


class Touch:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, (self.path, "w"))


class Shell(Touch):
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize("kind", [Touch, Shell])
@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: {"state_dict": {"a": evil}}])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_run_code_does_not(
    tmp_path: Path, kind: type[Touch], wrap: Callable[[Any], Any], zipped: bool
) -> None:
    proof = tmp_path / "it-ran"
    path = written(tmp_path / "evil.pth", wrap(kind(str(proof))), zipped=zipped)
    found = refused(path)
    assert [each.code for each in found] == ["AS502"]
    assert not proof.exists()
    # the file is what it is said to be: whoever unpickles it runs it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(path, weights_only=False)
    assert proof.exists()


def test_a_bare_pickle_that_wants_to_run_code_does_not(tmp_path: Path) -> None:
    proof = tmp_path / "it-ran"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Shell(str(proof)), protocol=2))
    assert refused(tmp_path / "evil.pth")[0].code == "AS502"
    assert not proof.exists()


@pytest.mark.filterwarnings("ignore")
def test_a_whole_module_is_refused_with_its_name_and_a_way_out(tmp_path: Path) -> None:
    found = refused(written(tmp_path / "a.pth", torch.nn.Linear(2, 2)))
    assert [each.code for each in found] == ["AS502"]
    assert "torch.nn.modules.linear.Linear" in found[0].message
    assert "state_dict()" in found[0].hint


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.ones(2, dtype=torch.complex64), "complex64"),
        (lambda: torch.ones(2).to(torch.float8_e4m3fn), "float8"),
        (lambda: torch.ones(2, device="meta"), "meta"),
        (lambda: torch.ones(1).expand(1 << 40), "repeats its values"),
        (lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), "nested"),
    ],
)
def test_tensors_that_are_not_their_values_are_refused(
    tmp_path: Path, tensor: Callable[[], torch.Tensor], said: str
) -> None:
    found = refused(written(tmp_path / "a.pth", {"a.weight": tensor()}))
    assert found[0].code in ("AS505", "AS502")  # some kinds cannot even be loaded without code
    assert said in found[0].message or found[0].code == "AS502"


def test_many_strange_tensors_are_bounded(tmp_path: Path) -> None:
    content = {f"layer{place}." + "x" * 500: torch.eye(2).to_sparse() for place in range(50)}
    found = refused(written(tmp_path / "a.pth", content))
    assert len(found) == 6
    assert found[-1].message == "and 45 more like these"


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [torch.ones(2)], torch.ones(2), 5, {1: torch.ones(2)}])
def test_a_checkpoint_without_named_tensors_says_what_there_is(tmp_path: Path, content: object) -> None:
    found = refused(written(tmp_path / "a.pth", content))
    assert found[0].code == "AS501"
    assert "no tensors by name" in found[0].message


def test_containers_in_containers_end(tmp_path: Path) -> None:
    content: dict[str, Any] = {"a": torch.ones(2)}
    for _ in range(200):
        content = {"model": content}
    assert refused(written(tmp_path / "a.pth", content))[0].code == "AS501"


def test_compressed_archives_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a/data.pkl", pickle.dumps({}))
        opened.writestr("a/data/0", bytes(10**7))
    assert path.stat().st_size < 50_000
    assert "compressed" in refused(path)[0].message


def test_a_flipped_bit_in_a_checkpoint_is_seen(tmp_path: Path) -> None:
    path = written(tmp_path / "a.pth", {"a": torch.full((100,), 3.0)})
    content = bytearray(path.read_bytes())
    content[content.index(struct.pack("<ff", 3.0, 3.0)) + 3] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["a"].sum() != 300  # torch does not look
    assert "the checksum of a/data/0 is wrong" in refused(path)[0].message


def test_what_a_file_says_cannot_fill_the_screen(tmp_path: Path) -> None:
    class Long:
        pass

    Long.__module__, Long.__qualname__ = "x" * 5000, "Long"
    content = b"\x80\x02c" + b"x" * 5000 + b"\nLong\n."
    (tmp_path / "a.pth").write_bytes(content)
    refused(tmp_path / "a.pth")
    found = refused(written(tmp_path / "b.pth", {"k" * 5000: 1, "l": 2}))
    assert len(found[0].hint) < 500


@cache
def sound(kind: str) -> bytes:
    """A small file of each kind, as bytes."""
    tensors = {
        "conv.weight": torch.arange(36.0).reshape(4, 1, 3, 3),
        "conv.bias": torch.ones(4),
        "n": torch.tensor(3),
    }
    content = io.BytesIO()
    if kind == "safetensors":
        return safetensors.numpy.save({key: each.numpy() for key, each in tensors.items()}, {"format": "np"})
    torch.serialization.set_crc32_options(kind != "zip without checksums")
    try:
        torch.save(
            {"state_dict": tensors, "epoch": 1}, content, _use_new_zipfile_serialization=kind != "legacy"
        )
    finally:
        torch.serialization.set_crc32_options(True)
    return content.getvalue()


KINDS = ["safetensors", "zip", "zip without checksums", "legacy"]
FUZZ = settings(max_examples=150)


def read_or_refused(path: Path, content: bytes) -> dict[str, np.ndarray]:
    path.write_bytes(content)
    codes, tensors, shapes = set(), {}, {}
    try:
        weights = read_weights(path)
        tensors, shapes = dict(weights.tensors), weights.shapes
    except FileError as error:
        codes = {each.code for each in error.diagnostics}
    assert codes <= {"AS501", "AS502", "AS505"}
    assert all(isinstance(each, np.ndarray) for each in tensors.values())
    assert all(tensors[key].shape == shapes[key] for key in tensors)
    return tensors


@pytest.mark.parametrize("kind", KINDS)
def test_sound_files_are_sound(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a").write_bytes(sound(kind))
    assert len(read_weights(tmp_path / "a").tensors) == 3


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    content = sound(kind)
    path = tmp_path / "a"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileError):
        read_weights(path)


@pytest.mark.parametrize("kind", KINDS)
@FUZZ
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=4)
)
def test_flipped_bytes_end_in_a_diagnostic_or_in_tensors(
    tmp_path: Path, kind: str, flips: list[tuple[float, int]]
) -> None:
    content = bytearray(sound(kind))
    for share, mask in flips:
        content[int(share * len(content))] ^= mask
    tensors = read_or_refused(tmp_path / "a", bytes(content))
    if kind == "zip":  # what has checksums is read as it was written, or not at all
        (tmp_path / "b").write_bytes(sound(kind))
        expected = read_weights(tmp_path / "b").tensors
        assert not tensors or tensors.keys() == expected.keys()
        assert all(np.array_equal(tensors[key], expected[key]) for key in tensors)
