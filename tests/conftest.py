"""What the tests share: the shipped specs, loaded once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import archspec
from archspec.spec.library import networks

if TYPE_CHECKING:
    from archspec.architecture import Architecture

ROOT = Path(__file__).parent.parent
SPECS = [path.relative_to(ROOT).as_posix() for path in networks(ROOT / "specs")]


@cache
def architecture(spec: str) -> Architecture:
    """A shipped spec, loaded once a process."""
    return archspec.load(ROOT / spec)
