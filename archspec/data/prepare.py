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
from archspec.data.telling import counted, paced, silent
from archspec.errors import file_error
from archspec.recipes.schedule import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor

    from archspec.data.order import Plan
    from archspec.data.sets import Set
    from archspec.data.statistics import Colours, Normaliser, Statistics
    from archspec.data.telling import Say
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


def prepared(splits: Splits, recipe: Recipe, plan: Plan, placement: Placement, say: Say = silent) -> Feeds:
    """Feeds of a recipe. Statistics are of the training split alone. Raises `FileError`.

    `say` hears how far reading and measuring are, every two seconds at most.
    """
    say = paced(say)
    splits = settled(splits, recipe.augment, say)
    train, augmentation = splits.train, recipe.augment
    _check_steps(train, plan)
    statistics = _statistics(train, recipe, placement.workers, say)
    shape = _shape(train, augmentation)
    normalised = normaliser(recipe.normalise, statistics, shape[0], train.name)
    colours = _colours(train, augmentation, statistics)

    def fed(part: Set) -> Feed:
        return _fed(part, recipe, normalised, plan, placement, colours)

    validation = None if splits.validation is None else fed(splits.validation)
    return Feeds(fed(train), validation, fed(splits.test), normalised, statistics)


def _fed(
    part: Set,
    recipe: Recipe,
    normaliser: Normaliser,
    plan: Plan,
    placement: Placement,
    colours: Colours | None,
) -> Feed:
    augment = Augment(
        recipe.augment,
        normaliser,
        _shape(part, recipe.augment),
        colours=colours,
        device=placement.device,
        channels_last=placement.channels_last,
        name=part.name,
    )
    if isinstance(part, Images):
        return Resident(part, augment, plan)
    return Stream(part, augment, plan, view=central(recipe), workers=placement.workers)


def _check_steps(train: Set, plan: Plan) -> None:
    """An epoch without a step would never end."""
    if steps(len(train), plan.batch, plan.last):
        return
    if not len(train):
        raise file_error(train.name, "AS531", "there are no images to train on")
    message = f"{len(train):,} images make no whole batch of {plan.batch:,}, and smaller ones are left out"
    raise file_error(train.name, "AS541", message, hint='say data.last = "keep", or a smaller data.batch')


def _streams(augmentation: Augmentation) -> bool:
    """Whether pictures on disk are cut while they are decoded; otherwise they are read into memory."""
    return bool(augmentation.resize or augmentation.area)


def settled(splits: Splits, augmentation: Augmentation, say: Say = silent) -> Splits:
    """The splits with pictures read into memory, where a recipe takes them as they are."""
    if isinstance(splits.train, Files) and _streams(augmentation):
        if augmentation.pad and augmentation.fill == "mean":
            message = "pictures that are resized while they are read cannot be padded with the mean"
            raise file_error(splits.train.paths.folder, "AS541", message, hint='say augment.fill = "black"')
        return splits
    parts = (splits.train, splits.validation, splits.test)
    train, validation, test = (
        in_memory(part, say=say) if isinstance(part, Files) else part for part in parts
    )
    assert train is not None
    assert test is not None
    return replace(splits, train=train, validation=validation, test=test)


def central(recipe: Recipe) -> View:
    """The middle of a streamed picture, as the recipe tests it, at the first of its sizes that holds the crop."""
    augmentation, test = recipe.augment, recipe.test
    crop = (test.crop if test.crops != "full" else None) or augmentation.crop
    if crop is None:
        return View(next(iter(test.sizes), None), None)
    return View(next((side for side in test.sizes if side >= crop), round(crop / _CENTRE)), crop)


def _measured(augmentation: Augmentation, view: View) -> View:
    """The middle of a picture, with a shorter side as training has it on average."""
    low, high = augmentation.resize or (view.resize or 0,) * 2
    return View((low + high) // 2 or None, augmentation.crop)


def _statistics(train: Set, recipe: Recipe, workers: int, say: Say) -> Statistics | None:
    """Of the training images, where a recipe asks for them."""
    components = recipe.augment.colour == "pca" and not _published(train)
    if not needs_images(recipe.normalise) and not components:
        return None
    most = recipe.normalise.sample
    shown = _shown(train, _measured(recipe.augment, central(recipe)), most, workers)
    whole = min(len(train), most) if most else len(train)
    return measure(counted(shown, "images measured for the normalisation", whole, say), train.name)


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
    if _published(train):
        return IMAGENET_COLOURS
    assert statistics is not None
    return statistics.colours()


def _published(train: Set) -> bool:
    """Whether the components of the colours need not be measured; those of RGB say nothing of grey."""
    channels = train.shape[0] if isinstance(train, Images) else train.channels
    return train.name == "imagenet" and channels == len(IMAGENET_COLOURS.values)
