"""What tells two detectors apart: fields, rows, keys, and whether weights carry over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compare import Comparison, RowChange, changed_fields, function_fields
from archspec.detection.counts import counted
from archspec.detection.keys import shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.compare import Change
    from archspec.detection.load import LoadedDetector
    from archspec.passes.measure import Row


def differences(left: LoadedDetector, right: LoadedDetector) -> Comparison:
    """Compares two detectors, each at its own largest image. One function: they also learn from the same."""
    ours, theirs = shapes(left), shapes(right)
    return Comparison(
        fields=(*changed_fields(left.resolved(), right.resolved()), *_of_networks(left, right)),
        rows=tuple(_rows(left, right)),
        only_left=tuple(key for key in ours if key not in theirs),
        only_right=tuple(key for key in theirs if key not in ours),
        other_shape=tuple(key for key, shape in ours.items() if theirs.get(key, shape) != shape),
        same_function=left.digest == right.digest,
    )


def _of_networks(left: LoadedDetector, right: LoadedDetector) -> Iterator[Change]:
    """The fields that their networks say differently."""
    if left.architecture.hash == right.architecture.hash:
        return
    ours, theirs = (each.architecture.declared.resolved() for each in (left, right))
    for change in function_fields(ours, theirs):
        yield replace(change, path=("network", *change.path))


def _rows(left: LoadedDetector, right: LoadedDetector) -> Iterator[RowChange]:
    ours, theirs = _named(left), _named(right)
    for name in {**ours, **theirs}:
        a, b = ours.get(name), theirs.get(name)
        change = RowChange(
            name,
            (a.output if a else None, b.output if b else None),
            (a.counts.params if a else 0, b.counts.params if b else 0),
            (a.counts.macs if a else 0, b.counts.macs if b else 0),
        )
        if any(one != other for one, other in (change.output, change.params, change.macs)):
            yield change


def _named(loaded: LoadedDetector) -> dict[str, Row]:
    """All rows, by part and name: two parts may have a row of one name."""
    return {f"{part.name} {row.name}": row for part in counted(loaded).parts for row in part.rows}
