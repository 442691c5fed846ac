"""From splits and a recipe to feeds: what the training loop starts with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archspec.data.augment import Augment
from archspec.data.feed import Feed, Resident
from archspec.data.order import spaced
from archspec.data.pictures import View
from archspec.data.sets import Files, Images, Splits
from archspec.data.statistics import IMAGENET_COLOURS, measure, needs_images, normaliser
from archspec.data.stream import Stream, in_memory, sampled
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor

    from archspec.data.order import Plan
    from archspec.data.sets import Set
    from archspec.data.statistics import Colours, Normaliser, Statistics
    from archspec.recipes.models import Augment as Augmentation
    from archspec.recipes.models import Recipe

_AT_ONCE = 4096
_CENTRE = 0.875
"""The share of the shorter side that a centre crop takes by custom: 224 of 256."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where images go and in which memory format; `workers` decode what streams."""

    device: str | torch.device = "cpu"
    channels_last: bool = False
    workers: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Feeds:
    """What is trained on, chosen by and tested on; and what a checkpoint has to keep to test by itself."""

    train: Feed
    validation: Feed | None
    test: Feed
    normaliser: Normaliser
    statistics: Statistics | None


def prepared(splits: Splits, recipe: Recipe, plan: Plan, placement: Placement) -> Feeds:
    """Feeds of a recipe. Statistics are of the training split alone. Raises `FileError`, `ValueError`."""
    splits = settled(splits, recipe.augment)
    view, augmentation = central(recipe), recipe.augment
    needed = needs_images(recipe.normalise) or (
        augmentation.colour == "pca" and splits.train.name != "imagenet"
    )
    pictures = _shown(splits.train, _measured(augmentation, view), recipe.normalise.sample, placement.workers)
    statistics = measure(pictures) if needed else None
    shape = _shape(splits.train, augmentation)
    normalised = normaliser(recipe.normalise, statistics, shape[0])
    augment = Augment(
        augmentation,
        normalised,
        shape,
        colours=_colours(splits.train, augmentation, statistics),
        device=placement.device,
        channels_last=placement.channels_last,
    )

    def fed(part: Set) -> Feed:
        if isinstance(part, Images):
            return Resident(part, augment, plan)
        return Stream(part, augment, plan, view=view, workers=placement.workers)

    validation = None if splits.validation is None else fed(splits.validation)
    return Feeds(fed(splits.train), validation, fed(splits.test), normalised, statistics)


def settled(splits: Splits, augmentation: Augmentation) -> Splits:
    """The splits with pictures read into memory, where a recipe takes them as they are."""
    if isinstance(splits.train, Files) and (augmentation.resize or augmentation.area):
        if augmentation.pad and augmentation.fill == "mean":
            message = "pictures that are resized while they are read cannot be padded with the mean"
            raise file_error(splits.train.paths.folder, "AS541", message, hint='say augment.fill = "black"')
        return splits
    parts = (splits.train, splits.validation, splits.test)
    train, validation, test = (in_memory(part) if isinstance(part, Files) else part for part in parts)
    assert train is not None
    assert test is not None
    return replace(splits, train=train, validation=validation, test=test)


def central(recipe: Recipe) -> View:
    """The middle of a streamed picture, as the recipe tests it; the size of the first test is that of all."""
    augmentation, test = recipe.augment, recipe.test
    crop = test.crop or augmentation.crop
    resize = test.sizes[0] if test.sizes else crop and round(crop / _CENTRE)
    return View(resize, crop)


def _measured(augmentation: Augmentation, view: View) -> View:
    """The middle of a picture, with a shorter side as training has it on average."""
    low, high = augmentation.resize or (view.resize or 0,) * 2
    return View((low + high) // 2 or None, augmentation.crop)


def _shown(train: Set, view: View, most: int, workers: int) -> Iterator[Tensor]:
    if isinstance(train, Files):
        yield from sampled(train, view, most=most, workers=workers)
        return
    indices = spaced(len(train), most)
    for start in range(0, len(indices), _AT_ONCE):
        yield train.part(indices[start : start + _AT_ONCE]).pixels


def _shape(train: Set, augmentation: Augmentation) -> tuple[int, int, int]:
    """(C, H, W) of what is normalised: of the images, or of the crops of pictures that stream."""
    if isinstance(train, Images):
        return train.shape
    side = augmentation.crop
    assert side is not None, "a recipe that resizes crops"
    return train.channels, side, side


def _colours(train: Set, augmentation: Augmentation, statistics: Statistics | None) -> Colours | None:
    if augmentation.colour == "none":
        return None
    if train.name == "imagenet":
        return IMAGENET_COLOURS
    assert statistics is not None
    return statistics.colours()
