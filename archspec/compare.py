"""What tells two architectures apart: fields, shapes, counts, keys, and whether weights carry over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from archspec.passes.flatten import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.architecture import Architecture
    from archspec.ir.operation import Shape
    from archspec.passes.measure import Row

# what does not change the function
_SILENT = frozenset({"name", "about", "init", "family", "params", "keys", "format", "input"})
Weights = Literal["same function", "loads, but another function", "does not load"]


@dataclass(frozen=True, slots=True)
class Change:
    """A field that two resolved specs say differently; None where one does not say it."""

    path: tuple[str, ...]
    left: Any
    right: Any

    @property
    def name(self) -> str:
        """The field as a path: `defaults.stride_on`."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class RowChange:
    """A stage whose output or counts differ; None where one network lacks it."""

    name: str
    output: tuple[Shape | None, Shape | None]
    params: tuple[int, int]
    macs: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole answer. `keys` are trained tensors that only one has, or that differ in shape."""

    fields: tuple[Change, ...]
    rows: tuple[RowChange, ...]
    only_left: tuple[str, ...]
    only_right: tuple[str, ...]
    other_shape: tuple[str, ...]
    same_function: bool

    @property
    def loads(self) -> bool:
        """Whether weights of one load strictly into the other."""
        return not (self.only_left or self.only_right or self.other_shape)

    @property
    def weights(self) -> Weights:
        """What loading weights of one into the other gives."""
        if not self.loads:
            return "does not load"
        return "same function" if self.same_function else "loads, but another function"


def compare(left: Architecture, right: Architecture) -> Comparison:
    """Compares two architectures, each at its own image size."""
    ours, theirs = parameters(left.graph), parameters(right.graph)
    return Comparison(
        fields=tuple(changed_fields(left.declared.resolved(), right.declared.resolved())),
        rows=tuple(row_changes(_rows(left), _rows(right))),
        only_left=tuple(key for key in ours if key not in theirs),
        only_right=tuple(key for key in theirs if key not in ours),
        other_shape=tuple(key for key, shape in ours.items() if theirs.get(key, shape) != shape),
        same_function=left.hash == right.hash,
    )


def changed_fields(
    left: dict[str, Any], right: dict[str, Any], silent: frozenset[str] = frozenset()
) -> Iterator[Change]:
    """The fields that differ between two resolved specs. Stages are compared by name, arrays as a whole."""
    for key in (key for key in {**left, **right} if key not in silent):
        ours, theirs = left.get(key), right.get(key)
        if key == "stages":
            ours, theirs = _by_name(ours), _by_name(theirs)
        yield from _changes((key,), ours, theirs)


def function_fields(left: dict[str, Any], right: dict[str, Any]) -> Iterator[Change]:
    """The differing fields that can change what a network computes."""
    return changed_fields(left, right, _SILENT)


def _by_name(stages: Any) -> dict[str, Any]:
    return {stage["name"]: stage for stage in stages or []}


def _changes(path: tuple[str, ...], left: Any, right: Any) -> Iterator[Change]:
    if left == right:
        return
    if not isinstance(left, dict) or not isinstance(right, dict):
        yield Change(path, left, right)
        return
    for key in {**left, **right}:
        yield from _changes((*path, key), left.get(key), right.get(key))


def _rows(architecture: Architecture) -> dict[str, Row]:
    return {row.name: row for row in architecture.measure.rows}


def row_changes(ours: Mapping[str, Row], theirs: Mapping[str, Row]) -> Iterator[RowChange]:
    """The rows, by name, whose shapes or counts differ, or that only one side has."""
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
