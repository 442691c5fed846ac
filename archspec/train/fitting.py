"""A spec and images that are to go together: the input takes the images' size, the head has to fit their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.api import load
from archspec.data.find import find
from archspec.data.sets import Images
from archspec.data.telling import silent
from archspec.errors import file_error
from archspec.weights.match import classes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.data.find import Source
    from archspec.data.sets import Splits
    from archspec.data.telling import Say
    from archspec.recipes.models import Recipe


def sought(
    name: str, root: Path | None, network: Architecture, *, fetch: bool = False, say: Say = silent
) -> Source:
    """The set of a name, for a network's input: where it can be chosen, its channels and classes are the network's.

    Raises `FileError`: AS531.
    """
    channels, height, width = network.input_shape
    return find(name, root, fetch=fetch, shape=(channels, height, width), classes=classes(network), say=say)


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
    told_apart, wanted = architecture.measure.output[0], len(train.classes)
    if told_apart != wanted:
        message = f"the network tells {told_apart:,} classes apart, and {train.name} has {wanted:,}"
        hint = f"--set 'head.layers=[{{pool=\"average\"}}, {{linear={wanted}}}]'"
        raise file_error(spec, "AS541", message, hint=hint)
    return architecture
