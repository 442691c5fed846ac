"""`archspec check`: every mistake of every spec and of every detector."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from archspec.errors import SpecError
from archspec_cli import reports
from archspec_cli.loading import load_any
from archspec_cli.output import data, fail, say, use_color

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archspec.errors import Diagnostic

_UNREADABLE = ("AS001", "AS002")


def run(
    specs: Sequence[str],
    format_: reports.Format = "human",
    changes: list[str] | None = None,
    *,
    allow_outside: bool = False,
    budget: Mapping[str, int | None] | None = None,
) -> None:
    if not specs:
        fail("no SPEC is given", "archspec check specs/*.toml")
    found: list[Diagnostic] = []
    texts: dict[str, str] = {}
    for spec in specs:
        try:
            load_any(spec, changes, allow_outside=allow_outside, **budget or {})
        except SpecError as error:
            found += error.diagnostics
            texts |= error.texts
    # a base file with a mistake is found once through every file that extends it
    found = list(dict.fromkeys(found))
    if found or format_ == "json":
        data(reports.render(found, format_, color=use_color(sys.stdout), sources=texts.get))
    if not found:
        say(f"{len(specs)} {'spec is' if len(specs) == 1 else 'specs are'} fine")
        return
    raise SystemExit(2 if all(each.code in _UNREADABLE for each in found) else 1)
