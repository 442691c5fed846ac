"""What tells two detectors apart: fields, rows, keys, and whether weights carry over."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compare import Comparison, changed_fields, function_fields, row_changes
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
        rows=tuple(row_changes(_named(left), _named(right))),
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


def _named(loaded: LoadedDetector) -> dict[str, Row]:
    """All rows, by part and name: two parts may have a row of one name."""
    return {f"{part.name} {row.name}": row for part in counted(loaded).parts for row in part.rows}
