"""Crops and scales: what the looks at an image are, held against torchvision, PIL and plain slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from archspec.preprocessing import Preprocessing
from archspec.train.scores import Untestable
from archspec.train.views import SCALES, View, resized, scales, single, ten

if TYPE_CHECKING:
    from archspec.preprocessing import Interpolation


def pictures(height: int, width: int, count: int = 2, channels: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=draw)


def multiset(looks: list[Tensor]) -> list[bytes]:
    return sorted(look.contiguous().numpy().tobytes() for look in looks)


def test_the_middle_is_one_slice() -> None:
    images = pictures(10, 12)
    (look,) = single(8).looks(images)
    assert torch.equal(look, images[:, :, 1:9, 2:10])


@pytest.mark.parametrize(("height", "width"), [(12, 12), (11, 12), (13, 17), (8, 11), (8, 8)])
def test_the_middle_is_torchvisions_and_that_of_deployed_models(height: int, width: int) -> None:
    from torchvision.transforms.functional import center_crop

    images = pictures(height, width)
    (look,) = single(8).looks(images)
    assert torch.equal(look, center_crop(images, [8, 8]))
    deployed = Preprocessing(
        size=(8, 8), mean=(0.0,) * 3, std=(1.0,) * 3, range=255, layout="NHWC", in_graph=True
    )
    whole = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    assert np.array_equal(deployed.apply(whole), look[0].permute(1, 2, 0).numpy())


def test_ten_crops_are_the_corners_the_middle_and_their_mirror_images() -> None:
    images = pictures(10, 12)
    looks = list(ten(8).looks(images))
    corners = [(0, 0), (0, 4), (2, 0), (2, 4), (1, 2)]
    wanted = [images[:, :, top : top + 8, left : left + 8] for top, left in corners]
    assert all(torch.equal(look, crop) for look, crop in zip(looks[::2], wanted, strict=True))
    assert all(torch.equal(look, crop.flip(3)) for look, crop in zip(looks[1::2], wanted, strict=True))


@pytest.mark.parametrize(("height", "width"), [(12, 12), (10, 14), (11, 10), (8, 8)])
def test_ten_crops_are_torchvisions(height: int, width: int) -> None:
    from torchvision.transforms.functional import five_crop, ten_crop

    images = pictures(height, width)
    looks = list(ten(8).looks(images))
    assert all(
        torch.equal(one, other)
        for one, other in zip(looks[::2], five_crop(images, [8, 8]), strict=True)  # type: ignore[arg-type]
    )
    # torchvision crops the mirrored picture: the same crops, for an even margin
    assert multiset(looks) == multiset(list(ten_crop(images, [8, 8])))


@pytest.mark.parametrize("side", [5, 9, 16, 32])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_pictures_are_resized_as_deployed_models_have_it(side: int, interpolation: Interpolation) -> None:
    smooth = pictures(4, 5, 1).float()
    images = torch.nn.functional.interpolate(smooth, (18, 27), mode="bilinear").to(torch.uint8)
    found = resized(images, side, interpolation)
    preprocessing = Preprocessing(
        size=(1, 1), resize=side, interpolation=interpolation, mean=(0.0,) * 3, std=(1.0,) * 3
    )
    wanted = np.asarray(preprocessing._resized(Image.fromarray(images[0].permute(1, 2, 0).numpy())))
    assert found.dtype == torch.uint8
    assert found.shape[2:] == wanted.shape[:2]
    difference = found[0].permute(1, 2, 0).numpy().astype(int) - wanted
    # PIL sums in fixed point, in two passes
    assert np.abs(difference).max() <= (0 if interpolation == "nearest" else 1)


def test_the_longer_side_rounds_down_and_none_is_resized_to_its_own_size() -> None:
    assert resized(pictures(30, 50), 7).shape[2:] == (7, 11)
    assert resized(pictures(50, 30), 7).shape[2:] == (11, 7)
    images = pictures(30, 50)
    assert resized(images, 30) is images


def test_each_scale_is_the_whole_image() -> None:
    images = pictures(20, 30)
    looks = list(scales((10, 20)).looks(images))
    assert [look.shape[2:] for look in looks] == [(10, 15), (20, 30)]
    assert torch.equal(looks[1], images)
    mirrored = list(scales((20,), mirrored=True).looks(images))
    assert torch.equal(mirrored[1], images.flip(3))


def test_the_scales_are_the_papers() -> None:
    assert scales().sides == SCALES == (224, 256, 384, 480, 640)


def test_crops_are_taken_at_every_scale() -> None:
    images = pictures(20, 30)
    looks = list(ten(8, (10, 16)).looks(images))
    wanted = [*ten(8).looks(resized(images, 10)), *ten(8).looks(resized(images, 16))]
    assert len(looks) == 20
    assert all(torch.equal(look, crop) for look, crop in zip(looks, wanted, strict=True))


@settings(max_examples=50)
@given(
    height=st.integers(6, 15),
    width=st.integers(6, 15),
    crop=st.none() | st.tuples(st.integers(1, 6), st.integers(1, 6)),
    sides=st.lists(st.integers(6, 12), max_size=2).map(tuple),
    ten_crops=st.booleans(),
    mirrored=st.booleans(),
)
def test_an_image_is_seen_as_it_is_among_others_and_as_often_as_is_said(
    height: int,
    width: int,
    crop: tuple[int, int] | None,
    sides: tuple[int, ...],
    ten_crops: bool,
    mirrored: bool,
) -> None:
    view = View(crop, sides, ten=ten_crops and crop is not None, mirrored=mirrored)
    images = pictures(height, width, 3)
    together, alone = list(view.looks(images)), list(view.looks(images[1:2]))
    assert len(together) == len(alone) == len(view)
    assert all(torch.equal(one[1:2], other) for one, other in zip(together, alone, strict=True))
    assert crop is None or all(look.shape[2:] == crop for look in together)


def test_a_picture_that_is_smaller_than_a_crop_is_refused() -> None:
    with pytest.raises(Untestable, match="an image of 7x9 is smaller than a crop of 8x8"):
        list(single(8).looks(pictures(7, 9)))


def test_a_picture_of_too_many_pixels_is_not_made() -> None:
    with pytest.raises(Untestable, match="too many pixels"):
        resized(torch.zeros((1, 1, 1, 16_000), dtype=torch.uint8), 1000)


@pytest.mark.parametrize(
    ("crop", "sides", "ten_crops"), [(None, (), True), ((0, 4), (), False), ((4, 4), (0,), True)]
)
def test_views_that_make_no_sense_are_refused(
    crop: tuple[int, int] | None, sides: tuple[int, ...], ten_crops: bool
) -> None:
    with pytest.raises(ValueError, match=r"size|pixel"):
        View(crop, sides, ten=ten_crops)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (single(224, (256,)), "the middle of 224x224 at 256"),
        (ten((8, 9)), "10 crops of 8x9"),
        (scales((224, 256)), "the whole image at 224, 256"),
        (scales((64,), mirrored=True), "the whole image and its mirror image at 64"),
    ],
)
def test_a_view_says_what_it_is(view: View, words: str) -> None:
    assert str(view) == words
