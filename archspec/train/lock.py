"""One process writes to a run's folder."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder for this process alone; the system gives it back however the process ends. Raises `FileError`."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a")
    except OSError as error:
        raise file_error(folder, "AS551", f"the folder cannot be written to: {error.strerror}") from error
    with stream:
        try:
            # of this process alone: workers that outlive it for some seconds would hold an inherited flock
            fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            hint = "wait for it, stop it, or name another folder with --out"
            raise file_error(
                folder, "AS554", "another process is training in this folder", hint=hint
            ) from error
        yield
