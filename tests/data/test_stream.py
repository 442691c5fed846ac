"""Streamed sets: equal for every number of workers and ranks, cut as drawn, and honest about bad pictures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from multiprocessing import active_children
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as tv

from archspec.data.feed import Resident
from archspec.data.folders import pictures
from archspec.data.order import Plan, order
from archspec.data.pictures import ATTEMPTS, View, _sides, decoded, drawn, pixels, resized, seen, varied
from archspec.data.prepare import Feeds, Placement, central, prepared
from archspec.data.sets import Files, Splits, held_out
from archspec.data.statistics import measure
from archspec.data.stream import Stream, in_memory, sampled
from archspec.data.synthetic import make
from archspec.errors import FileError
from archspec.preprocessing import Preprocessing
from archspec.recipes.models import Augment as Augmentation
from tests.data.making import classes_of, picture, recipe
from tests.data.making import drawn as random_bytes
from tests.data.test_order import chi_square

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.recipes.models import Recipe

MANY = np.arange(20_000)
SMALLER = (
    "augment.resize=[26, 48]",
    "augment.crop=22",
    "test.crop=22",
    "test.sizes=[26]",
    "normalise.sample=5",
)
PAPER = partial(recipe, "imagenet-paper", *SMALLER)
FACEBOOK = partial(recipe, "facebook-imagenet", "augment.crop=22", "test.crop=22", "test.sizes=[26]")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return pictures(classes_of(tmp_path_factory.mktemp("set"), ("a", "b", "c"), 5), "x", 3)


def feeds(files: Files, of: Recipe, batch: int = 4, **placement: Any) -> Feeds:
    splits = held_out(Splits(files, None, files.part(np.arange(6))), 3, "random")
    return prepared(splits, of, Plan(batch, seed=5), Placement(**placement))


@pytest.mark.parametrize("of", [PAPER, FACEBOOK], ids=["paper", "facebook"])
def test_workers_ranks_and_starts_change_no_bit(files: Files, of: Any) -> None:
    alone = feeds(files, of()).train
    expected = {epoch: list(alone.training(epoch)) for epoch in (0, 1)}
    assert not torch.equal(expected[0][0].images, expected[1][0].images)
    for workers in (1, 4):
        feed = feeds(files, of(), workers=workers).train
        for epoch in (0, 1):
            for one, other in zip(feed.training(epoch), expected[epoch], strict=True):
                assert torch.equal(one.images, other.images)
                assert torch.equal(one.labels, other.labels)
        if workers == 1:
            stopped = feed.training(0)
            next(stopped)
            stopped.close()
            assert torch.equal(next(iter(feed.training(1, start=1))).images, expected[1][1].images)
    pieces = [list(alone.training(1, rank=rank, ranks=2, start=1)) for rank in range(2)]
    for step, batch in enumerate(expected[1][1:]):
        assert torch.equal(torch.cat([piece[step].images for piece in pieces]), batch.images)


def test_the_loader_leaves_torchs_own_numbers_alone(files: Files) -> None:
    """Dropout depends on them, and a resumed run has another number of epochs begun."""
    before = torch.random.get_rng_state()
    list(feeds(files, PAPER()).train.training(0))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_workers_outlive_a_signal_to_all_processes(files: Files) -> None:
    """Their reader has to write a checkpoint, and not to die of its workers."""
    others = set(active_children())
    feed = feeds(files, FACEBOOK("augment.colour=none"), batch=1, workers=1).train
    expected = [batch.images for batch in feed.training(0)]
    batches = feed.training(0)
    made = [next(batches).images]
    (worker,) = set(active_children()) - others
    for each in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker.pid, each)
    made += [batch.images for batch in batches]
    assert all(torch.equal(one, other) for one, other in zip(made, expected, strict=True))
    assert worker.is_alive()
    del feed, batches
    worker.join(60)
    assert worker.exitcode == 0


ABANDONED = """
import sys
from pathlib import Path
from archspec.data.folders import pictures
from archspec.data.order import Plan
from archspec.data.prepare import Placement, prepared
from archspec.data.sets import Splits
from archspec.recipes.load import load_recipe
files = pictures(Path(sys.argv[1]), "x", 3)
recipe = load_recipe("torchvision-imagenet", ["augment.crop=8", "test.crop=8", "test.sizes=[9]"]).recipe
batches = prepared(Splits(files, None, files), recipe, Plan(1), Placement(workers=2)).train.training(0)
next(batches)
sys.exit(75)
"""


def test_a_process_that_ends_amid_an_epoch_ends_at_once(tmp_path: Path) -> None:
    classes_of(tmp_path, ("a", "b"), 10)
    command = [sys.executable, "-c", ABANDONED, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (ended.returncode, ended.stderr) == (75, "")


def test_batches_are_the_images_cut_one_by_one(files: Files) -> None:
    of = PAPER("augment.colour=none", "normalise.kind=none", "normalise.range=255")
    feed = feeds(files, of).train
    assert isinstance(feed, Stream)
    places = order(5, 3, len(feed))
    cuts = drawn(of.augment, 5, 3, places)
    made = torch.cat([batch.images for batch in feed.training(3)])
    for place, index in enumerate(places):
        image = Image.open(feed.files.paths[index])
        side, (width, height) = int(cuts.side[place]), image.size
        whole = tv.resize(image, [side], tv.InterpolationMode.BILINEAR)
        top = int(cuts.top[place] >> np.uint64(32)) * (whole.height - 22 + 1) >> 32
        left = int(cuts.left[place] >> np.uint64(32)) * (whole.width - 22 + 1) >> 32
        cut = tv.crop(whole, top, left, 22, 22)
        cut = tv.hflip(cut) if cuts.flip[place] else cut
        assert torch.equal(made[place], tv.pil_to_tensor(cut).float())
        assert min(whole.size) == side
        assert min(width, height) > 0


def test_the_shorter_side_is_uniform_in_its_range() -> None:
    cuts = drawn(Augmentation(resize=(256, 480), crop=224, flip=True), 0, 0, MANY)
    assert cuts.side is not None
    assert (cuts.side.min(), cuts.side.max()) == (256, 480)
    assert abs(chi_square(cuts.side - 256, 225)) < 5
    assert abs(chi_square(cuts.flip.astype(int), 2)) < 5
    one = drawn(Augmentation(resize=(256, 480), crop=224), 0, 0, MANY[77:78])
    assert one.side is not None
    assert one.side[0] == cuts.side[77]
    assert not one.flip.any()


def test_every_place_of_a_crop_is_reached() -> None:
    numbered = np.arange(30, dtype=np.uint8).reshape(5, 6, 1).repeat(3, 2)
    image = Image.fromarray(numbered)
    settings = Augmentation(crop=3, flip=True)
    seen_ = set()
    cuts = drawn(settings, 0, 0, np.arange(300))
    for place in range(300):
        cut = varied(image, settings, cuts, place)[:, :, 0]
        assert cut.shape == (3, 3)
        seen_.add((int(cut[0, 0]), int(cut[0, 2])))
    corners = [6 * y + x for y in range(3) for x in range(4)]
    assert seen_ == {(at, at + 2) for at in corners} | {(at + 2, at) for at in corners}


def test_areas_are_uniform_and_aspects_log_uniform() -> None:
    settings = Augmentation(area=(0.08, 1.0), aspect=(3 / 4, 4 / 3), crop=224)
    cuts = drawn(settings, 0, 0, MANY)
    assert cuts.rectangles is not None
    assert cuts.rectangles.shape == (len(MANY), ATTEMPTS, 4)
    sides = np.array([_sides(settings, 4000 * 4000, bits[0]) for bits in cuts.rectangles])
    area, aspect = sides.prod(1) / 4000**2, np.log(sides[:, 0] / sides[:, 1]) / np.log(4 / 3)
    assert abs(chi_square(((area - 0.08) / 0.92 * 30).astype(int).clip(0, 29), 30)) < 5
    assert abs(chi_square(((aspect + 1) / 2 * 30).astype(int).clip(0, 29), 30)) < 5


@pytest.mark.parametrize("size", [(300, 200), (17, 400), (400, 9)])
def test_a_rectangle_is_within_the_picture_and_has_the_crops_size(size: tuple[int, int]) -> None:
    image = Image.fromarray(random_bytes(0, size[1], size[0], 3))
    settings = Augmentation(area=(0.08, 1.0), crop=32, flip=True)
    cuts = drawn(settings, 0, 0, np.arange(20))
    made = [varied(image, settings, cuts, place) for place in range(20)]
    assert {each.shape for each in made} == {(32, 32, 3)}
    assert len({each.tobytes() for each in made}) > 1


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (33, 33), (64, 26)])
def test_the_tested_middle_is_what_a_deployed_model_sees(size: tuple[int, int]) -> None:
    image = Image.fromarray(random_bytes(0, size[1], size[0], 3))
    prepared_ = Preprocessing(
        size=(22, 22), resize=26, mean=(0.0,) * 3, std=(1.0,) * 3, layout="NHWC", in_graph=True
    ).apply(image)
    assert np.array_equal(seen(image, View(26, 22)), prepared_)
    theirs = tv.center_crop(tv.resize(image, [26], tv.InterpolationMode.BILINEAR), [22, 22])
    assert np.array_equal(prepared_, np.asarray(theirs))


@pytest.mark.parametrize("width", range(22, 31))
def test_the_middle_of_a_picture_is_torchvisions_for_every_margin(width: int) -> None:
    for height in range(22, 28):
        image = Image.fromarray(random_bytes(0, height, width, 3))
        assert np.array_equal(seen(image, View(None, 22)), np.asarray(tv.center_crop(image, [22, 22])))
        ten = np.stack([np.asarray(each) for each in tv.ten_crop(image, [22, 22])])
        assert np.array_equal(seen(image, View(None, 22, ten=True)), ten)


def test_a_picture_in_which_no_rectangle_fits_gives_torchvisions_middle() -> None:
    settings = Augmentation(area=(1.0, 1.0), aspect=(50.0, 60.0), crop=8)
    cuts = drawn(settings, 0, 0, np.arange(1))
    for size in ((8, 11), (11, 8), (8, 13), (15, 8)):
        image = Image.fromarray(random_bytes(0, *size, 3))
        assert np.array_equal(varied(image, settings, cuts, 0), np.asarray(tv.center_crop(image, [8, 8])))


@pytest.mark.parametrize("size", [(40, 30), (30, 41)])
def test_ten_crops_are_torchvisions(size: tuple[int, int]) -> None:
    image = Image.fromarray(random_bytes(0, size[1], size[0], 3))
    whole = tv.resize(image, [26], tv.InterpolationMode.BILINEAR)
    theirs = np.stack([np.asarray(each) for each in tv.ten_crop(whole, [22, 22])])
    assert np.array_equal(seen(image, View(26, 22, ten=True)), theirs)
    assert np.array_equal(seen(image, View(26, None)), np.asarray(whole))
    assert np.array_equal(seen(image, View(None, None)), np.asarray(image))


@pytest.mark.parametrize("workers", [0, 2])
def test_testing_gives_all_images_in_order_for_each_view(files: Files, workers: int) -> None:
    feed = feeds(files, FACEBOOK(), workers=workers).test
    assert isinstance(feed, Stream)
    batches = list(feed.testing())
    assert [len(each.labels) for each in batches] == [4, 2]
    assert torch.cat([each.labels for each in batches]).tolist() == files.labels[:6].tolist()
    assert batches[0].images.shape == (4, 3, 22, 22)
    mean, std = (torch.tensor(each)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    expected = torch.from_numpy(seen(decoded(files.paths[5], 3), View(26, 22)).copy()).permute(2, 0, 1)
    assert torch.allclose(batches[1].images[1], (expected / 255 - mean) / std, atol=1e-5)
    shares = [torch.cat([each.labels for each in feed.testing(rank=rank, ranks=2)]) for rank in range(2)]
    assert sum(map(len, shares)) == 6
    feed.view = View(26, 22, ten=True)
    ten = next(iter(feed.testing())).images
    assert ten.shape == (4, 10, 3, 22, 22)
    assert torch.equal(ten[:, 4], batches[0].images)
    feed.view = View(26, None)
    whole = [each.images.shape for each in feed.testing()]
    assert len(whole) == 6
    assert {min(shape[-2:]) for shape in whole} == {26}


def test_statistics_are_of_the_training_split_alone(files: Files) -> None:
    made = feeds(files, PAPER("normalise.sample=0"))
    assert made.statistics is not None
    assert made.statistics.images == 12
    assert made.statistics.pixel_mean.shape == (3, 22, 22)
    assert isinstance(made.train, Stream)
    # the shorter side is that of training on average
    expected = [seen(decoded(made.train.files.paths[place], 3), View(37, 22)) for place in range(12)]
    assert np.allclose(made.statistics.pixel_mean, np.mean(expected, 0).transpose(2, 0, 1))
    sample = torch.cat(list(sampled(files, View(26, 22), most=5)))
    assert len(sample) == 5

    splits = held_out(make((3, 16, 16), 4, train=60, test=20), 20)
    of = recipe("cifar10-paper", "augment.crop=16", "data.split=0")
    resident = prepared(splits, of, Plan(8), Placement())
    assert resident.statistics is not None
    alone = measure([splits.train.pixels])
    assert np.array_equal(resident.statistics.pixel_mean, alone.pixel_mean)
    assert resident.validation is not None
    assert (len(resident.train), len(resident.validation), len(resident.test)) == (40, 20, 20)


def test_pictures_of_one_size_are_read_into_memory(tmp_path: Path) -> None:
    for number in range(6):
        picture(tmp_path / "ab"[number % 2] / f"{number}.png", number, (12, 12))
    files = pictures(tmp_path, "x", 3)
    of = recipe("cifar10-paper", "augment.crop=12", "augment.pad=2")
    made = prepared(Splits(files, None, files), of, Plan(4), Placement())
    assert isinstance(made.train, Resident)
    assert torch.equal(in_memory(files).pixels[2], files.decode(2))
    with pytest.raises(FileError, match=r"AS541.*more than 100 bytes"):
        in_memory(files, 100)
    odd = picture(tmp_path / "a" / "odd.png", 9, (12, 13))
    with pytest.raises(FileError, match="AS541") as caught:
        in_memory(pictures(tmp_path, "x", 3))
    assert caught.value.diagnostics[0].span.file == str(odd)


def test_a_streamed_set_cannot_be_padded_with_the_mean(files: Files) -> None:
    with pytest.raises(FileError, match="AS541"):
        feeds(files, PAPER("augment.pad=2"))
    black = feeds(files, PAPER("augment.pad=2", "augment.fill=black"))
    assert next(iter(black.train.training(0))).images.shape == (4, 3, 22, 22)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_picture_is_named_even_from_a_worker(tmp_path: Path, workers: int) -> None:
    classes_of(tmp_path, ("a", "b"), 3)
    bad = tmp_path / "b" / "b_1.png"
    bad.write_bytes(bad.read_bytes()[:300])
    files = pictures(tmp_path, "x", 3)
    made = prepared(
        Splits(files, None, files), FACEBOOK("augment.colour=none"), Plan(2), Placement(workers=workers)
    )
    others = set(active_children())
    for act in (lambda: list(made.train.training(0)), lambda: list(made.test.testing())):
        with pytest.raises(FileError) as caught:
            act()
        (diagnostic,) = caught.value.diagnostics
        assert (diagnostic.code, diagnostic.span.file) == ("AS532", str(bad))
        assert set(active_children()) <= others, "what is left would be waited for when the process ends"


def test_a_picture_that_is_too_small_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "small.png", 0, (10, 10))
    picture(tmp_path / "b" / "large.png", 0, (40, 40))
    files = pictures(tmp_path, "x", 3)
    feed = prepared(Splits(files, None, files), PAPER(), Plan(2), Placement()).test
    assert isinstance(feed, Stream)
    feed.view = View(None, 22, ten=True)
    with pytest.raises(FileError, match=r"AS532.*10x10 has no crops of 22x22"):
        list(feed.testing())


def test_views_follow_the_recipe() -> None:
    assert central(PAPER()) == View(26, 22)
    assert central(recipe("torchvision-imagenet")) == View(256, 224)
    with pytest.raises(ValueError, match="ten crops"):
        View(256, None, ten=True)
    with pytest.raises(ValueError, match="no crops of 224"):
        View(200, 224, ten=True)


def test_grey_pictures_stay_grey(tmp_path: Path) -> None:
    classes_of(tmp_path, ("a", "b"), 3)
    files = pictures(tmp_path, "x", 1)
    of = FACEBOOK("normalise.mean=[0.5]", "normalise.std=[0.2]", "augment.colour=none")
    made = prepared(Splits(files, None, files), of, Plan(2), Placement(channels_last=True))
    assert next(iter(made.train.training(0))).images.shape == (2, 1, 22, 22)
    assert pixels(resized(decoded(files.paths[0], 1), 20)).shape[2] == 1
