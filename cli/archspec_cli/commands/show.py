"""`archspec show`: the stage table, the resolved spec, the origin of every value; of networks and of detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.architecture import Architecture
from archspec.ir.operation import dims
from archspec.passes.measure import CONVENTION
from archspec.spec.fields import shown
from archspec_cli.loading import load_any
from archspec_cli.output import data, emit_json, fail, table, tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.detection.load import LoadedDetector
    from archspec.passes.measure import Counts

_FLOAT = 4  # bytes of an fp32 value


def run(
    spec: str,
    changes: list[str] | None = None,
    *,
    origin: bool = False,
    resolved: bool = False,
    as_json: bool = False,
    allow_outside: bool = False,
    size: str | None = None,
    budget: Mapping[str, int | None] | None = None,
) -> None:
    loaded = load_any(spec, changes, allow_outside=allow_outside, **budget or {})
    if size is not None and isinstance(loaded, Architecture):
        fail("--size is for detectors", "a network's image is changed with --set input.size=[448,448]")
    if resolved:
        _resolved(loaded, as_json=as_json)
    elif origin:
        _origin(loaded, as_json=as_json)
    elif not isinstance(loaded, Architecture):
        from archspec_cli.commands import detectors

        detectors.show(loaded, size, as_json=as_json)
    elif as_json:
        emit_json(record(loaded))
    else:
        tell(_human(loaded))


def record(architecture: Architecture) -> dict[str, Any]:
    """What `--json` says of an architecture."""
    measured = architecture.measure
    total = measured.total
    return {
        "name": architecture.name,
        "about": architecture.declared.spec.about,
        "input": list(architecture.input_shape),
        "output": list(measured.output),
        "params": total.params,
        "macs": total.macs,
        "convention": CONVENTION,
        "layers": total.layers,
        "projections": total.projections,
        "memory": memory(total),
        "stages": [
            {
                "name": row.name,
                "output": [*row.output, *(1 for _ in range(3 - len(row.output)))],
                "params": row.counts.params,
                "macs": row.counts.macs,
                "layers": row.counts.layers,
                "projections": row.counts.projections,
                "memory": memory(row.counts),
            }
            for row in measured.rows
        ],
        "parameters": dict(architecture.declared.params),
        "hash": architecture.hash,
    }


def memory(counts: Counts) -> dict[str, int]:
    """Bytes in fp32: of weights with running statistics, and of all layers' outputs."""
    return {"weights": (counts.params + counts.buffers) * _FLOAT, "activations": counts.activations * _FLOAT}


def _human(architecture: Architecture) -> str:
    measured = architecture.measure
    total = measured.total
    header = ["stage", "output", "parameters", "multiply-adds", "weights", "activations"]
    rows = [["input", dims(architecture.input_shape), "", "", "", ""]]
    rows += [[row.name, dims(row.output), *cells(row.counts)] for row in measured.rows]
    rows.append(["total", "", *cells(total)])
    lines = [
        f"{architecture.name}: {architecture.declared.spec.about}".rstrip(": "),
        "",
        table(header, rows, left=2),
        "",
        f"{total.layers} weighted layers, {total.projections} projections. hash {architecture.hash[:16]}",
        f"Multiply-adds: {CONVENTION.removeprefix('multiply-adds ')}.",
        "Memory: fp32; weights with running statistics; activations are all layers' outputs for one image.",
    ]
    return "\n".join(lines)


def cells(counts: Counts) -> list[str]:
    """Parameters, multiply-adds and memory, for reading."""
    held = memory(counts)
    return [
        f"{counts.params:,}",
        f"{counts.macs:,}",
        _bytes(held["weights"]),
        _bytes(held["activations"]),
    ]


def _bytes(count: int) -> str:
    """Binary units, three digits: 97.5 MiB."""
    if count < 1024:
        return f"{count} B"
    value, units = count / 1024, ["KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.1f} {units[0]}"


def _resolved(loaded: Architecture | LoadedDetector, *, as_json: bool) -> None:
    import tomli_w

    if isinstance(loaded, Architecture):
        resolved, digest = loaded.declared.resolved(), loaded.hash
    else:
        resolved, digest = loaded.resolved(), loaded.digest
    if as_json:
        emit_json({"name": loaded.name, "resolved": resolved, "hash": digest})
        return
    data(tomli_w.dumps(resolved))


def _origin(loaded: Architecture | LoadedDetector, *, as_json: bool) -> None:
    sources = (loaded.declared if isinstance(loaded, Architecture) else loaded).sources
    values = []
    for loc, value in _leaves(sources.merged(), ()):
        span = sources.place(loc)
        values.append(
            {"field": _path(sources.merged(), loc), "value": value, "file": span.file, "line": span.line}
        )
    if as_json:
        emit_json({"name": loaded.name, "values": values})
        return
    rows = [[each["field"], shown(each["value"]), f"{each['file']}:{each['line']}"] for each in values]
    data(table(["field", "value", "said in"], rows, left=3))


def _leaves(value: Any, loc: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*loc, key))
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*loc, place))
    else:
        yield loc, value


def _path(merged: dict[str, Any], loc: tuple[str | int, ...]) -> str:
    """`stages.conv3_x.depth`: stages by name, other places by number."""
    parts = [str(part) for part in loc]
    if loc[0] == "stages" and isinstance(loc[1], int):
        parts[1] = str(merged["stages"][loc[1]].get("name", loc[1]))
    return ".".join(parts)
