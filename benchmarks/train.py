"""Images per second and memory of training, against the loop that most people write.

`uv run --group bench python benchmarks/train.py [--cases NAME ...] [--quick] [--gpu] [--json FILE]`, from anywhere.
Exit 1 when a case misses its target.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import digits, machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
FOREIGN = 0.1
"""The share of the machine that others may take while a stretch is timed; above it, the stretch is timed again."""
AGAIN = 4


@dataclass(frozen=True, slots=True)
class Case:
    """Two sides. The ratio of images per second has to reach `least`; that of memory may be `most` at most."""

    name: str
    ours: str
    peer: str
    least: float
    network: str = "resnet20"


CPU = (
    Case("eager", "ours", "usual", 1.4),
    Case("compiled", "ours-compiled", "usual", 1.55),
    Case("bf16", "ours-bf16", "usual", 2.2),
    Case("bf16-compiled", "ours-bf16-compiled", "usual", 2.2),
    Case("lightning", "ours", "lightning", 1.4),
    Case("loader", "loader", "usual-loader", 10),
)
GPU = tuple(
    Case(f"gpu-{network}-{peer}", "ours-bf16-compiled", peer, least, network)
    for network in ("resnet20", "resnet50")
    for peer, least in (("usual", 5), ("bare", 0.9))
)
MEMORY = (("memory", "ours", "usual"),)


@dataclass(frozen=True, slots=True)
class Shape:
    """How much is measured: `rounds` fresh processes, `turns` stretches of `steps` steps in each."""

    rounds: int
    turns: int
    steps: int
    images: int
    batch: int
    device: str

    def steps_of(self, side: str) -> int:
        """A loader alone is so fast that it needs more of them."""
        return self.steps * {"loader": 10, "usual-loader": 3}.get(side, 1)


@dataclass(slots=True)
class Found:
    """What a side came to, a figure for each round: images per second, the first steps, MiB at most."""

    speeds: list[float] = field(default_factory=list)
    first_seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    mib_once: list[float] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)


class Process:
    """A side of its own, in a fresh process, and how much memory it has taken with its children."""

    def __init__(self, side: str, network: str, shape: Shape, *, watched: bool = False) -> None:
        self.side, self.shape = side, shape
        told = ["--network", network, "--device", shape.device]
        told += ["--images", str(shape.images), "--batch", str(shape.batch)]
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(HERE / "train_cases.py"), side, *told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors: list[str] = []
        self.peak = self.peak_once = 0.0
        self.over = threading.Event()
        # looking at a process's memory holds it up, so it is not done while steps are timed
        tasks = (self._drain, self._watch) if watched else (self._drain,)
        self.threads = [threading.Thread(target=each, daemon=True) for each in tasks]
        for thread in self.threads:
            thread.start()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        for thread in self.threads:
            thread.join()

    def run(self, skip: int, count: int) -> dict[str, float]:
        """A stretch: seconds of `count` steps, and of the `skip` steps before them."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{skip} {count}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            time.sleep(0.1)
            sys.exit(f"{self.side} ended with {self.process.returncode}:\n{''.join(self.errors[-30:])}")
        told: dict[str, float] = json.loads(line)
        return told

    def quietly(self, progress: str) -> tuple[float, float]:
        """Images per second of a stretch in which nobody else took much, and the share that others took."""
        best = (0.0, 2.0)
        count = self.shape.steps_of(self.side)
        for _ in range(AGAIN):
            before, own = _busy(), self._cpu()
            start = time.perf_counter()
            told = self.run(8, count)
            capacity = (time.perf_counter() - start) * (os.cpu_count() or 1)
            foreign = max(0.0, (_busy() - before) - (self._cpu() - own)) / capacity
            speed = count * self.shape.batch / told["seconds"]
            if foreign < best[1]:
                best = speed, foreign
            say(f"{progress} {self.side}: {speed:,.0f} images/s, others take {foreign:.0%}")
            if foreign <= FOREIGN:
                break
        return best

    def family(self) -> list[int]:
        """The process and all below it."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, _text(task).split())
        return found

    def _cpu(self) -> float:
        return sum(_spent(pid) for pid in self.family())

    def _watch(self) -> None:
        while not self.over.wait(0.1):
            family = self.family()
            self.peak = max(self.peak, sum(_kib(pid, "Rss") for pid in family) / 1024)
            self.peak_once = max(self.peak_once, sum(_kib(pid, "Pss") for pid in family) / 1024)

    def _drain(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)


def _text(path: Path) -> str:
    """A file of /proc; nothing, where its process has just ended."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _spent(pid: int) -> float:
    """Seconds that a process has run, with its children that have ended."""
    fields = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS if fields else 0.0


def _busy() -> float:
    """Seconds that all processors have worked for anyone; for the host's other guests, too."""
    user, nice, system, _, _, irq, soft, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + soft + steal) / TICKS


def _kib(pid: int, name: str) -> int:
    lines = _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def speeds(cases: Sequence[Case], network: str, shape: Shape) -> dict[str, Found]:
    """All sides by turns: in each round all are started anew and warmed up, then timed A B C A B C ..."""
    sides = list(dict.fromkeys(side for case in cases for side in (case.peer, case.ours)))
    found = {side: Found() for side in sides}
    for turn in range(shape.rounds):
        with ExitStack() as stack:
            running = {}
            for side in sides:
                running[side] = stack.enter_context(Process(side, network, shape))
                first = running[side].run(8, 5)
                compiling = max(0.0, first["skipped"] - 8 / 5 * first["seconds"])
                found[side].first_seconds.append(compiling)
                say(
                    f"{network} {turn + 1}/{shape.rounds} {side}: first steps {compiling:.1f} s over the usual"
                )
            stretches: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
            for _ in range(shape.turns):
                for side in sides:
                    stretches[side].append(running[side].quietly(f"{network} {turn + 1}/{shape.rounds}"))
        for side in sides:
            found[side].speeds.append(statistics.median(speed for speed, _ in stretches[side]))
            found[side].foreign.append(statistics.median(foreign for _, foreign in stretches[side]))
    return found


def memory(shape: Shape) -> dict[str, Found]:
    """The most that each side takes from its start on, over some steps."""
    found = {side: Found() for _, *pair in MEMORY for side in pair}
    for turn in range(shape.rounds):
        for side, figures in found.items():
            with Process(side, "resnet20", shape, watched=True) as running:
                running.run(0, 2 * shape.steps)
            figures.mib.append(running.peak)
            figures.mib_once.append(running.peak_once)
            say(
                f"memory {turn + 1}/{shape.rounds} {side}: {running.peak:,.0f} MiB, {running.peak_once:,.0f} shared"
            )
    return found


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    name: str
    ours: str
    peer: str
    ours_value: float
    peer_value: float
    ratios: tuple[float, ...]
    target: str
    ok: bool

    def cells(self) -> list[str]:
        """For the table."""
        spread = f"{digits(min(self.ratios))} to {digits(max(self.ratios))}"
        values = [f"{value:,.0f}" for value in (self.ours_value, self.peer_value)]
        ratio = digits(statistics.median(self.ratios))
        return [
            self.name,
            self.ours,
            self.peer,
            *values,
            ratio,
            spread,
            self.target,
            "met" if self.ok else "missed",
        ]


def speed_rows(cases: Sequence[Case], found: dict[str, Found]) -> Iterator[Row]:
    """Ratios of the rounds, and their median against the target."""
    for case in cases:
        ours, peer = found[case.ours].speeds, found[case.peer].speeds
        ratios = tuple(one / other for one, other in zip(ours, peer, strict=True))
        ok = statistics.median(ratios) >= case.least
        values = statistics.median(ours), statistics.median(peer)
        yield Row(case.name, case.ours, case.peer, *values, ratios, f">= {case.least:g}", ok)


def memory_rows(found: dict[str, Found]) -> Iterator[Row]:
    """Memory in MiB: of all processes added up, and with what they share counted once."""
    for name, ours, peer in MEMORY:
        for suffix, kind in (("", "mib"), ("-shared-once", "mib_once")):
            one, other = getattr(found[ours], kind), getattr(found[peer], kind)
            ratios = tuple(left / right for left, right in zip(one, other, strict=True))
            ok = statistics.median(ratios) <= 1
            values = statistics.median(one), statistics.median(other)
            yield Row(name + suffix, ours, peer, *values, ratios, "<= 1", ok)


def table(rows: Sequence[Row]) -> str:
    """As Markdown."""
    lines = ["| case | ours | peer | ours, images/s (MiB) | peer | ratio | of all rounds | target | |"]
    lines.append("| :-- | :-- | :-- | --: | --: | --: | --: | --: | :-- |")
    return "\n".join([*lines, *(f"| {' | '.join(row.cells())} |" for row in rows)])


def main() -> int:
    """Measures, prints a table. 1 where a target is missed."""
    names = [case.name for case in (*CPU, *GPU)] + [name for name, *_ in MEMORY]
    parser = argparse.ArgumentParser(prog="benchmarks/train.py", description=__doc__)
    parser.add_argument("--cases", nargs="+", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="one round of short stretches")
    parser.add_argument("--rounds", type=int, help="fresh processes for each side (5)")
    parser.add_argument("--gpu", action="store_true", help="the cases for a GPU instead of those for the CPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where --gpu's cases run (cuda)")
    parser.add_argument("--tiny", action="store_true", help="next to nothing, to see whether it runs at all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures to a file")
    asked = parser.parse_args()
    rounds = asked.rounds or (1 if asked.quick or asked.tiny else 5)
    device = asked.device or ("cuda" if asked.gpu else "cpu")
    shape = Shape(rounds, 1 if asked.quick or asked.tiny else 3, 15, 50_000, 128, device)
    cases = [case for case in (GPU if asked.gpu else CPU) if asked.cases is None or case.name in asked.cases]
    rows: list[Row] = []
    found: dict[str, dict[str, Found]] = {}
    for network in dict.fromkeys(case.network for case in cases):
        own = [case for case in cases if case.network == network]
        images = 4_096 if network == "resnet50" else 50_000
        here = Shape(rounds, shape.turns, 100 if device == "cuda" else 15, images, 128, device)
        if asked.tiny:
            here = Shape(1, 1, 2, 64, 4, device)
        found[network] = speeds(own, network, here)
        rows += speed_rows(own, found[network])
    if not asked.gpu and (asked.cases is None or "memory" in asked.cases):
        found["memory"] = memory(Shape(1, 1, 2, 64, 4, device) if asked.tiny else shape)
        rows += memory_rows(found["memory"])
    print(table(rows))
    here_is = machine()
    print(f"\n{here_is}")
    if asked.json is not None:
        kept = {name: {side: asdict(each) for side, each in sides.items()} for name, sides in found.items()}
        document: dict[str, Any] = {
            "machine": asdict(here_is),
            "rows": [asdict(row) for row in rows],
            "rounds": kept,
        }
        asked.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
