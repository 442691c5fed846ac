"""Data sets on disk, in the true formats, small."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from archspec.data.cifar import CIFAR10, CIFAR100, Layout
from archspec.recipes.load import load_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from archspec.recipes.models import Recipe

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SMALL10 = replace(CIFAR10, images=(20, 10))
SMALL100 = replace(CIFAR100, images=(30, 12))


def drawn(seed: int, *shape: int, below: int = 256) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, below, shape, dtype=np.uint8)


class Python2:
    """A pickle as cPickle of Python 2 writes it, protocol 2: the opcodes of the published files."""

    def __init__(self) -> None:
        self.out = bytearray(b"\x80\x02")
        self.places = 0

    def put(self) -> None:
        self.places += 1
        self.out += (
            b"q" + bytes([self.places]) if self.places < 256 else b"r" + struct.pack("<I", self.places)
        )

    def number(self, value: int) -> None:
        if 0 <= value < 256:
            self.out += b"K" + bytes([value])
        elif 0 <= value < 65536:
            self.out += b"M" + struct.pack("<H", value)
        else:
            self.out += b"J" + struct.pack("<i", value)

    def text(self, value: bytes, *, remembered: bool = True) -> None:
        short = len(value) < 256
        self.out += (b"U" + bytes([len(value)]) if short else b"T" + struct.pack("<i", len(value))) + value
        if remembered:
            self.put()

    def array(self, values: NDArray[Any]) -> None:
        self.out += b"cnumpy.core.multiarray\n_reconstruct\n"
        self.put()
        self.out += b"cnumpy\nndarray\n"
        self.put()
        self.out += b"K\x00\x85U\x01b\x87R"
        self.put()
        self.out += b"(K\x01"
        for size in values.shape:
            self.number(size)
        self.out += b"\x86cnumpy\ndtype\n"
        self.put()
        self.out += b"U\x02u1K\x00K\x01\x87R"
        self.put()
        self.out += b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        self.text(values.tobytes(), remembered=False)
        self.out += b"tb"

    def value(self, value: Any) -> None:
        if isinstance(value, bytes):
            self.text(value)
        elif isinstance(value, int):
            self.number(value)
        elif isinstance(value, np.ndarray):
            self.array(value)
        else:
            self.out += b"]"
            self.put()
            self.out += b"("
            for each in value:
                self.value(each)
            self.out += b"e"

    def table(self, table: dict[bytes, Any]) -> bytes:
        self.out += b"}"
        self.put()
        self.out += b"("
        for key, value in table.items():
            self.text(key)
            self.value(value)
        return bytes(self.out + b"u.")


def batch_of(layout: Layout, seed: int, count: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels (count, 3072) and labels."""
    return drawn(seed, count, 3072), drawn(seed + 100, count, below=layout.classes)


def parts_of(layout: Layout) -> list[tuple[str, int, int]]:
    """Name, seed and images of each file."""
    files = [(name, layout.images[0]) for name in layout.train] + [
        (name, layout.images[1]) for name in layout.test
    ]
    return [(name, seed, count) for seed, (name, count) in enumerate(files)]


def python_table(layout: Layout, name: str, seed: int, count: int) -> dict[bytes, Any]:
    pixels, labels = batch_of(layout, seed, count)
    names = [f"image_{number}.png".encode() for number in range(count)]
    table: dict[bytes, Any] = {b"batch_label": name.encode(), layout.label.encode(): labels.tolist()}
    if layout.label_bytes == 2:
        table[b"coarse_labels"] = (labels // 5).tolist()
    return {**table, b"data": pixels, b"filenames": names}


def cifar_python(folder: Path, layout: Layout) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed, count in parts_of(layout):
        (folder / name).write_bytes(Python2().table(python_table(layout, name, seed, count)))
    names = [name.encode() for name in names_of(layout)]
    meta = {b"num_cases_per_batch": layout.images[0], layout.names[1].encode(): names, b"num_vis": 3072}
    (folder / layout.names[0]).write_bytes(Python2().table(meta))
    return folder


def cifar_binary(folder: Path, layout: Layout) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed, count in parts_of(layout):
        pixels, labels = batch_of(layout, seed, count)
        columns = [labels[:, None] // 5, labels[:, None]][2 - layout.label_bytes :]
        (folder / f"{name}.bin").write_bytes(np.concatenate([*columns, pixels], axis=1).tobytes())
    (folder / layout.binary_names).write_text("\n".join(names_of(layout)) + "\n\n")
    return folder


def names_of(layout: Layout) -> tuple[str, ...]:
    return TEN if layout.classes == 10 else tuple(f"class{number}" for number in range(layout.classes))


def idx(values: NDArray[Any]) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


def idx_set(
    folder: Path, *, zipped: bool = True, train: int = 40, test: int = 16, dotted: bool = False
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, seed, count in (("train", 0, train), ("t10k", 1, test)):
        contents = {"images": drawn(seed, count, 28, 28), "labels": drawn(seed + 100, count, below=10)}
        for what, values in contents.items():
            name = f"{part}-{what}{'.' if dotted else '-'}idx{values.ndim}-ubyte"
            data = idx(values)
            path = folder / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(data, mtime=0) if zipped else data)
    return folder


def picture(path: Path, seed: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Path:
    """A picture of (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    Image.fromarray(drawn(seed, *shape)).save(path)
    return path


def classes_of(folder: Path, names: tuple[str, ...], each: int, suffix: str = ".png") -> Path:
    """A folder for each class, with pictures of different sizes."""
    for number, name in enumerate(names):
        for place in range(each):
            seed = 100 * number + place
            picture(folder / name / f"{name}_{place}{suffix}", seed, (36 + seed % 7, 30 + seed % 11))
    return folder


def element(kind: int, data: bytes) -> bytes:
    """An element of MATLAB's files: the short form where it fits, padded to 8 bytes otherwise."""
    if 0 < len(data) <= 4:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(kind: int, shape: tuple[int, ...], name: str, *parts: bytes) -> bytes:
    flags = element(6, struct.pack("<II", kind, 0))
    body = (
        flags
        + element(5, struct.pack(f"<{len(shape)}i", *shape))
        + element(1, name.encode())
        + b"".join(parts)
    )
    return element(14, body)


def devkit(folder: Path, wnids: dict[int, str], truth: list[int]) -> Path:
    """The two files of ImageNet's devkit that say what a validation image shows."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = ("ILSVRC2012_ID", "WNID", "words", "num_children", "children")
    cells = b""
    for number, wnid in wnids.items():
        words = f"thing {number}"
        cells += matrix(9, (1, 1), "", element(4, struct.pack("<H", number)))
        cells += matrix(4, (1, len(wnid)), "", element(4, wnid.encode("utf-16-le")))
        cells += matrix(4, (1, len(words)), "", element(16, words.encode()))
        cells += matrix(9, (1, 1), "", element(2, b"\0"))
        cells += matrix(6, (0, 0), "", element(9, b""))
    names = b"".join(field.encode().ljust(32, b"\0") for field in fields)
    table = matrix(2, (len(wnids), 1), "synsets", element(5, struct.pack("<i", 32)), element(1, names), cells)
    other = matrix(6, (1, 1), "other", element(9, struct.pack("<d", 1.5)))
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    squeezed = zlib.compress(table)
    packed = struct.pack("<II", 15, len(squeezed)) + squeezed
    (folder / "meta.mat").write_bytes(header + other + packed)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{each}\n" for each in truth))
    return folder


def recipe(name: str = "cifar10-paper", *changes: str) -> Recipe:
    return load_recipe(name, changes).recipe
