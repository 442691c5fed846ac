"""`archspec diff`: what tells two specs apart, or two detectors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NoReturn

from archspec.architecture import Architecture
from archspec.compare import Comparison, compare
from archspec.ir.operation import dims
from archspec.spec.fields import shown
from archspec_cli.loading import load_any
from archspec_cli.output import emit_json, fail, table, tell

if TYPE_CHECKING:
    from archspec.detection.load import LoadedDetector

MOST_KEYS = 12


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is said of two networks or of two detectors."""

    names: tuple[str, str]
    hashes: tuple[str, str]
    totals: dict[str, tuple[int, int]]
    found: Comparison
    verdict: str


def run(names: tuple[str, str], changes: list[str] | None, *, allow_outside: bool, as_json: bool) -> None:
    left = load_any(names[0], allow_outside=allow_outside)
    right = load_any(names[1], changes, allow_outside=allow_outside)
    if changes:
        names = (names[0], f"{names[1]} --set {' '.join(changes)}")
    answer = _answer(left, right, names)
    if as_json:
        emit_json(_record(answer))
    else:
        tell(_human(answer))
    if not answer.found.same_function:
        raise SystemExit(1)


def _answer(
    left: Architecture | LoadedDetector, right: Architecture | LoadedDetector, names: tuple[str, str]
) -> _Answer:
    if isinstance(left, Architecture) and isinstance(right, Architecture):
        found = compare(left, right)
        totals = {
            quantity: (getattr(left.measure.total, quantity), getattr(right.measure.total, quantity))
            for quantity in ("params", "macs", "layers", "projections")
        }
        return _Answer(names, (left.hash, right.hash), totals, found, _verdict(found))
    if isinstance(left, Architecture) or isinstance(right, Architecture):
        _unlike((left, right), names)
    from archspec.detection.differences import differences
    from archspec_cli.commands.detectors import totals_of, verdict_on

    found = differences(left, right)
    ours, theirs = totals_of(left), totals_of(right)
    return _Answer(
        names,
        (left.digest, right.digest),
        {quantity: (ours[quantity], theirs[quantity]) for quantity in ours},
        found,
        verdict_on(left, right, found),
    )


def _unlike(both: tuple[Architecture | LoadedDetector, ...], names: tuple[str, str]) -> NoReturn:
    kinds = [
        "a network" if isinstance(each, Architecture) else f'a detector on "{each.detector.backbone}"'
        for each in both
    ]
    fail(
        f"{names[0]} is {kinds[0]}, {names[1]} is {kinds[1]}",
        "two networks or two detectors are compared; a detector's own network is named by itself",
    )


def _record(answer: _Answer) -> dict[str, object]:
    found = answer.found
    fields = [{"field": each.name, "left": each.left, "right": each.right} for each in found.fields]
    return {
        "left": answer.names[0],
        "right": answer.names[1],
        "hashes": list(answer.hashes),
        "totals": {quantity: list(both) for quantity, both in answer.totals.items()},
        "weights": found.weights,
        **asdict(found),
        "fields": fields,
    }


def _human(answer: _Answer) -> str:
    found, names = answer.found, answer.names
    parts = []
    if found.fields:
        rows = [[each.name, _said(each.left), _said(each.right)] for each in found.fields]
        parts.append(table(["field", *names], rows, left=3))
    counts = [
        [quantity.replace("_", " "), f"{ours:,}", f"{theirs:,}", f"{theirs - ours:+,}"]
        for quantity, (ours, theirs) in answer.totals.items()
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
    parts.append(answer.verdict)
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
