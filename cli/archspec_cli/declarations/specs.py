"""The commands about specs: build, check, show, audit, diff and what helps to write one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec_cli import options  # noqa: TC001 - Typer reads the annotations
from archspec_cli.declarations.root import app


class Format(StrEnum):
    """How diagnostics are printed."""

    HUMAN = "human"
    CONCISE = "concise"
    JSON = "json"
    GITHUB = "github"


class Witness(StrEnum):
    """Who counts."""

    GRAPH = "graph"
    FVCORE = "fvcore"
    TORCH = "torch"


Size = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        help="The image that a detector is counted for; default: the largest that it shows its network.",
    ),
]


@app.command(rich_help_panel=None)
def build(
    specs: options.Specs = None,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder, file (.py), or - for stdout.", envvar="ARCHSPEC_OUTPUT"),
    ] = Path("generated"),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where files are not current.")
    ] = False,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    max_params: options.MaxParams = None,
    max_activations: options.MaxActivations = None,
    max_layers: options.MaxLayers = None,
    json: options.Json = False,
) -> None:
    """Print specs as standalone PyTorch source. Without SPEC: every spec in specs/.

    \b
    Examples:
      archspec build specs/resnet152.toml          writes generated/resnet152.py
      archspec build specs/resnet50.toml -o -      prints it
      archspec build specs/cifar/resnet20.toml --set n=18 -o resnet110.py
      archspec build --check                       exit 1 when generated/ is not current
    """
    from archspec_cli.commands.build import run

    budget = {"max_params": max_params, "max_activations": max_activations, "max_layers": max_layers}
    run(specs or [], output, set_, check=check, as_json=json, allow_outside=allow_outside, budget=budget)


class Language(StrEnum):
    """What is written in TOML."""

    SPEC = "spec"
    RECIPE = "recipe"
    STUDY = "study"
    DETECTOR = "detector"


@app.command()
def check(
    specs: options.Specs = None,
    *,
    format_: Annotated[
        Format, typer.Option("--format", help="How findings are printed.", envvar="ARCHSPEC_FORMAT")
    ] = Format.HUMAN,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    max_params: options.MaxParams = None,
    max_activations: options.MaxActivations = None,
    max_layers: options.MaxLayers = None,
    json: options.Json = False,
) -> None:
    """Check specs and detectors, and report every mistake with its place. Exit 1 when there is one.

    \b
    Examples:
      archspec check specs/resnet50.toml
      archspec check specs/*.toml specs/detection/*.toml --format concise
      cat net.toml | archspec check - --format json
    """
    from archspec_cli.commands.check import run

    budget = {"max_params": max_params, "max_activations": max_activations, "max_layers": max_layers}
    run(specs or [], "json" if json else format_.value, set_, allow_outside=allow_outside, budget=budget)


@app.command()
def show(
    spec: options.Spec,
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Where every value of the spec is said.")] = False,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="The spec with nothing implied, as TOML.")
    ] = False,
    size: Size = None,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    max_params: options.MaxParams = None,
    max_activations: options.MaxActivations = None,
    max_layers: options.MaxLayers = None,
    json: options.Json = False,
) -> None:
    """Show the stage table as the paper prints it: shapes, parameters, multiply-adds, memory.

    Of a detector: the same for an image and for each region.

    \b
    Examples:
      archspec show resnet50
      archspec show specs/cifar/resnet20.toml --set n=18
      archspec show specs/resnet152.toml --origin
      archspec show vgg16 --json
      archspec show faster-rcnn-resnet101 --size 600x800
    """
    from archspec_cli.commands.show import run

    budget = {"max_params": max_params, "max_activations": max_activations, "max_layers": max_layers}
    run(
        spec,
        set_,
        origin=origin,
        resolved=resolved,
        as_json=json,
        allow_outside=allow_outside,
        size=size,
        budget=budget,
    )


@app.command()
def audit(
    specs: options.Specs = None,
    *,
    table: Annotated[
        str, typer.Option("--table", "-t", help="paper, torchvision, or a table file.")
    ] = "paper",
    witness: Annotated[
        list[Witness] | None,
        typer.Option("--witness", help="Who counts; default all. graph alone needs no torch."),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--as", metavar="NETWORK", help="The table's network that SPEC is held against."),
    ] = None,
    size: Size = None,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Hold specs against published tables, with three independent counters. Exit 1 when a row differs.

    An ONNX file or weights are lifted to a spec first. Of a detector all three counts are printed.

    \b
    Examples:
      archspec audit --table paper
      archspec audit specs/torchvision/resnet50.toml --table paper
      archspec audit my-net.toml --as ResNet-50 --witness graph
      archspec audit model.onnx --table paper
      archspec audit faster-rcnn-resnet101
      archspec audit --table my-table.toml --json
    """
    from archspec_cli.commands.audit import run

    names = [each.value for each in witness] if witness else [each.value for each in Witness]
    run(specs or [], table, names, network, set_, allow_outside=allow_outside, as_json=json, size=size)


@app.command()
def schema(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="File, or - for stdout.")] = Path("-"),
    of: Annotated[Language, typer.Option("--of", help="Of which files.")] = Language.SPEC,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when the file is not current.")] = False,
) -> None:
    """Print the JSON Schema of specs, recipes, studies or detectors, for editors.

    \b
    Examples:
      archspec schema -o specs/archspec.schema.json
      archspec schema -o specs/archspec.schema.json --check
      archspec schema --of recipe -o specs/recipes/recipe.schema.json
      archspec schema --of detector -o specs/detection/detector.schema.json
    """
    from archspec_cli.commands.reference import schema as run

    run(output, of.value, check=check)


@app.command()
def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="A diagnostic's code, for example AS101.")
    ] = None,
    *,
    json: options.Json = False,
) -> None:
    """Explain a diagnostic, with an example of the mistake and its cure. Without CODE: list all.

    \b
    Examples:
      archspec explain AS101
      archspec explain
    """
    from archspec_cli.commands.reference import explain as run

    run(code, as_json=json)


@app.command()
def diff(
    left: options.Spec,
    right: options.Spec,
    *,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Say what tells two specs or two detectors apart: fields, counts, keys, and whether weights carry over.

    --set applies to the second. Exit 1 when they compute different functions.

    \b
    Examples:
      archspec diff specs/resnet50.toml specs/torchvision/resnet50.toml
      archspec diff cifar/resnet20 cifar/resnet20 --set n=9
      archspec diff faster-rcnn-resnet50 faster-rcnn-resnet101
    """
    from archspec_cli.commands.diff import run

    run((left, right), set_, allow_outside=allow_outside, as_json=json)


class Norm(StrEnum):
    """What an ONNX file without normalisation is taken to be."""

    NONE = "none"
    BATCH = "batch"


@app.command()
def lift(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An ONNX model, safetensors, or a torch checkpoint.")
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The spec's file; default, or -, is stdout.")
    ] = None,
    norm: Annotated[
        Norm,
        typer.Option(help="batch: write the normalisation that was folded into an ONNX file's convolutions."),
    ] = Norm.NONE,
    json: options.Json = False,
) -> None:
    """Write a spec for a file: ONNX by structure, weights by keys.

    The spec is proved against the file. What the file cannot tell, or does otherwise, is listed on stderr.

    \b
    Examples:
      archspec lift model.onnx
      archspec lift resnet50.safetensors -o net.toml
      archspec lift folded.onnx --norm batch -o trainable.toml
      archspec lift model.onnx --json
    """
    from archspec_cli.commands.lift import run

    run(file, output, norm.value, as_json=json)


@app.command()
def init(
    path: Annotated[
        Path, typer.Argument(metavar="[FILE]", help="The file to write, or - for stdout.")
    ] = Path("network.toml"),
    *,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a commented starter spec.

    \b
    Examples:
      archspec init my-net.toml
      archspec init - | archspec show -
    """
    from archspec_cli.commands.init import run

    run(path, force=force)
