"""The commands about weights: import, inspect, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archspec_cli import options
from archspec_cli.declarations.root import app

weights = typer.Typer(
    help="Weights of other projects: import, inspect, verify.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(weights, name="weights")

WeightsFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A .safetensors file or a checkpoint of torch (.pth, .pt).")
]
SpecOption = Annotated[
    str | None,
    typer.Option(
        "--spec", metavar="SPEC", help="The spec to hold it against.", autocompletion=options.complete_spec
    ),
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="ORIGIN",
        help="torchvision:NAME or timm:NAME: run the file in that module and in the spec's, and compare every layer.",
    ),
]


@weights.command("import")
def weights_import(
    file: WeightsFile,
    *,
    spec: Annotated[
        str,
        typer.Option(
            "--spec", metavar="SPEC", help="The spec that they are for.", autocompletion=options.complete_spec
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The .safetensors file to write.")
    ],
    style: Annotated[
        str,
        typer.Option(
            help="Whose keys: auto, torchvision, timm-deep-stem, akamaster, facebook, facebook-cifar, huggingface, "
            "detectron2."
        ),
    ] = "auto",
    against: Against = None,
    preprocessing: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="How pictures are prepared: imagenet, cifar10, none, or a JSON file."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names of the classes, one a line.")
    ] = None,
    license_: Annotated[str, typer.Option("--license", metavar="TEXT", help="Licence of the weights.")] = "",
    origin: Annotated[str, typer.Option(metavar="TEXT", help="Where they come from, in words.")] = "",
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Bring weights of others under a spec's keys, and prove that they are the same function.

    Writes a .safetensors file and a receipt beside it, both or none. Checkpoints are never unpickled.

    \b
    Examples:
      archspec weights import resnet50.pth --spec torchvision/resnet50 -o net.safetensors --against torchvision:resnet50
      archspec weights import resnet20.th --spec akamaster/resnet20 -o resnet20.safetensors
      archspec weights import net.pth --spec net.toml -o net.safetensors --labels names.txt --preprocessing imagenet
    """
    from archspec_cli.commands.weights import run_import as run

    run(
        file,
        spec,
        output,
        style=style,
        against=against,
        preprocessing=preprocessing,
        labels=labels,
        license_=license_,
        origin=origin,
        changes=set_,
        allow_outside=allow_outside,
        as_json=json,
    )


@weights.command("inspect")
def weights_inspect(
    file: WeightsFile,
    *,
    spec: SpecOption = None,
    all_: Annotated[bool, typer.Option("--all", help="Every layer, however many.")] = False,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Show what is in a weights file: tensors by layer, types, whose keys, what it says of itself.

    \b
    Examples:
      archspec weights inspect resnet50.pth
      archspec weights inspect net.safetensors --all
      archspec weights inspect checkpoint.th --spec akamaster/resnet20 --json
    """
    from archspec_cli.commands.weights import run_inspect as run

    run(file, spec, everything=all_, changes=set_, allow_outside=allow_outside, as_json=json)


@weights.command("verify")
def weights_verify(
    file: WeightsFile,
    *,
    spec: SpecOption = None,
    against: Against = None,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Recompute what a weights file says of itself: digest, spec, keys, shapes, values. Exit 1 when a check fails.

    \b
    Examples:
      archspec weights verify net.safetensors
      archspec weights verify resnet50.pth --spec torchvision/resnet50 --against torchvision:resnet50
    """
    from archspec_cli.commands.weights import run_verify as run

    run(file, spec, against=against, changes=set_, allow_outside=allow_outside, as_json=json)
