"""`archspec diff`: what tells two specs apart."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from archspec.compare import Comparison, compare
from archspec.ir.operation import dims
from archspec.spec.fields import shown
from archspec_cli.loading import load
from archspec_cli.output import emit_json, table, tell

if TYPE_CHECKING:
    from archspec.architecture import Architecture

MOST_KEYS = 12


def run(names: tuple[str, str], changes: list[str] | None, *, allow_outside: bool, as_json: bool) -> None:
    left = load(names[0], allow_outside=allow_outside)
    right = load(names[1], changes, allow_outside=allow_outside)
    if changes:
        names = (names[0], f"{names[1]} --set {' '.join(changes)}")
    comparison = compare(left, right)
    if as_json:
        emit_json(_record(comparison, left, right, names))
    else:
        tell(_human(comparison, left, right, names))
    if not comparison.same_function:
        raise SystemExit(1)


def _record(
    found: Comparison, left: Architecture, right: Architecture, names: tuple[str, str]
) -> dict[str, object]:
    table = asdict(found)
    table["fields"] = [{"field": each.name, "left": each.left, "right": each.right} for each in found.fields]
    totals = {
        quantity: [getattr(each.measure.total, quantity) for each in (left, right)]
        for quantity in ("params", "macs", "layers", "projections")
    }
    hashes = [left.hash, right.hash]
    return {
        "left": names[0],
        "right": names[1],
        "hashes": hashes,
        "totals": totals,
        "weights": found.weights,
        **table,
    }


def _human(found: Comparison, left: Architecture, right: Architecture, names: tuple[str, str]) -> str:
    parts = []
    if found.fields:
        rows = [[each.name, _said(each.left), _said(each.right)] for each in found.fields]
        parts.append(table(["field", *names], rows, left=3))
    counts = [
        [quantity, f"{ours:,}", f"{theirs:,}", f"{theirs - ours:+,}"]
        for quantity in ("params", "macs", "layers", "projections")
        for ours, theirs in [(getattr(left.measure.total, quantity), getattr(right.measure.total, quantity))]
        if ours != theirs
    ]
    for row in found.rows:
        shapes = [dims(shape) if shape else "-" for shape in row.output]
        if shapes[0] != shapes[1]:
            counts.append([f"{row.name} output", *shapes, ""])
        for what, (ours, theirs) in (("params", row.params), ("macs", row.macs)):
            if ours != theirs:
                counts.append([f"{row.name} {what}", f"{ours:,}", f"{theirs:,}", f"{theirs - ours:+,}"])
    if counts:
        parts.append(table(["count", *names, "change"], counts))
    parts += _keys(found, names)
    parts.append(_verdict(found))
    return "\n\n".join(parts)


def _said(value: object) -> str:
    return "-" if value is None else shown(value)


def _keys(found: Comparison, names: tuple[str, str]) -> list[str]:
    groups = (
        (f"only in {names[0]}", found.only_left),
        (f"only in {names[1]}", found.only_right),
        ("of another shape", found.other_shape),
    )
    return [f"{len(keys)} tensors {what}: {_some(keys)}" for what, keys in groups if keys]


def _some(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - MOST_KEYS} more" if len(keys) > MOST_KEYS else ""
    return ", ".join(keys[:MOST_KEYS]) + more


def _verdict(found: Comparison) -> str:
    if found.same_function:
        same = "They compute the same function."
        return (
            same
            if found.loads
            else f"{same} But keys differ: weights of one do not load into the other as they are."
        )
    if found.loads:
        return (
            "They compute different functions, and weights do not show it: weights of one load strictly into the "
            "other and give other outputs."
        )
    return "They compute different functions; weights of one do not load into the other."
