"""The curves of runs: errors over iterations out of `metrics.jsonl`; several seeds as their mean and range.

A detector's error is 1 - mAP, of validation alone; its losses stand in the place of training errors.

Training errors are those of epochs where a run has at least ten, else of its train records: means of about a second
each, pooled by their images to at most sixty points. Lines that hold no usable number are passed over.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field, replace
from math import fsum, isclose
from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.errors import file_error
from archspec.runs.folder import read_run
from archspec.runs.series import Change, pooled, series_of, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from archspec.runs.folder import RunFolder
    from archspec.runs.series import Series, Source

ENOUGH_EPOCHS = 10
NEAR = 0.01
"""Changes of several runs are one where they are this close, as a share of the longest run."""


class Point(NamedTuple):
    """An error, a share of images: the mean over the seeds that got to this step, and their lowest and highest."""

    step: int
    mean: float
    low: float
    high: float


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
    detector: bool = False
    losses: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    """A detector's: their sum as `SUM`, and each by its name."""
    label: str = ""

    @property
    def end(self) -> int:
        """The last step that anything is known of."""
        known = (self.train, self.validation, *self.losses.values())
        return max(points[-1].step for points in known if points)

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
            **(self._of_detector() if self.detector else {}),
        }

    def _of_detector(self) -> dict[str, Any]:
        """Without a training error."""
        losses = {name: [self._said(point) for point in points] for name, points in self.losses.items()}
        return {"error": "1 - mAP", "train_source": None, "train": None, "losses": losses}

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
    runs = [read_run(path) for path in folders.values()]
    kinds = {each.told.spec.kind: each.path for run in runs for each in run.runs if each.told is not None}
    if len(kinds) > 1:
        message = f"this is a run of a detector, and {kinds['network']} one of a network"
        hint = "1 - mAP and the error of a classification are no figure together: draw two"
        raise file_error(kinds["detector"], "AS554", message, hint=hint)
    return labelled([_curve(run) for run in runs])


def labelled(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """The curves with the names of their nets, and what else it takes to tell them apart."""
    labels = [shortened(curve.name) + _several(curve) for curve in curves]
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


def _curve(run: RunFolder) -> Curve:
    pairs = [(each, series_of(each)) for each in run.runs if each.told is not None and each.metrics.is_file()]
    began = [(each, series) for each, series in pairs if series.drawable]
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
    longest = max(series.end(source) for series in several)
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
        detector=tolds[0].spec.kind == "detector",
        losses=_losses(several),
    )


def _losses(several: Sequence[Series]) -> dict[str, tuple[Point, ...]]:
    """The sum first, then each by its name: those that all seeds have."""
    names = [name for name in several[0].losses if all(name in series.losses for series in several)]
    return {name: _merged([pooled(series.losses[name]) for series in several]) for name in names}


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
    return shortened(curve.data)


def _recipe(curve: Curve) -> str:
    return shortened(curve.recipe)


def _seed(curve: Curve) -> str:
    return f"seed {curve.seeds[0]}" if len(curve.seeds) == 1 else f"seeds from {min(curve.seeds)}"


def _several(curve: Curve) -> str:
    return f", {len(curve.seeds)} seeds" if len(curve.seeds) > 1 else ""


def _folder(curve: Curve) -> str:
    return shortened(curve.path.resolve().name)


def _helps(told: Any, label: str, labels: Sequence[str], curves: Sequence[Curve]) -> bool:
    """Whether curves of one label differ in this."""
    alike: Iterable[Curve] = (curve for each, curve in zip(labels, curves, strict=True) if each == label)
    return len({told(curve) for curve in alike}) > 1
