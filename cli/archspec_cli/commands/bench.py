"""`archspec bench`: how fast a network runs here, and with what."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, say, table, tell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from archspec.architecture import Architecture
    from archspec.deploy.bench import Bench, Engine, Machine, Row

MOST_IMAGES = 4096


def run(
    spec: str,
    *,
    batches: str = "1",
    engines: Sequence[str] = (),
    threads: int | None = None,
    weights: Path | None = None,
    runs: int = 20,
    seconds: float = 10.0,
    changes: list[str] | None = None,
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    sizes = _batches(batches)
    architecture = load(spec, changes, allow_outside=allow_outside)
    tensors = _tensors(architecture, weights)
    from archspec.deploy.bench import USUAL, Terms, bench  # torch takes seconds to import

    chosen = cast("tuple[Engine, ...]", tuple(engines)) or USUAL
    terms = Terms(sizes, chosen, threads, runs, seconds)
    found = bench(architecture, terms, tensors, say)
    if as_json:
        emit_json(_record(found, architecture, weights))
    else:
        tell(_human(found, architecture))


def _batches(text: str) -> tuple[int, ...]:
    """`1,16` as numbers."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        fail(f'"{text}" are no batch sizes', "whole numbers with commas between: --batch 1,16")
    sizes = tuple(int(part) for part in parts)
    if not all(1 <= size <= MOST_IMAGES for size in sizes):
        fail(f"a batch holds 1 to {MOST_IMAGES:,} images")
    return sizes


def _tensors(architecture: Architecture, weights: Path | None) -> Mapping[str, np.ndarray[Any, Any]] | None:
    if weights is None:
        return None
    from archspec.weights.files import read_weights
    from archspec.weights.match import matched

    return matched(architecture, read_weights(weights))


def _record(found: Bench, architecture: Architecture, weights: Path | None) -> dict[str, Any]:
    return {
        "name": architecture.name,
        "function_hash": architecture.hash,
        "input": list(architecture.input_shape),
        "weights": str(weights) if weights else None,
        "machine": asdict(found.machine),
        "rows": [row.as_json() for row in found.rows],
    }


def _human(found: Bench, architecture: Architecture) -> str:
    header = ["engine", "batch", "ms a batch", "half of the runs", "images/s", "times eager", "off by"]
    size = "x".join(str(side) for side in architecture.input_shape)
    parts = [_machine(found.machine), f"{architecture.name}, images of {size}"]
    parts.append(table(header, [_row(row) for row in found.rows]))
    notes = dict.fromkeys(f"{row.engine} did not run: {row.note}" for row in found.rows if row.note)
    return "\n\n".join([*parts, *notes])


def _row(row: Row) -> list[str]:
    if not row.seconds:
        return [row.engine, str(row.batch), "-", "-", "-", "-", "-"]
    low, high = (_digits(each * 1e3) for each in row.quartiles)
    off = f"{row.error:.0e}" if row.error else "-"
    times = "-" if row.ratio is None else f"{row.ratio:.2f}"
    return [
        row.engine,
        str(row.batch),
        _digits(row.latency * 1e3),
        f"{low} to {high}",
        _digits(row.throughput),
        times,
        off,
    ]


def _machine(here: Machine) -> str:
    return (
        f"{here.cpu}, {here.cores} cores, {here.threads} threads, {here.system}; Python {here.python}, "
        f"torch {here.torch}, onnxruntime {here.onnxruntime}"
    )


def _digits(value: float) -> str:
    """A number to three digits or so, without an exponent."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"
