"""Commands in processes of their own, forked from one that has imported torch: its import takes longer than most."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.context import ForkServerContext

_PATIENCE = 240


@cache
def _server() -> ForkServerContext:
    server = get_context("forkserver")
    server.set_forkserver_preload(["torch", "torchvision", "onnxruntime"])
    return server


def warm(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """The exit code of `archspec ARGUMENTS` in a folder, and what it printed: stdout, then stderr."""
    with tempfile.TemporaryDirectory() as said:
        process = _server().Process(
            target=_command, args=(list(arguments), folder, dict(environment), Path(said))
        )
        process.start()
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"archspec {' '.join(arguments)} takes more than {_PATIENCE} seconds")
        printed = "".join((Path(said) / name).read_text() for name in ("out", "err"))
        assert process.exitcode is not None
        return process.exitcode, printed


def _command(arguments: list[str], folder: Path, environment: dict[str, str], said: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv = ["archspec", *arguments]

    from archspec_cli import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
