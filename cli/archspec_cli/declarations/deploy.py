"""The commands about what serves a network: export, verify, predict, bench."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from archspec_cli import options
from archspec_cli.declarations.root import app


class Precision(StrEnum):
    """Of an exported file."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Preprocess(StrEnum):
    """Where pictures are normalised."""

    OUTSIDE = "outside"
    IN_GRAPH = "in-graph"


class Engine(StrEnum):
    """What runs a network."""

    EAGER = "eager"
    CHANNELS_LAST = "channels-last"
    COMPILED = "compiled"
    ONNXRUNTIME = "onnxruntime"
    INT8 = "int8"


@app.command(rich_help_panel=None)
def export(
    spec: options.Spec,
    *,
    weights: options.Weights = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file (.onnx), or a detector's folder. Default: NAME.onnx; models/NAME.",
        ),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Of a detector: also detector.onnx, from a picture to boxes.")
    ] = False,
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
        bool, typer.Option("--report", help="Write NAME.report.json and a model card NAME.card.md beside it.")
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
    """Write a spec and its weights as one proved ONNX file, a detector as two or three.

    onnxruntime runs the file against torch at batches 1, 2 and 7, with the given weights and with random ones.
    Past the tolerance nothing is written, and the first layer that diverges is named.
    A detector becomes a folder: features.onnx is run once an image, regions.onnx for each region.

    \b
    Examples:
      archspec export resnet50 --weights resnet50.safetensors -o resnet50.onnx
      archspec export cifar/resnet20 -o resnet20.onnx --softmax --report
      archspec export resnet50 -w w.safetensors --preprocess in-graph --preprocessing imagenet
      archspec export resnet50 -w w.safetensors --precision int8 --calibrate pictures/ --preprocessing imagenet
      archspec export runs/shapes --whole -o models/shapes
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
        whole=whole,
    )
    run(spec, asked, set_, allow_outside=allow_outside, as_json=json)


@app.command()
def verify(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="ONNX files, weights, generated source.")
    ],
    *,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", "-w", metavar="FILE", help="What an ONNX file was made from: compare them."
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Recompute what a file says of itself. Exit 1 when it differs.

    Of ONNX files: spec, hash, digest, graph. Of weights: keys, shapes, digest. Of source: every byte.

    \b
    Examples:
      archspec verify resnet50.onnx --weights resnet50.safetensors
      archspec verify generated/resnet50.py resnet50.safetensors
    """
    from archspec_cli.commands.verify import run

    run(files, weights, as_json=json)


@app.command()
def predict(
    pictures: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Pictures, folders of pictures, or - for one on stdin."),
    ],
    *,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            autocompletion=options.complete_spec,
            help="An ONNX file, weights that carry a spec, or a SPEC; of a detector its run, or weights.",
        ),
    ],
    weights: options.Weights = None,
    labels: options.Labels = None,
    preprocessing: options.Preprocessing = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="How many classes of each picture. Default: 5.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Pictures at a time. Default: 32.")
    ] = None,
    score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Of a detector: the least of a box. Default: 0.5.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            help="Of a detector: draw boxes on the picture (.png, .jpg), or on several in a folder.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Of a detector: auto, cpu, cuda, cuda:1, mps.")
    ] = None,
    threads: options.Threads = None,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Say what a network sees in pictures, or draw the boxes that a detector finds.

    Pictures are prepared as the model's file says. Exit 1 when one of several could not be read.
    Boxes are x1, y1, x2, y2 in pixels of the upright picture. Drawn pictures of less than 320 pixels are enlarged.

    \b
    Examples:
      archspec predict cat.jpg --model resnet50.onnx
      archspec predict photos/ --model resnet50 --weights resnet50.safetensors --top 1
      curl -s https://example.org/cat.jpg | archspec predict - -m resnet50.onnx --json
      archspec predict *.png -m other.onnx --preprocessing imagenet --labels classes.txt
      archspec predict street.jpg --model runs/detector -o found.jpg
      archspec predict photos/ --model runs/detector --score 0.8 -o found/ --json
    """
    from archspec_cli.commands.predict import run

    run(
        pictures,
        model,
        weights=weights,
        labels=labels,
        preprocessing=preprocessing,
        top=top,
        batch=batch,
        score=score,
        output=output,
        device=device,
        threads=threads,
        changes=set_,
        allow_outside=allow_outside,
        as_json=json,
    )


@app.command()
def bench(
    spec: options.Spec,
    *,
    batch: Annotated[str, typer.Option(metavar="N,N", help="Batch sizes.")] = "1",
    engine: Annotated[
        list[Engine] | None,
        typer.Option(help="What runs it; eager always does. Default: eager, compiled, onnxruntime."),
    ] = None,
    threads: options.Threads = None,
    weights: options.Weights = None,
    runs: Annotated[int, typer.Option(min=1, help="Runs of each engine, at most.")] = 20,
    seconds: Annotated[float, typer.Option(min=0, help="Time for the runs at a batch size, about.")] = 10.0,
    set_: options.Set = None,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Measure a network here: eager, compiled and onnxruntime.

    Engines run by turns. What is said is the median, and how many times faster than eager it is.

    \b
    Examples:
      archspec bench resnet50
      archspec bench resnet50 --batch 1,16 --threads 2
      archspec bench cifar/resnet20 --engine onnxruntime --engine int8 --json
    """
    from archspec_cli.commands.bench import run

    run(
        spec,
        batches=batch,
        engines=[each.value for each in engine or ()],
        threads=threads,
        weights=weights,
        runs=runs,
        seconds=seconds,
        changes=set_,
        allow_outside=allow_outside,
        as_json=json,
    )
