"""The checkpoints of a run: written whole or not at all, verified before they are used, kept by rule.

A checkpoint is written to a hidden folder, synced, and renamed: under its name it is complete. Nothing ever replaces
one; a second of the same step gets a name of its own. To delete one, its name is hidden first. So a run that is
killed at any moment leaves complete checkpoints, and hidden folders for the next `keep` to sweep. One process writes.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from secrets import token_hex
from typing import TYPE_CHECKING

from archspec.errors import file_error
from archspec.train.stored import (
    MANIFEST,
    MODEL,
    NAME,
    DamagedError,
    Snapshot,
    complete,
    read,
    sync,
    verify,
    write,
)
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from archspec.errors import FileError

__all__ = ["CHECKPOINTS", "Loaded", "Snapshot", "keep", "model_weights", "newest", "of_step", "save"]

CHECKPOINTS = "checkpoints"
"""The folder of a run in which they are."""
BEST = "best.json"
MOST_SAID = 8


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint that verified. `remarks` say which newer ones did not, and why; `stamp` is its model's."""

    snapshot: Snapshot
    stamp: Mapping[str, str]
    remarks: tuple[str, ...] = ()


def save(folder: Path, snapshot: Snapshot, stamp: Mapping[str, str]) -> Path:
    """Adds a checkpoint to a folder and returns where it is. Raises `FileError` (AS551) and leaves nothing behind."""
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            sync(folder.parent)
        hidden = folder / f".{_name(snapshot.step)}.{token_hex(4)}"
        hidden.mkdir()
    except OSError as error:
        raise _unwritten(folder, snapshot.step, error) from error
    try:
        write(hidden, snapshot, stamp)
        target = _free(folder, snapshot.step)
        hidden.rename(target)
    except BaseException as error:
        shutil.rmtree(hidden, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritten(folder, snapshot.step, error) from error
        raise
    sync(folder)
    return target


def newest(folder: Path) -> tuple[Path, Loaded] | None:
    """The newest checkpoint that verifies; None where there is none at all.

    Raises `FileError` (AS552) where there are some and none verifies: to start anew is then for the user to say.
    """
    passed: list[str] = []
    for path in reversed(_found(folder)):
        try:
            snapshot, stamp = read(path)
        except DamagedError as why:
            if not path.exists():  # a run that goes on has pruned it meanwhile: look again
                return newest(folder)
            passed.append(f"{path.name}: {why}")
            continue
        return path, Loaded(snapshot, stamp, tuple(f"{each}; using {path.name}" for each in passed))
    if passed:
        raise _none_sound(folder, passed)
    return None


def of_step(folder: Path, step: int) -> Path | None:
    """The last checkpoint of a step, if it is still there."""
    return next((path for path in reversed(_found(folder)) if _order(path)[0] == step), None)


def keep(folder: Path, last: int, best: Path | None) -> None:
    """Keeps the `last` steps, the best, and the newest that verifies; deletes what is older, and sweeps what was left.

    Remembers which is the best; without a new one, the old one stays. What is damaged counts for nothing and goes with
    its age: it may be sound for another reader. What cannot be deleted is left for the next time.
    """
    assert last >= 1
    if best is not None:
        _remember(folder, best)
    best = best or _best(folder)
    found = _found(folder)
    whole = {_order(path)[0]: path for path in found if complete(path)}  # the last one of each step
    oldest = (sorted(whole)[-last:] if len(whole) > last else [0])[0]
    spared = {path.name for path in (best, _sound(found)) if path is not None}
    for path in found:
        step = _order(path)[0]
        superseded = step in whole and _order(path) < _order(whole[step])
        if (step < oldest or superseded) and path.name not in spared:
            _remove(path)
    for left in [*folder.glob(".step-*"), *folder.glob(f".{BEST}.*")]:
        _delete(left)


def model_weights(path: Path, say: Callable[[str], None] = lambda _: None) -> Path:
    """The weights file of a run: of its best checkpoint, or of its newest where none is known to be the best.

    Takes the run's folder, one of its checkpoints, or a weights file. Says what was passed over. Raises `FileError`.
    """
    if not path.is_dir():
        return path
    if (path / MANIFEST).exists() or NAME.fullmatch(path.name):
        try:
            verify(path)
        except DamagedError as why:
            raise _none_sound(path, [str(why)]) from why
        return path / MODEL
    folder = path / CHECKPOINTS if (path / CHECKPOINTS).is_dir() else path
    best = _best(folder)
    passed: list[str] = []
    for candidate in dict.fromkeys([*([best] if best else []), *reversed(_found(folder))]):
        try:
            verify(candidate)
        except DamagedError as why:
            if not candidate.exists():
                return model_weights(path, say)
            passed.append(f"{candidate.name}: {why}")
            continue
        for each in passed:
            say(f"{each}; using {candidate.name}")
        return candidate / MODEL
    if passed:
        raise _none_sound(folder, passed)
    seeds = sorted(each.name for each in path.glob("seed-*"))
    hint = f"it holds the runs of several seeds: name one, {path / seeds[0]}" if seeds else ""
    raise file_error(path, "AS552", "the folder holds no checkpoint", hint=hint)


def _name(step: int) -> str:
    assert step >= 0
    return f"step-{step:08d}"


def _free(folder: Path, step: int) -> Path:
    """A name that nothing has, after those of all checkpoints of the same step."""
    again = [_order(path)[1] for path in _found(folder) if _order(path)[0] == step]
    return folder / (f"{_name(step)}-{max(again) + 1}" if again else _name(step))


def _found(folder: Path) -> list[Path]:
    """The folders that are named like checkpoints, the oldest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if NAME.fullmatch(path.name)), key=_order)


def _order(path: Path) -> tuple[int, int]:
    """The step, and which checkpoint of that step."""
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 1)


def _sound(found: list[Path]) -> Path | None:
    """The newest that verifies."""
    for path in reversed(found):
        try:
            verify(path)
        except DamagedError:
            continue
        return path
    return None


def _best(folder: Path) -> Path | None:
    """The checkpoint that was the best when one was last said to be."""
    try:
        name = json.loads((folder / BEST).read_bytes()[:4096])["checkpoint"]
        return folder / name if NAME.fullmatch(name) and (folder / name).is_dir() else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _remember(folder: Path, best: Path) -> None:
    if _best(folder) == folder / best.name:
        return
    try:
        with staged(folder / BEST) as temporary:
            temporary.write_text(json.dumps({"checkpoint": best.name}) + "\n")
    except OSError as error:
        raise file_error(
            folder / BEST, "AS551", f"the file could not be written: {error.strerror}"
        ) from error


def _remove(path: Path) -> None:
    """Deletes a checkpoint, which is one no more before the first of its files goes."""
    hidden = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        path.rename(hidden)
    except OSError:
        return
    _delete(hidden)


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _unwritten(folder: Path, step: int, error: OSError) -> FileError:
    message = f"the checkpoint of step {step:,} could not be written: {error.strerror or error}"
    hint = "older checkpoints are untouched; make room and resume from them"
    return file_error(folder, "AS551", message, hint=hint)


def _none_sound(folder: Path, reasons: list[str]) -> FileError:
    more = [f"and {len(reasons) - MOST_SAID} more"] if len(reasons) > MOST_SAID else []
    return file_error(
        folder, "AS552", *reasons[:MOST_SAID], *more, hint="no checkpoint verifies, so none was used"
    )
