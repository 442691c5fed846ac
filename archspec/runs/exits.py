"""How a process that trains ends, where it is neither done nor wrong: for whoever started it."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPPED = 75
"""A signal asked for it; the run is stored and goes on with the same command."""
DIVERGED = 3
"""The loss is no number any more."""
_BEHIND = 5.0


@contextmanager
def one_voice() -> Iterator[None]:
    """What is wrong for all processes of torchrun is said by the first: when that ends, the others are ended.

    The others wait with an error, and say it themselves where the first has none.
    """
    try:
        yield
    except BaseException:
        if "TORCHELASTIC_RUN_ID" in os.environ and os.environ["RANK"] != "0":
            time.sleep(_BEHIND)
        raise
