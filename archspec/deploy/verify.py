"""Whether a file is still what it says it is: everything that can be recomputed from it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archspec import provenance
from archspec.architecture import compiled
from archspec.backends.source.carried import carried_spec
from archspec.deploy.export import FORM, GRAPH, PRECISION, Order, graph_digest, written
from archspec.errors import FileError, InputError, file_error
from archspec.weights.verify import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from onnx import ModelProto

    from archspec.architecture import Architecture
    from archspec.backends.onnx.write import Form
    from archspec.weights.files import Weights

MAX_SOURCE = 4 * 2**20


def verify_source(path: Path) -> list[Check]:
    """A generated file against the spec that it carries. Nothing of it is run. Raises `FileError`."""
    from archspec.backends.source.render import render
    from archspec.spec.documents import parse
    from archspec.spec.load import resolve

    if path.stat().st_size > MAX_SOURCE:
        raise file_error(path, "AS507", f"larger than {MAX_SOURCE // 2**20} MiB: no generated file is")
    text = path.read_bytes().decode("utf-8", errors="replace")
    spec = carried_spec(text)
    if spec is None:
        raise file_error(
            path, "AS507", "the file carries no spec", hint="archspec build writes files that do"
        )
    try:
        document = parse(spec.encode(), f"{path} (its spec)", None)
        if "extends" in document.data:
            raise file_error(path, "AS507", "the spec that the file carries leans on another file")
        architecture = compiled(resolve(document))
    except InputError as error:
        return [Check("spec", ok=False, detail=f"the spec that the file carries cannot be used: {error}")]
    anew = render(architecture)
    same = anew == text
    return [
        Check("spec", ok=True, detail=f"{architecture.name} compiles"),
        Check("function", ok=f"\n{architecture.hash}\n" in text, detail=f"hash {architecture.hash}"),
        Check(
            "source", ok=same, detail="what the spec prints, byte for byte" if same else _parting(text, anew)
        ),
    ]


def _parting(text: str, anew: str) -> str:
    ours, theirs = anew.split("\n"), text.split("\n")
    pairs = zip(ours, theirs, strict=False)
    line = next((place for place, (a, b) in enumerate(pairs, 1) if a != b), min(len(ours), len(theirs)))
    return f"line {line} is not what the spec prints"


def verify_model(path: Path, weights: Weights | None = None, model: ModelProto | None = None) -> list[Check]:
    """An exported ONNX file (`model`, where it is open already) against its spec and the weights it was made from."""
    model = model or loaded(path)
    said = said_by(model, path)
    try:
        architecture = provenance.recalled(said, str(path))
    except FileError as error:
        return [Check("spec", ok=False, detail=error.diagnostics[0].message)]
    if architecture is None:
        hint = "archspec lift FILE makes a spec of a foreign one"
        raise file_error(
            path, "AS507", "the file carries no spec: archspec export did not write it", hint=hint
        )
    digest = graph_digest(model)
    graph = _graph(model, architecture, said)
    checks = [
        Check("spec", ok=True, detail=f"{architecture.name}, function {architecture.hash}"),
        Check("digest", ok=said.get(GRAPH) == digest, detail=f"graph and tensors, SHA-256 {digest}"),
        graph,
    ]
    if weights is not None:
        checks += _weights(model, architecture, said, weights, compare=graph.ok)
    return checks


def said_by(model: ModelProto, path: Path | str) -> dict[str, str]:
    """The metadata of a model. Protobuf hands out bytes where a text is no UTF-8."""
    said = {each.key: each.value for each in model.metadata_props}
    if not all(isinstance(text, str) for pair in said.items() for text in pair):
        raise file_error(path, "AS511", "not a valid ONNX file: its metadata is not UTF-8")
    return said


def loaded(path: Path) -> ModelProto:
    """An ONNX file with its external tensors, checked. Raises `FileError` (AS511)."""
    import onnx

    try:
        str(path).encode()  # onnx's own message about such a name is a page about its arguments
        onnx.checker.check_model(path, full_check=True)
        model = onnx.load(path)
    except UnicodeEncodeError as error:
        raise file_error(path, "AS511", "onnx opens no file whose name is not UTF-8") from error
    except Exception as error:
        raise file_error(path, "AS511", f"not a valid ONNX file: {str(error).strip()[:300]}") from error
    for tensor in model.graph.initializer:
        # onnx says where a tensor's data was even when it has been read in
        tensor.ClearField("data_location")
    return model


def _graph(model: ModelProto, architecture: Architecture, said: Mapping[str, str]) -> Check:
    """Whether the nodes are those that the spec writes."""
    if said.get(PRECISION) == "int8":
        return Check(
            "graph", ok=True, detail="quantised: its nodes are the quantiser's, and were not compared"
        )
    try:
        order = _order(said)
        anew = written(architecture, _zeros(architecture), order).model
    except (FileError, TypeError, ValueError, LookupError, RecursionError) as error:
        return Check("graph", ok=False, detail=f"its form cannot be written anew: {str(error)[:300]}")
    for name, ours, theirs in outlines(anew, model):
        if ours != theirs:
            return Check("graph", ok=False, detail=f"its {name} are not those that the spec writes")
    return Check("graph", ok=True, detail=f"{len(model.graph.node)} nodes, as the spec writes them")


def outlines(ours: ModelProto, theirs: ModelProto) -> Iterator[tuple[str, Any, Any]]:
    """What two graphs are made of, part by part, without the values of their tensors."""
    parts = ("operator sets", "functions", "inputs", "outputs", "nodes", "tensors")
    return zip(parts, _outline(ours), _outline(theirs), strict=True)


def _outline(model: ModelProto) -> tuple[Any, ...]:
    """A graph without the values of its tensors."""
    graph = model.graph
    values = (
        [each.SerializeToString(deterministic=True) for each in part]
        for part in (model.opset_import, model.functions, graph.input, graph.output, graph.node)
    )
    return (*values, [(each.name, each.data_type, tuple(each.dims)) for each in graph.initializer])


def _order(said: Mapping[str, str]) -> Order:
    """The order that a file was written to, as far as its graph goes."""
    form = form_said(json.loads(said.get(FORM, "{}")))
    return Order(form=form, weights_sha256=said.get(provenance.WEIGHTS, ""))


def form_said(table: Any) -> Form:
    """The form that a file says it has. Raises `TypeError`, `ValueError` or `LookupError` for what is none."""
    from archspec.backends.onnx.write import Form, Normalisation

    if not isinstance(table, dict):
        raise ValueError("it is no table")
    by = table.pop("normalisation", None)
    normalisation = Normalisation(tuple(by[0]), tuple(by[1]), by[2]) if by else None
    return Form(**table, normalisation=normalisation)


def _zeros(architecture: Architecture) -> dict[str, np.ndarray[Any, Any]]:
    import numpy as np

    from archspec.passes.flatten import state

    return {key: np.zeros(shape, np.float32) for key, shape in state(architecture.graph).items()}


def _weights(
    model: ModelProto,
    architecture: Architecture,
    said: Mapping[str, str],
    weights: Weights,
    *,
    compare: bool,
) -> Iterator[Check]:
    """Whether the file was made from these weights, and still holds them."""
    from archspec.weights.match import matched

    known = said.get(provenance.WEIGHTS)
    yield Check(
        "weights", ok=known == weights.sha256, detail=f"the weights file has SHA-256 {weights.sha256}"
    )
    if said.get(PRECISION) == "int8" or not compare:
        return
    anew = written(architecture, matched(architecture, weights), _order(said)).model
    same = [each.SerializeToString(deterministic=True) for each in anew.graph.initializer] == [
        each.SerializeToString(deterministic=True) for each in model.graph.initializer
    ]
    yield Check(
        "tensors",
        ok=same,
        detail="those of the weights file, folded anew" if same else "not those of the weights file",
    )
