"""Reading spec files safely: one `Document` a file, with its text kept for diagnostics.

A spec is untrusted. Only regular files are opened, at most 256 KiB are read, and what makes the TOML parser
slow or recurse is refused before or caught.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from archspec.errors import Diagnostic, Problem, Related, Span, SpecError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from archspec.errors import Loc
    from archspec.spec.positions import Positions

MAX_BYTES = 256 * 1024
MAX_DEPTH = 40
MAX_MESSAGE = 600
# tomllib takes quadratic time over a dotted key, so one of many parts is refused before it is parsed. Parts are
# looked at for 200 characters: a file holds too few longer ones to matter, and the search itself stays linear
_SEGMENT = r"""(?:[A-Za-z0-9_-]{1,200}+|"(?:[^"\\\n]|\\.){0,200}+"|'[^'\n]{0,200}+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_SEGMENT}[ \t]*+\.[ \t]*+){{{MAX_DEPTH}}}")
_SYNTAX_PLACE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")


@lru_cache(maxsize=16)
def _positions(text: str, file: str) -> Positions:
    """The places in a text. A hostile file has thousands of mistakes, and one index serves them all."""
    from archspec.spec.positions import index  # the grammar is only loaded for an error

    return index(text, file)


@dataclass(frozen=True, slots=True)
class Document:
    """One TOML text and the table it holds. `path` is None for standard input and for `--set`."""

    file: str
    text: str
    data: Mapping[str, Any]
    path: Path | None = None

    def span(self, problem_loc: Loc, at: str) -> Span:
        """Where a field stands, or its nearest known ancestor."""
        return _positions(self.text, self.file).find(problem_loc, "key" if at == "key" else "value")

    def diagnostic(self, problem: Problem) -> Diagnostic:
        """A problem of this document alone."""
        related = tuple(Related(clipped(note.message), self.span(note.loc, "key")) for note in problem.notes)
        span = self.span(problem.loc, problem.at)
        return Diagnostic(
            problem.code, clipped(problem.message), span, clipped(problem.hint), related=related
        )


def fail(
    file: str, code: str, message: str, hint: str = "", text: str = "", place: tuple[int, int] = (1, 1)
) -> SpecError:
    """The error for a file that could not be read at all."""
    line, column = place
    span = Span(file, line, column, line, column + 1)
    return SpecError([Diagnostic(code, clipped(message), span, clipped(hint))], {file: text})


def clipped(text: str) -> str:
    """A message quotes what a hostile file says; it does not copy it."""
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def read(path: Path, hint: Callable[[], str] = str) -> Document:
    """A spec file. Raises `SpecError` for what cannot be read, is not a plain file, or is not TOML.

    `hint` is asked what may have been meant when there is no such file.
    """
    return parse(_read_bytes(path, str(path), hint), str(path), path)


def read_stdin() -> Document:
    """A spec from standard input, `-` on the command line."""
    return parse(sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>", None)


def _read_bytes(path: Path, file: str, hint: Callable[[], str]) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        match = similar_file(path)
        beside = f'did you mean "{path.parent / match}"?' if match else ""
        # a word without an ending names a shipped spec more likely than a file
        hints = (beside, hint()) if path.suffix else (hint(), beside)
        raise fail(file, "AS001", "no such file", hints[0] or hints[1]) from error
    except (OSError, ValueError) as error:
        raise fail(file, "AS001", f"cannot be read: {_reason(error)}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise fail(file, "AS002", f"{kind}, but a spec is a TOML file")
    try:
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise fail(file, "AS001", f"cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def similar_file(path: Path) -> str | None:
    """The name of a TOML file beside a missing one that comes close to it."""
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix == ".toml"]
    except (OSError, ValueError):
        return None
    return nearest(path.name, names) or nearest(f"{path.name}.toml", names)


def parse(content: bytes, file: str, path: Path | None) -> Document:
    """The document in some bytes. Raises `SpecError` for anything that is not bounded, UTF-8 TOML."""
    if len(content) > MAX_BYTES:
        raise fail(file, "AS003", f"larger than {MAX_BYTES // 1024} KiB: no spec needs that")
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise fail(file, "AS004", f"not UTF-8 at byte {error.start}", place=(line, 1)) from error
    long_key = _LONG_KEY.search(text)
    if long_key is not None:
        raise fail(
            file,
            "AS006",
            f"a dotted key of more than {MAX_DEPTH} parts",
            "",
            text,
            _place(text, long_key.start()),
        )
    return Document(file, text, _table(text, file), path)


def _table(text: str, file: str) -> dict[str, Any]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, place = _syntax(str(error), text)
        raise fail(file, "AS005", message, "see https://toml.io/en/v1.0.0", text, place) from error
    except RecursionError as error:
        raise fail(file, "AS006", "nested too deeply", "", text) from error
    except ValueError as error:  # an integer of more than 4,300 digits is not a TOMLDecodeError
        raise fail(file, "AS007", "a number is too long", "", text) from error
    if _too_deep(table):
        raise fail(file, "AS006", f"tables are nested more than {MAX_DEPTH} deep", "", text)
    return table


def _syntax(message: str, text: str) -> tuple[str, tuple[int, int]]:
    match = _SYNTAX_PLACE.search(message)
    if match is None:
        return message, (1, 1)
    cleaned = message[: match.start()]
    cleaned = cleaned[:1].lower() + cleaned[1:]
    if match[1] is None:
        return f"{cleaned} at the end of the file", _place(text, len(text.rstrip()))
    return cleaned, (int(match[1]), int(match[2]))


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _too_deep(table: Any) -> bool:
    level = [table]
    for _ in range(MAX_DEPTH):
        inner = [child for value in level if isinstance(value, (dict, list)) for child in _children(value)]
        if not inner:
            return False
        level = inner
    return True


def _children(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
