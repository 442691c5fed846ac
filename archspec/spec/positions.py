"""Where the keys and values of a TOML file stand.

`tomllib` gives values without places, so a file with a mistake is read a second time, by tree-sitter. That
happens only when there is something to report, hence the imports inside `index`.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from archspec.errors import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tree_sitter import Node

    from archspec.errors import Loc

# No honest spec nests this deep; a hostile one costs no more than this, and deeper things have no place.
MAX_DEPTH = 100
_KEY_TYPES = frozenset({"bare_key", "quoted_key", "dotted_key"})

# Byte offsets, because few of them are ever turned into lines and columns.
_Range = tuple[int, int]
_Part = tuple[str, _Range]


@dataclass(slots=True)
class _Place:
    """One table, array or value, and what it holds."""

    key: _Range | None = None
    value: _Range | None = None
    is_table: bool = True
    is_repeated: bool = False
    inner: dict[str | int, _Place] = field(default_factory=dict)


_Work = tuple[_Place, "Node", int]


class Positions:
    """The places of the keys and values of one file."""

    def __init__(self, root: _Place, data: bytes, file: str) -> None:
        self._root = root
        self._data = data
        self._file = file
        self._starts = [0, *accumulate(len(line) + 1 for line in data.split(b"\n"))]

    def find(self, loc: Loc, at: Literal["key", "value"]) -> Span:
        """The span of the key or value at a path, or of the nearest thing around it that the file has."""
        place = self._root
        for step in loc:
            inner = place.inner.get(step)
            if inner is None:
                return self._span(place, "key" if place.is_table else "value")
            place = inner
        return self._span(place, at)

    def _span(self, place: _Place, at: Literal["key", "value"]) -> Span:
        key, value = place.key or place.value, place.value or place.key
        if key is None or value is None:
            return Span(self._file, 1, 1, 1, 1)
        # A caret under many lines says less than one under the name of the table.
        spread = place.is_table and self._data.find(b"\n", *value) >= 0
        start, end = key if at == "key" or spread else value
        return Span(self._file, *self._line_and_column(start), *self._line_and_column(end))

    def _line_and_column(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        before = self._data[self._starts[line - 1] : offset]
        return line, len(before.decode()) + 1


def index(text: str, file: str) -> Positions:
    """Find the places of everything in a TOML file. A broken part of the file has none; the rest does."""
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    # A lone surrogate has no UTF-8 form; any one character in its place keeps the columns right.
    data = text.encode("utf-8", "replace")
    tree = Parser(Language(tree_sitter_toml.language())).parse(data)
    root = _Place()
    top = tree.root_node.named_children
    work: list[_Work] = list(_entries(root, top, 0, data))
    for node in top:
        work.extend(_section(root, node, data))
    # A list of work instead of recursion: a hostile file nests deeper than the interpreter's stack.
    while work:
        place, node, depth = work.pop()
        place.value = (node.start_byte, node.end_byte)
        place.is_table = node.type == "inline_table"
        if depth < MAX_DEPTH:
            work.extend(_held(place, node, depth, data))
    return Positions(root, data, file)


def _section(root: _Place, node: Node, data: bytes) -> Iterator[_Work]:
    """The values below one `[header]` or `[[header]]`."""
    header = next((child for child in node.named_children if child.type in _KEY_TYPES), None)
    if node.type not in ("table", "table_array_element") or header is None:
        return
    parts = _parts(header, data)
    place = _descend(root, parts[:MAX_DEPTH])
    if len(parts) > MAX_DEPTH:
        return
    # A table's own header is the better place than an earlier header that only passed through it.
    if node.type == "table":
        place.key = parts[-1][1]
    else:
        place.is_repeated = True
        place = place.inner.setdefault(len(place.inner), _Place(key=parts[-1][1]))
    yield from _entries(place, node.named_children, len(parts), data)


def _entries(table: _Place, nodes: Iterable[Node], depth: int, data: bytes) -> Iterator[_Work]:
    """The values of a table's `key = value` pairs."""
    for pair in nodes:
        key_and_value = _solid(pair) if pair.type == "pair" else []
        if not key_and_value[1:] or key_and_value[0].type not in _KEY_TYPES:
            continue
        parts = _parts(key_and_value[0], data)
        place = _descend(table, parts[: MAX_DEPTH - depth])
        if depth + len(parts) <= MAX_DEPTH:
            yield place, key_and_value[1], depth + len(parts)


def _held(place: _Place, node: Node, depth: int, data: bytes) -> Iterator[_Work]:
    """The values inside an inline table or an array."""
    if node.type == "inline_table":
        yield from _entries(place, node.named_children, depth, data)
    if node.type != "array":
        return
    for child in _solid(node):
        yield place.inner.setdefault(len(place.inner), _Place()), child, depth + 1


def _solid(node: Node) -> list[Node]:
    """The children that mean something. The comment behind a pair is a child of that pair."""
    return [child for child in node.named_children if child.type not in ("comment", "ERROR")]


def _descend(place: _Place, parts: Iterable[_Part]) -> _Place:
    """Follow a dotted key, making what it names. An array of tables stands for its last element."""
    for name, where in parts:
        if place.is_repeated:
            place = place.inner[len(place.inner) - 1]
        place = place.inner.setdefault(name, _Place(key=where))
    return place


def _parts(node: Node, data: bytes) -> list[_Part]:
    """The segments of a key, at most one more than is ever followed."""
    segments = []
    # The grammar nests `a.b.c` to the left: the last segment is on top, the first at the bottom.
    while node.type == "dotted_key" and node.named_children:
        segments.append(node.named_children[-1])
        node = node.named_children[0]
    segments.append(node)
    return [(_name(part, data), (part.start_byte, part.end_byte)) for part in segments[: -MAX_DEPTH - 2 : -1]]


def _name(node: Node, data: bytes) -> str:
    """A key without its quotes and escapes."""
    text = data[node.start_byte : node.end_byte].decode()
    if node.type != "quoted_key":
        return text
    if "\\" not in text:
        return text[1:-1]
    try:
        return str(tomllib.loads(f"key = {text}")["key"])
    except tomllib.TOMLDecodeError:
        return text[1:-1]
