"""The commands about what runs leave behind."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from archspec_cli import options  # noqa: TC001 - Typer reads the annotations
from archspec_cli.declarations.root import app


class Unit(StrEnum):
    """What a figure counts along its axis."""

    ITERATION = "iteration"
    EPOCH = "epoch"


@app.command()
def plot(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Runs' folders, also while they go on; one of seeds is their mean."
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .svg or .png file. Default: curves.svg, in the folder of a single run.",
        ),
    ] = None,
    unit: Annotated[Unit, typer.Option(help="Of the axis along the training.")] = Unit.ITERATION,
    y_max: Annotated[
        float | None,
        typer.Option(
            "--y-max", metavar="PERCENT", help="The highest error shown. Default: as the curves end."
        ),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Logarithmic errors.")] = False,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help='Default: the data and the recipe, where all agree. "" is none.'),
    ] = None,
    json: options.Json = False,
) -> None:
    """Draw the errors of runs: training thin, validation bold, drops of the learning rate marked.

    In the manner of the paper's Figures 1, 4 and 6. --json prints the series, and draws where -o says so.

    \b
    Examples:
      archspec plot runs/resnet20
      archspec plot runs/plain20 runs/plain56 -o plain.svg --y-max 20
      archspec plot runs/resnet20 runs/resnet56 -o nets.png --unit epoch --title "CIFAR-10"
      archspec plot runs/resnet20 --json
    """
    from archspec_cli.commands.plot import run

    run(
        runs,
        output=output,
        unit=unit.value,
        y_max=y_max,
        log=log,
        title=title,
        as_json=json,
    )


@app.command()
def card(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Runs' folders of one job, or the folder of its seeds."),
    ],
    *,
    json: options.Json = False,
) -> None:
    """Write the protocol card of a run: figures, every deviation from the paper, how to repeat it.

    card.md and card.json go into the folder, and the card to stdout. Several folders, of one job with several seeds,
    are summed up and printed only. A run that is going on says how far it is.

    \b
    Examples:
      archspec card runs/resnet20
      archspec card runs/a runs/b > card.md
      archspec card runs/resnet20 --json
    """
    from archspec_cli.commands.card import run

    run(runs, as_json=json)
