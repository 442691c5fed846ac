"""From a detector and its weights to ONNX files that are proved to be the same function.

`features.onnx` and `regions.onnx` hold its two networks, and `detector.onnx`, where it is asked for, all of it. They
are written to a folder within the target first, proved as they lie there, and only then moved.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

from archspec import provenance
from archspec.backends.onnx.write import Form
from archspec.deploy.export import (
    FORM,
    MOST_INLINE,
    PRECISION,
    Value,
    check_model,
    move,
    say_of_itself,
    staging,
    store_model,
    value_of,
)
from archspec.detection import keys, stored
from archspec.detection.onnx.parts import FileName, Made, check_exportable, made
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from archspec.detection.load import LoadedDetector
    from archspec.detection.onnx.proof import Proof
    from archspec.weights.contents import Array

FILE = "archspec.file"
"""Which of a detector's files it is."""
IMAGE = "archspec.image"
"""How a picture is prepared, as JSON: by whom takes `features.onnx`; `detector.onnx` does it itself."""
NAMES: tuple[FileName, ...] = ("features", "regions", "detector")


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for beside the detector and its weights."""

    form: Form = field(default_factory=lambda: Form(dynamic_size=True))
    """Of it `opset` and `fold` are heeded."""
    whole: bool = False
    """Whether `detector.onnx` is wanted too."""
    license: str = ""
    origin: str = ""
    weights_sha256: str = ""
    tolerance: float | None = None
    prove: bool = True

    @property
    def names(self) -> tuple[FileName, ...]:
        """The files that are written."""
        return NAMES if self.whole else NAMES[:2]


@dataclass(frozen=True, slots=True)
class File:
    """A finished file."""

    name: FileName
    path: Path
    bytes: int
    sha256: str
    nodes: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export; no `proof` where none was asked for."""

    folder: Path
    files: tuple[File, ...]
    proof: Proof | None


def metadata(loaded: LoadedDetector, name: FileName, order: Order) -> dict[str, str]:
    """What a file says of itself, but for its digest."""
    import onnx

    image = loaded.detector.image
    prepared = {
        "color": "RGB" if loaded.parts.image_channels == 3 else "L",
        "range": 1,
        "mean": image.mean,
        "std": image.std,
        "shorter": image.shorter[-1],
        "longest": image.longest,
        "multiple": loaded.parts.stride,
    }
    said = stored.stamp(loaded) | {
        FILE: name,
        FORM: json.dumps(asdict(order.form)),
        PRECISION: order.form.precision,
        IMAGE: json.dumps(prepared),
        provenance.LABELS: json.dumps(loaded.detector.labels),
        "archspec.onnx_version": onnx.__version__,
    }
    optional = {
        provenance.WEIGHTS: order.weights_sha256,
        provenance.LICENSE: order.license,
        provenance.ORIGIN: order.origin,
    }
    return said | {key: value for key, value in optional.items() if value}


def written(name: FileName, loaded: LoadedDetector, tensors: Mapping[str, Array], order: Order) -> Made:
    """One of the models with its metadata, in memory. Needs no torch. Raises `FileError` (AS514)."""
    model = made(name, loaded, tensors, order.form)
    say_of_itself(model.model, metadata(loaded, name, order))
    return model


def export(
    loaded: LoadedDetector,
    tensors: Mapping[str, Array],
    target: Path,
    order: Order,
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Exported:
    """Writes the files, proves them and only then moves them into the folder `target`.

    Raises `FileError`: AS514 for what cannot be written, AS513 where a proof fails. Nothing is left behind then.
    """
    check_exportable(loaded, order.form, whole=order.whole)
    if 4 * sum(prod(shape) for shape in keys.shapes(loaded).values()) > MOST_INLINE:
        raise file_error(loaded.name, "AS514", "its weights are past the 2 GB that one ONNX file holds")
    if target.exists() and not target.is_dir():
        raise file_error(
            target, "AS514", "a detector becomes a folder of files, and there is a file of that name"
        )
    with staging(target / NAMES[0]) as folder:
        files: list[File] = []
        written_to: dict[FileName, tuple[Path, Made]] = {}
        for name in order.names:
            say(f"writing {name}.onnx")
            staged, one = folder / f"{name}.onnx", written(name, loaded, tensors, order)
            written_to[name] = staged, one
            store_model(one.model, staged, external=False)
            if order.prove:
                check_model(staged, one.model, target / staged.name)
            files.append(_finished(name, staged, target, one.model))
        proof = None
        if order.prove:
            from archspec.detection.onnx.proof import proved

            proof = proved(loaded, tensors, written_to, order, say)
        move(folder, target)
    for name in set(NAMES) - set(order.names):
        _remove(target / f"{name}.onnx", say)
    return Exported(target, tuple(files), proof)


def _remove(file: Path, say: Callable[[str], None]) -> None:
    """Removes a file of an export before, of other weights; what is nobody knows whose is left."""
    if not file.is_file():
        return
    if _of_a_detector(file):
        file.unlink()
    else:
        say(f"{file} is left: it is not a detector's, and not of this export")


def _of_a_detector(file: Path) -> bool:
    """Whether a file says that it is of a detector. False for what cannot be read."""
    import onnx

    try:
        model = onnx.load(file, load_external_data=False)
    except Exception:  # noqa: BLE001 - protobuf fails in every way there is
        return False
    return any(each.key == provenance.DETECTOR for each in model.metadata_props)


def _finished(name: FileName, staged: Path, target: Path, model: Any) -> File:
    graph = model.graph
    inputs, outputs = (tuple(map(value_of, each)) for each in (graph.input, graph.output))
    with staged.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = staged.stat().st_size
    return File(name, target / staged.name, size, digest, len(graph.node), inputs, outputs)
