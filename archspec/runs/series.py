"""The numbers of one run by step, out of its `metrics.jsonl`. Lines that hold no usable number are passed over."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, pairwise
from math import ceil, isclose, isfinite
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from archspec.runs.metrics import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archspec.runs.folder import RunFolder, RunTold

MOST_POOLED = 60
MOST_CHANGES = 12
"""A schedule with more of them is no staircase, and none is told."""
LEAST_RATIO = 1.2
MOST_LOSSES = 6
SUM = "sum"
MOST_NAMED = 60
"""Characters of a name in a label."""

Source = Literal["epochs", "records"]


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
class Series:
    """The numbers of one run, by step."""

    epochs: dict[int, float]
    validation: dict[int, float]
    records: tuple[tuple[int, float, int], ...]  # step, training error, images
    changes: tuple[Change, ...]
    steps_per_epoch: float | None
    detector: bool
    losses: Mapping[str, tuple[tuple[int, float, int], ...]]  # a detector's, each as `records`

    def train(self, source: Source) -> dict[int, float]:
        """Training errors of epochs, or of records."""
        return self.epochs if source == "epochs" else pooled(self.records)

    @property
    def drawable(self) -> bool:
        """Whether there is a training error; of a detector a loss, or a validation error."""
        detector = SUM in self.losses or (self.detector and self.validation)
        return bool(self.records or self.epochs or detector)

    def end(self, source: Source) -> int:
        """The last step of what is drawn thin."""
        losses = (points[-1][0] for points in self.losses.values())
        return max([*self.train(source), *losses], default=0)


def series_of(run: RunFolder) -> Series:
    """What a run has recorded so far. Raises `FileError`."""
    assert run.told is not None, "a parent of seeds has no metrics of its own"
    epochs: dict[int, float] = {}
    validation: dict[int, float] = {}
    records: dict[int, tuple[int, float, int]] = {}
    rates: dict[int, float] = {}
    losses: dict[str, dict[int, tuple[int, float, int]]] = {}
    length, detector = None, run.told.spec.kind == "detector"
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
            images = _step(record.get("images")) or 1
            if error is not None:
                records[step] = (step, error, images)
            for name, loss in _told_losses(record) if detector else ():
                losses.setdefault(name, {})[step] = (step, loss, images)
    ordered = _ordered(records)
    return Series(
        epochs,
        validation,
        ordered,
        _changes(sorted(rates.items())),
        length or _from_images(ordered or _ordered(losses.get(SUM, {})), run.told),
        detector,
        {name: _ordered(points) for name, points in losses.items()},
    )


def _ordered(points: Mapping[int, tuple[int, float, int]]) -> tuple[tuple[int, float, int], ...]:
    return tuple(points[step] for step in sorted(points))


def _told_losses(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The sum, and at most so many parts, of those that are numbers."""
    parts = record.get("losses")
    named = islice(parts.items(), MOST_LOSSES) if isinstance(parts, dict) else ()
    for name, value in ((SUM, record.get("loss")), *named):
        loss = _rate(value)
        if loss is not None:
            yield shortened(name), loss


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


def pooled(records: Sequence[tuple[int, float, int]]) -> dict[int, float]:
    """Means over images, at most so many."""
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


def shortened(text: str) -> str:
    """One line that can be drawn: a stranger's text, with its middle left out where it is long."""
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    half = MOST_NAMED // 2
    return plain if len(plain) <= MOST_NAMED else f"{plain[:half]}…{plain[-half:]}"
