"""What all commands share: data to stdout, everything else to stderr, files whole or not at all."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from archspec_cli import reports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from archspec.errors import InputError

SCHEMA_VERSION = 1
Item = TypeVar("Item")


@dataclass(slots=True)
class Settings:
    """How this run talks. Set once, from the options before the command."""

    color: Literal["auto", "always", "never"] = "auto"
    quiet: bool = False
    json: bool = False
    format: reports.Format = "human"


settings = Settings()


def data(text: str) -> None:
    """A result, to stdout. Where the reader has gone (`archspec schema | head`) the run is over, and fine."""
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # what Python would still flush on its way out goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def tell(text: str) -> None:
    """A result for people, to stdout: whatever a spec put into it cannot steer a terminal."""
    data("\n".join(reports.sanitize(line) for line in text.split("\n")))


def say(text: str) -> None:
    """A remark, to stderr."""
    if not settings.quiet:
        sys.stderr.write(reports.sanitize(text) + "\n")


def emit_json(document: dict[str, Any]) -> None:
    """The one JSON document of a run."""
    import json

    data(json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2))


def fail(message: str, hint: str = "") -> NoReturn:
    """The user's mistake: said, and exit code 2."""
    # one line each: a line feed in a file's name begins none
    text = f"error: {reports.sanitize(message)}" + (f"\n  = help: {reports.sanitize(hint)}" if hint else "")
    sys.stderr.write(f"{text}\n")
    raise SystemExit(2)


def use_color(stream: Any) -> bool:
    """Whether a stream gets colors: as asked, by NO_COLOR and FORCE_COLOR, or on a terminal."""
    if settings.color != "auto":
        return settings.color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or bool(stream.isatty())


def report_diagnostics(error: InputError) -> None:
    """What is wrong with a file: to stderr for people, to stdout for programs."""
    chosen: reports.Format = "json" if settings.json else settings.format
    stream = sys.stdout if chosen == "json" else sys.stderr
    text = reports.render(error.diagnostics, chosen, color=use_color(stream), sources=error.texts.get)
    if stream is sys.stdout:
        data(text)
    else:
        stream.write(text + "\n")


def is_current(path: Path, text: str) -> bool:
    """Whether a file holds a text, byte for byte."""
    return path.is_file() and path.read_bytes() == text.encode()


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file so that it is there whole or not at all."""
    import tempfile  # with it comes a fifth of the standard library

    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content if isinstance(content, bytes) else content.encode())
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns aligned for reading: the first `left` to the left, numbers to the right, the rest as it comes."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    out = []
    for line in lines:
        cells = [
            cell.ljust(width) if place < left or not _numeric(rows, place) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        out.append("  ".join(cells).rstrip())
    out.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(reports.sanitize(line) for line in out)


def _numeric(rows: Sequence[Sequence[str]], place: int) -> bool:
    cells = [row[place] for row in rows if row[place] not in ("", "-")]
    return all(cell[0].isdigit() or cell[0] in "+-." for cell in cells)


def progress(items: Sequence[Item], label: str) -> Iterator[Item]:
    """The items, with a bar on a terminal and a plain line every two seconds in a pipe."""
    if settings.quiet:
        yield from items
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import track

        yield from track(items, description=label, console=Console(stderr=True), transient=True)
        return
    last = time.monotonic()
    for place, item in enumerate(items):
        yield item
        if time.monotonic() - last > 2:
            last = time.monotonic()
            say(f"{label}: {place + 1} of {len(items)}")


@contextmanager
def steps(label: str) -> Iterator[Callable[[str], None]]:
    """Says what is being done: on one line that is overwritten on a terminal, a line every two seconds in a pipe."""
    if settings.quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(label) as status:
            yield lambda text: status.update(f"{label}: {reports.sanitize(text)}")
    else:
        last = time.monotonic()

        def say_step(text: str) -> None:
            nonlocal last
            if time.monotonic() - last > 2:
                last = time.monotonic()
                say(f"{label}: {text}")

        yield say_step
