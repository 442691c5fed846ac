"""A run from its start, or from where it stopped, to its result. What it leaves is in one folder."""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from archspec.data.order import Plan
from archspec.data.prepare import Placement
from archspec.data.sets import labelling
from archspec.errors import file_error
from archspec.runs.metrics import Metrics, read
from archspec.train.checkpoint import CHECKPOINTS, Snapshot, keep, newest, of_step, save
from archspec.train.lock import locked
from archspec.train.loop import Diverged, Progress, Terms, Trainer
from archspec.train.memory import keep_large_blocks
from archspec.train.parallel import load_state, put, whole
from archspec.train.record import changes, run_record
from archspec.train.scores import Untestable
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    from archspec.data.feed import Batch, Feed
    from archspec.train.loop import Look
    from archspec.train.task import Tally, Task, Tested

    Watcher = Callable[[Mapping[str, Any]], None]
    """Is told each record of the metrics, and before them `{"kind": "start", "step", "total", "remarks"}`."""

SCHEMA_VERSION = 1


class Stopped(Exception):
    """A signal asked the run to stop; it was stored at `step` and can be resumed."""

    def __init__(self, step: int) -> None:
        self.step = step
        super().__init__(f"stopped after step {step}")


@dataclass(frozen=True, slots=True)
class Job:
    """What is run, where it is kept, and how this machine computes."""

    task: Task
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
    measure: str
    test: Tested | None
    """None where nothing is to be tested on."""
    tested_step: int
    best_validation_error: float | None
    train_error: float | None
    """Of the last whole epoch, while it was trained."""
    images_per_second: float
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """`result.json`."""
        best = self.best_validation_error
        return {
            "schema_version": SCHEMA_VERSION,
            "steps": self.steps,
            "tested_step": self.tested_step,
            "measure": self.measure,
            f"test_{self.measure}": self.test and self.test.value,
            f"best_val_{self.measure}": None if best is None else 1 - best,
            "final_train_error": self.train_error,
            "images_per_second": self.images_per_second,
            "seconds": self.seconds,
            "view": self.test and self.test.view,
            "test": self.test and self.test.record,
        }


def run(job: Job, watchers: Sequence[Watcher] = ()) -> Result | None:
    """Trains from the newest checkpoint in the run's folder, or from the start; then the first rank tests.

    Gives None in other ranks. Raises `Stopped`, `Diverged`, `TooLarge`, `FileError`.
    """
    with ExitStack() as stack:
        if job.terms.topology.first:
            stack.enter_context(locked(job.folder))
        return _Run(job, watchers).whole()


class _Run:
    def __init__(self, job: Job, watchers: Sequence[Watcher]) -> None:
        terms = job.terms
        keep_large_blocks()
        self.job, self.watchers, self.topology = job, watchers, terms.topology
        placement = Placement(terms.device, terms.channels_last, job.workers)
        self.feeds = job.task.prepare(Plan.of(job.task.recipe.recipe.data, terms.seed), placement)
        job.task.check(terms, len(self.feeds.train))
        torch.manual_seed(terms.seed)
        self.trainer = Trainer(job.task, terms, len(self.feeds.train))
        self.checkpoints = job.folder / CHECKPOINTS
        self.record = run_record(job, self.feeds.record)
        self.labels = labelling(job.task.splits.train)
        self.metrics: Metrics | None = None
        self.began, self.asked_to_stop = time.monotonic(), False
        self.stored: Progress | None = None
        """Of the checkpoint that this process wrote last, or went on from."""

    def whole(self) -> Result | None:
        """Resumes, trains, tests."""
        remarks = self.resume()
        trainer = self.trainer
        with ExitStack() as stack:
            if self.topology.first:
                self.metrics = stack.enter_context(Metrics(self.job.folder / "metrics.jsonl"))
                self.metrics.truncate_to(trainer.progress.step, trainer.progress.epochs)
                _put_json(self.job.folder / "run.json", self.record)
            stack.enter_context(self.stoppable())
            self.tell(
                {"kind": "start", "step": trainer.progress.step, "total": trainer.total, "remarks": remarks}
            )
            try:
                while trainer.progress.step < trainer.total or self.epoch_is_over():
                    self.stretch()
            except Diverged as diverged:
                self.note("diverged", step=diverged.step, lr=trainer.optimiser.param_groups[0]["lr"])
                raise
            return self.result() if self.topology.first else None

    def tell(self, record: Mapping[str, Any]) -> None:
        """Tells those who watch."""
        for watch in self.watchers:
            watch(record)

    def note(self, kind: str, **record: Any) -> None:
        """Adds a record to the metrics."""
        if self.metrics is not None:
            self.metrics.append({"kind": kind, **record})
            self.tell({"kind": kind, **record})

    def stretch(self) -> None:
        """Steps up to where an epoch ends, a checkpoint is due, or the run ends."""
        trainer, every = self.trainer, self.job.checkpoint_every
        step, length = trainer.progress.step, trainer.steps_per_epoch
        end = step
        if not self.epoch_is_over():
            end = min(trainer.total, (step // length + 1) * length, (step // every + 1) * every)
            for look in trainer.run(self.batches(), end):
                self.looked(look)
        best = self.epoch_is_over() and self.end_epoch()
        if best or end % every == 0 or end == trainer.total:
            self.store()

    def looked(self, look: Look) -> None:
        """Notes a look; stops here where a signal asked for it."""
        self.note("train", **look.as_json())
        if self.topology.any(self.asked_to_stop, self.job.terms.device):
            self.store()
            raise Stopped(look.step)

    def epoch_is_over(self) -> bool:
        """Whether an epoch's steps were taken, and it was not validated yet."""
        progress = self.trainer.progress
        return progress.epochs < progress.step // self.trainer.steps_per_epoch

    def batches(self) -> Iterator[Batch]:
        """A rank's pieces of the batches of the current epoch from the next step on."""
        epoch, place = divmod(self.trainer.progress.step, self.trainer.steps_per_epoch)
        return self.feeds.train.training(
            epoch, rank=self.topology.rank, ranks=self.topology.ranks, start=place
        )

    def measured(self) -> Iterator[Batch]:
        """A rank's pieces of the batches that BN's true averages are taken of: those of the first epoch."""
        return self.feeds.train.training(0, rank=self.topology.rank, ranks=self.topology.ranks)

    def end_epoch(self) -> bool:
        """Validates, tells the schedule, and says whether this is the best network so far."""
        trainer, validation = self.trainer, self.feeds.validation
        error = None if validation is None else self.score(validation)
        told = trainer.end_epoch(error)
        progress = trainer.progress
        record = {"step": progress.step, "epoch": progress.epochs, **told}
        self.note("epoch", **record, validation_error=error)
        return error is not None and trainer.better(error)

    def score(self, feed: Feed) -> float:
        """What is wrong of a set, one look at each image; each rank looks at its share."""
        tally = self.job.task.tally(feed, self.job.terms.device)
        with self.trainer.tested(self.measured), torch.no_grad():
            self.trainer.network.eval()
            for batch in feed.testing(rank=self.topology.rank, ranks=self.topology.ranks):
                if self.asked_to_stop and self.topology.ranks == 1:
                    break
                tally.add(self.trainer.network, batch)
            else:
                return self.read(tally)
        # the network is the trained one again; the epoch is validated when the run goes on
        self.store()
        raise Stopped(self.trainer.progress.step)

    def read(self, tally: Tally) -> float:
        """What all ranks counted. Raises `Diverged` where the last steps left weights that are no numbers."""
        try:
            return tally.error(self.topology)
        except Untestable as error:
            raise Diverged(self.trainer.progress.step) from error

    def store(self) -> None:
        """A checkpoint of the run as it stands, if it has none. All ranks gather, the first one writes."""
        progress = self.trainer.progress
        if progress != self.stored:
            snapshot = self.snapshot()
            if self.metrics is not None:
                self.metrics.sync()
                save(self.checkpoints, snapshot, self.feeds.stamp)
            self.stored = replace(progress)
        if self.topology.first:
            keep(self.checkpoints, self.job.last, self.best())
        self.topology.wait()  # a rank that left now would have the first one stopped while it writes

    def best(self) -> Path | None:
        """The checkpoint that is best on validation."""
        progress = self.trainer.progress
        return None if progress.best is None else of_step(self.checkpoints, progress.best_step)

    def snapshot(self) -> Snapshot:
        """The run as it stands, whole. Raises `Diverged` where the weights are no numbers: none is to go on from."""
        trainer = self.trainer
        with trainer.tested(self.measured):
            model = {name: whole(each).clone() for name, each in trainer.network.state_dict().items()}
        if not all(bool(each.isfinite().all()) for each in model.values()):
            raise Diverged(trainer.progress.step)
        sums = {f"sums.{name}": each.state() for name, each in trainer.sums.items()}
        return Snapshot(
            step=trainer.progress.step,
            model=model,
            optimizer=whole(trainer.optimiser.state_dict()),
            extra={**sums, **trainer.averages.state()},
            state={
                "progress": trainer.progress.as_json(),
                "scaler": trainer.scaler.state_dict(),
                "run": self.identity(),
            },
        )

    def identity(self) -> dict[str, Any]:
        """What a checkpoint has to have in common with a run that goes on from it."""
        task = self.job.task
        told = {"function": task.digest, "recipe": task.recipe.digest, "seed": self.job.terms.seed}
        begun = None if task.start is None else task.start["sha256"]
        images = {"data": task.data, "images": len(self.feeds.train), "labels": self.labels}
        return {**told, **images, "weights": begun}

    def resume(self) -> tuple[str, ...]:
        """Goes back to the newest checkpoint that verifies, if there is one; says what was passed over."""
        found = newest(self.checkpoints) if self.topology.first else None
        newest_step = self.topology.agreed(found and found[1].snapshot.step)
        if newest_step is None:
            return ()
        found = found or newest(self.checkpoints)
        if found is None or found[1].snapshot.step != newest_step:
            message = f"this process does not see the checkpoint of step {newest_step:,}"
            hint = "all machines have to share the run's folder"
            raise file_error(self.checkpoints, "AS552", message, hint=hint)
        path, loaded = found
        self.restore(path, loaded.snapshot)
        return (*loaded.remarks, f"going on from {path.name}", *changes(self.job.folder, self.record))

    def restore(self, path: Path, snapshot: Snapshot) -> None:
        """Takes over a checkpoint, bit for bit. Raises `FileError` for one of another run."""
        kept, own = snapshot.state["run"], self.identity()
        differing = [name for name, value in own.items() if kept.get(name) != value]
        if differing:
            message = f"the run in this folder differs in {', '.join(differing)}"
            raise file_error(path, "AS554", message, hint="name another folder with --out")
        trainer = self.trainer
        for name, target in trainer.network.state_dict().items():
            put(target, snapshot.model[name])
        trainer.averages.restore(snapshot.extra)
        load_state(trainer.optimiser, snapshot.optimizer)
        trainer.scaler.load_state_dict(snapshot.state["scaler"])
        for name, sums in trainer.sums.items():
            sums.restore(snapshot.extra[f"sums.{name}"])
        trainer.progress = Progress.from_json(snapshot.state["progress"])
        self.stored = replace(trainer.progress)

    def result(self) -> Result:
        """Tests the network that validation chose, or the last, as its checkpoint holds it."""
        progress, best = self.trainer.progress, self.best()
        step = progress.step if best is None else progress.best_step
        place = best or of_step(self.checkpoints, step)
        assert place is not None, "the last step is stored"
        test = self.job.task.tested(place, self.job.terms.device)
        records = read(self.job.folder / "metrics.jsonl")  # of this process, and of those it went on from
        seconds = sum(each["seconds"] for each in records if each["kind"] == "train")
        images = sum(each["images"] for each in records if each["kind"] == "train")
        train_errors = [each.get("train_error") for each in records if each["kind"] == "epoch"]
        result = Result(
            steps=progress.step,
            measure=self.job.task.measure,
            test=test,
            tested_step=step,
            best_validation_error=progress.best,
            train_error=train_errors[-1] if train_errors else None,
            images_per_second=images / seconds if seconds else 0.0,
            seconds=time.monotonic() - self.began,
        )
        error = None if test is None else test.error
        record = {"step": progress.step, "tested_step": step, "test_error": error}
        if records[-1] != {"kind": "test", **record}:  # as where a run that had ended is started again
            self.note("test", **record)
        _put_json(self.job.folder / "result.json", result.as_json())
        return result

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """SIGTERM and SIGINT ask the run to stop at its next look; a second one leaves at once."""
        first = 0.0

        def ask(number: int, _frame: FrameType | None) -> None:
            nonlocal first
            # torchrun passes a terminal's Ctrl-C on to processes that have had it already
            again = self.asked_to_stop and (self.topology.ranks == 1 or time.monotonic() - first > 1)
            if again:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            self.asked_to_stop, first = True, time.monotonic()

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _put_json(path: Path, document: dict[str, Any]) -> None:
    try:
        for left in path.parent.glob(f".{path.name}.*"):  # of a run that was killed while it wrote the file
            left.unlink(missing_ok=True)
        with staged(path) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise file_error(path, "AS551", f"the file cannot be written: {error.strerror or error}") from error
