"""The commands about studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archspec_cli import options  # noqa: TC001 - Typer reads the annotations
from archspec_cli.declarations.root import app

study = typer.Typer(
    help="Experiments of many runs: run what is missing, see how far it is, report.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(study, name="study")


def _complete(incomplete: str) -> list[str]:
    """Shipped studies, for shell completion."""
    from archspec.studies.load import study_names

    return [name for name in study_names() if name.startswith(incomplete)]


Study = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="A study file, the name of a shipped one (archspec study list), or - for stdin.",
        autocompletion=_complete,
    ),
]
Found = Annotated[
    str,
    typer.Argument(
        metavar="STUDY|DIR",
        help="A study, or the folder that one was run in.",
        autocompletion=_complete,
    ),
]
Budget = Annotated[
    str,
    typer.Option("--budget", "-b", metavar="NAME", help="One of the study's budgets; full: as it stands."),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Cut every schedule to so many, in proportion.")
]
Steps = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Cut every schedule to so many, in proportion.")
]
Data = Annotated[
    str | None, typer.Option("--data", "-d", metavar="NAME", help="The data set; default: the study's.")
]
Seeds = Annotated[
    int | None, typer.Option(min=1, max=100, metavar="N", help="Runs of each, with seeds from 0 on.")
]
SetRecipe = Annotated[
    list[str] | None,
    typer.Option("--set-recipe", metavar="KEY=VALUE", help="Change a field of every run's recipe."),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="The study's folder; default: studies/NAME-BUDGET."),
]


@study.command("run")
def run_study(
    name: Study,
    *,
    budget: Budget = "full",
    epochs: Epochs = None,
    steps: Steps = None,
    data: Data = None,
    root: options.Root = None,
    download: options.Download = False,
    output: Out = None,
    seeds: Seeds = None,
    device: options.Device = "auto",
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", min=1, max=256, help="Runs at once: each with its share of cores, or a GPU."
        ),
    ] = 1,
    set_recipe: SetRecipe = None,
    json: options.Json = False,
) -> None:
    """Run what is missing of a study.

    Each run is the folder of an ordinary one. A study that is stopped (exit 75) or killed goes on with the same
    command: finished runs are not repeated, nor those that diverged, and one that was begun goes on where it was.

    \b
    Examples:
      archspec study run degradation-cifar --budget small
      archspec study run degradation-cifar --data-root ~/data --jobs 8
      archspec study run normalisations --budget small --epochs 2 --out /tmp/normalisations
    """
    from archspec_cli.commands.study import Asked, run

    asked = Asked(name, budget, epochs, steps, data, seeds, tuple(set_recipe or ()), output)
    run(asked, root=root, download=download, device=device, jobs=jobs, as_json=json)


@study.command()
def status(
    name: Found,
    *,
    budget: Budget = "full",
    epochs: Epochs = None,
    steps: Steps = None,
    data: Data = None,
    output: Out = None,
    seeds: Seeds = None,
    set_recipe: SetRecipe = None,
    json: options.Json = False,
) -> None:
    """Say how far a study is: finished, running, stopped, diverged and missing runs.

    \b
    Examples:
      archspec study status degradation-cifar --budget small
      archspec study status studies/degradation-cifar-small --json
    """
    from archspec_cli.commands.study import Asked, status

    status(Asked(name, budget, epochs, steps, data, seeds, tuple(set_recipe or ()), output), as_json=json)


@study.command()
def report(
    name: Found,
    *,
    budget: Budget = "full",
    epochs: Epochs = None,
    steps: Steps = None,
    data: Data = None,
    output: Out = None,
    seeds: Seeds = None,
    set_recipe: SetRecipe = None,
    json: options.Json = False,
) -> None:
    """Write what a study shows, as far as it is: report.html, one file that needs no network, and report.md.

    \b
    Examples:
      archspec study report degradation-cifar --budget small
      archspec study report studies/degradation-cifar-small
    """
    from archspec_cli.commands.study import Asked, report

    report(Asked(name, budget, epochs, steps, data, seeds, tuple(set_recipe or ()), output), as_json=json)


@study.command("list")
def list_studies(*, json: options.Json = False) -> None:
    """List the studies that ship, with their budgets.

    \b
    Examples:
      archspec study list
    """
    from archspec_cli.commands.study import list_studies

    list_studies(as_json=json)
