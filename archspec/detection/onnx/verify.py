"""Whether an ONNX file of a detector is still what it says it is: everything that can be recomputed from it is."""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, cast

from archspec import provenance
from archspec.deploy.export import FORM, GRAPH, graph_digest
from archspec.deploy.verify import form_said, outlines, said_by
from archspec.detection import keys, stored
from archspec.detection.build import REGION, SHARED
from archspec.detection.keys import PREDICTOR, PROPOSALS
from archspec.detection.onnx.export import FILE, NAMES, Order, written
from archspec.errors import FileError
from archspec.weights.files import Weights
from archspec.weights.verify import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from onnx import ModelProto

    from archspec.detection.load import LoadedDetector
    from archspec.detection.onnx.parts import FileName
    from archspec.ir.operation import Shape
    from archspec.weights.contents import Array

_ONCE, _EACH = (SHARED, PROPOSALS), (REGION, PREDICTOR)
_PARTS = {"features": _ONCE, "regions": _EACH, "detector": (*_ONCE, *_EACH)}
"""What the keys of each file's tensors begin with."""


def of_detector(said: Mapping[str, str]) -> bool:
    """Whether metadata are of a detector's file."""
    return provenance.DETECTOR in said


def verify_detector(path: Path, model: ModelProto, weights: Weights | None = None) -> list[Check]:
    """A file of a detector against the detector it carries, and against the weights it was made from."""
    said = said_by(model, path)
    try:
        loaded = stored.recalled(Weights(str(path), {}, {}, {}, said, "", "safetensors"))
    except FileError as error:
        return [Check("detector", ok=False, detail=error.diagnostics[0].message)]
    assert loaded is not None, "asked of files that carry one"
    digest, graph = graph_digest(model), _graph(model, loaded, said)
    checks = [
        Check("detector", ok=True, detail=f"{loaded.name}, digest {loaded.digest}"),
        Check("digest", ok=said.get(GRAPH) == digest, detail=f"graph and tensors, SHA-256 {digest}"),
        graph,
    ]
    if weights is not None:
        checks += _weights(model, loaded, weights, compare=graph.ok)
    return checks


def _graph(model: ModelProto, loaded: LoadedDetector, said: Mapping[str, str]) -> Check:
    """Whether the nodes are those that the detector writes."""
    import numpy as np

    shapes = keys.shapes(loaded)
    try:
        _check_room(model, shapes, said)
        zeros = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
        anew = _written(loaded, zeros, said)
    except (FileError, TypeError, ValueError, LookupError, RecursionError) as error:
        return Check("graph", ok=False, detail=f"it cannot be written anew: {str(error)[:300]}")
    for name, ours, theirs in outlines(anew, model):
        if ours != theirs:
            return Check("graph", ok=False, detail=f"its {name} are not those that the detector writes")
    nodes = len(model.graph.node)
    return Check("graph", ok=True, detail=f"{said[FILE]}: {nodes} nodes, as the detector writes them")


def _check_room(model: ModelProto, shapes: Mapping[str, Shape], said: Mapping[str, str]) -> None:
    """Whether the file can hold its detector's weights: a small one may say that it is of a detector of gigabytes.

    Raises `ValueError`. Batch normalisation may have been folded; weights of convolutions and linear layers are there.
    """
    parts = _PARTS.get(said.get(FILE, ""), ())
    least = 4 * sum(prod(shape) for key, shape in shapes.items() if key.startswith(parts) and len(shape) > 1)
    held = sum(tensor.ByteSize() for tensor in model.graph.initializer)
    if held < least:
        raise ValueError(f"its tensors have {held:,} bytes, and the detector's weights {least:,}")


def _written(loaded: LoadedDetector, tensors: Mapping[str, Array], said: Mapping[str, str]) -> ModelProto:
    """The file anew, as far as its graph goes. Raises `ValueError` where it does not say which it is."""
    if said.get(FILE) not in NAMES:
        raise ValueError("it does not say which of a detector's files it is")
    form = form_said(json.loads(said.get(FORM, "{}")))
    return written(cast("FileName", said[FILE]), loaded, tensors, Order(form)).model


def _weights(
    model: ModelProto, loaded: LoadedDetector, weights: Weights, *, compare: bool
) -> Iterator[Check]:
    """Whether the file was made from these weights, and still holds them."""
    from archspec.weights.match import fitting

    said = said_by(model, weights.file)
    same = said.get(provenance.WEIGHTS) == weights.sha256
    yield Check("weights", ok=same, detail=f"the weights file has SHA-256 {weights.sha256}")
    if not compare:
        return
    anew = _written(loaded, fitting(keys.shapes(loaded), weights), said)
    pairs = zip(anew.graph.initializer, model.graph.initializer, strict=True)
    # the same names and shapes: the graph is the same
    same = all(ours.raw_data == theirs.raw_data for ours, theirs in pairs)
    detail = "those of the weights file, folded anew" if same else "not those of the weights file"
    yield Check("tensors", ok=same, detail=detail)
