"""The task of telling classes apart: images in, scores out, cross entropy between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch.nn.functional import cross_entropy

from archspec.api import build
from archspec.data.prepare import prepared
from archspec.data.sets import Images, held_out
from archspec.errors import file_error
from archspec.train.contenders import Asked, Look, check, common_view, contender, normalisation, ready
from archspec.train.evaluate import evaluate
from archspec.train.record import data_record, spec_record, weights_stamp
from archspec.train.scores import Tally, Untestable
from archspec.train.task import TRAIN_ERROR, Loss, Prepared, Task, Tested
from archspec.train.together import refuse_single_values
from archspec.weights.match import load_into, matched

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from torch import nn

    from archspec.architecture import Architecture
    from archspec.data.feed import Batch, Feed
    from archspec.data.order import Plan
    from archspec.data.prepare import Placement
    from archspec.data.sets import Splits
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.loop import Terms
    from archspec.train.task import Forward
    from archspec.train.topology import Topology
    from archspec.weights.files import Weights

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Classification(Task):
    """A spec by a recipe on images with classes. `place` is where the data were found, for the card."""

    architecture: Architecture
    recipe: LoadedRecipe
    splits: Splits
    place: str = ""
    weights: Weights | None = None
    """What training starts from."""

    measure = "accuracy"
    told = (TRAIN_ERROR,)

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.architecture.name

    @property
    def digest(self) -> str:
        """The hash of the network's function."""
        return self.architecture.hash

    def record(self, means: Mapping[str, float]) -> Mapping[str, Any]:
        """The training error."""
        return means

    def prepare(self, plan: Plan, placement: Placement) -> Prepared:
        """Feeds of the splits, with the validation images held out. Raises `FileError`."""
        recipe = self.recipe.recipe
        splits = held_out(self.splits, recipe.data.split, recipe.data.which)
        feeds = prepared(splits, recipe, plan, placement)
        record = {"spec": spec_record(self.architecture), "data": data_record(splits, self.place)}
        stamp = weights_stamp(self.architecture, self.recipe, splits.test, feeds)
        return Prepared(feeds.train, feeds.validation, record, stamp)

    def network(self) -> nn.Module:
        """As the spec says. Raises `FileError` for weights that do not fit."""
        network = build(self.architecture, init=self.weights is None)
        if self.weights is not None:
            load_into(network, matched(self.architecture, self.weights))
        return network

    def check(self, terms: Terms, images: int) -> None:
        """Raises `FileError` where batch normalisation would have a single value of a channel."""
        refuse_single_values(self.architecture, self.recipe.recipe, terms, images)

    def loss(self, forward: Forward, part: Batch) -> Loss:
        """Cross entropy, and how many images are told wrongly."""
        logits = forward(part.images)
        smoothing = self.recipe.recipe.train.label_smoothing
        mean = cross_entropy(logits.float(), part.labels, label_smoothing=smoothing)
        wrong = (logits.detach().argmax(1) != part.labels).sum()
        # a rank to which an epoch's last batch leaves nothing has no mean, and gradients of 0
        return Loss(mean if len(part.labels) else logits.sum(), wrong[None])

    def tally(self, feed: Feed, device: torch.device) -> Validation:  # noqa: ARG002 - counts know no images
        """Counts for one test."""
        return Validation(self.architecture.measure.output[0], device)

    def tested(self, checkpoint: Path, device: torch.device) -> Tested:
        """What the network of a checkpoint gets right of the test images, by the recipe; as `archspec eval` does it.

        Raises `FileError`.
        """
        entered, part = contender(checkpoint, Asked()), self.splits.test
        try:
            view, full = common_view(Look(), [entered])
            check(entered, part, view, full=full)
            scores = evaluate(
                [ready(entered, normalisation(entered, self.splits), device, full=full)],
                part.pixels if isinstance(part, Images) else part,
                part.labels,
                view=view,
                normalise=lambda images: images,  # the network has its own
                batch=_AT_ONCE,
                device=device,
            )
        except Untestable as error:
            raise file_error(entered.file, error.code or "AS541", str(error), hint=error.hint) from error
        return Tested(scores.accuracy(), scores.error(), str(view), scores.as_json())


class Validation:
    """One look at each image."""

    def __init__(self, classes: int, device: torch.device) -> None:
        self.counts = Tally(classes, device)

    def add(self, network: nn.Module, batch: Batch) -> None:
        """One batch."""
        self.counts.add(network(batch.images), batch.labels)

    def error(self, topology: Topology) -> float:
        """The share of images that are told wrongly."""
        return self.counts.over(topology.summed).read().error()
