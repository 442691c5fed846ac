"""How far a run is: a bar on a terminal, a plain line every few seconds in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from archspec.spec.fields import shown
from archspec_cli.output import say, settings
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

_SECONDS = 2.0


class Meter:
    """Watches a run: speed, the share of time that waits for data, and how long it will take."""

    def __init__(self, label: str) -> None:
        self.label, self.total, self.said = sanitize(label), 0, time.monotonic()
        self.steps, self.seconds, self.before = 0, 0.0, 0
        self.epoch = ""
        self.bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not settings.quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
            from rich.table import Column

            # what is told comes last, for a narrow terminal cuts it
            told = TextColumn("{task.fields[told]}", markup=False, table_column=Column(ratio=1, no_wrap=True))
            columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), told)
            self.bar = Progress(*columns, console=Console(stderr=True), transient=True, expand=True)
            self.bar.start()
            self.task = self.bar.add_task(self.label, total=None, told="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, record: Mapping[str, Any]) -> None:
        """One record of the run."""
        kind = record["kind"]
        if kind == "start":
            self.total, self.before = record["total"], record["step"]
            for remark in record["remarks"]:
                say(remark)
        elif kind == "train":
            self._train(record)
        elif kind == "epoch":
            told = [f"error {record['train_error']:.2%}"] if "train_error" in record else []
            if record["validation_error"] is not None:
                what = "validation" if told else "validation 1 - mAP"
                told.append(f"{what} {record['validation_error']:.2%}")
            self.epoch = f"epoch {record['epoch']:,}: {', '.join(told)}".rstrip(": ")

    def _train(self, look: Mapping[str, Any]) -> None:
        step = look["step"]
        self.steps, self.seconds = self.steps + step - self.before, self.seconds + look["seconds"]
        self.before = step
        left = (self.total - step) * self.seconds / max(self.steps, 1)
        seconds = max(look["seconds"], 1e-9)
        text = (
            f"loss {look['loss']:.4f}{_told(look)}, lr {shown(look['lr'])}, "
            f"{look['images'] / seconds:,.0f} images/s, {look['waited'] / seconds:.0%} waiting for data"
        )
        if self.bar is not None:
            told = "; ".join(filter(None, [f"{duration(left)} left", self.epoch, text]))
            self.bar.update(self.task, completed=step, total=self.total, told=told)
        elif time.monotonic() - self.said > _SECONDS or step == self.total:
            self.said = time.monotonic()
            epoch = f"; {self.epoch}" if self.epoch else ""
            say(f"step {step:,} of {self.total:,}: {text}, {duration(left)} left{epoch}")


def _told(look: Mapping[str, Any]) -> str:
    """What a task tells beside the loss: the training error, or the losses that add up to it."""
    if "train_error" in look:
        return f", training error {look['train_error']:.2%}"
    losses = look.get("losses", {})
    return f" ({', '.join(f'{name} {value:.3f}' for name, value in losses.items())})" if losses else ""


def duration(seconds: float) -> str:
    """`1:02:03`, or `2:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
