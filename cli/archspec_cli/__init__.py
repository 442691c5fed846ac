"""The command line. Commands are thin: they call the library and print what it returns."""

from __future__ import annotations

import gc
import os
import sys
from typing import NoReturn

FOUND = 1
USER = 2
OURS = 101
INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the command line and turns whatever happens into an exit code."""
    from archspec.errors import SpecError
    from archspec_cli import quick
    from archspec_cli.output import report_diagnostics

    # Pydantic would look through every installed package for plugins; a spec needs none
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    gc.disable()  # start-up makes no garbage worth looking for
    try:
        if not quick.run(sys.argv[1:]):
            from archspec_cli.app import app

            app(prog_name="archspec")
    except SpecError as error:
        report_diagnostics(error)
        sys.exit(USER)
    except BrokenPipeError:
        # the reader has gone (`archspec show ... | head`): nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        _say(f"error: {error.strerror or error}{f': {error.filename}' if error.filename else ''}")
        sys.exit(USER)
    except Exception as error:
        if os.environ.get("ARCHSPEC_DEBUG"):
            raise
        _say(f"internal error: {type(error).__name__}: {error}")
        _say(
            "This is a bug in archspec. ARCHSPEC_DEBUG=1 shows the traceback; please report it with the spec."
        )
        sys.exit(OURS)
    sys.exit(0)


def _say(text: str) -> None:
    from archspec_cli.reports import sanitize

    print(sanitize(text), file=sys.stderr)  # noqa: T201 - this is where the command line talks
