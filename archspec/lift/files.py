"""Lifting whatever a file is: an ONNX model by its graph, a weights file by its keys and shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.errors import file_error
from archspec.lift.lifted import Deviation, Lifted
from archspec.provenance import DETECTOR

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.lift.onnx_graph import Norm

_HEAD = 16


def lift_file(path: Path, assume_norm: Norm = "none") -> Lifted:
    """The spec of an ONNX model, a safetensors file or a checkpoint of torch. Raises `FileError`."""
    if not is_weights(path):
        from archspec.lift.onnx_graph import lift_onnx

        return lift_onnx(path, assume_norm)
    if assume_norm != "none":
        message = "weights say themselves whether there are norms; --norm is for ONNX files, where they may be folded"
        raise file_error(path, "AS512", message)
    return _lift_weights(path)


def is_weights(path: Path) -> bool:
    """Whether a file begins like safetensors or like a checkpoint of torch. Suffixes are not trusted."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
        # safetensors begins with the length of its header; a protobuf with a brace there has no such length
        fits = int.from_bytes(head[:8], "little") <= path.stat().st_size
    except (OSError, ValueError):
        return False
    return head[:4] == b"PK\x03\x04" or head[:1] == b"\x80" or (head[8:9] == b"{" and fits)


def _lift_weights(path: Path) -> Lifted:
    from archspec.lift.renaming import recognised
    from archspec.lift.weights import lift_shapes
    from archspec.weights.files import read_weights

    weights = read_weights(path)
    if DETECTOR in weights.metadata:
        hint = "archspec eval, predict and export take them; the file carries its network's spec"
        raise file_error(weights.file, "AS503", "these are a detector's weights", hint=hint)
    shapes, style = recognised(weights.shapes)
    lifted = lift_shapes(shapes, weights.file, weights.metadata)
    notes = [Deviation("", remark) for remark in weights.remarks]
    if style is not None:
        notes.append(Deviation("keys", f"they are {style.about}; the spec's are torchvision's"))
    return replace(lifted, deviations=(*lifted.deviations, *notes)) if notes else lifted
