"""Weights files that are sound: what is read of them, and what is written."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import torch

from archspec.errors import FileError
from archspec.provenance import TENSORS
from archspec.weights.files import checked, digest, read_weights, write_weights
from tests.weights.making import read, written

if TYPE_CHECKING:
    from pathlib import Path

TENSOR = {"a.weight": torch.arange(6.0).reshape(2, 3)}


@pytest.mark.parametrize(
    ("content", "remark"),
    [
        (TENSOR, ""),
        ({"state_dict": TENSOR, "epoch": 3}, 'read the tensors under "state_dict"'),
        ({"model_state_dict": TENSOR, "optimizer": {"lr": 0.1}}, 'read the tensors under "model_state_dict"'),
        ({"model": {"state_dict": TENSOR}}, 'read the tensors under "model.state_dict"'),
        ({"net": TENSOR, "acc": torch.tensor(0.9)}, 'read the tensors under "net"'),
        ({"model_ema": TENSOR}, 'read the tensors under "model_ema"'),
        ({"module.a.weight": TENSOR["a.weight"]}, 'the prefix "module." was taken off 1 keys'),
        ({"_orig_mod.a.weight": TENSOR["a.weight"]}, 'the prefix "_orig_mod." was taken off 1 keys'),
        (
            {"module.a.weight": TENSOR["a.weight"], "n_averaged": torch.tensor(7)},
            'the prefix "module." was taken off 1 keys',
        ),
        ({**TENSOR, "epoch": 3}, "passed over 1 entries that are no tensors: epoch"),
        ({"a.weight": torch.nn.Parameter(TENSOR["a.weight"])}, ""),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_checkpoints_are_read_in_whatever_they_are_wrapped(
    tmp_path: Path, content: object, remark: str, zipped: bool
) -> None:
    weights = read_weights(written(tmp_path / "a.pth", content, zipped=zipped))
    assert weights.format == "pth"
    assert weights.shapes == {"a.weight": (2, 3)}
    assert weights.dtypes == {"a.weight": "float32"}
    assert np.array_equal(weights.tensors["a.weight"], TENSOR["a.weight"].numpy())
    assert remark in weights.remarks if remark else not weights.remarks


def test_prefixes_come_off_one_after_the_other(tmp_path: Path) -> None:
    weights = read(tmp_path / "a.pth", {"module._orig_mod.a": torch.ones(1)})
    assert list(weights.tensors) == ["a"]


def test_a_prefix_that_only_some_keys_have_stays(tmp_path: Path) -> None:
    content = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert list(read(tmp_path / "a.pth", content).tensors) == ["module.a", "b"]


def test_views_strides_and_shared_storage_are_read_by_their_values(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    content = {"whole": base, "part": base[1], "turned": base.permute(2, 0, 1), "again": base}
    weights = read(tmp_path / "a.pth", content)
    for key, tensor in content.items():
        assert np.array_equal(weights.tensors[key], tensor.numpy()), key


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64", "uint8", "bool"])
def test_types_survive_both_formats(tmp_path: Path, dtype: str) -> None:
    tensor = torch.tensor([0.0, 1.0, 3.0]).to(getattr(torch, dtype))
    first = read(tmp_path / "a.pth", {"a": tensor})
    write_weights(tmp_path / "a.safetensors", first.tensors, {})
    second = read_weights(tmp_path / "a.safetensors")
    assert first.dtypes == second.dtypes == {"a": dtype}
    assert first.tensors["a"].tobytes() == second.tensors["a"].tobytes()
    assert digest(first.tensors) == digest(second.tensors) == second.metadata[TENSORS]


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    assert read(tmp_path / "a.safetensors", TENSOR).format == "pth"
    safetensors.numpy.save_file({"a": np.ones(2, np.float32)}, tmp_path / "b.pth")
    assert read_weights(tmp_path / "b.pth").format == "safetensors"


def test_a_header_whose_length_begins_like_a_pickle_is_a_header(tmp_path: Path) -> None:
    lengths = set()
    for padding in range(0, 264, 8):
        path = tmp_path / f"{padding}.safetensors"
        write_weights(path, {"a": np.zeros(1, np.float32)}, {"note": "x" * padding})
        lengths.add(path.read_bytes()[0])
        assert read_weights(path).format == "safetensors"
    assert 0x80 in lengths


def test_a_checkpoint_without_checksums_is_read_and_said_so(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        weights = read(tmp_path / "a.pth", TENSOR)
    finally:
        torch.serialization.set_crc32_options(True)
    assert weights.remarks == ("the checkpoint was written without checksums",)


def tensors() -> dict[str, np.ndarray]:
    return {
        "odd": np.arange(3, dtype=np.float16),
        "steps": np.asarray(7, np.int64),
        "weight": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "brain": np.ones(5, ml_dtypes.bfloat16),
        "none": np.zeros((0, 4), np.float32),
        "big-endian": np.arange(3, dtype=">f4"),
    }


def test_what_is_written_is_read_by_safetensors_and_aligned(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_weights(path, tensors(), {"note": "schön \u2028"})
    for key, array in safetensors.numpy.load_file(path).items():
        assert np.array_equal(array, tensors()[key]), key
        assert array.dtype == tensors()[key].dtype.newbyteorder("<")
    weights = read_weights(path)
    assert weights.metadata["note"] == "schön \u2028"
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    header = json.loads(content[8 : 8 + length])
    places = [
        (value["data_offsets"][0], tensors()[key].dtype.itemsize)
        for key, value in header.items()
        if key != "__metadata__"
    ]
    assert all(start % size == 0 for start, size in places)


def test_equal_tensors_give_equal_bytes(tmp_path: Path) -> None:
    first = write_weights(tmp_path / "a.safetensors", tensors(), {"x": "1", "y": "2"})
    second = write_weights(tmp_path / "sub" / "b.safetensors", tensors(), {"y": "2", "x": "1"})
    assert first == second == read_weights(tmp_path / "a.safetensors").sha256
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "sub" / "b.safetensors").read_bytes()
    assert write_weights(tmp_path / "a.safetensors", tensors(), {"x": "3", "y": "2"}) != first


def test_the_digest_sees_keys_types_shapes_and_values() -> None:
    base = {"a": np.zeros((2, 3), np.float32)}
    others: list[dict[str, np.ndarray]] = [
        {"b": base["a"]},
        {"a": base["a"].reshape(3, 2)},
        {"a": base["a"].view(np.int32)},
        {"a": base["a"] + np.eye(2, 3, dtype=np.float32)},
        {**base, "b": np.zeros(0, np.float32)},
    ]
    assert len({digest(each) for each in (base, *others)}) == len(others) + 1
    assert digest({"a": base["a"], "b": base["a"]}) == digest({"b": base["a"], "a": base["a"]})


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    write_weights(path, tensors(), {})
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_weights(path, {"a": np.ones(3, np.float32)}, {})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_changed_tensor_is_found_where_the_digest_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_weights(path, {"a": np.ones(3, np.float32)}, {})
    assert checked(read_weights(path)).file == str(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    weights = read_weights(path)
    with pytest.raises(FileError, match="AS507 the file says its tensors have SHA-256"):
        checked(weights)
    safetensors.numpy.save_file({"a": np.ones(2, np.float32)}, path)
    checked(read_weights(path))  # says nothing, so nothing is wrong
