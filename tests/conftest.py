"""What the tests share: the shipped specs, loaded once."""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings

import archspec
from archspec.spec.library import networks

if TYPE_CHECKING:
    import pytest

    from archspec.architecture import Architecture

ROOT = Path(__file__).parent.parent
SPECS = [path.relative_to(ROOT).as_posix() for path in networks(ROOT / "specs")]


# two workers have two cores; and a sum by two threads is rounded otherwise. Read when torch or onnxruntime is loaded
os.environ["OMP_NUM_THREADS"] = "1"

# a test is not judged by how busy its machine is; and it tries the same examples each time, so that a change is judged
# by what it changes. `pytest --hypothesis-profile search` tries others
CALM = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)
settings.register_profile("search", CALM)
settings.register_profile("fixed", CALM, derandomize=True)
settings.load_profile("fixed")

# a shell that starts tests in the background ignores it, and so would every process that a test interrupts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def architecture(spec: str) -> Architecture:
    """A shipped spec, loaded once a process."""
    return archspec.load(ROOT / spec)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pages first: each takes up to a minute, and at the end one worker would wait for another's."""
    items.sort(key=lambda item: "tests/docs/" not in item.nodeid)
