"""`archspec check SPEC` and `archspec show SPEC`, the two that people type all day, without Typer.

Typer validates arguments through Pydantic adapters, and importing those takes as long as the command itself.
A spec and no options need no parsing; everything else, help included, goes the ordinary way.
"""

from __future__ import annotations

import gc
import os
import sys
from types import ModuleType
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
    if command not in ("check", "show"):
        return False
    _without_plugins()
    gc.disable()  # a run this short makes no garbage worth looking for
    if command == "check":
        from archspec_cli.commands import check

        check.run([spec])
    else:
        from archspec_cli.commands import show

        show.run(spec)
    return True


def _without_plugins() -> None:
    """Keeps Pydantic from importing its plugin loader, and with it email, socket and zipfile.

    PYDANTIC_DISABLE_PLUGINS makes the loader return nothing, but it is imported all the same: a seventh of the
    whole run. Should a later Pydantic not ask for it under this name, nothing changes but the time.
    """
    loader = ModuleType("pydantic.plugin._loader")
    loader.get_plugins = tuple  # type: ignore[attr-defined]
    sys.modules.setdefault(loader.__name__, loader)
