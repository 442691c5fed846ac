"""Checkpoints to try, and what is expected of them."""

from __future__ import annotations

import resource
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from hypothesis import settings
from torch import Tensor

from archspec.train.checkpoint import Snapshot, newest
from archspec.train.stored import DamagedError, verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FEW = settings(max_examples=60)


def snapshot(step: int, size: int = 50, **state: Any) -> Snapshot:
    """A run's place, another one for each step."""
    draw = torch.Generator().manual_seed(step)
    weight = torch.randn(size, 3, generator=draw)
    momentum = {"state": {0: {"momentum_buffer": weight * 2}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return Snapshot(step, {"a.weight": weight}, momentum, {"rng": draw.get_state()}, {"seed": 3, **state})


def steps(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sound(folder: Path) -> list[str]:
    """The checkpoints that verify."""

    def verifies(path: Path) -> bool:
        try:
            verify(path)
        except DamagedError:
            return False
        return True

    return [path.name for path in sorted(folder.glob("step-*")) if verifies(path)]


def loaded(folder: Path) -> Snapshot:
    found = newest(folder)
    assert found is not None
    return found[1].snapshot


def same(left: Any, right: Any) -> bool:
    """Equal to the bit: types, order of keys, and how tensors lie in memory included."""
    if isinstance(left, Tensor):
        return (
            isinstance(right, Tensor)
            and (left.dtype, left.shape, left.stride()) == (right.dtype, right.shape, right.stride())
            and left.contiguous()
            .view(-1)
            .view(torch.uint8)
            .equal(right.contiguous().view(-1).view(torch.uint8))
        )
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        keys = same(list(left), list(right))
        return keys and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left.hex() == right.hex()
    return bool(left == right)


def assert_same(left: Snapshot, right: Snapshot) -> None:
    assert left.step == right.step
    assert same(left.state, right.state)
    assert same(left.optimizer, right.optimizer)
    # a weights file has its tensors in an order of its own
    assert same(dict(sorted(left.model.items())), dict(sorted(right.model.items())))
    assert same(dict(left.extra), dict(right.extra))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@contextmanager
def limited(room: int) -> Iterator[None]:
    """No file may become larger than this: what the kernel says then is EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
