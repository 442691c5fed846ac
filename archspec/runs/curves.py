"""The curves of runs: errors over iterations out of `metrics.jsonl`; several seeds as their mean and range.

Training errors are those of epochs where a run has at least ten, else of its train records: means of about a second
each, pooled by their images to at most sixty points. Lines that hold no usable number are passed over.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, fsum, isclose, isfinite
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from archspec.errors import file_error
from archspec.runs.folder import read_run
from archspec.runs.metrics import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from archspec.runs.folder import RunFolder, RunTold

ENOUGH_EPOCHS = 10
MOST_POOLED = 60
MOST_CHANGES = 12
"""A schedule with more of them is no staircase, and none is told."""
LEAST_RATIO = 1.2
NEAR = 0.01
"""Changes of several runs are one where they are this close, as a share of the longest run."""
MOST_NAMED = 60
"""Characters of a name in a label."""

Source = Literal["epochs", "records"]


class Point(NamedTuple):
    """An error, a share of images: the mean over the seeds that got to this step, and their lowest and highest."""

    step: int
    mean: float
    low: float
    high: float


class Change(NamedTuple):
    """A new learning rate. `step` is the last one known to be trained at the old rate."""

    step: int
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """What the rate was divided by."""
        return self.before / self.after if self.after else float("inf")


@dataclass(frozen=True, slots=True)
class Curve:
    """What is drawn of a run, or of all seeds of one."""

    path: Path
    name: str
    parameters: int
    recipe: str
    data: str
    seeds: tuple[int, ...]
    train: tuple[Point, ...]
    source: Source
    validation: tuple[Point, ...]
    held_out: bool
    """Whether there is a validation error, or will be."""
    changes: tuple[Change, ...]
    steps_per_epoch: float | None
    finished: bool
    label: str = ""

    @property
    def end(self) -> int:
        """The last step that anything is known of."""
        return max(points[-1].step for points in (self.train, self.validation) if points)

    def as_json(self) -> dict[str, Any]:
        """All points, with their epochs where an epoch's length is known."""
        return {
            "label": self.label,
            "run": str(self.path),
            "spec": self.name,
            "recipe": self.recipe,
            "data": self.data,
            "seeds": list(self.seeds),
            "finished": self.finished,
            "steps_per_epoch": self.steps_per_epoch,
            "train_source": self.source,
            "train": [self._said(point) for point in self.train],
            "validation": [self._said(point) for point in self.validation] if self.held_out else None,
            "lr_changes": [change._asdict() for change in self.changes],
        }

    def _said(self, point: Point) -> dict[str, Any]:
        epoch = point.step / self.steps_per_epoch if self.steps_per_epoch else None
        return {"step": point.step, "epoch": epoch, **point._asdict()}


def read_curves(paths: Sequence[Path]) -> tuple[Curve, ...]:
    """One curve a folder, labelled so that they can be told apart. Raises `FileError` (AS553).

    A folder is drawn once, however often it is named. A folder of seeds is one curve.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        folders.setdefault(path.resolve(), path)
    return labelled([_curve(read_run(path)) for path in folders.values()])


def labelled(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """The curves with the names of their nets, and what else it takes to tell them apart."""
    labels = [_shortened(curve.name) + _several(curve) for curve in curves]
    for told in (_size, _data, _recipe, _seed, _folder):
        labels = [
            f"{label}, {told(curve)}" if _helps(told, label, labels, curves) else label
            for label, curve in zip(labels, curves, strict=True)
        ]
    numbers = [labels[: place + 1].count(label) for place, label in enumerate(labels)]
    named = [
        f"{label} ({number})" if number > 1 else label for label, number in zip(labels, numbers, strict=True)
    ]
    return tuple(replace(curve, label=label) for curve, label in zip(curves, named, strict=True))


def agreed(changes: Mapping[int, Sequence[Change]], within: float) -> list[tuple[Change, set[int]]]:
    """The changes of several runs, those of one ratio and about one step as one: with the runs that made it."""
    found: list[tuple[Change, set[int]]] = []
    for change, owner in sorted((change, owner) for owner, several in changes.items() for change in several):
        for first, owners in found:
            if owner not in owners and change.step - first.step <= within and _same(change, first):
                owners.add(owner)
                break
        else:
            found.append((change, {owner}))
    return found


@dataclass(frozen=True, slots=True)
class _Series:
    """The numbers of one run, by step."""

    epochs: dict[int, float]
    validation: dict[int, float]
    records: tuple[tuple[int, float, int], ...]  # step, training error, images
    changes: tuple[Change, ...]
    steps_per_epoch: float | None

    def train(self, source: Source) -> dict[int, float]:
        return self.epochs if source == "epochs" else _pooled(self.records)


def _curve(run: RunFolder) -> Curve:
    pairs = [(each, _series(each)) for each in run.runs if each.told is not None and each.metrics.is_file()]
    began = [(each, series) for each, series in pairs if series.records or series.epochs]
    if not began:
        hint = "archspec train writes the first one after about a second"
        raise file_error(run.metrics, "AS553", "there is no record with an error yet", hint=hint)
    several = [series for _, series in began]
    tolds = [told for each, _ in began if (told := each.told) is not None]
    source: Source = "records"
    if not all(series.records for series in several) or any(
        len(series.epochs) >= ENOUGH_EPOCHS for series in several
    ):
        source = "epochs"
    validation = _merged([series.validation for series in several])
    longest = max(max(series.train(source), default=0) for series in several)
    changes = agreed({place: series.changes for place, series in enumerate(several)}, NEAR * longest)
    return Curve(
        path=run.path,
        name=tolds[0].spec.name,
        parameters=tolds[0].spec.parameters,
        recipe=tolds[0].recipe.name,
        data=tolds[0].data.name,
        seeds=tuple(told.seed for told in tolds),
        train=_merged([series.train(source) for series in several]),
        source=source,
        validation=validation,
        held_out=bool(validation) or tolds[0].data.validation is not None,
        changes=tuple(change for change, _ in changes),
        steps_per_epoch=next((each.steps_per_epoch for each in several if each.steps_per_epoch), None),
        finished=all(each.result is not None for each in run.runs),
    )


def _series(run: RunFolder) -> _Series:
    assert run.told is not None, "a parent of seeds has no metrics of its own"
    epochs: dict[int, float] = {}
    validation: dict[int, float] = {}
    records: dict[int, tuple[int, float, int]] = {}
    rates: dict[int, float] = {}
    length = None
    for record in read(run.metrics):
        step, error = _step(record.get("step")), _share(record.get("train_error"))
        if step is None:
            continue
        if record.get("kind") == "epoch":
            length = _length(step, record.get("epoch")) or length
            _put(epochs, step, error)
            _put(validation, step, _share(record.get("validation_error")))
        elif record.get("kind") == "train":
            _put(rates, step, _rate(record.get("lr")))
            if error is not None:
                records[step] = (step, error, _step(record.get("images")) or 1)
    ordered = tuple(records[step] for step in sorted(records))
    return _Series(
        epochs,
        validation,
        ordered,
        _changes(sorted(rates.items())),
        length or _from_images(ordered, run.told),
    )


def _put(values: dict[int, float], step: int, value: float | None) -> None:
    if value is not None:
        values[step] = value


def _number(value: object) -> float | None:
    """A number that is one: no truth value, nothing too long for a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and value.bit_length() > 64:
        return None
    return float(value) if isfinite(value) else None


def _step(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 1 <= number < 2**53 else None


def _share(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 1 else None


def _rate(value: object) -> float | None:
    number = _number(value)
    return number if number is not None and number >= 0 else None


def _length(step: int, epoch: object) -> float | None:
    """Steps of an epoch, from how many there have been."""
    number = _step(epoch)
    return step / number if number else None


def _from_images(records: Sequence[tuple[int, float, int]], told: RunTold) -> float | None:
    """The same before the first epoch's end: by how many images a step takes."""
    if not records:
        return None
    images = sum(each for _, _, each in records)
    return told.data.train * records[-1][0] / images


def _pooled(records: Sequence[tuple[int, float, int]]) -> dict[int, float]:
    size = ceil(len(records) / MOST_POOLED)
    out: dict[int, float] = {}
    for start in range(0, len(records), max(size, 1)):
        part = records[start : start + size]
        out[part[-1][0]] = sum(error * images for _, error, images in part) / sum(
            images for *_, images in part
        )
    return out


def _changes(rates: Sequence[tuple[int, float]]) -> tuple[Change, ...]:
    """Where the rate went from one that was held to another: a cosine's, which is new at each record, never does."""
    held: list[list[tuple[int, float]]] = []
    for step, rate in rates:
        if held and isclose(held[-1][0][1], rate, rel_tol=1e-6):
            held[-1].append((step, rate))
        else:
            held.append([(step, rate)])
    found = [
        Change(before[-1][0], before[-1][1], after[0][1])
        for before, after in pairwise(held)
        if len(before) > 1 and (len(after) > 1 or after is held[-1])
    ]
    sharp = tuple(each for each in found if not 1 / LEAST_RATIO < each.ratio < LEAST_RATIO)
    return sharp if len(sharp) <= MOST_CHANGES else ()


def _same(one: Change, other: Change) -> bool:
    return isclose(one.ratio, other.ratio, rel_tol=1e-3)


def _merged(several: Sequence[Mapping[int, float]]) -> tuple[Point, ...]:
    """The mean and the range at each step that any has, over those that got so far."""
    if len(several) == 1:
        return tuple(Point(step, error, error, error) for step, error in sorted(several[0].items()))
    lines = [sorted(each.items()) for each in several if each]
    out = []
    for step in sorted({step for each in several for step in each}):
        values = [value for line in lines if (value := _between(line, step)) is not None]
        out.append(Point(step, fsum(values) / len(values), min(values), max(values)))
    return tuple(out)


def _between(line: Sequence[tuple[int, float]], step: int) -> float | None:
    """The value at a step, on the way from the point before it to the one behind it."""
    place = bisect_left(line, (step, 0.0))
    if place == len(line):
        return None
    after, value = line[place]
    if after == step:
        return value
    if not place:
        return None
    before, first = line[place - 1]
    return first + (value - first) * (step - before) / (after - before)


def _size(curve: Curve) -> str:
    """As in the paper's Table 6: for nets of one name that `--set` made."""
    return f"{curve.parameters / 1e6:.2g}M"


def _data(curve: Curve) -> str:
    return _shortened(curve.data)


def _recipe(curve: Curve) -> str:
    return _shortened(curve.recipe)


def _seed(curve: Curve) -> str:
    return f"seed {curve.seeds[0]}" if len(curve.seeds) == 1 else f"seeds from {min(curve.seeds)}"


def _several(curve: Curve) -> str:
    return f", {len(curve.seeds)} seeds" if len(curve.seeds) > 1 else ""


def _folder(curve: Curve) -> str:
    return _shortened(curve.path.resolve().name)


def _helps(told: Any, label: str, labels: Sequence[str], curves: Sequence[Curve]) -> bool:
    """Whether curves of one label differ in this."""
    alike: Iterable[Curve] = (curve for each, curve in zip(labels, curves, strict=True) if each == label)
    return len({told(curve) for curve in alike}) > 1


def _shortened(text: str) -> str:
    """One line that can be drawn: a stranger's text, with its middle left out where it is long."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    half = MOST_NAMED // 2
    return plain if len(plain) <= MOST_NAMED else f"{plain[:half]}…{plain[-half:]}"
