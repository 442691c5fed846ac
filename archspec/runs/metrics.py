"""`metrics.jsonl`, the truth about a run: one record a line, in the order in which things happened."""

from __future__ import annotations

import json
import os
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from archspec.errors import Diagnostic, FileError, Span, file_error
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from io import FileIO
    from pathlib import Path
    from types import TracebackType


class Metrics:
    """The file of a run, opened to add to it. A last line that was torn off is cut away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*"):  # of a run that was killed while it cut the file
            left.unlink(missing_ok=True)
        self._file = self._opened()

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds a record, which every reader sees at once. Numbers that are not finite become null.

        Raises `FileError` (AS551) where there is no room, and then no part of the record is there.
        """
        line = json.dumps(_finite(dict(record)), allow_nan=False).encode() + b"\n"
        try:
            written = self._file.write(line)
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            self._file.truncate(self._size)
            message = f"a record could not be written: {error.strerror or error}"
            raise file_error(self.path, "AS551", message) from error
        self._size += len(line)

    def truncate_to(self, step: int, epochs: int | None = None) -> int:
        """Cuts the file where the first record of a later step, or of a later epoch's end, stands.

        Returns how many unreadable lines went, too.
        """
        kept, damaged = [], 0
        for _, line, record in _lines(self.path):
            if record is None:
                damaged += 1
                continue
            if _later(record, step) or (epochs is not None and _number(record, "epoch") > epochs):
                break
            kept.append(line)
        text = b"".join(kept)
        if len(text) == self._size:
            return 0
        self.close()
        try:
            with staged(self.path) as temporary:
                temporary.write_bytes(text)
        except OSError as error:
            message = f"the file could not be cut: {error.strerror or error}"
            raise file_error(self.path, "AS551", message) from error
        finally:
            self._file = self._opened()
        return damaged

    def sync(self) -> None:
        """Makes what was added last through a loss of power: before a checkpoint says that it happened.

        Raises `FileError` (AS551).
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            message = f"records could not be written: {error.strerror or error}"
            raise file_error(self.path, "AS551", message) from error

    def close(self) -> None:
        """Closes the file. More than once does no harm."""
        self._file.close()

    def __enter__(self) -> Metrics:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self) -> FileIO:
        try:
            stream = self.path.open("ab", buffering=0)  # a record is one call, so that readers see it whole
            self._size = _whole(self.path)
            if stream.tell() > self._size:
                stream.truncate(self._size)
        except OSError as error:
            raise file_error(
                self.path, "AS551", f"the file cannot be added to: {error.strerror or error}"
            ) from error
        return stream


def read(path: Path) -> list[dict[str, Any]]:
    """All records, also while a run adds to them. Raises `FileError` (AS553) with every line that is none."""
    records, wrong = [], []
    try:
        for number, _, record in _lines(path):
            if record is None:
                wrong.append(number)
            else:
                records.append(record)
    except OSError as error:
        raise file_error(path, "AS553", f"the file cannot be read: {error.strerror or error}") from error
    if wrong:
        raise _unreadable(path, wrong)
    return records


def _unreadable(path: Path, wrong: list[int]) -> FileError:
    shown = [
        Diagnostic("AS553", "the line is no record", Span(str(path), number, 1, number, 1))
        for number in wrong[:8]
    ]
    if len(wrong) > len(shown):
        more = f"and {len(wrong) - len(shown):,} more lines"
        shown.append(Diagnostic("AS553", more, Span(str(path), 0, 0, 0, 0)))
    return FileError(shown)


def _lines(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    """Number, text and record of each line that was ended; None for what is no record."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.endswith(b"\n"):
                yield number, line, _record(line)


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _later(record: Mapping[str, Any], step: int) -> bool:
    return _number(record, "step") > step


def _number(record: Mapping[str, Any], key: str) -> float:
    value = record.get(key)
    return value if isinstance(value, int | float) else -inf


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _whole(path: Path) -> int:
    """How many bytes of a file belong to lines that were ended."""
    with path.open("rb") as stream:
        place = stream.seek(0, os.SEEK_END)
        while place:
            start = max(0, place - 65_536)
            stream.seek(start)
            cut = stream.read(place - start).rfind(b"\n")
            if cut >= 0:
                return start + cut + 1
            place = start
    return 0
