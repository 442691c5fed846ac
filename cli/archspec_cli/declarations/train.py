"""The commands about training."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from archspec_cli import options
from archspec_cli.declarations.root import app


@app.command()
def train(
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="[SPEC]", help="Default: a small residual net.", autocompletion=options.complete_spec
        ),
    ] = None,
    *,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", "-r", metavar="NAME|FILE", help="Default: the one named like the data."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="NAME",
            help="digits, cifar10, fashion-mnist, folder ...; default: the recipe's.",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            "--data-root", metavar="DIR", help="Where the data lie; else $ARCHSPEC_DATA and the usual places."
        ),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data if they are missing.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="The run's folder; one that was stopped goes on."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and augmentation.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    compile_: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Processes that decode streamed pictures.")] = 0,
    checkpoint_every: Annotated[
        int, typer.Option(min=1, metavar="STEPS", help="Between checkpoints.")
    ] = 1000,
    show_schedule: Annotated[
        bool,
        typer.Option("--show-schedule", help="Print where the learning rate changes, and train nothing."),
    ] = False,
    set_: options.Set = None,
    set_recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--set-recipe", metavar="KEY=VALUE", help="Change a field of the recipe: schedule.total=10."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Train a spec by a recipe, and test it.

    Without arguments: a small residual net on scikit-learn's digits, in about a minute. A run that is stopped
    (exit 75) or killed goes on, to the same bits, with the same command and --out.

    \b
    Examples:
      archspec train
      archspec train cifar/resnet20 --data cifar10 --recipe cifar10-paper --out runs/resnet20
      archspec train --recipe cifar10-paper --show-schedule
    """
    from archspec_cli.commands.train import Asked, run, schedule

    asked = Asked(
        recipe=recipe,
        data=data,
        root=root,
        output=output,
        seed=seed,
        device=device,
        compile=compile_,
        workers=workers,
        checkpoint_every=checkpoint_every,
        download=download,
    )
    if show_schedule:
        schedule(asked, set_recipe, as_json=json)
    else:
        run(spec, asked, set_, set_recipe)
