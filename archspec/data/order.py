"""What is random, as pure functions of (seed, epoch, index): equal for any number of workers and ranks.

The numbers are SplitMix64's (Steele, Lea, Flood 2014), counted and not carried: the value of an index never
depends on who asks, or in which order. NumPy's own generators may give other numbers in another version.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Self

from archspec.recipes.schedule import steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from archspec.recipes.models import Data
    from archspec.recipes.schedule import Last

    Indices = NDArray[np.int64]

_GAMMA = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = 2**64 - 1


class Use(IntEnum):
    """What a random number is for; each use has numbers of its own."""

    ORDER = 0
    SPLIT = 1
    TOP = 2
    LEFT = 3
    FLIP = 4
    SIDE = 5
    COLOUR = 16
    JITTER = 32
    RECTANGLE = 64
    SYNTHETIC = 256


def noise(seed: int, epoch: int, indices: Indices, use: int) -> NDArray[np.uint64]:
    """64 random bits for each index."""
    key = 0
    for part in (seed, epoch, use):
        key = _mixed((key + part + 1) * _GAMMA & _MASK)
    return _counted(key, indices)


def _counted(key: int, indices: Indices) -> NDArray[np.uint64]:
    """What the generator that starts from `key` gives at each place of its sequence."""
    import numpy as np

    counted = np.asarray(indices).astype(np.uint64) + np.uint64(1)
    state = counted * np.uint64(_GAMMA) + np.uint64(key)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
    mixed: NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return mixed


def _mixed(state: int) -> int:
    state = (state ^ state >> 30) * _FIRST & _MASK
    state = (state ^ state >> 27) * _SECOND & _MASK
    return state ^ state >> 31


def below(bits: NDArray[np.uint64], limit: int | NDArray[Any]) -> NDArray[np.int64]:
    """Whole numbers in [0, limit), for limits below 2**31; the bias is under limit / 2**32."""
    import numpy as np

    drawn: NDArray[np.int64] = (bits >> np.uint64(32)).astype(np.int64) * limit >> 32
    return drawn


def uniform(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Numbers in [0, 1), in steps of 2**-53."""
    import numpy as np

    drawn: NDArray[np.float64] = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn


def normal(seed: int, epoch: int, indices: Indices, use: int) -> NDArray[np.float64]:
    """Standard normal numbers, by Box and Muller; takes up `use` and `use + 1`."""
    import numpy as np

    radius = np.sqrt(-2 * np.log(1 - uniform(noise(seed, epoch, indices, use))))
    angle = 2 * np.pi * uniform(noise(seed, epoch, indices, use + 1))
    drawn: NDArray[np.float64] = radius * np.cos(angle)
    return drawn


def order(seed: int, epoch: int, n: int, use: int = Use.ORDER) -> Indices:
    """A permutation of n indices: those with the smaller bits come first."""
    import numpy as np

    return np.argsort(noise(seed, epoch, np.arange(n), use), kind="stable")


def spaced(n: int, most: int) -> Indices:
    """At most so many of n indices, evenly spaced; 0 takes all."""
    import numpy as np

    count = min(n, most) if most else n
    return np.arange(count) * n // max(count, 1)


def sizes(n: int, batch: int, *, start: int = 0, last: Last = "keep") -> Iterator[int]:
    """How many images each batch of an epoch has, on all ranks together, from batch `start` on."""
    return (min(batch, n - step * batch) for step in range(start, steps(n, batch, last)))


@dataclass(frozen=True, slots=True)
class Plan:
    """How an epoch is cut into steps. `batch` counts the images of all ranks."""

    batch: int
    seed: int = 0
    last: Last = "keep"

    @classmethod
    def of(cls, data: Data, seed: int = 0) -> Self:
        """As a recipe says it."""
        return cls(data.batch, seed, data.last)


def batches(  # noqa: PLR0913
    seed: int,
    epoch: int,
    n: int,
    batch: int,
    *,
    rank: int = 0,
    ranks: int = 1,
    start: int = 0,
    last: Last = "keep",
) -> Iterator[Indices]:
    """The indices of one epoch's batches, from batch `start` on; `batch` counts the images of all ranks.

    A rank gets its piece of each batch: the pieces of all ranks, one after another, are the batch. A piece of the
    last batch is empty where fewer images are left than there are ranks.
    """
    whole = order(seed, epoch, n)
    yield from pieces(whole, batch, rank=rank, ranks=ranks, start=start, last=last)


def pieces(
    whole: Indices, batch: int, *, rank: int = 0, ranks: int = 1, start: int = 0, last: Last = "keep"
) -> Iterator[Indices]:
    """A rank's pieces of consecutive batches; pieces of one batch differ by at most one image."""
    for step in range(start, steps(len(whole), batch, last)):
        together = whole[step * batch : (step + 1) * batch]
        yield together[piece(len(together), rank, ranks)]


def piece(n: int, rank: int, ranks: int) -> slice:
    """A rank's places in a batch of n images."""
    return slice(n * rank // ranks, n * (rank + 1) // ranks)
