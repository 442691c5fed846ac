"""A process of its own that loads what nobody should trust: it may hang, and is killed then."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import unicodedata
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LIMIT = 5.0
"""Seconds of the processor for what should take about one."""
HANG = 60.0
"""Seconds of a clock: on a crowded machine the processor's may take long."""
WORKER = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
import archspec
from archspec_cli.reports import render

def outcome(job):
    try:
        loaded = archspec.load(job["path"], settings=job["settings"])
        return {"hash": loaded.hash, "lines": archspec.source(loaded).count("\\n")}
    except archspec.SpecError as error:
        found = error.diagnostics
        reports = [
            render(found, form, color=False, sources=error.texts.get)
            for form in ("human", "concise", "github", "json")
        ]
        return {"found": [[each.code, each.message, each.hint, each.span.line] for each in found], "reports": reports}
    except BaseException as error:
        return {"raised": f"{type(error).__name__}: {error}"[:300]}

for line in sys.stdin:
    start = time.process_time()
    answer = outcome(json.loads(line))
    print(json.dumps({**answer, "seconds": time.process_time() - start}), flush=True)
"""
STEM = """\
format = 1
name = "net"

[input]
size = [8, 8]
"""
NET = f"""\
{STEM}
[defaults]
block = "own"
shortcut = "B"

[blocks.own]
layers = [{{ conv = 3, out = "width", act = false }}]

[[stages]]
name = "a"
width = 4

[head]
layers = [{{ pool = "average" }}, {{ linear = 10 }}]
"""


@dataclass
class Outcome:
    """What came of loading, hashing and printing a spec."""

    raised: str = ""
    found: Sequence[tuple[str, str, str, int]] = ()
    reports: Sequence[str] = ()
    hash: str = ""
    lines: int = 0
    seconds: float = 0.0

    @property
    def codes(self) -> set[str]:
        """The codes of what was found."""
        return {code for code, *_ in self.found}

    def refused(self, *codes: str) -> Outcome:
        """Asserts that a diagnostic says no, with one of some codes if any are given, and cannot hurt a terminal."""
        assert not self.raised, self.raised
        assert self.found, "it loads"
        assert not codes or self.codes & set(codes), self.found[:3]
        for code, message, _, line in self.found:
            assert code.startswith("AS")
            assert message
            assert line >= 1
            assert len(message) < 2000, "a message quotes, it does not copy"
        assert len(self.found) <= 250
        for report in self.reports:
            steering = {
                char for char in report if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
            }
            assert steering <= {"\n"}
        return self

    def finished(self) -> Outcome:
        """Asserts that it is refused, or loaded and hashed and printed: either way, in time."""
        return self if self.hash else self.refused()


class Jail:
    """Runs one spec after the other, each with a limit of time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None

    def text(self, text: str | bytes, *settings: str, file: str = "net.toml") -> Outcome:
        """What comes of a spec with this text."""
        path = self.folder / file
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.load(path, *settings)

    def load(self, path: Path | str, *settings: str) -> Outcome:
        """What comes of a path."""
        found = Outcome(**self._ask({"path": str(path), "settings": settings}))
        return replace(found, raised=f"takes {found.seconds:.1f} seconds") if found.seconds > LIMIT else found

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self._ask({"path": "nothing.toml", "settings": []})  # the imports are not on the clock
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            if not waiting.select(HANG):
                self.close()
                return {"raised": f"killed after {HANG} seconds"}
        line = self.process.stdout.readline()
        if not line:
            self.close()
            return {"raised": "the process died"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Ends the process, whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


@pytest.fixture(scope="module")
def jail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jail]:
    """One process for a file's tests."""
    made = Jail(tmp_path_factory.mktemp("jail"))
    yield made
    made.close()
