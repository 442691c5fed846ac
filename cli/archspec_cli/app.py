"""The commands and their help. Bodies live in `commands/` and are imported when a command runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from archspec_cli import options  # noqa: TC001 - Typer reads the annotations
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


class Format(StrEnum):
    """How diagnostics are printed."""

    HUMAN = "human"
    CONCISE = "concise"
    JSON = "json"
    GITHUB = "github"


class Color(StrEnum):
    """When output is colored."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Witness(StrEnum):
    """Who counts."""

    GRAPH = "graph"
    FVCORE = "fvcore"
    TORCH = "torch"


class Precision(StrEnum):
    """Of an exported file."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Preprocess(StrEnum):
    """Where pictures are normalised."""

    OUTSIDE = "outside"
    IN_GRAPH = "in-graph"


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
    """Check specs and report every mistake with its place. Exit 1 when there is one.

    \b
    Examples:
      archspec check specs/resnet50.toml
      archspec check specs/*.toml --format concise
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
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    max_params: options.MaxParams = None,
    max_activations: options.MaxActivations = None,
    max_layers: options.MaxLayers = None,
    json: options.Json = False,
) -> None:
    """Show the stage table as the paper prints it: shapes, parameters, multiply-adds, memory.

    \b
    Examples:
      archspec show resnet50
      archspec show specs/cifar/resnet20.toml --set n=18
      archspec show specs/resnet152.toml --origin
      archspec show vgg16 --json
    """
    from archspec_cli.commands.show import run

    budget = {"max_params": max_params, "max_activations": max_activations, "max_layers": max_layers}
    run(
        spec, set_, origin=origin, resolved=resolved, as_json=json, allow_outside=allow_outside, budget=budget
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
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Hold specs against published tables, with three independent counters. Exit 1 when a row differs.

    \b
    Examples:
      archspec audit --table paper
      archspec audit specs/torchvision/resnet50.toml --table paper
      archspec audit my-net.toml --as ResNet-50 --witness graph
      archspec audit --table my-table.toml --json
    """
    from archspec_cli.commands.audit import run

    names = [each.value for each in witness] if witness else [each.value for each in Witness]
    run(specs or [], table, names, network, set_, allow_outside=allow_outside, as_json=json)


@app.command(rich_help_panel=None)
def export(
    spec: options.Spec,
    *,
    weights: options.Weights = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file (.onnx). Default: the spec's name.")
    ] = None,
    precision: Annotated[Precision, typer.Option(help="Of the weights and activations.")] = Precision.FP32,
    calibrate: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Pictures that set the scales of int8.")
    ] = None,
    opset: Annotated[int, typer.Option(min=14, max=25, help="ONNX operator set.")] = 20,
    keep_bn: Annotated[bool, typer.Option("--keep-bn", help="Do not fold batch normalisation.")] = False,
    dynamic_size: Annotated[
        bool, typer.Option("--dynamic-size", help="Take images of any height and width, where the head can.")
    ] = False,
    softmax: Annotated[bool, typer.Option("--softmax", help="Put out probabilities.")] = False,
    preprocess: Annotated[
        Preprocess, typer.Option(help="in-graph: take uint8 NHWC and normalise inside.")
    ] = Preprocess.OUTSIDE,
    preprocessing: options.Preprocessing = None,
    labels: options.Labels = None,
    license_: Annotated[str, typer.Option("--license", help="Of the weights, for the metadata.")] = "",
    external_data: Annotated[
        bool, typer.Option("--external-data", help="Weights in a second file; always past 2 GB.")
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0, help="Largest error, as a share of the largest output: 1e-4; fp16 2e-2; int8 2e-1."
        ),
    ] = None,
    proof: Annotated[
        bool, typer.Option("--proof/--no-proof", help="Run the file against torch; else nothing is known.")
    ] = True,
    report: Annotated[
        bool, typer.Option("--report", help="Write NAME.report.json and a model card NAME.md beside it.")
    ] = False,
    triton: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write Triton's model repository there too.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model in the Triton repository.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the initialisation, without --weights.")] = 0,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Write a spec and its weights as one ONNX file, and prove that it is the same function.

    onnxruntime runs the file against torch at batches 1, 2 and 7, with the given weights and with random ones.
    Past the tolerance nothing is written, and the first layer that diverges is named.

    \b
    Examples:
      archspec export resnet50 --weights resnet50.safetensors -o resnet50.onnx
      archspec export cifar/resnet20 -o resnet20.onnx --softmax --report
      archspec export resnet50 -w w.safetensors --preprocess in-graph --preprocessing imagenet
      archspec export resnet50 -w w.safetensors --precision int8 --calibrate pictures/ --preprocessing imagenet
    """
    from archspec.backends.onnx.write import Form
    from archspec_cli.commands.export import Asked, run

    asked = Asked(
        weights=weights,
        output=output,
        seed=seed,
        precision=precision.value,
        calibrate=calibrate,
        form=Form(opset=opset, fold=not keep_bn, dynamic_size=dynamic_size, softmax=softmax),
        in_graph=preprocess is Preprocess.IN_GRAPH,
        preprocessing=preprocessing,
        labels=labels,
        license=license_,
        external=external_data,
        tolerance=tolerance,
        prove=proof,
        report=report,
        triton=triton,
        force=force,
    )
    run(spec, asked, set_, allow_outside=allow_outside, as_json=json)


@app.command()
def schema(
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="File, or - for stdout.")] = Path("-"),
    check: Annotated[bool, typer.Option("--check", help="Exit 1 when the file is not current.")] = False,
) -> None:
    """Print the JSON Schema of the spec language, for editors.

    \b
    Examples:
      archspec schema -o specs/archspec.schema.json
      archspec schema -o specs/archspec.schema.json --check
    """
    from archspec_cli.commands.reference import schema as run

    run(output, check=check)


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
    """Say what tells two specs apart: fields, shapes, counts, keys, and whether weights carry over.

    --set applies to the second. Exit 1 when they compute different functions.

    \b
    Examples:
      archspec diff specs/resnet50.toml specs/torchvision/resnet50.toml
      archspec diff cifar/resnet20 cifar/resnet20 --set n=9
    """
    from archspec_cli.commands.diff import run

    run((left, right), set_, allow_outside=allow_outside, as_json=json)


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
