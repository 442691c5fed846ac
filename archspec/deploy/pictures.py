"""Pictures from strangers: found in folders, read whole or refused with the reason."""

from __future__ import annotations

import os
import stat
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.errors import file_error
from archspec.preprocessing import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image

STDIN = "-"
MAX_BYTES = 256 * 2**20
# PIL would also start Ghostscript for a PostScript file, and open dozens of formats that no camera writes
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM")
_ENDINGS = "jpg jpeg jfif png gif bmp tif tiff webp avif jp2 j2k ppm pgm pbm"
SUFFIXES = frozenset(f".{ending}" for ending in _ENDINGS.split())


def found(names: Sequence[str]) -> list[str]:
    """The files that names stand for: a file itself, a folder's pictures, `-` as it is.

    Folders are searched to their bottom, in order; hidden files and other endings are left out. Raises `FileError`.
    """
    files: list[str] = []
    for name in names:
        if name in (STDIN, "") or not Path(name).is_dir():  # Path("") is this folder
            files.append(name)
            continue
        inside = list(_inside(Path(name)))
        if not inside:
            hint = f"pictures end in {', '.join(sorted(SUFFIXES))}"
            raise file_error(name, "AS521", "a folder without pictures", hint=hint)
        files += inside
    return files


def _inside(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield str(Path(place, name))


def read_picture(file: str) -> Image:
    """A picture, decoded; the first one where there are several. `-` reads standard input. Raises `FileError`."""
    shown = "<stdin>" if file == STDIN else file
    content = _standard_input() if file == STDIN else _content(file)
    if not content:
        raise file_error(shown, "AS521", "the file is empty")
    if len(content) > MAX_BYTES:
        raise file_error(shown, "AS521", f"the file is larger than {MAX_BYTES:,} bytes")
    # PIL's remarks about odd files, and its own word on bombs: their size is looked at here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _decoded(content, shown)


def _decoded(content: bytes, shown: str) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        picture = Image.open(BytesIO(content), formats=FORMATS)
        width, height = picture.size
        if width * height <= MAX_PIXELS:
            picture.load()
            return picture
    except Image.DecompressionBombError as error:
        raise file_error(shown, "AS521", f"more than {MAX_PIXELS:,} pixels") from error
    except UnidentifiedImageError as error:
        hint = f"what is read: {', '.join(FORMATS)}"
        raise file_error(shown, "AS521", "not a picture, or a damaged one", hint=hint) from error
    except Exception as error:  # decoders of broken files fail in every way there is
        raise file_error(shown, "AS521", f"a damaged picture: {str(error)[:200]}") from error
    raise file_error(shown, "AS521", f"{width}x{height} pixels are more than {MAX_PIXELS:,}")


def _standard_input() -> bytes:
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def _content(file: str) -> bytes:
    """At most one byte more than is taken, of a regular file."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise file_error(file, "AS521", "not a regular file")
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise file_error(file, "AS521", "no such file") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise file_error(file, "AS521", f"cannot be read: {reason}") from error
