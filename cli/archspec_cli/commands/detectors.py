"""What `archspec show` and `diff` say of detectors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from archspec.detection.counts import counted
from archspec.detection.keys import shapes
from archspec.errors import ProblemsFound
from archspec.ir.operation import dims
from archspec.passes.measure import CONVENTION, Counts
from archspec_cli.commands.show import cells, memory
from archspec_cli.output import emit_json, fail, table, tell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archspec.compare import Comparison
    from archspec.detection.counts import DetectorCounts, Part
    from archspec.detection.load import LoadedDetector
    from archspec.passes.measure import Row

MOST_PIXELS = 10_000
_FROZEN = {
    "frozen": ("all batch normalisation",),
    "statistics": ("the statistics of batch normalisation",),
    "trained": (),
}


def sized(loaded: LoadedDetector, size: str | None) -> DetectorCounts:
    """The counts for an image of a size as it was typed, `HxW`; None is the detector's largest."""
    pixels = _pixels(size)
    try:
        return counted(loaded, pixels)
    except ProblemsFound as found:
        fail(f"{loaded.name} takes no image of {size}: {found.problems[0].message}")


def _pixels(size: str | None) -> tuple[int, int] | None:
    """Height and width."""
    if size is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", size)
    if match is None or not all(1 <= int(side) <= MOST_PIXELS for side in match.groups()):
        fail(
            f'"{size}" is no size of an image',
            f"height by width, at most {MOST_PIXELS} each: --size 600x1000",
        )
    return int(match[1]), int(match[2])


def show(loaded: LoadedDetector, size: str | None, *, as_json: bool) -> None:
    """Shows the four parts of a detector, row by row."""
    counts = sized(loaded, size)
    if as_json:
        emit_json(record(loaded, counts))
    else:
        tell(_human(loaded, counts))


def record(loaded: LoadedDetector, counts: DetectorCounts) -> dict[str, Any]:
    """What `--json` says of a detector."""
    told, shared = loaded.detector, counts.part("shared").counts
    return {
        "name": loaded.name,
        "about": loaded.file.about,
        "kind": "detector",
        "backbone": {
            "name": loaded.architecture.name,
            "hash": loaded.architecture.hash,
            "cut": told.cut,
        },
        "image": list(counts.part("shared").input),
        "stride": loaded.parts.stride,
        "convolutions": shared.layers,
        "projections": shared.projections,
        "frozen": list(told.frozen),
        "batch_norm": told.batch_norm,
        "classes": list(told.labels),
        "params": counts.parameters,
        "macs_per_image": counts.per_image,
        "macs_per_region": counts.per_region,
        "regions": told.proposals.keep_test,
        "macs": counts.with_regions(told.proposals.keep_test),
        "convention": CONVENTION,
        "parts": [_part(part) for part in counts.parts],
        "hash": loaded.digest,
    }


def _part(part: Part) -> dict[str, Any]:
    rows = [{"name": row.name, "output": list(row.output), **_quantities(row.counts)} for row in part.rows]
    said = {"name": part.name, "each": part.each, "input": list(part.input), "output": list(part.output)}
    return {**said, **_quantities(part.counts), "rows": rows}


def _quantities(counts: Counts) -> dict[str, Any]:
    return {
        "params": counts.params,
        "macs": counts.macs,
        "layers": counts.layers,
        "projections": counts.projections,
        "memory": memory(counts),
    }


def _human(loaded: LoadedDetector, counts: DetectorCounts) -> str:
    told, shared = loaded.detector, counts.part("shared").counts
    header = ["part", "stage", "output", "parameters", "multiply-adds", "weights", "activations"]
    rows: list[list[str]] = []
    for each in ("image", "region"):
        parts = [part for part in counts.parts if part.each == each]
        rows.append([f"one {each}", "", dims(parts[0].input), "", "", "", ""])
        rows += [
            [part.name if row is part.rows[0] else "", row.name, dims(row.output), *cells(row.counts)]
            for part in parts
            for row in part.rows
            if not _flattens(row)
        ]
        rows.append([f"per {each}", "", "", *cells(added(parts))])
    regions = told.proposals.keep_test
    lines = [
        f"{loaded.name}: {loaded.file.about}".rstrip(": "),
        "",
        table(header, rows, left=3),
        "",
        f"{counts.parameters:,} parameters. An image of {dims(counts.size)} with {regions} regions: "
        f"{counts.with_regions(regions):,} multiply-adds.",
        f"{loaded.architecture.name}, shared up to {told.cut}: {_number(shared.layers, 'convolution')}"
        + (f" and {_number(shared.projections, 'projection')}" if shared.projections else "")
        + f", stride {loaded.parts.stride}. Frozen: {_frozen(loaded)}.",
        f"{_number(len(told.labels), 'class', 'es')} and background. hash {loaded.digest[:16]}",
        f"Multiply-adds: {CONVENTION.removeprefix('multiply-adds ')}.",
        "Memory: fp32; weights with running statistics; activations are all layers' outputs for one image, or one "
        "region.",
    ]
    return "\n".join(lines)


def _number(count: int, what: str, more: str = "s") -> str:
    return f"{count} {what}{more if count != 1 else ''}"


def _frozen(loaded: LoadedDetector) -> str:
    """What training leaves as it is."""
    told = loaded.detector
    normalised = any(key.endswith(".running_mean") for key in shapes(loaded))
    return ", ".join([*told.frozen, *(_FROZEN[told.batch_norm] if normalised else ())]) or "nothing"


def _flattens(row: Row) -> bool:
    """Whether a row holds nothing but the flattening that stood before the network's own classifier."""
    return len(row.output) == 1 and not row.counts.params and not row.counts.macs


def added(parts: Iterable[Part]) -> Counts:
    """The counts of some parts together."""
    total = Counts()
    for part in parts:
        total += part.counts
    return total


def totals_of(loaded: LoadedDetector) -> dict[str, int]:
    """What `archspec diff` compares of a detector as a whole, at its largest image."""
    counts = counted(loaded)
    shared = counts.part("shared").counts
    return {
        "params": counts.parameters,
        "macs_per_image": counts.per_image,
        "macs_per_region": counts.per_region,
        "convolutions": shared.layers,
        "stride": loaded.parts.stride,
    }


def verdict_on(left: LoadedDetector, right: LoadedDetector, found: Comparison) -> str:
    """Whether two detectors are one, and whether weights carry over."""
    one_network = left.architecture.hash == right.architecture.hash
    if found.same_function:
        same = "They are one detector: they compute the same and learn from the same."
        return same if found.loads else f"{same} But keys differ: weights of one do not load into the other."
    if not found.loads:
        kept = " That of the network they start from fits both." if one_network else ""
        return f"They are different detectors; weights of one do not load into the other.{kept}"
    what = "fields" if one_network else "networks"
    return (
        f"They are different detectors, and weights do not show it: weights of one load strictly into the other, and "
        f"the differing {what} decide what comes of them."
    )
