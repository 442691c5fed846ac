"""The commands about training."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from archspec_cli import options
from archspec_cli.declarations.root import app


class Crops(StrEnum):
    """What of an image is looked at."""

    SINGLE = "single"
    TEN = "ten"
    FULL = "full"


class Part(StrEnum):
    """Which part of a data set is tested on."""

    TEST = "test"
    VALIDATION = "validation"
    TRAIN = "train"
    UNJUDGED = "unjudged"


class Parallel(StrEnum):
    """How several processes share a network."""

    DDP = "ddp"
    FSDP = "fsdp"


class Average(StrEnum):
    """What is averaged over looks and networks."""

    PROBABILITIES = "probabilities"
    SCORES = "scores"


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
    root: options.Root = None,
    download: options.Download = False,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="The run's folder; one that was stopped goes on."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            "-w",
            metavar="FILE|RUN",
            help="Start from these; a detector takes its network's, too.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of weights, order and augmentation.")] = 0,
    seeds: Annotated[
        int,
        typer.Option(min=1, max=1000, metavar="N", help="So many runs, from --seed on: mean and deviation."),
    ] = 1,
    device: options.Device = "auto",
    compile_: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Processes that decode streamed pictures.")] = 0,
    nproc: Annotated[
        int, typer.Option(min=1, max=1024, metavar="N", help="So many processes on this machine, a GPU each.")
    ] = 1,
    parallel: Annotated[Parallel, typer.Option(help="How processes share the network.")] = Parallel.DDP,
    sync_bn: Annotated[
        bool, typer.Option("--sync-bn", help="BN over the images of all processes; else of each by itself.")
    ] = False,
    checkpoint_every: Annotated[
        int, typer.Option(min=1, metavar="STEPS", help="Between checkpoints.")
    ] = 1000,
    keep: Annotated[
        int, typer.Option(min=1, metavar="N", help="Checkpoints kept: the last ones, and the best.")
    ] = 2,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write curves for TensorBoard too.")
    ] = False,
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
    """Train a spec by a recipe, and test it: a network that tells classes apart, or a detector.

    Without arguments: a small residual net on scikit-learn's digits, in about a minute. A run that is stopped
    (exit 75) or killed goes on, to the same bits, with the same command and --out.

    \b
    Examples:
      archspec train
      archspec train cifar/resnet20 --data cifar10 --recipe cifar10-paper --out runs/resnet20
      archspec train cifar/resnet56 --data cifar10 --recipe cifar10-paper --seeds 5 --nproc 2
      torchrun --nproc-per-node 8 --nnodes 2 ... -m archspec train resnet50 --data imagenet --recipe imagenet-paper
      archspec train faster-rcnn-resnet18-shapes
      archspec train faster-rcnn-resnet101 --data 07+12 --weights resnet101.safetensors --set-recipe data.batch=8
      archspec train --recipe cifar10-paper --show-schedule
    """
    if nproc > 1 and not show_schedule:
        from archspec_cli.commands.train import launch

        launch(nproc)
    from archspec_cli.commands.train import Asked, run, schedule
    from archspec_cli.tasks import Wanted

    wanted = Wanted(
        spec,
        tuple(set_ or ()),
        recipe,
        tuple(set_recipe or ()),
        data,
        root,
        download=download,
        start=weights,
    )
    asked = Asked(
        output=output,
        seed=seed,
        seeds=seeds,
        device=device,
        compile=compile_,
        workers=workers,
        parallel=parallel.value,
        sync_bn=sync_bn,
        checkpoint_every=checkpoint_every,
        last=keep,
        tensorboard=tensorboard,
    )
    if show_schedule:
        schedule(wanted, as_json=json)
    else:
        run(wanted, asked)


@app.command("eval")
def evaluate(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT...",
            help="Runs' folders, or weights that carry a spec; several are an ensemble.",
        ),
    ],
    *,
    spec: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", autocompletion=options.complete_spec, help="Of weights that carry none."
        ),
    ] = None,
    data: options.Data = None,
    root: options.Root = None,
    split: Annotated[
        Part, typer.Option(help="Which part of it; unjudged pictures are those that only a server can judge.")
    ] = Part.TEST,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="NAME|FILE",
            help="How images are held out, normalised and looked at; else that of the run.",
        ),
    ] = None,
    preprocessing: options.Preprocessing = None,
    crops: Annotated[
        Crops | None, typer.Option(help="The middle, ten crops, or whole images, fully convolutional.")
    ] = None,
    crop: Annotated[int | None, typer.Option(min=1, max=16384, metavar="N", help="Side of a crop.")] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N", help="Shorter sides; all are looked at, and of detectors the two that fit."
        ),
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Look at mirror images too.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=65536, help="Images at a time.")] = 256,
    device: options.Device = "auto",
    refine: Annotated[
        bool, typer.Option("--refine", help="Of detectors: look at each box again, and let boxes vote.")
    ] = False,
    across: Annotated[
        int,
        typer.Option(
            min=1,
            max=16384,
            metavar="N",
            help="Of detectors: a region is looked at where it is about so many pixels wide.",
        ),
    ] = 224,
    write: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Of detectors: files for VOC's or COCO's evaluation server."),
    ] = None,
    average: Annotated[
        Average, typer.Option(help="What is averaged over looks and networks.")
    ] = Average.PROBABILITIES,
    allow_outside: options.AllowOutside = False,
    json: options.Json = False,
) -> None:
    """Test trained networks: top-1 and top-5, class by class. Of detectors: average precision, beside the paper's.

    Images are looked at as the recipe says, or as the weights' preprocessing does. The paper compares by ten crops
    (3.4); its best results are of whole images at five scales, which --crops full takes by default for 224x224.

    \b
    Examples:
      archspec eval runs/resnet20
      archspec eval resnet20.safetensors --data cifar10 --recipe cifar10-paper
      archspec eval resnet50.safetensors --data imagenet --crops ten --sizes 256
      archspec eval runs/detector --refine --sizes 400,600,800
      archspec eval a.safetensors b.safetensors --data imagenet --crops full --sizes 224,256,384,480,640 --json
    """
    from archspec_cli.commands.eval import run

    run(
        checkpoints,
        spec=spec,
        data=data,
        data_root=root,
        split=split.value,
        recipe=recipe,
        preprocessing=preprocessing,
        crops=crops.value if crops else None,
        crop=crop,
        sizes=sizes,
        flip=flip,
        batch=batch,
        device=device,
        average=average.value,
        refine=refine,
        across=across,
        write=write,
        allow_outside=allow_outside,
        as_json=json,
    )
