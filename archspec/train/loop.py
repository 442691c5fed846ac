"""The one loop: any spec, any recipe. A step is a pure function of (seed, step) and of the state before it."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from archspec.data.feed import Batch
from archspec.recipes.fields import TRAIN_ERROR
from archspec.recipes.schedule import ScheduleState, epoch_steps, lr, plateaued, released, total_steps
from archspec.train.average import Averages
from archspec.train.memory import TooLarge, largest_fitting
from archspec.train.optimiser import make_optimiser
from archspec.train.parallel import replicated, sharded, synchronised, unsummed
from archspec.train.task import TRAIN_ERROR as WRONG
from archspec.train.together import part_sizes
from archspec.train.topology import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from archspec.train.parallel import Parallel
    from archspec.train.task import Forward, Loss, Task

SECONDS_BETWEEN_LOOKS = 1.0
"""About how often running sums are read: each look waits for the device."""
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
    topology: Topology = field(default_factory=Topology)
    parallel: Parallel = "ddp"
    """How several processes share one network; of no meaning to one."""
    sync_bn: bool = False


@dataclass(slots=True)
class Progress:
    """Where a run stands after `step` steps: what a checkpoint keeps beside tensors."""

    step: int = 0
    schedule: ScheduleState = field(default_factory=ScheduleState)
    epochs: int = 0
    """That have ended: validated, and told to the schedule."""
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
    told: Mapping[str, Any]
    """What else the task tells of them."""
    images: int
    seconds: float
    waited: float
    """Seconds of these in which the loop waited for data."""

    def as_json(self) -> dict[str, Any]:
        """For the metrics."""
        where = {"step": self.step, "lr": self.lr, "loss": self.loss}
        return {**where, **self.told, "images": self.images, "seconds": self.seconds, "waited": self.waited}


class Means(NamedTuple):
    """The mean loss over so many images, and the means of what else the task tells."""

    loss: float
    told: dict[str, float]
    images: int

    @property
    def error(self) -> float | None:
        """The share of images that were told wrongly, where a task can say that."""
        return self.told.get(WRONG)


class Sums:
    """Running sums on the device: reading them is what waits; adding to them does not."""

    def __init__(self, terms: Terms, told: tuple[str, ...]) -> None:
        kind = (
            torch.float32 if terms.device.type == "mps" else torch.float64
        )  # Apple's GPUs have no wider one
        self.values = torch.zeros(1 + len(told), dtype=kind, device=terms.device)
        self.images, self.topology, self.told = 0, terms.topology, told

    def clear(self) -> None:
        """Starts anew."""
        self.values.zero_()
        self.images = 0

    def add(self, loss: Loss, images: int) -> None:
        """A part of a batch."""
        self.values += torch.cat([loss.mean.detach()[None] * images, loss.sums.detach()]).to(self.values)
        self.images += images

    def read(self) -> Means:
        """Means over the images of all ranks. All ranks have to ask."""
        *sums, images = self.state().tolist()
        loss, *others = (each / max(images, 1) for each in sums)
        return Means(loss, dict(zip(self.told, others, strict=True)), int(images))

    def state(self) -> Tensor:
        """For a checkpoint: sums over all ranks. All ranks have to ask."""
        return self.topology.summed(torch.cat([self.values, self.values.new_tensor([self.images])])).cpu()

    def restore(self, state: Tensor) -> None:
        """From a checkpoint: the first rank goes on from the sums of all."""
        self.clear()
        if self.topology.first:
            self.values.copy_(state[:-1])
            self.images = int(state[-1])


class Trainer:
    """A task's network, its optimiser and its place in the recipe. `images` are those of one epoch."""

    def __init__(self, task: Task, terms: Terms, images: int) -> None:
        self.task, self.terms, self.progress = task, terms, Progress()
        self.recipe = recipe = task.recipe.recipe
        self.network, self.placed = _placed(task.network(), terms)
        self.optimiser = make_optimiser(self.network, recipe.optimiser)
        self.scaler = torch.amp.GradScaler(terms.device.type, enabled=recipe.train.precision == "fp16")
        self.steps_per_epoch = epoch_steps(recipe, images)
        self.total = total_steps(recipe, steps_per_epoch=self.steps_per_epoch)
        self.sums = {name: Sums(terms, task.told) for name in ("look", "epoch", "warm-up")}
        measured = min(self.steps_per_epoch, -(-recipe.train.precise_bn // recipe.data.batch))
        self.averages = Averages(self.network, recipe.train, terms.topology, measured)
        self.stride = 1
        """Steps from one look to the next: the same for all ranks, since a look waits for all."""

    def rate(self) -> float:
        """The learning rate of the next step."""
        state, step = self.progress.schedule, self.progress.step
        return lr(self.recipe, step, steps_per_epoch=self.steps_per_epoch, state=state)

    def run(self, batches: Iterator[Batch], until: int) -> Iterator[Look]:
        """Steps up to an iteration. Yields a look about every second, and one at the end.

        Raises `Diverged`, and `TooLarge` where a device has too little memory.
        """
        while self.progress.step < until:
            first, start, waited = self.progress.step, time.monotonic(), 0.0
            for _ in range(min(self.stride, until - first)):
                before = time.monotonic()
                batch = next(batches)
                waited += time.monotonic() - before
                self.step(batch)
            look = self._look(start, waited)
            pace = (self.progress.step - first) / max(look.seconds, 1e-9)
            self.stride = self.terms.topology.agreed(max(1, round(pace * SECONDS_BETWEEN_LOOKS)))
            yield look

    def step(self, batch: Batch) -> None:
        """One step of the optimiser."""
        # dropout draws from torch's generator: seeded by the step, it needs no state in a checkpoint
        topology = self.terms.topology
        torch.manual_seed((self.terms.seed * 1_000_003 + self.progress.step) * topology.ranks + topology.rank)
        rate = self.rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.network.train()
        self.optimiser.zero_grad(set_to_none=True)
        if not self._fits(batch):
            raise self._too_large(batch)
        if self.recipe.train.clip:
            self.scaler.unscale_(self.optimiser)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.train.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.averages.update()
        self.progress.step += 1
        self._end_warmup()

    def _fits(self, batch: Batch) -> bool:
        """Computes the gradients, unless the memory is too small: then the error goes, and with it all it refers to."""
        try:
            self._gradients(batch)
        except torch.OutOfMemoryError:
            return False
        return True

    def _gradients(self, batch: Batch) -> None:
        *others, last = _parts(batch, self.recipe.train.accumulate)
        if others:
            with unsummed(self.placed):
                for part in others:
                    self._part(part)
        self._part(last)

    def _part(self, part: Batch) -> None:
        images, loss = len(part.labels), self.task.loss(self.forward, part)
        # ranks' gradients are averaged, so a share of the whole batch counts as often as there are ranks
        share = images * self.terms.topology.ranks / part.whole
        self.scaler.scale(loss.mean if share == 1 else loss.mean * share).backward()  # type: ignore[no-untyped-call]
        for sums in self.sums.values():
            sums.add(loss, images)

    def forward(self, *given: Any) -> Any:
        """What the network computes, in the recipe's precision."""
        with self._autocast():
            return self.placed(*given)

    def _plain(self, *given: Any) -> Any:
        """The same, neither compiled nor together with other ranks."""
        with self._autocast():
            return self.network(*given)

    def _autocast(self) -> AbstractContextManager[Any]:
        kind = _KINDS.get(self.recipe.train.precision)
        return nullcontext() if kind is None else torch.autocast(self.terms.device.type, kind)

    def _too_large(self, batch: Batch) -> TooLarge:
        """Which part of the batch fits, tried out."""
        self.optimiser.zero_grad(set_to_none=True)

        def attempt(images: int) -> None:
            part = Batch(batch.images[:images], batch.labels[:images], images)
            self.task.loss(self._plain, part).mean.backward()  # type: ignore[no-untyped-call]

        part = -(-len(batch.labels) // self.recipe.train.accumulate)
        alone = self.terms.topology.ranks == 1
        fits = largest_fitting(part, attempt) if alone else None
        self.optimiser.zero_grad(set_to_none=True)
        return TooLarge(part, fits)

    def _look(self, start: float, waited: float) -> Look:
        loss, means, images = self.sums["look"].read()
        self.sums["look"].clear()
        if not loss - loss == 0:  # neither infinite nor NaN
            raise Diverged(self.progress.step)
        rate: float = self.optimiser.param_groups[0]["lr"]
        told = self.task.record(means)
        return Look(self.progress.step, rate, loss, told, images, time.monotonic() - start, waited)

    def _end_warmup(self) -> None:
        """Looks at the training error where a warm-up waits for it, every so many steps."""
        warmup, state = self.recipe.schedule.warmup, self.progress.schedule
        if warmup is None or warmup.until != TRAIN_ERROR or state.released_at is not None:
            return
        if self.progress.step % warmup.every == 0:
            error = self.sums["warm-up"].read().error
            assert error is not None, "recipes that wait for it are refused for tasks that have none"
            self.progress.schedule = released(self.recipe, state, self.progress.step, error)
            self.sums["warm-up"].clear()

    def tested(self, batches: Callable[[], Iterable[Batch]]) -> AbstractContextManager[None]:
        """The network as it is tested, for a while. `batches` are those that BN's statistics are measured on."""
        count = self.averages.batches
        images = lambda: (batch.images for batch in islice(batches(), count))  # noqa: E731
        return self.averages.shown(self.progress.step, images)

    def end_epoch(self, validation_error: float | None) -> Mapping[str, Any]:
        """Tells the schedule how an epoch went, and gives back what the task tells of it."""
        means = self.sums["epoch"].read()
        self.sums["epoch"].clear()
        watched = means.error if self.recipe.schedule.watch == "train-error" else validation_error
        self.progress.epochs += 1
        if watched is not None:
            self.progress.schedule = plateaued(
                self.recipe,
                self.progress.schedule,
                self.progress.step,
                watched,
                steps_per_epoch=self.steps_per_epoch,
            )
        return self.task.record(means.told)

    def better(self, validation_error: float) -> bool:
        """Whether this is the best so far; noted where it is."""
        progress = self.progress
        if progress.best is not None and validation_error >= progress.best:
            return False
        self.progress = replace(progress, best=validation_error, best_step=progress.step)
        return True


def _placed(network: nn.Module, terms: Terms) -> tuple[nn.Module, Forward]:
    """The network on its device, and what computes it: together with other ranks, compiled."""
    parts = terms.topology.ranks > 1 and terms.parallel == "fsdp"
    # FSDP2 takes contiguous tensors alone; convolutions follow their images' format all the same
    layout = torch.channels_last if terms.channels_last and not parts else torch.contiguous_format
    network = network.to(device=terms.device, memory_format=layout)  # type: ignore[call-overload]
    if terms.sync_bn and terms.topology.ranks > 1:
        network = synchronised(network, terms.device)
    forward: Forward = network
    if parts:
        forward = network = sharded(network, terms.device, terms.topology.ranks)
    elif terms.topology.ranks > 1:
        forward = replicated(network, terms.device)
    return network, torch.compile(forward, dynamic=False) if terms.compile else forward


def _parts(batch: Batch, count: int) -> Iterator[Batch]:
    """As many for all ranks, some of them empty, since a part may be where ranks meet."""
    start = 0
    for images in part_sizes(len(batch.labels), count):
        end = start + images
        yield Batch(batch.images[start:end], batch.labels[start:end], batch.whole)
        start = end
