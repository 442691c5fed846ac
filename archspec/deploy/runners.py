"""Models behind one face: batches of pictures in, a row of probabilities each out."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from archspec import provenance
from archspec.deploy.proof import live
from archspec.deploy.session import open_session
from archspec.errors import file_error
from archspec.spec.documents import clipped

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.preprocessing import Layout
    from archspec.weights.files import Weights

Array = np.ndarray[Any, Any]
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_COLORS = (1, 3)


class Input(NamedTuple):
    """What a model takes. Sides are None where any will do, the batch where it is free."""

    channels: int
    sides: tuple[int | None, int | None]
    layout: Layout
    dtype: type[np.generic]
    batch: int | None = None


class Runner(Protocol):
    """A model with its metadata."""

    name: str
    metadata: Mapping[str, str]
    input: Input

    def run(self, batch: Array) -> Array:
        """`(N, classes)` probabilities of a batch as the preprocessing makes it. Raises `FileError`."""


class OnnxRunner:
    """An ONNX file under onnxruntime, ours or a stranger's."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.name = str(path)
        self._session = open_session(path, threads=threads)
        try:
            self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
            self.input = self._taken()
            self._output = self._session.get_outputs()[0].name
        except UnicodeDecodeError as error:
            raise self._error("it holds names or metadata that are not UTF-8") from error

    def _taken(self) -> Input:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            raise self._error(f"it takes {len(inputs)} inputs ({names}), not one picture")
        (only,) = inputs
        dtype = _TYPES.get(only.type)
        sides = [side if isinstance(side, int) and side > 0 else None for side in only.shape]
        if dtype is None or len(sides) != 4:
            raise self._error(f"its input is {only.type} of shape {only.shape}, not a batch of pictures")
        batch, *rest = sides
        if rest[0] in _COLORS:
            return Input(rest[0], (rest[1], rest[2]), "NCHW", dtype, batch)
        if rest[2] in _COLORS:
            return Input(rest[2], (rest[0], rest[1]), "NHWC", dtype, batch)
        raise self._error(f"its input has the shape {only.shape}: no place for 1 or 3 channels")

    def run(self, batch: Array) -> Array:
        size = self.input.batch or len(batch)
        parts = [self._scores(batch[start : start + size], size) for start in range(0, len(batch), size)]
        return _probabilities(np.concatenate(parts), self.name, holds=self._softmax)

    @property
    def _softmax(self) -> bool | None:
        """Whether the file ends in a softmax, by the names that our exporter gives; None for a stranger's."""
        return {"probabilities": True, "logits": False}.get(self._output)

    def _scores(self, part: Array, size: int) -> Array:
        """The scores of a part; one that is too short for the model's own batch is filled up."""
        filled = np.pad(part, [(0, size - len(part)), *[(0, 0)] * (part.ndim - 1)])
        fed = {self._session.get_inputs()[0].name: filled.astype(self.input.dtype, copy=False)}
        try:
            scores = self._session.run([self._output], fed)[0]
        except Exception as error:  # onnxruntime has an exception class for every kind of failure
            raise self._error(f"onnxruntime cannot run it: {str(error).strip().splitlines()[0]}") from error
        return _rows(scores, size, self.name)[: len(part)]

    def _error(self, message: str) -> Exception:
        return file_error(self.name, "AS511", clipped(message))


class ModuleRunner:
    """A spec with weights, as a torch module."""

    def __init__(self, architecture: Architecture, path: Path, threads: int | None = None) -> None:
        from archspec.weights.files import checked, read_weights

        self._architecture = architecture
        self._weights: Weights = checked(read_weights(path))
        self._threads = threads
        self.name = str(path)
        self.metadata: Mapping[str, str] = self._weights.metadata
        channels, height, width = architecture.input_shape
        self.input = Input(channels, (height, width), "NCHW", np.float32)

    @cached_property
    def _module(self) -> Any:
        import torch

        from archspec.weights.match import matched

        if self._threads:
            torch.set_num_threads(self._threads)
        return live(self._architecture, matched(self._architecture, self._weights))

    def run(self, batch: Array) -> Array:
        import torch

        with torch.inference_mode():
            scores = self._module(torch.from_numpy(batch)).numpy()
        return _probabilities(_rows(scores, len(batch), self.name), self.name, holds=False)


def recalled(path: Path) -> Architecture:
    """The architecture that a weights file carries. Raises `FileError` where it carries none."""
    from archspec.weights.files import read_weights

    architecture = provenance.recalled(read_weights(path).metadata, str(path))
    if architecture is None:
        hint = "give the spec: --model SPEC --weights FILE"
        raise file_error(path, "AS503", "the file does not say which spec its weights are for", hint=hint)
    return architecture


def _rows(scores: Any, batch: int, name: str) -> Array:
    """`(N, classes)` from whatever a model gives: sides of one are dropped."""
    shape = np.shape(scores)
    if len(shape) < 2 or shape[0] != batch or any(side != 1 for side in shape[2:]) or not shape[1]:
        raise file_error(name, "AS523", f"it gives {shape} for {batch} pictures, not one row of scores each")
    return np.asarray(scores, np.float32).reshape(batch, -1)


def _probabilities(scores: Array, name: str, *, holds: bool | None) -> Array:
    """The softmax of scores, unless the model took it. Where no name tells, rows that sum to one do."""
    if not np.isfinite(scores).all():
        raise file_error(name, "AS523", "it gives values that are not finite numbers")
    if holds is None:
        holds = bool((scores >= 0).all() and np.allclose(scores.sum(1), 1, atol=1e-2))
    if holds:
        return scores
    powers = np.exp(scores - scores.max(1, keepdims=True), dtype=np.float64)
    return np.asarray(powers / powers.sum(1, keepdims=True))
