"""What the loop asks of a task. It knows no more of networks, pictures and what is learned of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from archspec.data.feed import Batch, Feed
    from archspec.data.order import Plan
    from archspec.data.prepare import Placement
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.loop import Terms
    from archspec.train.topology import Topology
    from archspec.weights.files import Weights

    Forward = Callable[..., Any]


TRAIN_ERROR = "train_error"
"""A sum of this name counts images that are told wrongly: schedules may wait for its mean."""


class Loss(NamedTuple):
    """Of a part of a batch: what gradients are of, a mean over its images; and sums over them that are told."""

    mean: Tensor
    sums: Tensor


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run starts with: feeds, what `run.json` says of network and data, and what its weights carry."""

    train: Feed
    validation: Feed | None
    record: Mapping[str, Any]
    stamp: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tested:
    """How good a network is, as a share, and how bad; how pictures were looked at, in words; everything, for JSON."""

    value: float
    error: float
    view: str
    record: Mapping[str, Any]


class Tally(Protocol):
    """Counts what a network does with pictures, batch by batch."""

    def add(self, network: nn.Module, batch: Batch) -> None:
        """One batch of this rank's."""

    def error(self, topology: Topology) -> float:
        """What was wrong in all ranks, as a share. All ranks have to ask. Raises `Untestable`."""


class Task(Protocol):
    """A network by a recipe on a set. Tasks are its subclasses."""

    recipe: LoadedRecipe
    splits: Any
    """Their `train` part has the set's name."""
    place: str
    """Where the data were found, for the card."""
    weights: Weights | None
    """What training starts from."""
    measure: ClassVar[str]
    """What `Tested.value` is, as a key: "accuracy"."""
    told: ClassVar[tuple[str, ...]]
    """What the sums of a `Loss` are of, in their order."""

    @property
    def name(self) -> str:
        """The network's."""

    @property
    def digest(self) -> str:
        """SHA-256 of what the network computes."""

    @property
    def data(self) -> str:
        """The set's name."""
        name: str = self.splits.train.name
        return name

    @property
    def start(self) -> Mapping[str, str] | None:
        """The file of the weights that training starts from, and its SHA-256; None where they are drawn."""
        return None if self.weights is None else self.weights.origin

    def record(self, means: Mapping[str, float]) -> Mapping[str, Any]:
        """What the metrics say of the means of `told`."""

    def prepare(self, plan: Plan, placement: Placement) -> Prepared:
        """Feeds, and what is known of them. Raises `FileError`."""

    def network(self) -> nn.Module:
        """A new one, filled from torch's global generator, or from the weights to start from. Raises `FileError`."""

    def check(self, terms: Terms, images: int) -> None:
        """Raises `FileError` where an epoch of so many images cannot be computed so."""

    def loss(self, forward: Forward, part: Batch) -> Loss:
        """Of a part of a batch, which may have no images: then the loss is 0, and all gradients are."""

    def tally(self, feed: Feed, device: torch.device) -> Tally:
        """Counts for one test of what a feed gives."""

    def tested(self, checkpoint: Path, device: torch.device) -> Tested | None:
        """The test at the end of a run, of the network as it lies on the disk; None where nothing is to be tested on.

        Raises `FileError`.
        """
