"""The user's mistakes as values: what is wrong, where, why, and the nearest right word.

A `Problem` points into a spec by path (`("stages", 2, "width")`), because that is what validation, lowering
and counting know. The spec layer turns it into a `Diagnostic`, which points into a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

Loc = tuple[str | int, ...]
Severity = Literal["error", "warning"]


class Span(NamedTuple):
    """A place in a file. Lines and columns are 1-based and count characters; the end is exclusive.

    Line 0 is the file as a whole: what is not text has no lines.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


class Note(NamedTuple):
    """A second place that a problem involves, and what stands there."""

    loc: Loc
    message: str


class Problem(NamedTuple):
    """A mistake in a spec, placed by the path of the field that holds it."""

    code: str
    message: str
    loc: Loc = ()
    hint: str = ""
    at: Literal["key", "value"] = "value"
    notes: tuple[Note, ...] = ()


class Related(NamedTuple):
    """A second place, in a file."""

    message: str
    span: Span


class Diagnostic(NamedTuple):
    """A mistake, placed in a file: what every report of archspec is made of."""

    code: str
    message: str
    span: Span
    hint: str = ""
    severity: Severity = "error"
    related: tuple[Related, ...] = ()


class InputError(Exception):
    """A file that cannot be used. Carries every diagnostic found, in order, and the texts for excerpts."""

    def __init__(self, diagnostics: Sequence[Diagnostic], texts: Mapping[str, str] | None = None) -> None:
        self.diagnostics = tuple(diagnostics)
        self.texts = dict(texts or {})
        super().__init__("\n".join(concise(diagnostic) for diagnostic in self.diagnostics))


class SpecError(InputError):
    """A spec that cannot be used."""


class FileError(InputError):
    """A weights file, a model or a picture that cannot be used."""


def file_error(file: str | PathLike[str], code: str, *messages: str, hint: str = "") -> FileError:
    """The error for a file that is not text: one diagnostic a message, each about the file as a whole."""
    span = Span(str(file), 0, 0, 0, 0)
    last = len(messages) - 1
    return FileError(
        [Diagnostic(code, text, span, hint if place == last else "") for place, text in enumerate(messages)]
    )


class ProblemsFound(Exception):
    """Raised inside the compiler, where files are not known; the spec layer turns it into a `SpecError`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.message for problem in self.problems))


def concise(diagnostic: Diagnostic) -> str:
    """One line: `file:line:column: CODE message`."""
    return f"{where(diagnostic.span)}: {diagnostic.code} {diagnostic.message}"


def where(span: Span) -> str:
    """A place as people write it: `file:line:column`, or the file alone."""
    return f"{span.file}:{span.line}:{span.column}" if span.line else span.file


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a mistyped one, or None. One that lies in a folder is the word itself."""
    from difflib import get_close_matches

    words = list(known)
    inside = [each for each in words if f"/{each}".endswith(f"/{word}")]
    matches = sorted(inside, key=len) or get_close_matches(word, words, n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "x"?`, or the list of what is known when nothing is close and the list is short."""
    words = sorted(known)
    if len(word) > 100 or len(words) > 200:
        return ""
    match = nearest(word, words)
    if match is not None:
        return f'did you mean "{match}"?'
    return f"known here: {', '.join(words)}" if 0 < len(words) <= 30 else ""
