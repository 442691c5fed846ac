"""Arguments and options that several commands take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec_cli.output import settings


class Split(StrEnum):
    """Which part of a data set."""

    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"


def complete_spec(incomplete: str) -> list[str]:
    """Shipped specs and detectors, for shell completion."""
    from archspec.spec.library import shipped_detectors, shipped_names

    return [name for name in (*shipped_names(), *shipped_detectors()) if name.startswith(incomplete)]


Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC",
        help="A spec file, the name of a shipped one (resnet50, cifar/resnet20), or - for stdin.",
        autocompletion=complete_spec,
    ),
]
Specs = Annotated[
    list[str] | None, typer.Argument(metavar="[SPEC]...", help="Spec files.", autocompletion=complete_spec)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a parameter or a field: n=18, norm.kind=group."),
]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", "-w", metavar="FILE", help="Safetensors, or a torch checkpoint of tensors."),
]
Preprocessing = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE", help="imagenet, cifar10, none, or a JSON file; else what the weights carry."
    ),
]
Labels = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The classes' names: one a line, or a JSON list.")
]
Data = Annotated[
    str | None, typer.Option("--data", "-d", metavar="NAME", help="The data set; else that of the run.")
]
Root = Annotated[
    Path | None,
    typer.Option(
        "--data-root", metavar="DIR", help="Where the data lie; else $ARCHSPEC_DATA and the usual places."
    ),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data if they are missing.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Threads = Annotated[
    int | None, typer.Option(min=1, max=1024, metavar="N", help="Threads; default: one a core.")
]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside", help="Let extends leave the folder of the spec.", envvar="ARCHSPEC_ALLOW_OUTSIDE"
    ),
]
MaxParams = Annotated[
    int | None,
    typer.Option("--max-params", min=1, help="Budget of parameters.", envvar="ARCHSPEC_MAX_PARAMS"),
]
MaxActivations = Annotated[
    int | None,
    typer.Option(
        "--max-activations", min=1, help="Budget of activations.", envvar="ARCHSPEC_MAX_ACTIVATIONS"
    ),
]
MaxLayers = Annotated[
    int | None, typer.Option("--max-layers", min=1, help="Budget of layers.", envvar="ARCHSPEC_MAX_LAYERS")
]


def _json(value: bool) -> bool:
    settings.json = settings.json or value
    return value


Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout.", callback=_json, is_eager=True)
]
