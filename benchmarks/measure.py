"""Measuring: two sides run by turns in one process, and what is said is the ratio of the two.

A machine's speed drifts while a benchmark runs, so a time alone says little. Both sides are run A B A B ...;
each B follows its A at once, and the median of the pairwise ratios is what a limit is held against.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CPU_INFO = Path("/proc/cpuinfo")
HEADER = ("name", "ours", "peer", "ratio", "limit", "verdict")


@dataclass(frozen=True, slots=True)
class Side:
    """One thing that is timed. `loops` calls make one sample, for what is over too soon to be timed once."""

    run: Callable[[], object]
    loops: int = 1

    def sample(self) -> float:
        """Seconds of one run. What the run before left behind is collected first."""
        gc.collect()
        start = time.perf_counter()
        for _ in range(self.loops):
            self.run()
        return (time.perf_counter() - start) / self.loops


@dataclass(frozen=True, slots=True)
class Contest:
    """Two sides ready to run. Without a peer, `budget` seconds stand in its place."""

    ours: Side
    peer: Side | None = None
    budget: float = 0.0
    warm_ups: int = 1


@dataclass(frozen=True, slots=True)
class Case:
    """A comparison: what is compared, how large the ratio may be, how often both sides are run."""

    name: str
    about: str
    peer: str
    limit: float
    repeats: int
    prepare: Callable[[], Contest]


@dataclass(frozen=True, slots=True)
class Result:
    """What a case came to: seconds of every run. Without a peer its side holds the budget."""

    case: Case
    ours: tuple[float, ...]
    peer: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Each of our runs against the peer's that followed it."""
        return [ours / peer for ours, peer in zip(self.ours, self.peer, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the pairwise ratios."""
        return statistics.median(self.ratios)

    @property
    def ok(self) -> bool:
        """Whether the ratio is within its limit."""
        return self.ratio <= self.case.limit

    def cells(self) -> list[str]:
        """The row of the table."""
        ours, peer = duration(statistics.median(self.ours)), duration(statistics.median(self.peer))
        verdict = "ok" if self.ok else "over"
        return [self.case.name, ours, peer, digits(self.ratio), digits(self.case.limit), verdict]

    def as_json(self) -> dict[str, Any]:
        """The result with every sample, in seconds."""
        said = {"name": self.case.name, "ours_is": self.case.about, "peer_is": self.case.peer}
        found = {"ratio": self.ratio, "limit": self.case.limit, "ok": self.ok}
        return {**said, **found, "ours": self.ours, "peer": self.peer}


def contest(case: Case, repeats: int, progress: Callable[[str], None]) -> Result:
    """Runs a case: prepared, warmed up, then by turns."""
    progress(f"{case.name}: preparing")
    _keep_memory()
    ready = case.prepare()
    for _ in range(ready.warm_ups):
        for side in (ready.ours, ready.peer):
            if side is not None:
                side.sample()
    turns: list[tuple[float, float]] = []
    for turn in range(repeats):
        ours = ready.ours.sample()
        peer = ready.budget if ready.peer is None else ready.peer.sample()
        turns.append((ours, peer))
        said = f"{duration(ours)} / {duration(peer)} = {digits(ours / peer)}"
        progress(f"{case.name}: {turn + 1} of {repeats}: {said}")
    return Result(case, tuple(ours for ours, _ in turns), tuple(peer for _, peer in turns))


def _keep_memory() -> None:
    """Has glibc keep what is freed. Else pages go back and forth, and most faults fall on one of the sides."""
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(trim_threshold, 2**31 - 1)
        set_option(mmap_threshold, 2**30)


def command(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Callable[[], object]:
    """A run of a program from start to exit. It must succeed; what it prints is dropped."""

    def run() -> None:
        done = subprocess.run(
            arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{' '.join(arguments)} exits with {done.returncode}:\n{done.stderr.decode()}")

    return run


def duration(seconds: float) -> str:
    """Seconds for reading, to three digits: 0.423 ms, 78.5 ms, 1.23 s."""
    return f"{digits(seconds)} s" if seconds >= 1 else f"{digits(seconds * 1e3)} ms"


def digits(value: float) -> str:
    """A number to three digits, without an exponent."""
    places = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(places, 0)}f}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were measured on. No name and no path of it is kept."""

    cpu: str
    cores: int
    threads: int
    system: str
    python: str
    torch: str
    torchvision: str
    date: str

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.system}; Python {self.python}; torch {self.torch}, "
            f"threads: {self.threads}; torchvision {self.torchvision}; {self.date}"
        )


def machine() -> Machine:
    """This machine, now."""
    import torch
    import torchvision

    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        date=datetime.now(UTC).date().isoformat(),
    )


def _cpu() -> str:
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines() if CPU_INFO.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
