"""A spec and images that are to go together: the input takes the images' size, the head has to fit their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.api import load
from archspec.data.sets import Images
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.data.sets import Splits
    from archspec.recipes.models import Recipe


def fitted(spec: str | Path, settings: Sequence[str], splits: Splits, recipe: Recipe) -> Architecture:
    """The architecture with the input of the images, or of their crops where they stream.

    Raises `SpecError`, and `FileError` (AS541) where it does not tell as many classes apart as the images show.
    """
    train, crop, told = splits.train, recipe.augment.crop, list(settings)
    if isinstance(train, Images):
        channels, height, width = train.shape
        told += [f"input.channels={channels}", f"input.size=[{height}, {width}]"]
    elif crop is not None:
        told += [f"input.channels={train.channels}", f"input.size=[{crop}, {crop}]"]
    architecture = load(spec, settings=told)
    classes, wanted = architecture.measure.output[0], len(train.classes)
    if classes != wanted:
        message = f"the network tells {classes:,} classes apart, and {train.name} has {wanted:,}"
        hint = f"--set 'head.layers=[{{pool=\"average\"}}, {{linear={wanted}}}]'"
        raise file_error(spec, "AS541", message, hint=hint)
    return architecture
