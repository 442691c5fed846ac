"""How many images' statistics one layer of batch normalisation computes together."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from archspec.data.order import piece, sizes
from archspec.errors import file_error
from archspec.ir.ops import BatchNorm2d
from archspec.ir.walk import Visit, Walk

if TYPE_CHECKING:
    from archspec.architecture import Architecture
    from archspec.recipes.models import Recipe
    from archspec.train.loop import Terms


def normalised_together(recipe: Recipe, terms: Terms) -> int:
    """Of a whole batch: the images of a part of it, on one device or on all."""
    part = -(-recipe.data.batch // recipe.train.accumulate)
    return part if terms.sync_bn else -(-part // terms.topology.ranks)


def part_sizes(images: int, count: int) -> list[int]:
    """How many images each part of a rank's piece has, for gradients that are accumulated."""
    return [images // count + (place < images % count) for place in range(count)]


def fewest_together(recipe: Recipe, terms: Terms, whole: int) -> int:
    """Of a batch of `whole` images, which may be an epoch's last: those of its smallest part that is not empty."""
    ranks, parts = terms.topology.ranks, recipe.train.accumulate
    own = [len(range(whole)[piece(whole, rank, ranks)]) for rank in range(ranks)]
    split = [part_sizes(images, parts) for images in own]
    met = (
        [sum(each) for each in zip(*split, strict=True)]
        if terms.sync_bn
        else [n for each in split for n in each]
    )
    return min(each for each in met if each)


def refuse_single_values(architecture: Architecture, recipe: Recipe, terms: Terms, images: int) -> None:
    """Raises `FileError` (AS541) where an epoch has a channel normalised by the statistics of a single value."""
    wholes = set(sizes(images, recipe.data.batch, last=recipe.data.last))
    if min(fewest_together(recipe, terms, whole) for whole in wholes) > 1:
        return
    found: list[str] = []

    def visit(met: Visit) -> None:
        if isinstance(met.op, BatchNorm2d) and prod(met.inputs[0][1:]) == 1:
            found.append(".".join(met.path))

    Walk(visit).graph(architecture.graph, architecture.input_shape)
    if not found:
        return
    message = (
        f"batch normalisation of a 1x1 map ({found[0]}), of an image alone, has no deviation to divide by"
    )
    hint = "a larger data.batch, or fewer parts and processes for it"
    if len(wholes) > 1 and fewest_together(recipe, terms, max(wholes)) > 1:
        hint = f"an epoch ends with a batch of {min(wholes):,}: data.last=drop leaves it out"
    raise file_error(architecture.name, "AS541", message, hint=hint)
