"""Files of data sets: read whole, with a bound on their size before anything is allocated."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from typing import TYPE_CHECKING

from archspec.errors import file_error

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path
    from typing import BinaryIO

    from archspec.errors import FileError

_GZIP = b"\x1f\x8b"
_PIECE = 2**20
_MOST_INFLATED = 1032
"""Deflate makes at most so many bytes of one."""


def damaged(file: str | PathLike[str], *messages: str, hint: str = "") -> FileError:
    """The error for a file of a data set that is not as it should be."""
    return file_error(file, "AS532", *messages, hint=hint)


def content(path: Path, most: int) -> bytes:
    """A file's bytes. Raises `FileError` when there are more than `most`."""
    try:
        with opened(path) as stream:
            length = os.fstat(stream.fileno()).st_size
            if length > most:
                raise damaged(path, f"{length:,} bytes, and at most {most:,} are expected")
            return stream.read(length)
    except OSError as error:
        raise unreadable(path, error) from error


def opened(path: Path) -> BinaryIO:
    """A regular file, opened; a FIFO is not waited for. Raises `OSError` or `FileError`."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    stream = open(descriptor, "rb")  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return stream
    stream.close()
    raise damaged(path, "this is not a regular file")


def unreadable(path: Path, error: OSError) -> FileError:
    """The error for a file that the system does not give."""
    return damaged(path, f"the file cannot be read: {error.strerror or error}")


def exactly(path: Path, header: int, wanted: int) -> bytes:
    """`wanted` bytes after a header, of a file that is plain or compressed with gzip and holds nothing more."""
    try:
        with opened(path) as stream:
            zipped = _is_gzip(stream)
            length = os.fstat(stream.fileno()).st_size
            if wanted > (length * _MOST_INFLATED if zipped else length - header):
                raise damaged(
                    path, f"the file is too short for the {wanted:,} bytes that its header announces"
                )
            with gzip.GzipFile(fileobj=stream) if zipped else stream as body:
                return _exactly(path, _read(body, header + wanted + 1), header, wanted)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, f"the compressed file is damaged: {error}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _read(stream: BinaryIO | gzip.GzipFile, most: int) -> bytes:
    """At most so many bytes, a piece at a time: room is made for what comes, not for what is announced."""
    pieces = []
    while most > 0 and (piece := stream.read(min(most, _PIECE))):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def _exactly(path: Path, read: bytes, header: int, wanted: int) -> bytes:
    if len(read) > header + wanted:
        raise damaged(path, f"there are more than the {wanted:,} bytes that its header announces")
    if len(read) < header + wanted:
        raise damaged(
            path, f"cut off: {max(len(read) - header, 0):,} of the {wanted:,} bytes that its header announces"
        )
    return read[header:]


def beginning(path: Path, length: int) -> bytes:
    """The first bytes of a file that is plain or compressed with gzip; fewer where it is shorter."""
    try:
        with opened(path) as stream, gzip.GzipFile(fileobj=stream) if _is_gzip(stream) else stream as body:
            return body.read(length)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise damaged(path, f"the compressed file is damaged: {error}") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _is_gzip(stream: BinaryIO) -> bool:
    start = stream.read(2)
    stream.seek(0)
    return start == _GZIP
