"""A run from its start, or from where it stopped, to its result. What it leaves is in one folder."""

from __future__ import annotations

import json
import signal
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from archspec import provenance
from archspec.api import build
from archspec.data.order import Plan
from archspec.data.prepare import Placement, prepared
from archspec.data.sets import held_out
from archspec.errors import file_error
from archspec.train.checkpoint import CHECKPOINTS, Snapshot, keep, newest, of_step, save
from archspec.train.contenders import DATA, RECIPE
from archspec.train.loop import Progress, Terms, Trainer
from archspec.runs.metrics import Metrics
from archspec.train.scores import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    from archspec.architecture import Architecture
    from archspec.data.feed import Batch, Feed
    from archspec.data.prepare import Feeds
    from archspec.data.sets import Splits
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.loop import Look
    from archspec.train.scores import Scores


class Stopped(Exception):
    """A signal asked the run to stop; it was stored at `step` and can be resumed."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"stopped after step {step}")


@dataclass(frozen=True, slots=True)
class Job:
    """What is run: a spec, a recipe, a set, and how this machine computes."""

    architecture: Architecture
    recipe: LoadedRecipe
    splits: Splits
    folder: Path
    terms: Terms = field(default_factory=Terms)
    workers: int = 0
    checkpoint_every: int = 1000
    """Steps; the end of the run, and what is best on validation, are stored too."""
    last: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended: the tested network is the best on validation, where images are held out, else the last."""

    steps: int
    test: Scores
    tested_step: int
    best_validation_error: float | None
    images_per_second: float


def run(job: Job, say: Callable[[Look], None] = lambda _: None) -> Result:
    """Trains from the newest checkpoint in the run's folder, or from the start. Raises `Stopped`, `Diverged`."""
    return _Run(job, say).whole()


class _Run:
    def __init__(self, job: Job, say: Callable[[Look], None]) -> None:
        recipe, terms = job.recipe.recipe, job.terms
        self.job, self.say = job, say
        splits = held_out(job.splits, recipe.data.split, recipe.data.which)
        placement = Placement(terms.device, terms.channels_last, job.workers)
        self.feeds: Feeds = prepared(splits, recipe, Plan(recipe.data.batch, terms.seed), placement)
        torch.manual_seed(terms.seed)
        self.trainer = Trainer(build(job.architecture), recipe, terms, len(self.feeds.train))
        self.checkpoints = job.folder / CHECKPOINTS
        self.stamp = {
            **provenance.stamp(job.architecture),
            provenance.ORIGIN: f"archspec train, {job.recipe.name}",
            RECIPE: job.recipe.text(),
            DATA: job.splits.test.name,
        }
        self.images, self.seconds = 0, 0.0
        self.asked_to_stop = False

    def whole(self) -> Result:
        """Resumes, trains, tests."""
        self.resume()
        with Metrics(self.job.folder / "metrics.jsonl") as self.metrics, self.stoppable():
            self.metrics.truncate_to(self.trainer.progress.step)
            while self.trainer.progress.step < self.trainer.total:
                self.stretch()
            return self.result()

    def stretch(self) -> None:
        """Steps up to where an epoch ends, a checkpoint is due, or the run ends."""
        trainer, every = self.trainer, self.job.checkpoint_every
        step, length = trainer.progress.step, trainer.steps_per_epoch
        end = min(trainer.total, (step // length + 1) * length, (step // every + 1) * every)
        for look in trainer.run(self.batches(), end):
            self.images, self.seconds = self.images + look.images, self.seconds + look.seconds
            self.metrics.append({"kind": "train", **look._asdict()})
            self.say(look)
            if self.asked_to_stop:
                self.store()
                raise Stopped(trainer.progress.step)
        best = end % length == 0 and self.end_epoch()
        if best or end % every == 0 or end == trainer.total:
            self.store(best=best)

    def batches(self) -> Iterator[Batch]:
        """The batches of the current epoch from the next step on."""
        epoch, place = divmod(self.trainer.progress.step, self.trainer.steps_per_epoch)
        return self.feeds.train.training(epoch, start=place)

    def end_epoch(self) -> bool:
        """Validates, tells the schedule, and says whether this is the best network so far."""
        trainer = self.trainer
        error = None if self.feeds.validation is None else self.score(self.feeds.validation).error()
        train_error = trainer.end_epoch(error)
        step = trainer.progress.step
        record = {"step": step, "epoch": step // trainer.steps_per_epoch, "train_error": train_error}
        self.metrics.append({"kind": "epoch", **record, "validation_error": error})
        return error is not None and trainer.better(error)

    def score(self, feed: Feed) -> Scores:
        """What the network gets right of a set, one look at each image."""
        network = self.trainer.network.eval()
        tally: Tally | None = None
        with torch.inference_mode():
            for batch in feed.testing():
                scores = network(batch.images)
                tally = tally or Tally(scores.shape[1], scores.device)
                tally.add(scores, batch.labels)
        assert tally is not None, "a set without images is refused when it is read"
        return tally.read()

    def store(self, *, best: bool = False) -> None:
        """A checkpoint of this step, unless there is one."""
        trainer = self.trainer
        path = of_step(self.checkpoints, trainer.progress.step)
        if path is None:
            self.metrics.sync()
            snapshot = Snapshot(
                step=trainer.progress.step,
                model=trainer.network.state_dict(),
                optimizer=trainer.optimiser.state_dict(),
                extra={f"sums.{name}": sums.state() for name, sums in trainer.sums.items()},
                state={"progress": trainer.progress.as_json(), "run": self.identity()},
            )
            path = save(self.checkpoints, snapshot, self.stamp)
        keep(self.checkpoints, self.job.last, path if best else None)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint has to have in common with a run that goes on from it."""
        job = self.job
        told = {"function": job.architecture.hash, "recipe": job.recipe.digest, "seed": job.terms.seed}
        return {**told, "images": len(self.feeds.train)}

    def resume(self) -> None:
        """Goes back to the newest checkpoint that verifies, if there is one."""
        found = newest(self.checkpoints)
        if found is None:
            return
        path, loaded = found
        self.restore(path, loaded.snapshot)

    def restore(self, path: Path, snapshot: Snapshot) -> None:
        """Takes over a checkpoint, bit for bit. Raises `FileError` for one of another run."""
        kept, own = snapshot.state["run"], self.identity()
        differing = [name for name, value in own.items() if kept.get(name) != value]
        if differing:
            message = f"the run in this folder has another {', '.join(differing)}"
            raise file_error(path, "AS554", message, hint="name another folder with --out")
        trainer = self.trainer
        trainer.network.load_state_dict(dict(snapshot.model))
        trainer.optimiser.load_state_dict(snapshot.optimizer)
        for name, sums in trainer.sums.items():
            sums.restore(snapshot.extra[f"sums.{name}"])
        trainer.progress = Progress.from_json(snapshot.state["progress"])

    def result(self) -> Result:
        """Tests the network that validation chose, or the last."""
        trainer, progress = self.trainer, self.trainer.progress
        tested = progress.step
        best = of_step(self.checkpoints, progress.best_step) if progress.best is not None else None
        if best is not None and progress.best_step != progress.step:
            from archspec.weights.files import read_weights

            tensors = read_weights(best / "model.safetensors").tensors
            trainer.network.load_state_dict({key: torch.tensor(values) for key, values in tensors.items()})
            tested = progress.best_step
        test = self.score(self.feeds.test)
        speed = self.images / self.seconds if self.seconds else 0.0
        result = Result(progress.step, test, tested, progress.best, speed)
        record = {"step": progress.step, "tested_step": tested, "test_error": test.error()}
        self.metrics.append({"kind": "test", **record})
        (self.job.folder / "result.json").write_text(
            json.dumps(test.as_json(), indent=2) + "\n", encoding="utf-8"
        )
        return result

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask the run to stop at its next look; a second one leaves at once."""

        def ask(number: int, _frame: FrameType | None) -> None:
            if self.asked_to_stop:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self.asked_to_stop = True

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
