"""`archspec inspect`: how signals pass through networks, forward and back, before training and after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from archspec_cli.commands.responses import check_figure, left_out, shown
from archspec_cli.loading import load, sought
from archspec_cli.output import emit_json, fail, say, steps, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import nn

    from archspec.analysis.health import Health
    from archspec.analysis.subjects import Sight
    from archspec.architecture import Architecture
    from archspec.data.sets import Splits
    from archspec.train.contenders import Contender

When = Literal["both", "initialisation", "trained"]
FRESH, TRAINED = "at initialisation", "after training"
WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


class Asked(NamedTuple):
    """The options of the command, as they were typed."""

    output: Path | None = None
    title: str | None = None
    batch: int = 16
    when: When = "both"
    seed: int | None = None
    spec: str | None = None
    changes: tuple[str, ...] = ()
    data: str | None = None
    data_root: Path | None = None
    recipe: str | None = None
    preprocessing: str | None = None
    device: str = "auto"
    allow_outside: bool = False


class Net(NamedTuple):
    """A network that is looked at; without weights there is only its initialisation."""

    label: str
    architecture: Architecture
    weights: Contender | None
    seed: int
    sight: Sight


def run(named: Sequence[str], asked: Asked, *, as_json: bool = False) -> None:
    check_figure(asked.output, len(named))
    stored = [_stored(name) for name in named]
    if asked.when == "trained" and not all(stored):
        name = named[stored.index(False)]
        fail(
            f'"{sanitize(name)}" is a spec, which nobody has trained',
            "name weights or a run's folder, or drop --at",
        )
    from archspec.train.evaluate import device_named  # with it comes torch, which takes seconds
    from archspec.train.scores import Untestable

    try:
        device = device_named(asked.device)
    except ValueError as error:
        fail(str(error))
    try:
        nets = _nets(named, stored, asked)
    except Untestable as error:
        fail(str(error), error.hint)
    seen = [tuple(_seen(net, asked, device)) for net in nets]
    if asked.output is not None:
        from archspec.analysis.figure import draw_health
        from archspec.analysis.layers import residual

        drawn = [
            (net.label, residual(net.architecture), states) for net, states in zip(nets, seen, strict=True)
        ]
        title = ", ".join(_sets(nets)) if asked.title is None else asked.title
        draw_health(drawn, asked.output, title=title)
        say(f"drawn to {asked.output}")
    if as_json:
        emit_json(_record(nets, seen, asked))
    else:
        tell(_human(nets, seen, asked))


def _stored(name: str) -> bool:
    """Whether a word names weights, and not a spec."""
    path = Path(name)
    if path.suffix.lower() in WEIGHTS or path.is_dir():
        return True
    return path.is_file() and path.suffix.lower() != ".toml"


def _nets(named: Sequence[str], stored: Sequence[bool], asked: Asked) -> list[Net]:
    from archspec.analysis import subjects
    from archspec.recipes.load import load_recipe
    from archspec.train import contenders as field

    architecture = load(asked.spec, allow_outside=asked.allow_outside) if asked.spec else None
    recipe = load_recipe(asked.recipe, allow_outside=asked.allow_outside) if asked.recipe else None
    options = field.Asked(architecture, recipe, asked.preprocessing)
    entered = [
        field.contender(Path(name), options, say) if is_ else None
        for name, is_ in zip(named, stored, strict=True)
    ]
    first = next((each for each in entered if each is not None), None)
    data = asked.data or (field.data_name(first) if first else None)
    if first is not None and data is None:
        fail("no data set is named", "--data synthetic makes one up")
    splits = _splits(data, first, asked)
    made = []
    for name, each in zip(named, entered, strict=True):
        built = each.architecture if each else _loaded(name, splits, asked)
        seed = subjects.seed_of(Path(name)) if each and asked.seed is None else asked.seed
        made.append(("" if each is None else each.file, built, each, seed or 0))
    labels = subjects.labels(
        [(built.name, file or name) for name, (file, built, *_) in zip(named, made, strict=True)]
    )
    return [
        Net(label, built, each, seed, _sight(built, each, splits, asked))
        for label, (_, built, each, seed) in zip(labels, made, strict=True)
    ]


def _splits(data: str | None, first: Contender | None, asked: Asked) -> Splits | None:
    """The set; None where each spec gets images that are made up for it."""
    if first is not None:
        return sought(data, asked.data_root, first).read()
    if data in (None, "synthetic"):
        return None
    from archspec.data.find import find

    return find(data, asked.data_root).read()


def _loaded(name: str, splits: Splits | None, asked: Asked) -> Architecture:
    """A spec, with the input of the images where there are some, as `archspec train` has it."""
    from archspec.data.sets import Images

    changes = [*asked.changes]
    if splits is not None and isinstance(splits.train, Images):
        channels, height, width = splits.train.shape
        changes += [f"input.channels={channels}", f"input.size=[{height}, {width}]"]
    return load(name, changes, allow_outside=asked.allow_outside)


def _sight(built: Architecture, each: Contender | None, splits: Splits | None, asked: Asked) -> Sight:
    """Training images: those that gradients are of."""
    from archspec.analysis import subjects
    from archspec.train.contenders import parted

    if splits is None:
        return subjects.fresh_sight(built, subjects.made_up(built, asked.batch), asked.batch)
    if each is None:
        return subjects.fresh_sight(built, splits.train, asked.batch)
    return subjects.trained_sight(each, splits, parted(splits, each).train)


def _seen(net: Net, asked: Asked, device: torch.device) -> Iterator[Health]:
    from archspec.analysis import subjects
    from archspec.analysis.health import signals
    from archspec.analysis.layers import layers

    (places,) = net.sight.batches(asked.batch, asked.batch)
    images, labels = (each.to(device) for each in net.sight.images(places, asked.batch))
    found = layers(net.architecture)
    for state in _states(net, asked):
        module: nn.Module
        if state == FRESH or net.weights is None:
            module = subjects.fresh(net.architecture, net.seed, device)
        else:
            module = subjects.trained(net.weights, device)
        with steps(f"{sanitize(net.label)}, {state}") as said:
            yield signals(module, found, images, labels, state=state, tell=said)


def _states(net: Net, asked: Asked) -> tuple[str, ...]:
    if net.weights is None or asked.when == "initialisation":
        return (FRESH,)
    return (TRAINED,) if asked.when == "trained" else (FRESH, TRAINED)


def _sets(nets: Sequence[Net]) -> list[str]:
    return list(dict.fromkeys(net.sight.part.name for net in nets))


def _images(net: Net, asked: Asked) -> int:
    return min(asked.batch, len(net.sight.part))


def _record(nets: Sequence[Net], seen: Sequence[tuple[Health, ...]], asked: Asked) -> dict[str, Any]:
    from archspec.analysis.health import MODE
    from archspec.analysis.trend import CRITERION, LIMIT

    return {
        "mode": MODE,
        "criterion": CRITERION,
        "limit": LIMIT,
        "file": str(asked.output) if asked.output else None,
        "networks": [
            {
                "label": net.label,
                "name": net.architecture.name,
                "file": net.weights.file if net.weights else None,
                "function_hash": net.architecture.hash,
                "seed": net.seed,
                "data": net.sight.part.name,
                "images": _images(net, asked),
                "states": [each.as_json() for each in states],
            }
            for net, states in zip(nets, seen, strict=True)
        ],
    }


def _human(nets: Sequence[Net], seen: Sequence[tuple[Health, ...]], asked: Asked) -> str:
    from archspec.analysis.health import MODE
    from archspec.analysis.trend import CRITERION

    verdicts = [
        f"{net.label}, {each.state}: {each}"
        for net, states in zip(nets, seen, strict=True)
        for each in states
    ]
    tables = [
        f"{net.label}, {each.state}: seed {net.seed}, loss {each.loss:.4g}\n{_layers(each)}"
        for net, states in zip(nets, seen, strict=True)
        for each in states
    ]
    images = max(_images(net, asked) for net in nets)
    head = f"{', '.join(_sets(nets))}: {images} training images, {MODE}"
    return "\n\n".join([head, *tables, "\n".join(verdicts), f"Criterion: {CRITERION}."])


def _layers(health: Health) -> str:
    rows = [
        [
            f"{place + 1:,}",
            each.layer.name,
            each.layer.kind + ("" if each.layer.main else f", {each.layer.role}"),
            *map(_number, (each.activation, each.gradient, each.weight_gradient, each.ratio)),
        ]
        for place, each in enumerate(health.signals)
        if place in set(shown(len(health.signals)))
    ]
    header = ["#", "layer", "kind", "activation std", "gradient std", "weights' gradient", "over weights"]
    return table(header, rows, left=3) + left_out(len(health.signals))


def _number(value: float) -> str:
    return f"{value:.3e}" if value else "0"
