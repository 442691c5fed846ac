"""The command line. Commands are thin: they call the library and print what it returns."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import NoReturn

FOUND = 1
USER = 2
OURS = 101
INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the command line and leaves with its exit code."""
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8")  # whatever the locale says: specs are UTF-8
    _run()
    sys.exit(0)


def _open_streams() -> None:
    """Streams that are closed lead nowhere, and no file that is opened later gets their numbers."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open for as long as the run


def _run() -> None:
    """Turns whatever happens into a `SystemExit`."""
    from archspec.errors import InputError
    from archspec_cli import quick
    from archspec_cli.output import report_diagnostics

    # Pydantic would look through every installed package for plugins; a spec needs none
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    try:
        if not quick.run(sys.argv[1:]):
            from archspec_cli.app import app

            app(prog_name="archspec")
    except InputError as error:
        report_diagnostics(error)
        sys.exit(USER)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        _say(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(USER)
    except Exception as error:
        if _interrupted(error):
            sys.exit(INTERRUPTED)
        if os.environ.get("ARCHSPEC_DEBUG"):
            raise
        _say(f"internal error: {type(error).__name__}: {error}")
        _say(
            "This is a bug in archspec. ARCHSPEC_DEBUG=1 shows the traceback; please report it with the spec."
        )
        sys.exit(OURS)


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: an extension that is being imported makes an `ImportError` of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _say(text: str) -> None:
    from archspec_cli.reports import sanitize

    print(sanitize(text), file=sys.stderr)  # noqa: T201 - this is where the command line talks
