"""Diagnostics as text: for people, for editors (one a line), for programs (JSON) and for GitHub.

What a report quotes comes from files that strangers write, so nothing goes out before `sanitize` or JSON's
own escapes have seen it.
"""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from unicodedata import category, east_asian_width

from archspec.errors import Related, concise, where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archspec.errors import Diagnostic, Span

Format = Literal["human", "concise", "json", "github"]

SCHEMA_VERSION = 1
# A source line is shown in a window this wide; a hint stands behind its mark if both end before this.
WINDOW = 100
_BEFORE = 60

# Control, format (bidi overrides, zero-width, tags), line and paragraph separator, lone surrogate.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_ANSI = {"error": "1;31", "warning": "1;33", "message": "1", "frame": "1;34", "note": "36"}
# The characters that end a message or a value of a workflow command of GitHub.
_IN_MESSAGE = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_VALUE = _IN_MESSAGE | str.maketrans({":": "%3A", ",": "%2C"})


def sanitize(text: str) -> str:
    r"""The text with every character that could steer a terminal written out, as in `\x1b`."""
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def render(
    diagnostics: Sequence[Diagnostic],
    format: Format,
    *,
    color: bool,
    sources: Callable[[str], str | None] | None = None,
) -> str:
    """The report, without a line end after its last line. Only the human form uses color and sources."""
    if format == "json":
        document = {"schema_version": SCHEMA_VERSION, "diagnostics": list(map(_record, diagnostics))}
        from json import dumps

        return dumps(document, indent=2)
    if format == "concise":
        return "\n".join(sanitize(concise(diagnostic)) for diagnostic in diagnostics)
    if format == "github":
        return "\n".join(map(_annotation, diagnostics))
    if not diagnostics:
        return ""
    human = _Human(color, sources or _read)
    blocks = ["\n".join(human.block(diagnostic)) for diagnostic in diagnostics]
    return "\n\n".join([*blocks, _summary(diagnostics)])


class _Human:
    """The long form. Keeps the lines of the files that it quotes."""

    def __init__(self, color: bool, sources: Callable[[str], str | None]) -> None:
        self._color = color
        self._sources = sources
        self._lines: dict[str, list[str]] = {}

    def block(self, diagnostic: Diagnostic) -> list[str]:
        """One diagnostic: what, where, why, the second places, and where to read more."""
        severity, code = diagnostic.severity, sanitize(diagnostic.code)
        above = diagnostic.span
        margin = " " * len(str(max(above.line, *(second.span.line for second in diagnostic.related), 1)))
        title = self._paint(f": {sanitize(diagnostic.message)}", "message")
        lines = [self._paint(f"{severity}[{code}]", severity) + title]
        lines += self._place(above, margin, ("-->", "^", severity), "hint", diagnostic.hint)
        for second in diagnostic.related:
            # A bar joins two excerpts; without an excerpt above there is nothing to join.
            lines += [self._bar(margin)] if self._line(above) is not None else []
            lines += self._place(second.span, margin, (":::", "-", "note"), "note", second.message)
            above = second.span
        return [*lines, self._extra(margin, f"help: archspec explain {code}")]

    def _place(self, span: Span, margin: str, look: tuple[str, str, str], word: str, label: str) -> list[str]:
        """A place and the line that stands there; the label goes behind the mark where it has room."""
        arrow, mark, style = look
        label = sanitize(label)
        lines = [f"{margin}{self._paint(arrow, 'frame')} {sanitize(where(span))}"]
        text, behind = self._line(span), ""
        if text is not None:
            shown, indent, width = _window(text, span)
            behind = label if indent + width + 1 + _width(label) <= WINDOW else ""
            number = self._paint(f"{span.line:>{len(margin)}} |", "frame")
            marks = self._paint(f"{mark * width} {behind}".rstrip(), style)
            lines += [self._bar(margin), f"{number} {shown}".rstrip()]
            lines.append(f"{self._bar(margin)} {' ' * indent}{marks}")
        return lines if behind == label else [*lines, self._extra(margin, f"{word}: {label}")]

    def _line(self, span: Span) -> str | None:
        if span.file not in self._lines:
            text = self._sources(span.file)
            # Not `splitlines`, which also splits where TOML does not: form feed, U+2028 and more.
            self._lines[span.file] = text.split("\n") if text else []
        lines = self._lines[span.file]
        return lines[span.line - 1].removesuffix("\r") if 0 < span.line <= len(lines) else None

    def _bar(self, margin: str) -> str:
        return margin + self._paint(" |", "frame")

    def _extra(self, margin: str, text: str) -> str:
        return margin + self._paint(" =", "frame") + f" {text}"

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{_ANSI[style]}m{text}\x1b[0m" if self._color else text


def _window(line: str, span: Span) -> tuple[str, int, int]:
    """The part of a line to show, and the columns before its mark and under it."""
    start = min(span.column - 1, len(line))
    end = min(span.end_column - 1, len(line)) if span.end_line == span.line else len(line)
    # Cut by characters before looking at any, so that a line of a megabyte costs no more than a short one.
    first = max(0, start - WINDOW)
    cells = ["    " if char == "\t" else sanitize(char) for char in line[first : start + WINDOW]]
    widths = [_width(cell) for cell in cells]
    at = start - first
    left, right = 0, len(cells)
    if first or first + right < len(line) or sum(widths) > WINDOW:
        left = at - _fitting(widths[:at][::-1], _BEFORE)
        right = at + _fitting(widths[at:], WINDOW - sum(widths[left:at]))
    lead, tail = "…" * (first + left > 0), "…" * (first + right < len(line))
    marked = sum(widths[at : min(end - first, right)])
    shown = lead + "".join(cells[left:right]) + tail
    return shown, len(lead) + sum(widths[left:at]), max(1, marked)


def _fitting(widths: Sequence[int], room: int) -> int:
    """How many of these fit into the room."""
    return sum(total <= room for total in accumulate(widths))


def _width(text: str) -> int:
    """Columns on a terminal: two for wide characters, none for accents that sit on the one before."""
    return sum(0 if category(char) in ("Mn", "Me") else 1 + (east_asian_width(char) in "WF") for char in text)


def _visible(char: str) -> str:
    return ascii(char)[1:-1] if category(char) in _UNSAFE else char


def _read(file: str) -> str | None:
    """The text of a plain file with its line ends as they are, or None."""
    try:
        path = Path(file)
        # Spans do not count a byte order mark.
        return path.read_bytes().decode().removeprefix("\ufeff") if path.is_file() else None
    except (OSError, ValueError):
        return None


def _summary(diagnostics: Sequence[Diagnostic]) -> str:
    severities = [diagnostic.severity for diagnostic in diagnostics]
    counts = [(severities.count(kind), kind) for kind in ("error", "warning")]
    files = {diagnostic.span.file for diagnostic in diagnostics}
    where = sanitize(files.pop()) if len(files) == 1 else f"{len(files)} files"
    return ", ".join(f"{n} {kind}{'s' * (n > 1)}" for n, kind in counts if n) + f" in {where}"


def _record(item: Diagnostic | Related) -> dict[str, Any]:
    span = item.span
    place = {
        "message": item.message,
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }
    if isinstance(item, Related):
        return place
    related = list(map(_record, item.related))
    return {"code": item.code, "severity": item.severity, **place, "hint": item.hint, "related": related}


def _annotation(diagnostic: Diagnostic) -> str:
    """One workflow command of GitHub, with the hint on a second line of the message."""
    span = diagnostic.span
    places: dict[str, str | int] = {"file": span.file}
    if span.line:
        places |= {"line": span.line, "col": span.column}
        places |= {"endLine": span.end_line, "endColumn": span.end_column}
    places["title"] = diagnostic.code
    if span.line != span.end_line:
        # GitHub refuses columns that lie on two lines.
        del places["col"], places["endColumn"]
    values = ",".join(f"{name}={sanitize(str(value)).translate(_IN_VALUE)}" for name, value in places.items())
    said = [diagnostic.message, *([f"hint: {diagnostic.hint}"] if diagnostic.hint else [])]
    message = "\n".join(map(sanitize, said)).translate(_IN_MESSAGE)
    return f"::{diagnostic.severity} {values}::{message}"
