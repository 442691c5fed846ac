"""Sets that are damaged or mean harm: AS532 with the file's name, nothing run, nothing large allocated."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
import tracemalloc
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.data import cifar, digits, folders, idx, imagenet
from archspec.data.matlab import structs
from archspec.data.pickles import read as unpickled
from archspec.data.sets import Files, Paths
from archspec.errors import FileError
from tests.data.making import (
    SMALL10,
    Python2,
    cifar_binary,
    cifar_python,
    classes_of,
    devkit,
    drawn,
    idx_set,
    parts_of,
    picture,
    python_table,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def zipped(content: bytes) -> bytes:
    """Compressed, the same bytes at any time: they are part of a test's name."""
    return gzip.compress(content, mtime=0)


FUZZ = settings(max_examples=300)
TINY = replace(SMALL10, images=(2, 2))


def refused(file: Path, act: Callable[[], Any], said: str = "") -> None:
    """The act ends in AS532 about the file."""
    with pytest.raises(FileError) as caught:
        act()
    for diagnostic in caught.value.diagnostics:
        assert (diagnostic.code, diagnostic.span.file) == ("AS532", str(file))
        assert len(diagnostic.message) < 400
    assert said in caught.value.diagnostics[0].message


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


def edited(**changes: Any) -> bytes:
    table = python_table(SMALL10, "data_batch_1", 0, 20)
    return Python2().table({**table, **{key.encode(): value for key, value in changes.items()}})


SOUND = edited()
PICKLES = {
    "a function": (pickle.dumps(Harm()), "wants to run"),
    "a function in an old way": (b"(S'harm'\nios\nmkdir\n.", "the instruction INST"),
    "a function by its name": (pickle.dumps({"data": eval}, 4), "wants to run"),
    "another of numpy's": (b"cnumpy\nfromfile\n(S'x'\ntR.", "wants to run numpy.fromfile"),
    "an object by number": (b"\x80\x02Q.", "the instruction BINPERSID"),
    "a far place in the memo": (b"\x80\x02}r\xf0\xff\xff\x7f.", "skips places"),
    "room for a gigabyte": (b"\x80\x05\x96" + struct.pack("<Q", 2**30) + b".", "damaged"),
    "no table": (pickle.dumps([1, 2], 2), "no table"),
    "nothing": (b"", "damaged"),
    "noise": (drawn(0, 400).tobytes(), ""),
    "a web page": (b"<!DOCTYPE html><html>", ""),
    "cut off": (SOUND[:20_000], "damaged"),
    "objects for pixels": (SOUND.replace(b"U\x02u1", b"U\x02O8"), "where bytes are expected"),
    "a longer shape": (SOUND.replace(b"K\x14M\x00\x0c\x86", b"K\x15M\x00\x0c\x86"), "an array of shape"),
    "a larger shape": (
        SOUND.replace(b"K\x14M\x00\x0c\x86", b"J\xff\xff\xff\x7fM\x00\x0c\x86"),
        "an array of shape",
    ),
    "fewer images": (edited(data=drawn(0, 19, 3072)), '"data" is 19x3072'),
    "other images": (edited(data=drawn(0, 20, 3000)), '"data" is 20x3000'),
    "no images": (edited(data=b"x"), '"data" is nothing'),
    "fewer labels": (edited(labels=[1, 2]), "2 labels for 20 images"),
    "a label past the classes": (edited(labels=[10] * 20), "not one of the 10"),
    "a label below 0": (edited(labels=[-1] * 20), "not one of the 10"),
    "labels of text": (edited(labels=[b"1"] * 20), "no list of numbers"),
}


@pytest.mark.parametrize("what", PICKLES)
def test_a_bad_pickle_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    cifar_python(tmp_path, SMALL10)
    content, said = PICKLES[what]
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()
    try:
        refused(path, lambda: cifar.read(tmp_path, SMALL10), said)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert not (tmp_path / "harm").exists()


def test_a_pickle_would_have_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(PICKLES["a function"][0])
    assert (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-1], "19 images and a piece"),
        (lambda data: data[:-3073], "19 images, and 20"),
        (lambda data: data * 2, "40 images"),
        (lambda data: b"", "0 images"),
        (lambda data: b"\x0a" + data[1:], "not one of the 10"),
    ],
)
def test_a_bad_binary_batch_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    path = cifar_binary(tmp_path, SMALL10) / "data_batch_3.bin"
    path.write_bytes(change(path.read_bytes()))
    refused(path, lambda: cifar.read(tmp_path, SMALL10), said)


@pytest.mark.parametrize("make", [cifar_python, cifar_binary])
def test_a_batch_that_is_missing_a_folder_or_a_fifo_is_refused(tmp_path: Path, make: Any) -> None:
    make(tmp_path, SMALL10)
    path = next(each for each in (tmp_path / "test_batch", tmp_path / "test_batch.bin") if each.exists())
    path.unlink()
    refused(path, lambda: cifar.read(tmp_path, SMALL10), "No such file")
    path.mkdir()
    refused(path, lambda: cifar.read(tmp_path, SMALL10))
    path.rmdir()
    os.mkfifo(path)
    refused(path, lambda: cifar.read(tmp_path, SMALL10), "not a regular file")


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    path = cifar_binary(tmp_path, SMALL10) / "data_batch_1.bin"
    with path.open("r+b") as stream:
        stream.truncate(2**40)
    refused(path, lambda: cifar.read(tmp_path, SMALL10), "at most 268,435,456 are expected")


def test_names_that_are_not_the_classes_are_refused(tmp_path: Path) -> None:
    path = cifar_binary(tmp_path, SMALL10) / SMALL10.binary_names
    path.write_text("cat\ndog\n")
    refused(path, lambda: cifar.read(tmp_path, SMALL10), "2 names")


@cache
def sound(kind: str) -> bytes:
    with TemporaryDirectory() as folder:
        if kind == "pickle":
            return Python2().table(python_table(TINY, "data_batch_1", 0, 2))
        if kind == "matlab":
            devkit(Path(folder), {1: "n00000001", 2: "n00000002"}, [1])
            return (Path(folder) / "meta.mat").read_bytes()
        idx_set(Path(folder), train=3, test=2, zipped=kind == "gzip")
        return next(Path(folder).glob("train-images*")).read_bytes()


READERS: dict[str, Callable[[Path], Any]] = {
    "pickle": lambda path: unpickled(path, 2**24),
    "matlab": lambda path: structs(path, "synsets"),
    "gzip": lambda path: idx.read_idx(path, 3),
    "plain": lambda path: idx.read_idx(path, 3),
}


@pytest.mark.parametrize("kind", READERS)
@FUZZ
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=3)
)
def test_flipped_bytes_end_in_a_diagnostic_or_in_values(
    tmp_path: Path, kind: str, flips: list[tuple[float, int]]
) -> None:
    content = bytearray(sound(kind))
    for share, mask in flips:
        content[int(share * share * len(content))] ^= mask  # more often near the start
    path = tmp_path / "x"
    path.write_bytes(content)
    said = []
    try:
        READERS[kind](path)
    except FileError as error:
        said = [(each.code, each.span.file) for each in error.diagnostics]
    assert set(said) <= {("AS532", str(path))}


@pytest.mark.parametrize("kind", READERS)
@FUZZ
@given(share=st.floats(0, 1, exclude_max=True))
def test_what_is_cut_off_is_refused(tmp_path: Path, kind: str, share: float) -> None:
    content = sound(kind)
    path = tmp_path / "x"
    path.write_bytes(content[: int(share * len(content))])
    refused(path, lambda: READERS[kind](path))


def header(*sizes: int, kind: int = 8) -> bytes:
    return struct.pack(f">4B{len(sizes)}I", 0, 0, kind, len(sizes), *sizes)


IMAGES = header(2, 3, 3) + bytes(18)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no IDX file"),
        (b"\x89PNG" + bytes(40), "no IDX file"),
        (header(2, 3, 3, kind=13) + bytes(72), "no IDX file"),
        (header(18) + bytes(18), "no IDX file"),
        (header(2, 3, 3)[:9], "cut off within its header"),
        (IMAGES[:-1], "too short"),
        (IMAGES + b"x", "more than the 18"),
        (header(0, 3, 3), "announces 0 x 3 x 3"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "announces"),
        (header(2**31, 1, 1) + bytes(100), "too short"),
        (zipped(IMAGES[:-1]), "cut off: 17 of the 18"),
        (zipped(IMAGES + b"x"), "more than the 18"),
        (zipped(IMAGES)[:-3], "compressed file is damaged"),
        (zipped(IMAGES)[:-8] + bytes(8), "compressed file is damaged"),
        (zipped(header(2**31, 1, 1)), "too short"),
        (b"\x1f\x8bgarbage", "compressed file is damaged"),
    ],
)
def test_a_bad_idx_file_is_refused_and_allocates_nothing_for_its_claims(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        refused(path, lambda: idx.read_idx(path, 3), said)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_labels_that_do_not_fit_the_images_are_refused(tmp_path: Path) -> None:
    idx_set(tmp_path, zipped=False)
    labels = tmp_path / "train-labels-idx1-ubyte"

    def reading() -> Any:
        return idx.read(tmp_path, "mnist", idx.DIGITS)

    labels.write_bytes(header(39) + bytes(39))
    refused(labels, reading, "39 labels for 40 images")
    labels.write_bytes(header(40) + bytes(39) + b"\x0a")
    refused(labels, reading, "a label is 10")
    labels.unlink()
    refused(tmp_path, reading, "the labels of the part train are missing")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "0 lines"),
        (b"not compressed", "cannot be read"),
        (zipped(b"1,2,3\n"), "1 lines"),
        (zipped(b"a,b\n"), "cannot be read"),
        (zipped(b"17," * 64 + b"0\n" + b"0,0\n"), "cannot be read"),
        (zipped((b"17," * 64 + b"0\n") * 1797), "not one of 0 to 16"),
        (zipped((b"1," * 64 + b"10\n") * 1797), "not one of 0 to 9"),
        (zipped((b"nan," * 64 + b"1\n") * 1797), "not one of 0 to 16"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_bad_digits_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(content)
    refused(path, lambda: digits.read_file(path), said)


def test_a_picture_that_is_none_is_refused_by_its_name(tmp_path: Path) -> None:
    good = picture(tmp_path / "good.png", 0).read_bytes()
    bad = {"empty": b"", "text": b"hello" * 9, "cut off": good[: len(good) // 2], "page": b"<!DOCTYPE html>"}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        files = Files("x", Paths(str(tmp_path), [name]), torch.tensor([0]), ("a",))
        refused(tmp_path / name, lambda files=files: files.decode(0))


def test_folders_that_are_no_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    refused(tmp_path / "train", lambda: folders.pictures(tmp_path / "train", "x", 3), "no folders in it")
    (tmp_path / "train" / "ant").mkdir()
    refused(
        tmp_path / "train" / "ant", lambda: folders.pictures(tmp_path / "train", "x", 3), "without pictures"
    )
    picture(tmp_path / "train" / "ant" / "a.png", 0)
    refused(tmp_path, lambda: folders.read(tmp_path, "x", 3), "none named val or test")
    classes_of(tmp_path / "test", ("ant", "cow"), 1)
    refused(tmp_path / "test", lambda: folders.read(tmp_path, "x", 3), "not among the training ones: cow")
    refused(tmp_path / "gone", lambda: folders.pictures(tmp_path / "gone", "x", 3), "No such file")
    classes_of(tmp_path / "few", ("ant", "cow"), 2)
    refused(tmp_path / "few", lambda: folders.read(tmp_path / "few", "x", 3), "too few")


WNIDS = ("n01440764", "n01443537")


@pytest.mark.parametrize(
    ("truth", "said"),
    [
        ("1\n", "2 validation images, and the devkit knows 1"),
        ("1\n3\n", "line 2: 3 is no"),
        ("1\nx\n", "line 2: x is"),
    ],
)
def test_a_ground_truth_that_does_not_fit_is_refused(tmp_path: Path, truth: str, said: str) -> None:
    classes_of(tmp_path / "train", WNIDS, 1, ".JPEG")
    for number in (1, 2):
        picture(tmp_path / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", number)
    kit = devkit(tmp_path / "devkit" / "data", {1: WNIDS[0], 2: WNIDS[1]}, [1, 2])
    assert imagenet.read(tmp_path, 3).test.labels.tolist() == [0, 1]
    (kit / imagenet.TRUTH).write_text(truth)
    refused(
        tmp_path / "val" if "knows" in said else kit / imagenet.TRUTH,
        lambda: imagenet.read(tmp_path, 3),
        said,
    )


def test_a_file_of_matlab_in_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "meta.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(100))
    refused(path, lambda: structs(path, "synsets"), "no file of MATLAB, level 5")
    devkit(tmp_path, {1: "n00000001"}, [1])
    refused(path, lambda: structs(path, "nothing"), "no array nothing")
    assert [each["WNID"] for each in structs(path, "synsets")] == ["n00000001"]


def test_every_file_of_the_small_sets_is_looked_at(tmp_path: Path) -> None:
    for name, *_ in parts_of(SMALL10):
        folder = cifar_binary(tmp_path / name, SMALL10)
        path = folder / f"{name}.bin"
        path.write_bytes(b"")
        refused(path, lambda folder=folder: cifar.read(folder, SMALL10))
