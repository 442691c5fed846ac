"""The application itself: what stands before every command."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from archspec_cli.output import settings

app = typer.Typer(
    name="archspec",
    help="A declarative architecture compiler for convolutional networks.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: archspec show resnet50. Exit codes: 0 fine, 1 findings, 2 your mistake, 101 ours.",
)


class Color(StrEnum):
    """When output is colored."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def _version(value: bool) -> None:
    if value:
        from archspec import __version__

        typer.echo(f"archspec {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    color: Annotated[Color, typer.Option(help="Colored output.", envvar="ARCHSPEC_COLOR")] = Color.AUTO,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results and errors only.", envvar="ARCHSPEC_QUIET")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback does the work
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    settings.color = color.value
    settings.quiet = quiet
