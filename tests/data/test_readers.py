"""Sets in their true formats are read as they were written, and found where they may lie."""

from __future__ import annotations

import gzip
import pickle
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

from archspec.data import cifar, digits, find, idx, imagenet, synthetic
from archspec.data.sets import Files, Images, Paths, Splits, held_out, labelling, stratified
from archspec.errors import FileError
from tests.data.making import (
    SMALL10,
    SMALL100,
    batch_of,
    cifar_binary,
    cifar_python,
    classes_of,
    devkit,
    drawn,
    idx_set,
    names_of,
    parts_of,
    picture,
    python_table,
)

if TYPE_CHECKING:
    from archspec.data.cifar import Layout


@pytest.mark.parametrize("layout", [SMALL10, SMALL100], ids=lambda each: each.name)
@pytest.mark.parametrize("make", [cifar_python, cifar_binary])
def test_cifar_is_read_as_written(tmp_path: Path, layout: Layout, make: Any) -> None:
    splits = cifar.read(make(tmp_path, layout), layout)
    files = [batch_of(layout, seed, count) for _, seed, count in parts_of(layout)]
    for part, expected in ((splits.train, files[:-1]), (splits.test, files[-1:])):
        assert isinstance(part, Images)
        pixels = np.concatenate([pixels for pixels, _ in expected]).reshape(-1, 3, 32, 32)
        assert np.array_equal(part.pixels.numpy(), pixels)
        assert part.labels.tolist() == np.concatenate([labels for _, labels in expected]).tolist()
        assert part.classes == names_of(layout)
        assert (part.pixels.dtype, part.labels.dtype) == (torch.uint8, torch.int64)
        assert part.shape == (3, 32, 32)


def test_the_generated_pickles_are_pythons_own_format(tmp_path: Path) -> None:
    """What the tests write is what `pickle` reads; the file is ours, so it may."""
    cifar_python(tmp_path, SMALL10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy.core is its old name
        table = pickle.loads((tmp_path / "data_batch_2").read_bytes(), encoding="latin1")
    pixels, labels = batch_of(SMALL10, 1, 20)
    assert np.array_equal(table["data"], pixels)
    assert table["labels"] == labels.tolist()
    assert set(table) >= {
        "data",
        CIFAR10.meta["key"].replace("label_names", "labels"),
        "filenames",
        "batch_label",
    }


def test_the_layouts_are_torchvisions() -> None:
    assert [name for name, _ in CIFAR10.train_list] == list(cifar.CIFAR10.train)
    assert CIFAR10.base_folder == find.KNOWN["cifar10"].inside[0]
    assert tuple(FashionMNIST.classes) == idx.FASHION


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pickles_written_anew_are_read(tmp_path: Path, protocol: int) -> None:
    cifar_python(tmp_path, SMALL10)
    for name, seed, count in parts_of(SMALL10):
        table = {key.decode(): value for key, value in python_table(SMALL10, name, seed, count).items()}
        (tmp_path / name).write_bytes(pickle.dumps(table, protocol))
    splits = cifar.read(tmp_path, SMALL10)
    assert np.array_equal(splits.test.pixels.numpy().reshape(10, -1), batch_of(SMALL10, 5, 10)[0])


def test_cifar_without_names_numbers_its_classes(tmp_path: Path) -> None:
    cifar_binary(tmp_path, SMALL10)
    (tmp_path / SMALL10.binary_names).unlink()
    assert cifar.read(tmp_path, SMALL10).test.classes == tuple("0123456789")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
def test_idx_is_read_as_written(tmp_path: Path, zipped: bool, dotted: bool) -> None:
    splits = idx.read(idx_set(tmp_path, zipped=zipped, dotted=dotted), "fashion-mnist", idx.FASHION)
    assert np.array_equal(splits.train.pixels.numpy(), drawn(0, 40, 28, 28)[:, None])
    assert splits.train.labels.tolist() == drawn(100, 40, below=10).tolist()
    assert np.array_equal(splits.test.pixels.numpy(), drawn(1, 16, 28, 28)[:, None])
    assert splits.test.classes[9] == "Ankle boot"


def test_torchvision_reads_the_generated_idx_files_alike(tmp_path: Path) -> None:
    idx_set(tmp_path / "MNIST" / "raw", zipped=False)
    theirs = MNIST(str(tmp_path), train=True)
    ours = find.find("mnist", tmp_path).read().train
    assert torch.equal(ours.pixels[:, 0], theirs.data)
    assert torch.equal(ours.labels, theirs.targets)


def written_digits(path: Path) -> np.ndarray:
    table = np.concatenate([drawn(0, 1797, 64, below=17), np.arange(1797)[:, None] % 10], axis=1)
    path.parent.mkdir(parents=True)
    text = "".join(",".join(map(str, row)) + "\n" for row in table.tolist())
    path.write_bytes(gzip.compress(text.encode()))
    return table


def test_digits_are_read_from_scikit_learns_file_without_loading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = written_digits(tmp_path / "sklearn" / "datasets" / "data" / "digits.csv.gz")
    (tmp_path / "sklearn" / "__init__.py").write_text("raise ImportError('loaded')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    splits = find.find("digits").read()
    assert (len(splits.train), len(splits.test)) == (1437, 360)
    together = torch.cat([splits.train.pixels, splits.test.pixels]).flatten(1)
    expected = torch.from_numpy((table[:, :64] * 255 / 16).round().astype(np.uint8))
    assert sorted(together.tolist()) == sorted(expected.tolist())
    assert splits.test.labels.bincount().tolist() == [36] * 10


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digits, "find_spec", lambda _: None)
    with pytest.raises(FileError, match="AS531") as caught:
        find.find("digits").read()
    assert "pip install scikit-learn" in caught.value.diagnostics[0].hint


def test_the_real_digits_are_read_where_they_are() -> None:
    if digits.place() is None:
        pytest.skip("scikit-learn is not installed")
    images = digits.read_file(digits.place())
    assert images.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert images.pixels.max() == 255


WNIDS = ("n01440764", "n01443537", "n01484850")
# the devkit numbers classes otherwise than WNIDs sort
NUMBERED = {1: WNIDS[2], 2: WNIDS[0], 3: WNIDS[1], 4: "n09999999"}
TRUTH = [3, 1, 2, 1]


def imagenet_set(folder: Path, *, flat: bool) -> Path:
    classes_of(folder / "train", WNIDS, 2, ".JPEG")
    if not flat:
        classes_of(folder / "val", WNIDS[::-1], 1, ".JPEG")
        return folder
    for number in range(1, 5):
        picture(folder / "val" / f"ILSVRC2012_val_{number:08d}.JPEG", number)
    devkit(folder / imagenet.DEVKIT / "data", NUMBERED, TRUTH)
    return folder


def test_imagenet_in_folders(tmp_path: Path) -> None:
    splits = find.find("imagenet", imagenet_set(tmp_path / "imagenet", flat=False).parent).read()
    assert splits.train.classes == splits.test.classes == WNIDS
    assert splits.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert splits.test.labels.tolist() == [0, 1, 2]
    assert splits.validation is None
    assert splits.test.decode(1).shape[0] == 3


def test_imagenet_with_a_flat_val_is_labelled_by_the_devkit(tmp_path: Path) -> None:
    test = imagenet.read(imagenet_set(tmp_path, flat=True), 3).test
    assert isinstance(test, Files)
    assert [Path(test.paths[place]).name for place in range(4)] == [
        f"ILSVRC2012_val_{n:08d}.JPEG" for n in range(1, 5)
    ]
    assert [WNIDS[label] for label in test.labels.tolist()] == [NUMBERED[number] for number in TRUTH]


def test_a_flat_val_without_the_devkit_says_what_is_missing(tmp_path: Path) -> None:
    imagenet_set(tmp_path, flat=True)
    (tmp_path / imagenet.DEVKIT / "data" / imagenet.META).unlink()
    with pytest.raises(FileError, match=r"AS531.*meta\.mat"):
        imagenet.read(tmp_path, 3)


@pytest.mark.parametrize(
    ("parts", "validation", "test"),
    [(("train", "val", "test"), 2, 3), (("train", "test"), None, 3), (("train", "val"), None, 2)],
)
def test_a_folder_with_parts(
    tmp_path: Path, parts: tuple[str, ...], validation: int | None, test: int
) -> None:
    for part in parts:
        classes_of(tmp_path / part, ("ant", "bee"), {"train": 4, "val": 2, "test": 3}[part])
    (tmp_path / "train" / "ant" / "notes.txt").write_text("no picture")
    (tmp_path / "train" / ".cache").mkdir()
    splits = find.find("folder", tmp_path).read()
    assert (len(splits.train), len(splits.test)) == (8, 2 * test)
    assert splits.validation is None if validation is None else len(splits.validation or ()) == 2 * validation
    assert splits.train.classes == ("ant", "bee")


def test_a_folder_of_classes_is_split_the_same_way_every_time(tmp_path: Path) -> None:
    classes_of(tmp_path, ("ant", "bee", "cat"), 10)
    (tmp_path / "ant" / "deep").mkdir()
    (tmp_path / "ant" / "ant_0.png").rename(tmp_path / "ant" / "deep" / "ant_0.png")
    one, two = (find.find("folder", tmp_path).read() for _ in range(2))
    assert one.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    names = [[part.paths[place] for place in range(len(part))] for part in (one.train, one.test)]
    assert names[1] == [two.test.paths[place] for place in range(6)]
    assert len(set(names[0] + names[1])) == 30


def test_folders_of_as_many_pictures_are_told_apart_and_one_that_was_moved_is_not(tmp_path: Path) -> None:
    kinds = {"one": ("ant", "bee"), "other classes": ("ant", "cat"), "other names": ("ant", "bee")}
    for folder, names in kinds.items():
        classes_of(tmp_path / folder, names, 10)
    (tmp_path / "other names" / "bee" / "bee_3.png").rename(tmp_path / "other names" / "bee" / "wasp.png")
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    told = {each.name: labelling(find.find("folder", each).read().train) for each in tmp_path.iterdir()}
    assert told["one"] == told["moved"]
    assert len(set(told.values())) == 3


def test_pictures_are_decoded_upright_in_the_channels_asked_for(tmp_path: Path) -> None:
    from PIL import Image

    pixels = drawn(0, 4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    files = Files("x", Paths(str(tmp_path), ["a.png"]), torch.tensor([0]), ("a",))
    assert torch.equal(files.decode(0), torch.from_numpy(np.rot90(pixels, -1).transpose(2, 0, 1).copy()))
    assert replace(files, channels=1).decode(0).shape == (1, 6, 4)


def test_paths_come_back_as_they_were() -> None:
    names = ["a/b.png", "ä/ö.png", "", "x\udcff.png", "a" * 300]
    paths = Paths("/root", names)
    assert [paths[place] for place in range(len(paths))] == [f"/root/{name}" for name in names]
    part = paths.part(np.array([4, 1])).part(np.array([1]))
    assert (len(part), part[0]) == (1, "/root/ä/ö.png")
    with pytest.raises(IndexError):
        part[1]


@pytest.mark.parametrize("which", ["last", "random"])
def test_images_are_held_out_of_the_training_part_alone(which: Any) -> None:
    whole = synthetic.make((1, 4, 4), 3, train=30, test=5)
    numbered = replace(whole.train, labels=torch.arange(30))
    splits = held_out(Splits(numbered, None, whole.test), 7, which)
    assert splits.validation is not None
    kept, out = splits.train.labels.tolist(), splits.validation.labels.tolist()
    assert (len(kept), len(out), sorted(kept + out)) == (23, 7, list(range(30)))
    assert (kept, out) == (sorted(kept), sorted(out))
    assert (out == list(range(23, 30))) == (which == "last")
    assert torch.equal(splits.validation.pixels, numbered.pixels[out])
    assert held_out(Splits(numbered, None, whole.test), 0).validation is None
    with pytest.raises(FileError, match=r"AS541 30 of 30 training images"):
        held_out(splits.__class__(numbered, None, whole.test), 30)


def test_a_stratified_split_takes_its_share_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    first, second = stratified(labels, 0.2)
    assert np.bincount(labels[second]).tolist() == [20, 10, 2]
    assert sorted([*first, *second]) == list(range(160))


@pytest.mark.parametrize(("shape", "classes"), [((3, 32, 32), 10), ((1, 28, 28), 16), ((3, 16, 24), 100)])
def test_a_synthetic_set_is_seeded_and_its_classes_differ(shape: tuple[int, int, int], classes: int) -> None:
    one, two, other = (synthetic.make(shape, classes, train=300, test=20, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.train.pixels, two.train.pixels)
    assert not torch.equal(one.train.pixels, other.train.pixels)
    assert one.train.shape == shape
    assert len(set(one.train.classes)) == classes > int(one.train.labels.max())
    longer = synthetic.make(shape, classes, train=310, test=10, seed=1)
    assert torch.equal(longer.train.pixels[:300], one.train.pixels)


def test_a_synthetic_set_can_be_learnt() -> None:
    """By a linear layer over where colours are, averaged: far above chance."""
    splits = synthetic.make((3, 16, 16), 8, train=800, test=200)
    features = [
        torch.nn.functional.one_hot(
            (part.pixels.permute(0, 2, 3, 1) > 140).long() @ torch.tensor([4, 2, 1]), 8
        )
        .double()
        .mean((1, 2))
        for part in (splits.train, splits.test)
    ]
    targets = torch.nn.functional.one_hot(splits.train.labels, 8).double()
    weights = torch.linalg.lstsq(features[0], targets).solution
    assert ((features[1] @ weights).argmax(1) == splits.test.labels).double().mean() > 0.8


@pytest.mark.parametrize("bad", [{"classes": 0}, {"train": 0}, {"shape": (3, 10**5, 10**5)}])
def test_a_synthetic_set_is_bounded(bad: dict[str, Any]) -> None:
    with pytest.raises(FileError, match=r"synthetic: AS541.*images"):
        synthetic.make(**bad)
