"""Words about work that takes long: at most every two seconds, and none about what is done before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import Tensor

    Say = Callable[[str], None]

SECONDS_BETWEEN = 2.0


def silent(_: str) -> None:
    """For those who want to hear nothing."""


def paced(say: Say, clock: Callable[[], float] = time.monotonic) -> Say:
    """The same, but silent for two seconds from now, and from each word that is said."""
    last = clock()

    def sometimes(text: str) -> None:
        nonlocal last
        if (now := clock()) - last >= SECONDS_BETWEEN:
            last = now
            say(text)

    return sometimes


def counted(batches: Iterable[Tensor], what: str, whole: int, say: Say) -> Iterator[Tensor]:
    """Batches of images, with a word behind each: how many of `whole` there have been."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        say(f"{what}: {done:,} of {whole:,}")
