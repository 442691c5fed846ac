"""XML from strangers: no document types, so nothing is expanded or fetched; bounded; each element with its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_ELEMENTS = 100_000
MOST_DEEP = 16
MOST_TEXT = 1000
"""Characters of one element; more is cut off."""


class Broken(ValueError):
    """Text that is not XML, or not of a kind that is read. `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(slots=True, eq=False)
class Element:
    """A name, the line it starts on, its own text and the elements in it."""

    name: str
    line: int
    text: str = ""
    inside: list[Element] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Element]:
        """Those directly within that have this name."""
        return (each for each in self.inside if each.name == name)

    def first(self, name: str) -> Element | None:
        """The first of them."""
        return next(self.all(name), None)

    def said(self, name: str) -> str:
        """The text of the first of them, without space around it; nothing where there is none."""
        found = self.first(name)
        return found.text.strip() if found else ""


class _Builder:
    def __init__(self, parser: expat.XMLParserType) -> None:
        self.root = Element("", 1)
        self.open = [self.root]
        self.parser = parser
        self.count = 0

    @property
    def line(self) -> int:
        return self.parser.CurrentLineNumber

    def start(self, name: str, _: dict[str, str]) -> None:
        self.count += 1
        if self.count > MOST_ELEMENTS or len(self.open) > MOST_DEEP:
            message = f"more than {MOST_ELEMENTS:,} elements, or one more than {MOST_DEEP} deep"
            raise Broken(message, self.line)
        element = Element(name, self.line)
        self.open[-1].inside.append(element)
        self.open.append(element)

    def end(self, _: str) -> None:
        self.open.pop()

    def text(self, text: str) -> None:
        element = self.open[-1]
        element.text += text[: MOST_TEXT - len(element.text)]

    def refused(self, *_: Any) -> None:
        raise Broken("a document type is declared, which annotations have no use for", self.line)


def parsed(content: bytes) -> Element:
    """The outermost element. Raises `Broken`."""
    parser = expat.ParserCreate()
    builder = _Builder(parser)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.refused
    parser.buffer_text = True
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise Broken(f"this is not XML: {expat.ErrorString(error.code)}", error.lineno) from error
    except (ValueError, LookupError) as error:  # an encoding that there is none of
        if isinstance(error, Broken):
            raise
        raise Broken(f"this is not XML: {str(error)[:200]}", 1) from error
    return builder.root.inside[0]
