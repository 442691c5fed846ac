"""From a recipe to feeds and back: what is refused, what a checkpoint keeps, what is heard meanwhile."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch.utils.data._utils.pin_memory import pin_memory
from torchvision.transforms import CenterCrop

from archspec.data import cifar, stream
from archspec.data.augment import Augment
from archspec.data.find import find
from archspec.data.folders import pictures
from archspec.data.order import Plan
from archspec.data.pickles import read as unpickled
from archspec.data.pictures import View
from archspec.data.prepare import Placement, central, prepared
from archspec.data.sets import Files, Images, Splits, held_out
from archspec.data.statistics import Normaliser
from archspec.data.stream import in_memory
from archspec.data.synthetic import make
from archspec.data.telling import paced
from archspec.errors import FileError
from archspec.recipes.models import Augment as Augmentation
from tests.data.making import SMALL10, cifar_binary, classes_of, picture, recipe

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("per-pixel-mean", "per-channel", "per-channel-std", "none")


def splits(shape: tuple[int, int, int] = (3, 8, 8)) -> Splits:
    return held_out(make(shape, 4, train=40, test=11), 10)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cifar10-paper", (), "a crop of 32x32 is larger than images of 8x8"),
        (
            "classroom",
            ("augment.crop=8", "data.batch=50", "data.last=drop"),
            "30 images make no whole batch of 50",
        ),
    ],
)
def test_a_recipe_that_does_not_fit_a_set_is_refused_with_a_hint(
    name: str, changes: tuple[str, ...], message: str
) -> None:
    of = recipe(name, *changes)
    with pytest.raises(FileError, match=f"^synthetic: AS541 {message}") as caught:
        prepared(splits(), of, Plan.of(of.data), Placement())
    assert caught.value.diagnostics[0].hint


@pytest.mark.parametrize("name", ["cifar10-paper", "torchvision-imagenet"])
def test_a_set_without_training_images_is_not_there(tmp_path: Path, name: str) -> None:
    files = pictures(classes_of(tmp_path, ("a", "b"), 1), "x", 3)
    some = make((3, 8, 8), 2, train=4, test=4)
    for part in (files.part(slice(0, 0)), some.train.part(slice(0, 0))):
        of = recipe(name, "augment.crop=8", "test.crop=8", "test.sizes=[9]")
        with pytest.raises(FileError, match="AS531"):
            prepared(Splits(part, None, some.test), of, Plan.of(of.data), Placement())


def test_the_components_of_rgb_are_not_added_to_grey_pictures(tmp_path: Path) -> None:
    files = pictures(classes_of(tmp_path, ("a", "b"), 3), "imagenet", 1)
    changes = (
        "normalise.mean=[0.5]",
        "normalise.std=[0.2]",
        "augment.crop=9",
        "test.crop=9",
        "test.sizes=[9]",
    )
    of = recipe("facebook-imagenet", *changes)
    made = prepared(Splits(files, None, files), of, Plan(2), Placement())
    assert next(iter(made.train.training(0))).images.shape == (2, 1, 9, 9)


# what a checkpoint keeps


@pytest.mark.parametrize("kind", KINDS)
def test_a_normalisation_goes_into_a_file_and_comes_back_in_the_same_bits(kind: str) -> None:
    of = recipe("cifar10-paper", f"normalise.kind={kind}", "augment.crop=5")
    told = prepared(splits(), of, Plan(4), Placement()).normaliser
    restored = Normaliser.restored(load(save(told.tensors())), "x")
    assert torch.equal(restored.mean, told.mean)
    assert torch.equal(restored.factor, told.factor)


@pytest.mark.parametrize(
    "tensors",
    [
        {},
        {"mean": torch.zeros(3, 1, 1)},
        {"mean": torch.zeros(3, 1, 1), "factor": torch.zeros(1, 1, 1)},
        {"mean": torch.zeros(3, 1, 1), "factor": torch.zeros(3, 2, 2)},
        {"mean": torch.zeros(3), "factor": torch.zeros(3, 1, 1)},
        {"mean": torch.zeros(3, 1, 1, dtype=torch.float64), "factor": torch.zeros(3, 1, 1)},
        {"mean": torch.full((3, 1, 1), torch.nan), "factor": torch.ones(3, 1, 1)},
    ],
)
def test_what_is_no_normalisation_is_not_restored(tensors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(FileError, match="run: AS552"):
        Normaliser.restored(tensors, "run")


# memory


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_that_live_on_this_device_are_not_copied(tmp_path: Path, channels_last: bool) -> None:
    cifar_binary(tmp_path, SMALL10)
    whole = held_out(cifar.read(tmp_path, SMALL10), 20)
    of = recipe("cifar10-paper", "data.split=20")
    feeds: Any = prepared(whole, of, Plan(16), Placement(channels_last=channels_last))
    for feed, part in (
        (feeds.train, whole.train),
        (feeds.validation, whole.validation),
        (feeds.test, whole.test),
    ):
        assert feed.pixels.data_ptr() == part.pixels.data_ptr()


def test_readers_lay_images_as_convolutions_take_them(tmp_path: Path) -> None:
    cifar_binary(tmp_path / "cifar", SMALL10)
    picture(tmp_path / "set" / "a" / "one.png", 0, (9, 7))
    parts = (
        cifar.read(tmp_path / "cifar", SMALL10).train,
        make((3, 8, 8), 4, train=4, test=4).train,
        in_memory(pictures(tmp_path / "set", "x", 3)),
    )
    for part in parts:
        assert isinstance(part, Images)
        assert part.pixels.is_contiguous(memory_format=torch.channels_last)


# what is heard


def test_words_come_every_two_seconds_at_most() -> None:
    heard: list[str] = []
    times = iter([0.0, 1.9, 2.0, 3.9, 4.0, 9.0])
    say = paced(heard.append, lambda: next(times))
    for word in ("early", "first", "soon", "second", "third"):
        say(word)
    assert heard == ["first", "second", "third"]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said, were every step to take two seconds."""
    monkeypatch.setattr("archspec.data.telling.SECONDS_BETWEEN", 0.0)
    return []


def test_long_work_says_how_far_it_is(tmp_path: Path, heard: list[str]) -> None:
    classes_of(tmp_path / "pictures", ("a", "b"), 5)
    read = find("folder", tmp_path / "pictures", say=heard.append).read()
    assert heard[-1] == f"looking through {tmp_path / 'pictures'}: 10 pictures"
    assert isinstance(read.train, Files)
    of = recipe("imagenet-paper", "augment.resize=[9, 12]", "augment.crop=9", "test.crop=9", "test.sizes=[9]")
    prepared(read, of, Plan(2), Placement(), heard.append)
    assert heard[-1] == "images measured for the normalisation: 8 of 8"


def test_pictures_that_are_read_into_memory_are_counted(tmp_path: Path, heard: list[str]) -> None:
    for number in range(6):
        picture(tmp_path / "ab"[number % 2] / f"{number}.png", number, (12, 12))
    files = pictures(tmp_path, "x", 3)
    of = recipe("cifar10-paper", "augment.crop=12", "normalise.kind=none")
    prepared(Splits(files, None, files), of, Plan(4), Placement(), heard.append)
    assert heard[0] == "reading pictures: 1 of 6"


def test_parts_of_cifar_are_named_as_they_are_read(
    tmp_path: Path, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar, "CIFAR10", SMALL10)
    cifar_binary(tmp_path, SMALL10)
    find("cifar10", tmp_path, say=heard.append).read()
    assert heard[-1] == f"reading {tmp_path / 'test_batch.bin'}"


# hostile reviews


def test_a_view_smaller_than_the_mean_has_its_middle_subtracted() -> None:
    mean = torch.arange(64, dtype=torch.float32).reshape(1, 8, 8)
    augment = Augment(Augmentation(crop=7), Normaliser(mean, torch.ones(1, 1, 1)), (1, 8, 8))
    black = torch.zeros((2, 1, 5, 4), dtype=torch.uint8)
    assert torch.equal(augment.streamed(black, None), -CenterCrop((5, 4))(mean).expand(2, 1, 5, 4))
    large = augment.streamed(torch.zeros((1, 1, 9, 8), dtype=torch.uint8), None)
    assert torch.equal(large, torch.full((1, 1, 9, 8), -31.5))


@pytest.mark.parametrize(
    ("changes", "view"),
    [
        (("test.crops=full", "test.sizes=[192, 224, 256]"), View(224, 224)),
        (("test.crops=full", "test.sizes=[192]"), View(256, 224)),
        ((), View(256, 224)),
    ],
)
def test_validation_never_pads_a_picture_that_the_crop_does_not_fit(
    changes: tuple[str, ...], view: View
) -> None:
    assert central(recipe("imagenet-paper", *changes)) == view


def test_what_is_wrong_with_a_picture_passes_through_pinned_memory(tmp_path: Path) -> None:
    """torch turns tuples into lists on that way."""
    path = picture(tmp_path / "a" / "bad.png", 0)
    path.write_bytes(b"bad")
    files = pictures(tmp_path, "x", 3)
    made = stream._made(files, [(0, 0)], lambda *_: pytest.fail("it was read"))
    assert isinstance(made, stream.Damaged)
    assert pin_memory(made) is made


def test_a_class_that_may_not_be_read_is_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes_of(tmp_path, ("a", "b"), 2)
    scandir = os.scandir

    def locked(path: Any) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(FileError, match=r"/b: AS532 the file cannot be read: Permission denied"):
        pictures(tmp_path, "x", 3, ("a", "b"))


def test_pixels_that_were_stored_by_columns_are_the_same_pixels(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for order in "CF":
        (tmp_path / order).write_bytes(pickle.dumps({"data": np.asarray(pixels, order=order)}, 2))
        assert np.array_equal(unpickled(tmp_path / order, 10_000)["data"], pixels)


def test_imagenets_classes_are_its_wordnet_numbers_alone(tmp_path: Path) -> None:
    wnids = ("n01440764", "n01443537")
    for part in ("train", "val"):
        classes_of(tmp_path / part, wnids, 2)
    clean = find("imagenet", tmp_path).read()
    for part in ("train", "val"):
        classes_of(tmp_path / part, ("__MACOSX", "n0144"), 1)
        (tmp_path / part / "lost").mkdir()
        (tmp_path / part / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
        (tmp_path / part / wnids[0] / "notes.txt").write_bytes(b"")
        (tmp_path / part / wnids[0] / "._n01440764_0.png").write_bytes(b"")
    stray = find("imagenet", tmp_path).read()
    assert (len(stray.train), len(stray.test)) == (4, 4)
    for one, other in ((clean.train, stray.train), (clean.test, stray.test)):
        assert one.classes == other.classes == wnids
        assert torch.equal(one.labels, other.labels)


def test_a_validation_folder_with_nothing_of_imagenet_is_refused(tmp_path: Path) -> None:
    classes_of(tmp_path / "train", ("n01440764",), 1)
    classes_of(tmp_path / "val", ("cats",), 1)
    with pytest.raises(FileError, match=r"/val: AS532 there are neither"):
        find("imagenet", tmp_path).read()
