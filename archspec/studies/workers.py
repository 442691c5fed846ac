"""Runs several runs of a study at once, each as an `archspec train` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from archspec.runs.exits import DIVERGED, STOPPED
from archspec.studies.run import Stopped, missing, networks, read_data, stoppable, write_run_card
from archspec.studies.state import note_divergence, state

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from archspec.studies.plan import Plan
    from archspec.studies.run import Hears, Terms
    from archspec.studies.state import State

"""What `archspec train` leaves with."""
BETWEEN_LOOKS = 0.2
BETWEEN_WORDS = 10.0
PATIENCE = 60.0
"""Seconds that runs have to store a checkpoint when the study is stopped."""
_LINES = 12


class Failed(Exception):
    """Runs that ended with an error, and their last words."""


@dataclass(slots=True)
class _Worker:
    state: State
    slot: int
    process: subprocess.Popen[bytes]
    log: BinaryIO
    told: float


def run_many(plan: Plan, out: Path, terms: Terms, hears: Hears) -> None:
    """Runs everything that is missing, `terms.jobs` at a time. Raises `Stopped`, `Failed`, `FileError`, `SpecError`."""
    waiting = missing(plan, out)
    if not waiting:
        return
    splits, _ = read_data(plan, terms)
    networks(plan, terms, splits)  # a mistake is found here, not in the last process
    del splits
    gpus = _gpus(terms.device)
    at_once = min(terms.jobs, len(waiting))
    free = list(range(at_once))
    workers: list[_Worker] = []
    failed: list[str] = []
    with stoppable():
        try:
            while waiting or workers:
                while waiting and free:
                    slot = free.pop(0)
                    started = _started(plan, waiting.pop(0), slot, terms, _environment(slot, at_once, gpus))
                    terms.said(f"{_named(started.state)}: begins")
                    workers.append(started)
                time.sleep(BETWEEN_LOOKS)
                for worker in [each for each in workers if each.process.poll() is not None]:
                    workers.remove(worker)
                    free.append(worker.slot)
                    failed += _ended(plan, out, worker, hears)
                for worker in workers:
                    _told(plan, out, worker, terms)
        except BaseException:
            _stop(workers)
            raise
    if failed:
        raise Failed("\n".join(failed))


def _gpus(device: str) -> int:
    """How many GPUs there are to share, where runs may go on them."""
    if device not in ("auto", "cuda"):
        return 0
    import torch

    return torch.cuda.device_count()


def _environment(slot: int, at_once: int, gpus: int) -> dict[str, str]:
    """A GPU each, as far as there are enough; a share of the cores in any case."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    environment = {**os.environ}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // at_once)))
    if gpus:
        visible = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
        environment["CUDA_VISIBLE_DEVICES"] = (visible or [str(each) for each in range(gpus)])[slot % gpus]
    return environment


def _started(plan: Plan, each: State, slot: int, terms: Terms, environment: Mapping[str, str]) -> _Worker:
    each.folder.parent.mkdir(parents=True, exist_ok=True)
    log = each.folder.with_name(f"{each.folder.name}.log").open("wb")
    process = subprocess.Popen(  # noqa: S603 - our own command line, as a list
        [sys.executable, "-m", "archspec", *command(plan, each, terms)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # a terminal's Ctrl-C comes through us, once
    )
    return _Worker(each, slot, process, log, time.monotonic())


def command(plan: Plan, each: State, terms: Terms) -> list[str]:
    """The command line of a run. What lies beside the study is named by its path, what ships by its name."""

    def named(reference: str) -> str:
        return str(terms.folder / reference) if reference.endswith(".toml") else reference

    run = each.run
    words = ["train", named(run.spec), "--recipe", named(run.recipe), "--data", plan.data]
    words += ["--seed", str(each.seed), "--out", str(each.folder), "--device", terms.device]
    words += ["--keep", str(terms.last), "--checkpoint-every", str(terms.checkpoint_every)]
    words += [] if terms.root is None else ["--data-root", str(terms.root)]
    words += [f"--set={setting}" for setting in run.settings]
    words += [f"--set-recipe={setting}" for setting in run.recipe_settings]
    return words


def _ended(plan: Plan, out: Path, worker: _Worker, hears: Hears) -> list[str]:
    """Notes how a run ended. Returns its last words where it failed."""
    worker.log.close()
    code = worker.process.returncode
    if code == STOPPED:
        raise Stopped(f"{_named(worker.state)} was stopped")
    after = state(plan, out, worker.state.run, worker.state.seed)
    if code == DIVERGED:
        note_divergence(after.folder, after.step)
        after = state(plan, out, after.run, after.seed)
    if after.to_do:
        return [f"{_named(after)} ended with exit code {code}:", *_last_words(after.folder)]
    write_run_card(after, out)
    hears.ended(after)
    return []


def _told(plan: Plan, out: Path, worker: _Worker, terms: Terms) -> None:
    """Says how far a run is, now and then."""
    if time.monotonic() - worker.told < BETWEEN_WORDS:
        return
    worker.told = time.monotonic()
    now = state(plan, out, worker.state.run, worker.state.seed)
    if now.total:
        terms.said(f"{_named(now)}: step {now.step:,} of {now.total:,}")


def _named(each: State) -> str:
    return f"{each.run.label}, seed {each.seed}"


def _last_words(folder: Path) -> list[str]:
    log = folder.with_name(f"{folder.name}.log")
    with suppress(OSError):
        return log.read_text(errors="replace").splitlines()[-_LINES:]
    return []


def _stop(workers: Sequence[_Worker]) -> None:
    """Asks all to store what they have, and waits; a second signal waits no longer."""
    for worker in workers:
        with suppress(OSError):
            worker.process.terminate()
    until = time.monotonic() + PATIENCE
    try:
        for worker in workers:
            worker.process.wait(max(0.1, until - time.monotonic()))
    except (subprocess.TimeoutExpired, Stopped):
        for worker in workers:
            worker.process.kill()
    finally:
        for worker in workers:
            worker.log.close()
