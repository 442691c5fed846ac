"""The commands about what trained networks show."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec_cli import options
from archspec_cli.declarations.root import app


class When(StrEnum):
    """Which weights are looked at."""

    BOTH = "both"
    INITIALISATION = "initialisation"
    TRAINED = "trained"


Figure = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Draw a .svg or .png file.")
]
Title = Annotated[
    str | None, typer.Option(metavar="TEXT", help='Of the figure. Default: the data. "" is none.')
]
OfWeights = Annotated[
    str | None,
    typer.Option(
        "--spec", metavar="SPEC", autocompletion=options.complete_spec, help="Of weights that carry none."
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="NAME|FILE",
        help="How images are held out and normalised; else that of the run.",
    ),
]


@app.command()
def responses(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="CHECKPOINT...", help="Runs' folders, or weights that carry a spec."),
    ],
    *,
    output: Figure = None,
    title: Title = None,
    y_max: Annotated[
        float | None, typer.Option("--y-max", metavar="STD", help="The largest response that is drawn.")
    ] = None,
    images: Annotated[
        int, typer.Option(min=1, metavar="N", help="So many, spread evenly over the part.")
    ] = 1000,
    every: Annotated[
        bool, typer.Option("--all", help="1x1 layers, projections and the stem too, not only 3x3 layers.")
    ] = False,
    batch_statistics: Annotated[
        bool,
        typer.Option(
            "--batch-statistics", help="Normalise by each batch's statistics, not the running ones."
        ),
    ] = False,
    split: Annotated[options.Split, typer.Option(help="Which part of the data.")] = options.Split.TEST,
    batch: Annotated[int, typer.Option(min=1, max=65536, help="Images at a time, at most.")] = 128,
    spec: OfWeights = None,
    data: options.Data = None,
    root: options.Root = None,
    recipe: Recipe = None,
    preprocessing: options.Preprocessing = None,
    device: options.Device = "auto",
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Tell how strongly each 3x3 layer responds, as the paper's Figure 7 does.

    That is the standard deviation of its output after batch normalisation, before the nonlinearity or the addition,
    over all images, channels and places. Of plain and residual nets, and of residual nets of several depths, it is
    said whether the paper's two findings hold.

    \b
    Examples:
      archspec responses runs/resnet20
      archspec responses runs/plain20 runs/plain56 runs/resnet20 runs/resnet56 runs/resnet110 -o responses.svg
      archspec responses resnet50.safetensors --data imagenet --all --images 200 --json
    """
    from archspec_cli.commands.responses import Asked, run

    asked = Asked(
        output=output,
        title=title,
        y_max=y_max,
        images=images,
        batch=batch,
        batch_statistics=batch_statistics,
        every=every,
        split=split.value,
        spec=spec,
        data=data,
        data_root=root,
        recipe=recipe,
        preprocessing=preprocessing,
        device=device,
        allow_outside=allow_outside,
    )
    run(checkpoints, asked, as_json=json)


@app.command()
def inspect(
    networks: Annotated[
        list[str],
        typer.Argument(
            metavar="CHECKPOINT|SPEC...",
            help="Runs' folders, weights that carry a spec, or specs.",
            autocompletion=options.complete_spec,
        ),
    ],
    *,
    output: Figure = None,
    title: Title = None,
    at: Annotated[When, typer.Option(help="Which weights of a run are looked at.")] = When.BOTH,
    batch: Annotated[int, typer.Option(min=2, max=65536, help="Training images.")] = 16,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the initialisation. Default: that of the run, else 0.")
    ] = None,
    spec: OfWeights = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="NAME",
            help="The data set; else that of the run, or made-up images for a spec.",
        ),
    ] = None,
    root: options.Root = None,
    recipe: Recipe = None,
    preprocessing: options.Preprocessing = None,
    device: options.Device = "auto",
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Tell whether signals vanish or explode on their way through networks.

    Layer by layer, on one batch, at initialisation and after training: the standard deviations of activations and of
    the loss's gradients, and the norm of the weights' gradients. A verdict in words, with its criterion.

    \b
    Examples:
      archspec inspect cifar/plain56 cifar/resnet56 -o signals.svg
      archspec inspect runs/plain56 runs/resnet56 --batch 64 -o signals.svg
      archspec inspect cifar/resnet20 --set init.zero_last_norm=true --data digits
      archspec inspect cifar/plain1202 --json
    """
    from archspec_cli.commands.inspect import Asked, run

    asked = Asked(
        output=output,
        title=title,
        batch=batch,
        when=at.value,
        seed=seed,
        spec=spec,
        changes=tuple(set_ or ()),
        data=data,
        data_root=root,
        recipe=recipe,
        preprocessing=preprocessing,
        device=device,
        allow_outside=allow_outside,
    )
    run(networks, asked, as_json=json)
