"""`archspec responses`: how strongly the layers of trained networks respond, as in the paper's Figure 7."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from archspec.errors import file_error
from archspec_cli.loading import figure_file, load, sought
from archspec_cli.output import emit_json, fail, progress, say, table, tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.analysis.findings import Finding
    from archspec.analysis.responses import Responses
    from archspec.data.find import Source
    from archspec.data.sets import Set
    from archspec.train.contenders import Contender

Split = Literal["test", "validation", "train"]
MOST_ROWS = 64
"""More layers are shown by some of them."""


class Asked(NamedTuple):
    """The options of the command, as they were typed."""

    output: Path | None = None
    title: str | None = None
    y_max: float | None = None
    images: int = 1000
    batch: int = 128
    batch_statistics: bool = False
    every: bool = False
    split: Split = "test"
    spec: str | None = None
    data: str | None = None
    data_root: Path | None = None
    recipe: str | None = None
    preprocessing: str | None = None
    device: str = "auto"
    allow_outside: bool = False


def run(checkpoints: Sequence[Path], asked: Asked, *, as_json: bool = False) -> None:
    check_figure(asked.output, len(checkpoints))
    if asked.y_max is not None and not 0 < asked.y_max < float("inf"):
        fail(f"--y-max {asked.y_max:g} is no standard deviation", "it is above 0")
    architecture = load(asked.spec, allow_outside=asked.allow_outside) if asked.spec else None
    from archspec.recipes.load import load_recipe
    from archspec.train import contenders as field  # with it comes torch, which takes seconds

    recipe = load_recipe(asked.recipe, allow_outside=asked.allow_outside) if asked.recipe else None
    options = field.Asked(architecture, recipe, asked.preprocessing)
    entered = [field.contender(path, options, say) for path in checkpoints]
    source = sought(asked.data or field.data_name(entered[0]), asked.data_root, entered[0])
    several, part = _measured(entered, source, asked)
    from archspec.analysis.findings import findings

    found = findings(several)
    if asked.output is not None:
        from archspec.analysis.figure import draw_responses

        title = _title(part, asked.split) if asked.title is None else asked.title
        draw_responses(several, asked.output, title=title, y_max=asked.y_max)
        say(f"drawn to {asked.output}")
    images = min(asked.images, len(part))
    if as_json:
        emit_json(_record(entered, several, found, asked, {**_data(part, source, asked), "images": images}))
    else:
        tell(_human(several, found, f"{_title(part, asked.split)}: {images:,} images", asked))


def check_figure(output: Path | None, count: int) -> None:
    """Ends the command where nothing could be drawn."""
    if output is None:
        return
    figure_file(output)
    from archspec.runs.figure import MOST_CURVES

    if count > MOST_CURVES:
        fail(f"{count} networks are too many to tell apart", f"at most {MOST_CURVES} fit into a figure")


def _measured(
    entered: Sequence[Contender], source: Source, asked: Asked
) -> tuple[tuple[Responses, ...], Set]:
    from archspec.analysis import subjects
    from archspec.analysis.layers import responding
    from archspec.train import contenders as field
    from archspec.train.evaluate import device_named
    from archspec.train.scores import Untestable

    for each in entered:
        if not responding(each.architecture, every=asked.every):
            message = f"{each.architecture.name} has no {'convolution' if asked.every else '3x3 convolution'}"
            fail(message, "" if asked.every else "--all looks at all convolutions")
    try:
        device = device_named(asked.device)
    except ValueError as error:
        fail(str(error))
    splits = source.read()
    names = subjects.labels([(each.architecture.name, each.file) for each in entered])
    several = []
    part = None
    for each, label in zip(entered, names, strict=True):
        part = getattr(field.parted(splits, each), asked.split)
        if part is None or not len(part):
            raise file_error(source.place, "AS531", f"{source.name} has no images for {asked.split}")
        try:
            sight = subjects.trained_sight(each, splits, part)
            if asked.batch_statistics and min(map(len, sight.batches(asked.images, asked.batch))) < 2:
                fail("--batch-statistics are of two images at least", "--batch 128")
            found = subjects.responses(
                each,
                sight,
                label,
                count=asked.images,
                size=asked.batch,
                device=device,
                every=asked.every,
                batch_statistics=asked.batch_statistics,
                progress=lambda pieces, label=label: progress(pieces, label),  # type: ignore[misc]
            )
        except Untestable as error:
            if not error.code:
                fail(str(error), error.hint)
            raise file_error(each.file, error.code, str(error), hint=error.hint) from error
        several.append(found)
    assert part is not None, "at least one network is named"
    return tuple(several), part


def _title(part: Set, split: Split) -> str:
    return f"{part.name}, {split}"


def _statistics(asked: Asked) -> str:
    return f"each batch's own, of {asked.batch} images at most" if asked.batch_statistics else "running"


def _data(part: Set, source: Source, asked: Asked) -> dict[str, Any]:
    return {"name": part.name, "place": source.place, "split": asked.split}


def _record(
    entered: Sequence[Contender],
    several: Sequence[Responses],
    found: Sequence[Finding],
    asked: Asked,
    data: dict[str, Any],
) -> dict[str, Any]:
    from archspec.analysis.responses import QUANTITY

    return {
        "quantity": QUANTITY,
        "statistics": _statistics(asked),
        "data": data,
        "file": str(asked.output) if asked.output else None,
        "networks": [
            {
                "label": told.label,
                "name": each.architecture.name,
                "file": each.file,
                "sha256": each.weights.sha256,
                "function_hash": each.architecture.hash,
                **told.as_json(),
            }
            for each, told in zip(entered, several, strict=True)
        ],
        "findings": [each.as_json() for each in found],
    }


def _human(several: Sequence[Responses], found: Sequence[Finding], what: str, asked: Asked) -> str:
    from archspec.analysis.findings import CRITERION
    from archspec.analysis.responses import QUANTITY

    summary = [
        [
            each.label,
            f"{len(each.stds):,}",
            each.measured,
            *map(_number, (each.median, each.mean, each.sorted[0])),
        ]
        for each in several
    ]
    said = [str(each) for each in found]
    return "\n\n".join(
        [
            f"{what}\n{QUANTITY}\nbatch normalisation by statistics: {_statistics(asked)}",
            table(["", "layers", "measured", "median", "mean", "largest"], summary, left=1),
            _by_layer(several),
            *said,
            *([f"Criterion: {CRITERION}."] if said else []),
        ]
    )


def _by_layer(several: Sequence[Responses]) -> str:
    """Each layer in the original order; beside it the responses sorted."""
    longest = max(len(each.stds) for each in several)
    alone = several[0] if len(several) == 1 else None
    header = ["#", *(["layer"] if alone else [])]
    header += ["std", "sorted"] if alone else [text for each in several for text in (each.label, "sorted")]
    rows = []
    for place in shown(longest):
        cells = [f"{place + 1:,}", *([alone.layers[place].name] if alone else [])]
        for each in several:
            there = place < len(each.stds)
            cells += [_number(each.stds[place]), _number(each.sorted[place])] if there else ["-", "-"]
        rows.append(cells)
    return table(header, rows, left=2 if alone else 0) + left_out(longest)


def shown(count: int) -> list[int]:
    """The places of all layers, or of some that are evenly spread, the first and the last among them."""
    if count <= MOST_ROWS:
        return list(range(count))
    return [place * (count - 1) // (MOST_ROWS - 1) for place in range(MOST_ROWS)]


def left_out(count: int) -> str:
    """A line about layers that are not shown."""
    return "" if count <= MOST_ROWS else f"\n{MOST_ROWS} of {count:,} layers; --json has all"


def _number(value: float) -> str:
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e5 or not value else f"{value:.3e}"
