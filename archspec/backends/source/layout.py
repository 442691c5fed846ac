"""Lays calls out as the usual formatters do: on one line where they fit, else one argument a line."""

from __future__ import annotations

from dataclasses import dataclass

from archspec.backends.source.encode import Src

WIDTH = 88
INDENT = "    "
NOTHING = Src("")


@dataclass(frozen=True, slots=True)
class Invocation:
    """`head(argument, ...)`, where arguments may be invocations themselves. `prefix` is `name=` or `*`."""

    head: Src
    arguments: tuple[Invocation | Src, ...] = ()
    prefix: Src = NOTHING
    suffix: Src = NOTHING


Code = Invocation | Src


def flat(code: Code) -> Src:
    """The code on one line."""
    if isinstance(code, Src):
        return code
    inner = ", ".join(flat(argument) for argument in code.arguments)
    return Src(f"{code.prefix}{code.head}({inner}{code.suffix})")


def lay_out(code: Code, before: str, level: int, after: str = "") -> list[Src]:
    """The lines of `before + code + after` at an indentation level."""
    margin = INDENT * level
    line = f"{margin}{before}{flat(code)}{after}"
    if len(line) <= WIDTH or isinstance(code, Src) or not code.arguments:
        return [Src(line)]
    lines = [Src(f"{margin}{before}{code.prefix}{code.head}(")]
    if code.suffix:
        return _generator(code, lines, margin, level, after)
    # the trailing comma keeps formatters from joining the lines again
    for argument in code.arguments:
        lines += lay_out(argument, "", level + 1, ",")
    return [*lines, Src(f"{margin}){after}")]


def _generator(code: Invocation, lines: list[Src], margin: str, level: int, after: str) -> list[Src]:
    """`*(Block(...) for _ in range(n))` over several lines."""
    (element,) = code.arguments
    lines += lay_out(element, "", level + 1)
    return [*lines, Src(f"{margin}{INDENT}{code.suffix.strip()}"), Src(f"{margin}){after}")]
