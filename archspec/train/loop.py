"""The one loop: any spec, any recipe. A step is a pure function of (seed, step) and of the state before it."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy

from archspec.data.feed import Batch
from archspec.recipes.fields import TRAIN_ERROR
from archspec.recipes.schedule import ScheduleState, epoch_steps, lr, plateaued, released, total_steps
from archspec.train.optimiser import make_optimiser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor, nn

    from archspec.recipes.models import Recipe

SECONDS_BETWEEN_LOOKS = 1.0
"""How often running sums are read: each look waits for the device."""
_KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Diverged(Exception):
    """The loss is not finite. `step` is the step at which it was seen."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"the loss is not a finite number at step {step}")


@dataclass(frozen=True, slots=True)
class Terms:
    """How this machine computes; none of it is part of a recipe."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    compile: bool = False
    channels_last: bool = True
    seed: int = 0


@dataclass(slots=True)
class Progress:
    """Where a run stands after `step` steps: what a checkpoint keeps beside tensors."""

    step: int = 0
    schedule: ScheduleState = field(default_factory=ScheduleState)
    best: float | None = None
    best_step: int = 0

    def as_json(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {**asdict(self), "schedule": self.schedule.as_json()}

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Progress:
        """From a checkpoint."""
        return cls(**{**table, "schedule": ScheduleState.from_json(table["schedule"])})


class Look(NamedTuple):
    """What is known at a look: means over the images since the last one, and where the time went."""

    step: int
    lr: float
    loss: float
    train_error: float
    images: int
    seconds: float
    waited: float
    """Seconds of these in which the loop waited for data."""


class Sums:
    """Running sums on the device: reading them is what waits; adding to them does not."""

    def __init__(self, device: torch.device) -> None:
        self.values = torch.zeros(2, dtype=torch.float64, device=device)
        self.images = 0

    def clear(self) -> None:
        """Starts anew."""
        self.values.zero_()
        self.images = 0

    def add(self, loss: Tensor, wrong: Tensor, images: int) -> None:
        """A part of a batch: its mean loss, the number of its images that were told wrongly."""
        self.values += torch.stack([loss.detach().double() * images, wrong.double()])
        self.images += images

    def read(self) -> tuple[float, float]:
        """The mean loss, and the error as a share of images."""
        loss, wrong = (float(value) / max(self.images, 1) for value in self.values.tolist())
        return loss, wrong

    def state(self) -> Tensor:
        """For a checkpoint."""
        return torch.cat([self.values.cpu(), torch.tensor([float(self.images)], dtype=torch.float64)])

    def restore(self, state: Tensor) -> None:
        """From a checkpoint."""
        self.values.copy_(state[:2])
        self.images = int(state[2])


class Trainer:
    """A network, its optimiser and its place in a recipe. `images` are those of one epoch."""

    def __init__(self, network: nn.Module, recipe: Recipe, terms: Terms, images: int) -> None:
        self.recipe, self.terms, self.progress = recipe, terms, Progress()
        layout = torch.channels_last if terms.channels_last else torch.contiguous_format
        self.network = network.to(device=terms.device, memory_format=layout)  # type: ignore[call-overload]
        self.forward: Callable[[Tensor], Tensor] = torch.compile(network) if terms.compile else network
        self.optimiser = make_optimiser(self.network, recipe.optimiser)
        self.steps_per_epoch = epoch_steps(recipe, images)
        self.total = total_steps(recipe, steps_per_epoch=self.steps_per_epoch)
        self.sums = {name: Sums(terms.device) for name in ("look", "epoch", "warm-up")}

    def rate(self) -> float:
        """The learning rate of the next step."""
        state, step = self.progress.schedule, self.progress.step
        return lr(self.recipe, step, steps_per_epoch=self.steps_per_epoch, state=state)

    def run(self, batches: Iterator[Batch], until: int) -> Iterator[Look]:
        """Steps up to an iteration. Yields a look about every second, and one at the end. Raises `Diverged`."""
        start, waited = time.monotonic(), 0.0
        while self.progress.step < until:
            before = time.monotonic()
            batch = next(batches)
            waited += time.monotonic() - before
            self.step(batch)
            now = time.monotonic()
            if now - start > SECONDS_BETWEEN_LOOKS or self.progress.step == until:
                yield self._look(now - start, waited)
                start, waited = time.monotonic(), 0.0

    def step(self, batch: Batch) -> None:
        """One step of the optimiser."""
        # dropout draws from torch's generator: seeded by the step, it needs no state in a checkpoint
        torch.manual_seed(self.terms.seed * 1_000_003 + self.progress.step)
        rate = self.rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        for part in _parts(batch, self.recipe.train.accumulate):
            self._part(part, len(batch.labels))
        if self.recipe.train.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.train.clip)
        self.optimiser.step()
        self.progress.step += 1
        self._end_warmup()

    def _part(self, part: Batch, whole: int) -> None:
        kind = _KINDS.get(self.recipe.train.precision)
        with nullcontext() if kind is None else torch.autocast(self.terms.device.type, kind):
            logits = self.forward(part.images)
        images, smoothing = len(part.labels), self.recipe.train.label_smoothing
        loss = cross_entropy(logits.float(), part.labels, label_smoothing=smoothing)
        (loss * (images / whole)).backward()  # type: ignore[no-untyped-call]
        wrong = (logits.detach().argmax(1) != part.labels).sum()
        for sums in self.sums.values():
            sums.add(loss, wrong, images)

    def _look(self, seconds: float, waited: float) -> Look:
        sums, step = self.sums["look"], self.progress.step
        loss, error = sums.read()
        if not loss - loss == 0:  # neither infinite nor NaN
            raise Diverged(step)
        images = sums.images
        sums.clear()
        rate: float = self.optimiser.param_groups[0]["lr"]
        return Look(step, rate, loss, error, images, seconds, waited)

    def _end_warmup(self) -> None:
        """Looks at the training error where a warm-up waits for it, every so many steps."""
        warmup, state = self.recipe.schedule.warmup, self.progress.schedule
        if warmup is None or warmup.until != TRAIN_ERROR or state.released_at is not None:
            return
        if self.progress.step % warmup.every == 0:
            _, error = self.sums["warm-up"].read()
            self.progress.schedule = released(self.recipe, state, self.progress.step, error)
            self.sums["warm-up"].clear()

    def end_epoch(self, validation_error: float | None) -> float:
        """Tells the schedule how an epoch went, and gives back its training error."""
        _, train_error = self.sums["epoch"].read()
        self.sums["epoch"].clear()
        watched = train_error if self.recipe.schedule.watch == "train-error" else validation_error
        if watched is not None:
            self.progress.schedule = plateaued(
                self.recipe,
                self.progress.schedule,
                self.progress.step,
                watched,
                steps_per_epoch=self.steps_per_epoch,
            )
        return train_error

    def better(self, validation_error: float) -> bool:
        """Whether this is the best so far; noted where it is."""
        progress = self.progress
        if progress.best is not None and validation_error >= progress.best:
            return False
        self.progress = replace(progress, best=validation_error, best_step=progress.step)
        return True


def _parts(batch: Batch, count: int) -> Iterator[Batch]:
    if count == 1:
        yield batch
        return
    size = -(-len(batch.labels) // count)
    pairs = zip(torch.split(batch.images, size), torch.split(batch.labels, size), strict=True)
    yield from (Batch(images, labels) for images, labels in pairs)
