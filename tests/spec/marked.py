"""Specs with marks where diagnostics belong: `»here«` is the mistake, `⟦there⟧` a related place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

import archspec

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.errors import Diagnostic, Span

BASE = """\
format = 1
name = "net"

[params]
n = 1

[input]
size = [32, 32]

[stem]
layers = [{ conv = 3, out = 16 }]

[defaults]
block = "basic"
shortcut = "B"

[norm]
kind = "batch"

[blocks.own]
layers = [
  { conv = 3, out = "width" },
  { conv = 3, out = "width", act = false },
]

[[stages]]
name = "a"
depth = "n"
width = 16

[[stages]]
name = "b"
width = 32
stride = 2

[head]
layers = [{ pool = "average" }, { linear = 10 }]
"""
Place = tuple[int, int, int, int]


def changed(text: str, *changes: tuple[str, str]) -> str:
    """A spec with parts replaced; each part must be there exactly once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is in the spec {text.count(old)} times"
        text = text.replace(old, new)
    return text


OWN = changed(BASE, ('block = "basic"', 'block = "own"'))


def unmarked(text: str) -> str:
    """A spec without its marks."""
    return re.sub("[»«⟦⟧]", "", text)


def places(text: str, marks: str) -> list[Place]:
    """Line, column, end line and end column of every marked place, 1-based, in characters, end exclusive."""

    def at(offset: int) -> tuple[int, int]:
        lines = unmarked(text[:offset]).split("\n")
        return len(lines), len(lines[-1]) + 1

    found = re.finditer(f"{marks[0]}[^{marks}]*{marks[1]}", text)
    return [(*at(match.start()), *at(match.end())) for match in found]


def place(span: Span) -> Place:
    """The numbers of a span."""
    return span.line, span.column, span.end_line, span.end_column


def cut(error: archspec.SpecError, span: Span) -> str:
    """The text of one line that an excerpt would underline."""
    return error.texts[span.file].split("\n")[span.line - 1][span.column - 1 : span.end_column - 1]


def failing(path: Path, **options: Any) -> archspec.SpecError:
    """The error that loading a file raises."""
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(path, **options)
    return caught.value


def written(folder: Path, **files: str) -> Path:
    """Files `NAME.toml` in a folder, their marks removed; the path of the last one."""
    path = folder
    for name, text in files.items():
        path = folder / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(unmarked(text), encoding="utf-8")
    return path


def check(folder: Path, text: str, code: str, message: str, hint: str = "") -> Diagnostic:
    """Loading a marked spec gives one diagnostic, at the mark, with these words."""
    path = written(folder, net=text)
    error = failing(path)
    assert [each.code for each in error.diagnostics] == [code], str(error)
    (found,) = error.diagnostics
    assert found.span.file == str(path)
    assert [place(found.span)] == places(text, "»«"), str(error)
    assert message in found.message
    assert hint in found.hint, f"{found.hint!r} does not say {hint!r}"
    assert [place(each.span) for each in found.related] == places(text, "⟦⟧"), str(found.related)
    return found
