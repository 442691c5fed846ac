"""How many images a test got right: whole numbers, so no order of batches changes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from torch import Tensor

TOP = 5
Average = Literal["probabilities", "scores"]
"""What is averaged over looks and networks: softmax probabilities, or the scores in front of the softmax.

The paper says "scores" (3.4). Its 10-crop testing is Krizhevsky et al.'s, who average "the predictions made by the
network's softmax layer", and Simonyan and Zisserman average posteriors too: so probabilities are the usual reading.
Within one map, scores are averaged, for that is what the network's own average pool does.
"""
Counts = np.ndarray[Any, np.dtype[np.int64]]


class Untestable(ValueError):
    """Images, or a network, that no test can be made with. `code` is that of the diagnostic, where there is one."""

    def __init__(self, message: str, hint: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.hint, self.code = hint, code


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """`confusion[a, b]`: images of class a that were told to be of class b. `among`, by class: right in the best five.

    Of equal scores the class with the lower number comes first.
    """

    confusion: Counts
    among: Counts

    def __add__(self, other: Scores) -> Scores:
        """Of both tests' images: parts of a set, or ranks' shares."""
        return Scores(self.confusion + other.confusion, self.among + other.among)

    @property
    def classes(self) -> int:
        """How many classes the network tells apart."""
        return len(self.among)

    @property
    def images(self) -> int:
        """How many were looked at."""
        return int(self.confusion.sum())

    def right(self, top: Literal[1, 5] = 1) -> int:
        """How many images have their class as the best, or among the best five."""
        return int(self.confusion.trace() if top == 1 else self.among.sum())

    def accuracy(self, top: Literal[1, 5] = 1) -> float:
        """That as a share of all images."""
        return self.right(top) / self.images

    def error(self, top: Literal[1, 5] = 1) -> float:
        """The share of all images that are not."""
        return (self.images - self.right(top)) / self.images

    def rows(self) -> list[Row]:
        """Class by class."""
        totals, said = self.confusion.sum(1).tolist(), self.confusion.sum(0).tolist()
        right, among = self.confusion.diagonal().tolist(), self.among.tolist()
        return [Row(*each) for each in zip(range(self.classes), totals, right, among, said, strict=True)]

    def confused(self) -> list[tuple[int, int, int]]:
        """Class, what it was taken for, how often: the most frequent first."""
        places = np.argwhere(self.confusion).tolist()
        pairs = [(true, told, int(self.confusion[true, told])) for true, told in places if true != told]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))

    def as_json(self) -> dict[str, Any]:
        """The counts, and what follows from them. Confusions are `[class, told, images]`."""
        return {
            "images": self.images,
            **{
                f"top{top}": {
                    "right": self.right(top),
                    "accuracy": self.accuracy(top),
                    "error": self.error(top),
                }
                for top in (1, 5)
            },
            "per_class": [row.as_json() for row in self.rows()],
            "confused": [list(pair) for pair in self.confused()],
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One class: its images, those told rightly, those with it among the best five, and how often it was told."""

    number: int
    images: int
    right: int
    among: int
    told: int

    @property
    def accuracy(self) -> float | None:
        """The share told rightly; None where there are no images."""
        return self.right / self.images if self.images else None

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` prints it."""
        return {
            "class": self.number,
            "images": self.images,
            "right": self.right,
            "right_among_5": self.among,
            "told": self.told,
            "accuracy": self.accuracy,
        }


class Tally:
    """Counts on the device, for a network of so many classes; they are read once, at the end."""

    def __init__(self, classes: int, device: Any = "cpu") -> None:
        import torch

        self.classes = classes
        self._confusion = torch.zeros(classes * classes, dtype=torch.int64, device=device)
        self._among = torch.zeros(classes, dtype=torch.int64, device=device)
        self._numbers = torch.arange(classes, device=device)
        self._broken = torch.zeros((), dtype=torch.int64, device=device)

    def add(self, scores: Tensor, labels: Tensor) -> Self:
        """A batch: scores (N, classes), labels (N,)."""
        labels = labels[:, None]
        true = scores.gather(1, labels)
        better = (scores > true) | ((scores == true) & (self._numbers < labels))
        within = labels.squeeze(1)[better.sum(1) < TOP]
        best = scores == scores.amax(1, keepdim=True)
        told = self._numbers.where(best, self.classes - 1).amin(1)
        pairs = labels.squeeze(1) * self.classes + told
        self._confusion += pairs.bincount(minlength=len(self._confusion))
        self._among += within.bincount(minlength=self.classes)
        self._broken += (~scores.isfinite()).any(1).sum()
        return self

    def over(self, summed: Callable[[Tensor], Tensor]) -> Self:
        """The counts of all ranks, by a sum over them."""
        self._confusion, self._among = summed(self._confusion), summed(self._among)
        self._broken = summed(self._broken)
        return self

    def read(self) -> Scores:
        """What was counted. Raises `Untestable` where scores were not numbers, or there were none."""
        broken = int(self._broken)
        counted = Scores(
            self._confusion.view(self.classes, self.classes).cpu().numpy(), self._among.cpu().numpy()
        )
        if broken:
            message = f"scores of {broken:,} of {counted.images:,} images are not finite numbers"
            raise Untestable(message, code="AS523")
        return _some(counted)


def _some(scores: Scores) -> Scores:
    if not scores.images:
        raise Untestable("there are no images to test on", code="AS531")
    return scores
