"""Pictures of which a detector's transform would leave nothing: told by their files before they are looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from archspec.data.order import Plan
from archspec.data.prepare import Placement
from archspec.detection.build import detector
from archspec.detection.pyramid import bounds
from archspec.detection.scenes.annotations import Splits
from archspec.detection.scenes.feed import Pictures
from archspec.detection.scenes.flat import MOST_TOLD, refuse_flat, refuse_flat_ones
from archspec.detection.testing import Improvements, detected
from archspec.detection.training import Detection
from archspec.errors import FileError, concise
from archspec.recipes.load import load_recipe
from tests.detection.making import scenes
from tests.detection.test_detector_build import small

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.detection.scenes.annotations import Scenes

SIDES = st.integers(1, 12)


@settings(max_examples=200)
@given(height=SIDES, width=SIDES, shorter=SIDES, longest=SIDES)
def test_what_torchvision_cannot_shrink_is_refused(
    height: int, width: int, shorter: int, longest: int
) -> None:
    transform = GeneralizedRCNNTransform(shorter, longest, [0.0], [1.0], size_divisible=1).eval()
    picture = torch.zeros(1, height, width)
    try:
        refuse_flat("x", (height, width), shorter, longest)
    except FileError:
        with pytest.raises(RuntimeError, match="greater than 0"):
            transform([picture])
    else:
        transform([picture])


def test_a_rounded_side_of_one_pixel_is_reckoned_as_torchvision_does() -> None:
    assert int(49 * (1 / 49)) == 0
    with pytest.raises(FileError, match="a picture of 60x49 pixels is too flat"):
        refuse_flat("x", (49, 60), 1, 60)
    with pytest.raises(RuntimeError, match="greater than 0"):
        GeneralizedRCNNTransform(1, 60, [0.0], [1.0]).eval()([torch.zeros(1, 49, 60)])


def with_sizes(*sizes: tuple[int, int], names: bool = True) -> Scenes:
    """An object in each."""
    whole = scenes(*[[((0.0, 0.0, 1.0, 1.0), 0)] for _ in sizes])
    pictures: Any = [f"{place}.jpg" for place in range(len(sizes))] if names else whole.pictures
    return replace(whole, pictures=pictures, sizes=np.array(sizes), classes=("cat", "dog"))


def test_files_are_named_all_at_once_and_none_is_opened() -> None:
    whole = with_sizes((1, 80), (1, 81), (80, 1), (200, 2))
    refuse_flat_ones(whole, [(64, 100)])
    with pytest.raises(FileError) as caught:
        refuse_flat_ones(whole, [(64, 100), (64, 80)])
    assert [concise(each) for each in caught.value.diagnostics] == [
        f"{file}: AS521 a picture of {size} pixels is too flat: where the longer side is shrunk to 80, "
        "nothing is left of the other"
        for file, size in (("1.jpg", "81x1"), ("3.jpg", "2x200"))
    ]
    with pytest.raises(FileError, match=r"^made, picture 1: AS521"):
        refuse_flat_ones(with_sizes((9, 9), (1, 99), names=False), [(64, 80)])
    with pytest.raises(FileError) as caught:
        refuse_flat_ones(with_sizes(*[(1, 99)] * 50), [(64, 80)])
    assert len(caught.value.diagnostics) == MOST_TOLD


@pytest.mark.parametrize(("sides", "width"), [((), 81), ((32,), 41), ((32, 128), 41)])
def test_a_test_refuses_what_one_of_its_sizes_shrinks_to_nothing(
    tmp_path: Path, sides: tuple[int, ...], width: int
) -> None:
    module = detector(small(tmp_path)).eval()
    assert bounds(module, (32, 128)) == [(64, 80), (32, 40), (128, 160)]
    improvements = Improvements(sides=sides)
    detected([module], np.zeros((1, width - 1, 3), np.uint8), improvements)
    with pytest.raises(FileError, match=f"AS521 a picture of {width}x1 pixels is too flat"):
        detected([module], np.zeros((1, width, 3), np.uint8), improvements)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_training_names_the_file_before_it_begins(tmp_path: Path, part: str) -> None:
    sound, flat = with_sizes((9, 80)), with_sizes((9, 80), (81, 1))
    recipe = load_recipe("shapes-detection", ["data.split=0"])

    def prepare(splits: Splits) -> Any:
        return Detection(small(tmp_path), recipe, splits).prepare(Plan.of(recipe.recipe.data), Placement())

    splits = Splits(sound, sound, None, unjudged=flat)
    assert isinstance(prepare(splits).train, Pictures)
    with pytest.raises(FileError, match=r"^1\.jpg: AS521 a picture of 1x81 pixels is too flat"):
        prepare(replace(splits, **{part: flat}))


def test_a_flat_picture_that_is_not_learned_from_is_no_hindrance(tmp_path: Path) -> None:
    whole = with_sizes((9, 80), (1, 81))
    first = replace(whole, objects=whole.objects.part(np.array([0])), ends=np.array([0, 1, 1]))
    recipe = load_recipe("shapes-detection", ["data.split=0"])
    task = Detection(small(tmp_path), recipe, Splits(first, None, None))
    assert len(task.prepare(Plan.of(recipe.recipe.data), Placement()).train) == 1
