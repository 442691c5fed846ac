"""Sizes: whole numbers, or expressions over a block's and a spec's parameters.

`"4 * width"` is parsed into a tree, never evaluated as code. The grammar is integers, names, `+ - * //`,
brackets, and nothing else. Passes fill the names with integers; the source backend prints the tree back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Operator = Literal["+", "-", "*", "//"]

MAX_TEXT = 200
MAX_VALUE = 10**12
_TOKEN = re.compile(r"\s*(?:(?P<int>[0-9]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<op>//|[-+*()]))", re.ASCII)
_PRECEDENCE: dict[str, int] = {"+": 1, "-": 1, "*": 2, "//": 2}


class SizeError(ValueError):
    """An expression that cannot be read or has no value."""


@dataclass(frozen=True, slots=True)
class Var:
    """A parameter, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Binary:
    """Two sizes and the operator between them."""

    operator: Operator
    left: Size
    right: Size


Size = int | Var | Binary


def parse(text: str) -> Size:
    """Read an expression, for example `"4 * width"`."""
    if len(text) > MAX_TEXT:
        raise SizeError(f"the expression is {len(text)} characters long; at most {MAX_TEXT} are read")
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise SizeError(
                    f"{stripped[position:].strip()[:20]!r} is not an integer, a name or one of + - * // ( )"
                )
            assert match.lastgroup is not None
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()
        self.next = 0

    def whole(self) -> Size:
        if not self.tokens:
            raise SizeError("the expression is empty")
        size = self.sum(0)
        if self.next < len(self.tokens):
            raise SizeError(f"{self.tokens[self.next][1]!r} is not expected here")
        return size

    def peek(self) -> str:
        return self.tokens[self.next][1] if self.next < len(self.tokens) else ""

    def sum(self, depth: int) -> Size:
        return self.chain(("+", "-"), lambda: self.chain(("*", "//"), lambda: self.atom(depth)))

    def chain(self, operators: tuple[str, ...], operand: Callable[[], Size]) -> Size:
        left = operand()
        while self.peek() in operators:
            operator = self.tokens[self.next][1]
            self.next += 1
            left = combine(operator, left, operand())  # type: ignore[arg-type]
        return left

    def atom(self, depth: int) -> Size:
        if depth > 20:
            raise SizeError("brackets are nested too deeply")
        if self.next >= len(self.tokens):
            raise SizeError("the expression ends too early")
        kind, text = self.tokens[self.next]
        self.next += 1
        if kind == "int":
            return bounded(int(text)) if len(text) <= 15 else bounded(MAX_VALUE + 1)
        if kind == "name":
            return Var(text)
        if text != "(":
            raise SizeError(f"{text!r} is not expected here")
        inner = self.sum(depth + 1)
        if self.peek() != ")":
            raise SizeError("a bracket is not closed")
        self.next += 1
        return inner


def bounded(value: int) -> int:
    """The value, unless it is past what any network needs."""
    if abs(value) > MAX_VALUE:
        raise SizeError("the value is larger than 10**12")
    return value


def combine(operator: Operator, left: Size, right: Size) -> Size:
    """The operator applied, folded to an integer where both sides are known."""
    if isinstance(left, int) and isinstance(right, int):
        return _apply(operator, left, right)
    if operator == "*" and left == 1:
        return right
    if operator in ("*", "//") and right == 1:
        return left
    if operator in ("+", "-") and right == 0:
        return left
    if operator == "-" and left == right:
        return 0
    return Binary(operator, left, right)


def _apply(operator: Operator, left: int, right: int) -> int:
    if operator == "+":
        return bounded(left + right)
    if operator == "-":
        return bounded(left - right)
    if operator == "*":
        return bounded(left * right)
    if right == 0:
        raise SizeError("division by zero")
    return left // right


def substitute(size: Size, values: Mapping[str, Size]) -> Size:
    """The size with every known name replaced; unknown names stay."""
    if isinstance(size, int):
        return size
    if isinstance(size, Var):
        return values.get(size.name, size)
    return combine(size.operator, substitute(size.left, values), substitute(size.right, values))


def evaluate(size: Size, values: Mapping[str, Size] | None = None) -> int:
    """The integer a size stands for. Raises `SizeError` when a name is unknown."""
    known = size if values is None else substitute(size, values)
    if isinstance(known, int):
        return known
    raise SizeError(f"unknown: {', '.join(sorted(names(known)))}")


def names(size: Size) -> frozenset[str]:
    """The parameters a size depends on."""
    if isinstance(size, int):
        return frozenset()
    if isinstance(size, Var):
        return frozenset((size.name,))
    return names(size.left) | names(size.right)


def text(size: Size, rename: Callable[[str], str] = str) -> str:
    """The size as Python, with no brackets but the needed ones: `4 * width`."""
    if isinstance(size, int):
        # the grammar has no sign
        return str(size) if size >= 0 else f"0 - {-size}"
    if isinstance(size, Var):
        return rename(size.name)
    rank = _PRECEDENCE[size.operator]
    left, right = text(size.left, rename), text(size.right, rename)
    if _rank(size.left) < rank:
        left = f"({left})"
    # `a - (b - c)` and `a * (b // c)` keep their brackets: the operators are not associative
    if _rank(size.right) <= rank:
        right = f"({right})"
    return f"{left} {size.operator} {right}"


def _rank(size: Size) -> int:
    """How tightly a written size holds together."""
    if isinstance(size, Binary):
        return _PRECEDENCE[size.operator]
    return _PRECEDENCE["-"] if isinstance(size, int) and size < 0 else 3
