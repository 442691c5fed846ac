"""What the tests share: the shipped specs, loaded once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import archspec

if TYPE_CHECKING:
    from archspec.architecture import Architecture

ROOT = Path(__file__).parent.parent
SPECS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "specs").rglob("*.toml"))


@cache
def architecture(spec: str) -> Architecture:
    """A shipped spec, loaded once a process."""
    return archspec.load(ROOT / spec)
