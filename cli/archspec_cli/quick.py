"""`archspec check SPEC` and `archspec show SPEC`, the two that people type all day, without Typer.

Typer validates arguments through Pydantic adapters, and importing those takes as long as the command itself.
A spec and no options need no parsing; everything else, help included, goes the ordinary way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(arguments: Sequence[str]) -> bool:
    """Runs the command if it is one of the two in their plainest form, and says whether it did."""
    if len(arguments) != 2 or any(name.startswith(("ARCHSPEC_", "_ARCHSPEC_")) for name in os.environ):
        return False
    command, spec = arguments
    if spec.startswith("-") and spec != "-":
        return False
    if command == "check":
        from archspec_cli.commands import check

        check.run([spec])
        return True
    if command == "show":
        from archspec_cli.commands import show

        show.run(spec)
        return True
    return False
