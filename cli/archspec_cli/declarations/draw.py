"""The commands about drawing a network."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from archspec_cli import options
from archspec_cli.declarations.root import app


class DrawingFormat(StrEnum):
    """What a drawing is written in."""

    SVG = "svg"
    PNG = "png"
    MERMAID = "mermaid"
    DOT = "dot"
    TEXT = "text"


@app.command(rich_help_panel=None)
def draw(
    specs: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC",
            help="Specs, side by side from left to right.",
            autocompletion=options.complete_spec,
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The file, or - for stdout. Default: text to stdout."
        ),
    ] = None,
    format_: Annotated[
        DrawingFormat | None, typer.Option("--format", help="Default: what the file's name ends in.")
    ] = None,
    collapse: Annotated[
        bool, typer.Option("--collapse", help="Draw what is repeated once, with \N{MULTIPLICATION SIGN}36.")
    ] = False,
    blocks: Annotated[
        bool,
        typer.Option("--blocks", help="Draw the block types one by one, as the paper's Figures 2 and 5."),
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Norms, activations and dropout, too, which the paper leaves out.")
    ] = False,
    title: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Over a network, in their order; default its name."),
    ] = None,
    scale: Annotated[float, typer.Option(min=0.25, max=8, help="Of a PNG: 2 is sharp on paper.")] = 2,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Draw networks side by side, as the paper's Figure 3: boxes, shortcuts, output sizes.

    Needs no torch and no Graphviz. Formats: svg, png, mermaid (.mmd), dot, text.

    \b
    Examples:
      archspec draw vgg19 plain34 resnet34 -o figure3.svg
      archspec draw resnet152 --collapse -o resnet152.png
      archspec draw figure5/basic figure5/bottleneck --blocks -o figure5.svg
      archspec draw cifar/resnet20 --set n=18 --collapse
    """
    from archspec.drawing.draw import Wanted
    from archspec_cli.commands.draw import Asked, run

    asked = Asked(
        wanted=Wanted(collapse=collapse, blocks=blocks, everything=everything, scale=scale),
        output=output,
        format=None if format_ is None else format_.value,
        titles=title or [],
    )
    run(specs, asked, set_, allow_outside=allow_outside, as_json=json)
