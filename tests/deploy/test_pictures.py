"""Picture files: found in folders, read whole or refused with the reason."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from archspec.deploy.pictures import found, read_picture
from archspec.deploy.predict import prepared
from archspec.errors import FileError
from archspec.preprocessing import MAX_PIXELS, PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable

RED, GREEN, BLUE = (255, 0, 0), (0, 200, 0), (0, 0, 255)


def paint(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (12, 9)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return str(path)


def png(width: int, height: int) -> bytes:
    """The head of a PNG of any size, with nothing in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def refused(*names: str, call: Callable[..., Any] = read_picture) -> str:
    with pytest.raises(FileError) as raised:
        call(*names)
    (only,) = raised.value.diagnostics
    assert only.code == "AS521"
    assert only.span.file == names[0] or names[0] == "-"
    return only.message


def test_a_folder_gives_its_pictures_in_order_to_its_bottom(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.webp", ".hidden.png", "notes.txt", ".git/d.png", "a-sub/e.bmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    inside = [Path(name).relative_to(tmp_path).as_posix() for name in found([str(tmp_path)])]
    assert inside == ["a.JPG", "b.png", "a-sub/e.bmp", "sub/c.webp"]
    assert found(["-", "named.txt", "gone.png"]) == ["-", "named.txt", "gone.png"]


def test_a_folder_without_pictures_is_said_to_be_one(tmp_path: Path) -> None:
    assert "without pictures" in refused(str(tmp_path), call=lambda name: found([name]))


def test_of_an_animation_the_first_frame_is_seen(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN, BLUE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert read_picture(str(tmp_path / "moving.gif")).convert("RGB").getpixel((4, 4)) == RED


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp", "tiff", "webp", "jpeg2000", "ppm", "avif"])
def test_the_usual_kinds_are_read_whatever_their_name_says(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    Image.new("RGB", (32, 24), GREEN).save(path, kind)
    pixel = np.array(read_picture(str(path)).convert("RGB").getpixel((10, 10)))
    assert np.abs(pixel - GREEN).max() < 12


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (bytes(1000), "not a picture"),
        (b"<html>no such page</html>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not a picture"),
        (png(30_000, 30_000), f"more than {MAX_PIXELS:,} pixels"),
        (png(10_000, 10_000), f"10000x10000 pixels are more than {MAX_PIXELS:,}"),
        (png(40, 40), "a damaged picture"),
        (png(0, 40), "damaged"),
        (png(40, 40)[:30], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, "damaged"),
    ],
    ids=["empty", "zeros", "html", "postscript", "bomb", "large", "no pixels", "no width", "cut", "garbage"],
)
def test_what_is_no_picture_is_refused_with_the_reason(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    assert said in refused(str(path))


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "tiff", "webp", "jpeg2000", "avif"])
def test_half_a_picture_is_never_a_traceback(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(path, kind)
    whole = path.read_bytes()
    outcomes = set()
    for length in range(1, len(whole), max(len(whole) // 23, 1)):
        path.write_bytes(whole[:length])
        try:
            read_picture(str(path))
        except FileError as error:
            outcomes.add(error.diagnostics[0].code)
    assert outcomes == {"AS521"}


@pytest.mark.parametrize("name", ["gone.png", "folder", "fifo", "a\0b"])
def test_only_regular_files_are_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    refused(str(tmp_path / name))


def test_a_sliver_names_its_file(tmp_path: Path) -> None:
    Image.new("RGB", (20_000, 1)).save(tmp_path / "sliver.png")
    message = refused(str(tmp_path / "sliver.png"), call=lambda name: prepared(PRESETS["imagenet"], name))
    assert "too many" in message
