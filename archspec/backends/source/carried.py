"""The spec that a generated file carries, as comments at its end: what `archspec verify` prints it anew from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import tomli_w

from archspec.backends.source.encode import Src
from archspec.backends.source.layout import WIDTH

if TYPE_CHECKING:
    from collections.abc import Mapping

TITLE = "# The spec, on its own:"
_GAP = re.compile(r"(?<=[^\s]) {2,}")
"""Several spaces that are no indentation stand in a string; a line cut among them would lose some."""
_START, _GOES_ON = "# ", "#: "


def spec_lines(table: Mapping[str, Any]) -> list[Src]:
    """A spec as comments in ASCII. A line too long for the file goes on behind `#: `."""
    text = "".join(_ascii(character) for character in tomli_w.dumps(table))
    text = _GAP.sub(lambda gap: "\\u0020" * len(gap[0]), text)
    lines = [Src(TITLE)]
    for line in text.split("\n"):
        if line:
            first, *rest = _pieces(line, WIDTH - len(_GOES_ON))
            lines += [Src(f"{_START}{first}"), *(Src(f"{_GOES_ON}{piece}") for piece in rest)]
    return lines


def carried_spec(source: str) -> str | None:
    """The TOML that a generated file carries; None where it carries none."""
    # the last: a description may hold such a line too
    _, found, tail = source.rpartition(f"\n{TITLE}\n")
    if not found:
        return None
    parts = []
    for line in tail.split("\n"):
        if line.startswith(_GOES_ON):
            parts.append(line.removeprefix(_GOES_ON))
        elif line.startswith(_START):
            parts.append(f"\n{line.removeprefix(_START)}")
    return "".join(parts).removeprefix("\n") + "\n"


def _ascii(character: str) -> str:
    """Printable ASCII as it is. All else stands in strings, where TOML has an escape for it."""
    if character == "\n" or " " <= character <= "~":
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _pieces(line: str, width: int) -> list[str]:
    """The line in pieces, cut before a space where there is one: a space at a line's end would not last."""
    pieces = []
    while len(line) > width:
        space = line.rfind(" ", width // 2, width + 1)
        end = space if space > 0 and line[space - 1] != " " else width
        while line[end - 1] == " ":
            end -= 1
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]
