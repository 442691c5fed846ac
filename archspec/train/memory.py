"""Memory: large blocks kept from step to step, and which batch would fit where one does not."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import torch
from torch import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OutOfMemoryError", "TooLarge", "keep_large_blocks", "largest_fitting"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST = 2**31 - 1


class TooLarge(Exception):
    """A batch does not fit into the device's memory. `fits` images would; None where that was not tried."""

    def __init__(self, images: int, fits: int | None) -> None:
        self.images, self.fits = images, fits
        super().__init__(f"a batch of {images:,} images does not fit into the device's memory")


def keep_large_blocks() -> bool:
    """Asks glibc not to give large blocks back to the system when they are freed: each step wants them again.

    Giving them back costs a page fault for every 4 KiB of every activation of every step. Says whether it was done.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(
        mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _LARGEST)
    )


def largest_fitting(images: int, attempt: Callable[[int], object]) -> int:
    """Halves a batch until `attempt` on so many images does not run out of memory; 0 where one image does."""
    while images := images // 2:
        torch.cuda.empty_cache()
        with suppress(OutOfMemoryError):
            attempt(images)
            break
    return images
