"""Batched augmentation: equal to a loop over images, bit by bit, and drawn as it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import CenterCrop

from archspec.data.augment import Augment
from archspec.data.colour import jittered, jitters, shifts
from archspec.data.feed import Resident, steps_of
from archspec.data.order import Plan, Use, below, noise, order
from archspec.data.sets import Images
from archspec.data.statistics import (
    IMAGENET_COLOURS,
    Colours,
    Normaliser,
    Statistics,
    measure,
    normaliser,
)
from archspec.errors import FileError
from archspec.recipes.models import Augment as Augmentation
from archspec.recipes.models import Normalise
from tests.data.making import drawn
from tests.data.test_order import chi_square

MANY = np.arange(40_000)


def images(n: int = 23, shape: tuple[int, int, int] = (3, 8, 10)) -> Images:
    labels = torch.from_numpy(drawn(1, n, below=4).astype(np.int64))
    return Images("x", torch.from_numpy(drawn(0, n, *shape)), labels, ("a", "b", "c", "d"))


def augmenting(
    augmentation: Augmentation, normalise: Normalise | None = None, whole: Images | None = None, **form: Any
) -> Augment:
    whole = whole or images()
    statistics = measure([whole.pixels])
    made = normaliser(normalise or Normalise(), statistics, whole.shape[0])
    return Augment(augmentation, made, whole.shape, colours=statistics.colours(), **form)


def by_hand(whole: Images, index: int, epoch: int, augment: Augment, mean: Any, factor: Any) -> np.ndarray:
    """One image, with what is drawn for it drawn alone."""
    settings, seed = augment.settings, 9
    _channels, height, width = whole.shape

    def chosen(use: Use, limit: int) -> int:
        return int(below(noise(seed, epoch, np.array([index]), use), limit)[0])

    h, w = settings.crop or height, settings.crop or width
    top = chosen(Use.TOP, height + 2 * settings.pad - h + 1)
    left = chosen(Use.LEFT, width + 2 * settings.pad - w + 1)
    mirrored = settings.flip and chosen(Use.FLIP, 2) == 1
    values = whole.pixels[index].numpy().astype(np.float32)

    def cut(values: np.ndarray) -> np.ndarray:
        pad = settings.pad
        padded = np.pad(values[:, :, ::-1] if mirrored else values, ((0, 0), (pad, pad), (pad, pad)))
        return padded[:, top : top + h, left : left + w]

    if settings.fill == "mean":
        return cut((values - mean) * factor)
    # as torchvision's CenterCrop
    y, x = round((height - h) / 2), round((width - w) / 2)
    mean, factor = (np.broadcast_to(each, values.shape)[:, y : y + h, x : x + w] for each in (mean, factor))
    return (cut(values) - mean) * factor


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", ["per-pixel-mean", "per-channel", "per-channel-std", "none"])
@pytest.mark.parametrize(
    "settings",
    [
        {"pad": 3, "flip": True},
        {"pad": 2, "crop": 8, "flip": True, "fill": "black"},
        {"crop": 5, "fill": "black"},
        {"crop": 6, "pad": 1},
        {"flip": True},
        {},
    ],
    ids=str,
)
def test_a_batch_is_what_a_loop_over_its_images_gives(
    settings: dict[str, Any], kind: Any, channels: int, channels_last: bool
) -> None:
    whole = images(11, (channels, 8, 10))
    augmentation, normalise = Augmentation(**settings), Normalise(kind=kind)
    augment = augmenting(augmentation, normalise, whole, channels_last=channels_last)
    made = normaliser(normalise, measure([whole.pixels]), channels)
    feed = Resident(whole, augment, Plan(4, seed=9))
    places = order(9, 2, 11)
    seen = 0
    for batch in feed.training(2):
        here = places[seen : seen + len(batch.labels)]
        expected = [
            by_hand(whole, int(index), 2, augment, made.mean.numpy(), made.factor.numpy()) for index in here
        ]
        assert np.array_equal(batch.images.numpy(), np.stack(expected))
        assert batch.labels.tolist() == whole.labels[here].tolist()
        assert batch.images.is_contiguous(
            memory_format=torch.channels_last if channels_last else torch.contiguous_format
        )
        seen += len(here)
    assert seen == 11


def test_every_offset_and_both_flips_are_reached_equally_often() -> None:
    augment = augmenting(Augmentation(pad=4, flip=True, crop=32), whole=images(2, (3, 32, 32)))
    draws = augment.draws(0, 0, MANY)
    assert draws.top is not None
    assert draws.left is not None
    assert draws.flip is not None
    assert set(draws.top.tolist()) == set(draws.left.tolist()) == set(range(9))
    assert abs(chi_square((81 * draws.flip + 9 * draws.top + draws.left).numpy(), 162)) < 5
    again = augment.draws(0, 1, MANY)
    assert again.top is not None
    assert abs(chi_square((9 * draws.top + again.top).numpy(), 81)) < 5


def test_every_window_comes_out_as_an_image() -> None:
    """One image with a number in each pixel: its corner and direction tell the window."""
    pixels = torch.arange(1, 65, dtype=torch.uint8).reshape(1, 1, 8, 8)
    augment = augmenting(
        Augmentation(pad=1, crop=8, flip=True), Normalise(kind="none", range=255), images(2, (1, 8, 8))
    )
    seen = set()
    for epoch in range(400):
        made = augment.training(pixels, augment.draws(0, epoch, np.array([0])))[0, 0]
        seen.add(tuple(made.flatten().int().tolist()))
    padded = np.pad(pixels[0, 0].numpy(), 1)
    windows = {
        tuple(each[y : y + 8, x : x + 8].flatten().tolist())
        for each in (padded, padded[:, ::-1])
        for y in range(3)
        for x in range(3)
    }
    assert seen == windows
    assert len(windows) == 18


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("together", [1, 3, 100])
def test_ranks_starts_and_grouping_change_no_bit(channels_last: bool, together: int) -> None:
    whole = images()
    settings = Augmentation(pad=2, crop=8, flip=True, jitter=0.4, colour="pca")
    augment = augmenting(settings, whole=whole, channels_last=channels_last)
    one = Resident(whole, augment, Plan(6, seed=3))
    expected = list(one.training(1))
    assert len(expected) == steps_of(one) == 4
    two = Resident(whole, augment, Plan(6, seed=3))
    two.together = together
    for ranks, start in ((1, 0), (2, 0), (3, 1), (2, 3)):
        pieces = [list(two.training(1, rank=rank, ranks=ranks, start=start)) for rank in range(ranks)]
        for step, batch in enumerate(expected[start:]):
            joined = torch.cat([piece[step].images for piece in pieces])
            assert torch.equal(joined, batch.images)
            assert torch.cat([piece[step].labels for piece in pieces]).tolist() == batch.labels.tolist()


def test_epochs_and_seeds_differ_and_testing_does_not() -> None:
    whole = images()
    augment = augmenting(Augmentation(pad=2, crop=8, flip=True), whole=whole)
    first = [torch.cat([each.images for each in Resident(whole, augment, Plan(23, seed)).training(epoch)])
             for seed, epoch in ((0, 0), (0, 1), (1, 0))]  # fmt: skip
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    feed = Resident(whole, augment, Plan(7))
    tested = [torch.cat([each.images for each in feed.testing(rank=rank, ranks=2)]) for rank in range(2)]
    made = normaliser(Normalise(), measure([whole.pixels]), 3)
    expected = ((whole.pixels.float() - made.mean) * made.factor)[:, :, :, 1:9]
    whole_test = torch.cat([each.images for each in feed.testing()])
    assert torch.equal(whole_test, expected)
    assert torch.equal(torch.cat(tested).sort(0)[0], expected.sort(0)[0])


def test_colour_noise_has_the_covariance_that_it_should() -> None:
    """Sigma^2 V diag(lambda^2) V^T, in units of a full pixel."""
    for colours in (IMAGENET_COLOURS, measure([images(200).pixels]).colours()):
        noise_ = shifts(colours, 0.1, 0, 0, MANY).astype(np.float64) / 255
        vectors, values = np.array(colours.vectors), np.array(colours.values)
        expected = 0.1**2 * vectors @ np.diag(values**2) @ vectors.T
        assert np.allclose(np.cov(noise_.T), expected, atol=5 * expected.max() * (2 / len(MANY)) ** 0.5)
        assert np.all(np.abs(noise_.mean(0)) < 5 * (np.diagonal(expected) / len(MANY)) ** 0.5)


def test_colour_noise_is_one_shift_of_all_pixels_of_an_image() -> None:
    whole = images()
    plain = augmenting(Augmentation(), Normalise(kind="none", range=255), whole)
    noisy = augmenting(Augmentation(colour="pca"), Normalise(kind="none", range=255), whole)
    indices = np.arange(5, 12)
    difference = noisy.training(whole.pixels[5:12], noisy.draws(0, 0, indices)) - plain.testing(
        whole.pixels[5:12]
    )
    expected = torch.from_numpy(shifts(measure([whole.pixels]).colours(), 0.1, 0, 0, indices))
    assert torch.allclose(difference, expected[:, :, None, None].expand_as(difference), atol=1e-4)


def test_imagenets_components_are_orthonormal_as_printed() -> None:
    vectors = np.array(IMAGENET_COLOURS.vectors)
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=2e-3)


def test_jitter_is_uniform_in_every_order_and_equals_a_loop() -> None:
    strengths, kinds = jitters(0.4, 0, 0, MANY)
    assert strengths.min() > 0.6 - 1e-6
    assert strengths.max() < 1.4 + 1e-6
    for each in range(3):
        assert abs(chi_square(((strengths[:, each] - 0.6) / 0.8 * 20).astype(int).clip(0, 19), 20)) < 5
    orders = kinds @ np.array([9, 3, 1])
    assert abs(chi_square(np.unique(orders, return_inverse=True)[1], 6)) < 5
    pixels = torch.from_numpy(drawn(0, 30, 3, 6, 5)).float()
    made = jittered(pixels, torch.from_numpy(strengths[:30]), torch.from_numpy(kinds[:30]))
    for place in range(30):
        image = pixels[place]
        for kind in kinds[place]:
            grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
            other = (torch.zeros(()), grey.mean(), grey)[kind]
            strength = float(strengths[place, kind])
            image = strength * image + (1 - strength) * other
        assert torch.allclose(made[place], image, atol=1e-3)


def test_statistics_are_those_of_the_images() -> None:
    pixels = images(301).pixels
    found = measure(pixels.split(50))
    whole = pixels.double().numpy()
    assert found.images == 301
    assert np.allclose(found.pixel_mean, whole.mean(0), rtol=1e-14)
    assert np.allclose(found.mean, whole.mean((0, 2, 3)), rtol=1e-14)
    assert np.allclose(found.std, whole.std((0, 2, 3)), rtol=1e-12)
    assert np.allclose(
        found.covariance, np.cov(whole.transpose(1, 0, 2, 3).reshape(3, -1), bias=True), rtol=1e-12
    )
    other = measure([pixels.flip(0)[:100], pixels.flip(0)[100:]])
    assert np.array_equal(found.covariance, other.covariance)
    assert np.array_equal(found.pixel_mean, other.pixel_mean)
    with pytest.raises(FileError, match="here: AS531 there are no images"):
        measure([], "here")


def test_principal_components_rebuild_the_covariance_and_have_a_sign() -> None:
    found = measure([images(301).pixels])
    colours = found.colours()
    vectors, values = np.array(colours.vectors), np.array(colours.values)
    assert np.allclose(vectors @ np.diag(values) @ vectors.T * 255**2, found.covariance)
    assert list(values) == sorted(values, reverse=True)
    assert (vectors[np.abs(vectors).argmax(0), range(3)] > 0).all()


@pytest.mark.parametrize(("range_", "unit"), [(1, 1 / 255), (255, 1.0)])
def test_normalisations_do_what_they_say(range_: Any, unit: float) -> None:
    whole = images(50)
    statistics, pixels = measure([whole.pixels]), whole.pixels.double().numpy()
    kinds = {
        "none": pixels * unit,
        "per-pixel-mean": (pixels - pixels.mean(0)) * unit,
        "per-channel": (pixels - pixels.mean((0, 2, 3))[:, None, None]) * unit,
        "per-channel-std": (pixels - pixels.mean((0, 2, 3))[:, None, None])
        / pixels.std((0, 2, 3))[:, None, None],
    }
    for kind, expected in kinds.items():
        made = normaliser(Normalise(kind=kind, range=range_), statistics, 3)
        augment = Augment(Augmentation(), made, whole.shape)
        assert np.allclose(augment.testing(whole.pixels).numpy(), expected, atol=1e-5 * range_)
    mean, std = (0.5 * range_, 0.4 * range_, 0.3 * range_), (0.2 * range_, 0.3 * range_, 0.4 * range_)
    made = normaliser(Normalise(kind="fixed", range=range_, mean=mean, std=std), None, 3)
    expected = (pixels * unit - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    assert np.allclose(
        Augment(Augmentation(), made, whole.shape).testing(whole.pixels).numpy(), expected, atol=1e-4
    )


def test_what_cannot_be_is_refused() -> None:
    flat = Statistics(1, np.zeros((1, 2, 2)), np.zeros(1), np.zeros((1, 1)))
    with pytest.raises(FileError, match="x: AS541 a channel is the same in all") as caught:
        normaliser(Normalise(), flat, 1, "x")
    assert caught.value.diagnostics[0].hint
    with pytest.raises(FileError, match="x: AS541 the recipe has 2 means, and an image 3 channels") as caught:
        normaliser(Normalise(kind="fixed", mean=(0.5, 0.5), std=(1.0, 1.0)), None, 3, "x")
    assert caught.value.diagnostics[0].hint
    plain = Normaliser(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    with pytest.raises(FileError, match="x: AS541 a crop of 9x9 is larger than images of 8x7") as caught:
        Augment(Augmentation(crop=9), plain, (3, 8, 7), name="x")
    assert caught.value.diagnostics[0].hint == "say augment.crop = 7, or less"
    with pytest.raises(ValueError, match="principal components"):
        Augment(Augmentation(colour="pca"), plain, (3, 8, 8))
    assert Colours((), ()).values == ()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("down", range(6))
def test_the_tested_middle_is_torchvisions_for_every_margin(down: int, channels_last: bool) -> None:
    """Halves round to even: a margin of 3 leaves 2 above."""
    for right in range(9):
        shape = (3, 5 + down, 5 + right)
        whole = images(2, shape)
        plain = Normaliser(torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
        augment = Augment(Augmentation(crop=5), plain, shape, channels_last=channels_last)
        assert torch.equal(augment.testing(whole.pixels), CenterCrop(5)(whole.pixels).float())


def test_a_mean_image_is_subtracted_where_it_was_measured() -> None:
    """Of the middle, the mean's middle, whichever way images were cut."""
    mean = torch.arange(3 * 8 * 8, dtype=torch.float32).reshape(3, 8, 8)
    augment = Augment(Augmentation(crop=5), Normaliser(mean, torch.ones(3, 1, 1)), (3, 8, 8))
    whole = images(2, (3, 8, 8)).pixels
    expected = CenterCrop(5)(whole.float() - mean)
    assert torch.equal(augment.testing(whole), expected)
    assert torch.equal(augment.streamed(CenterCrop(5)(whole), None), expected)
