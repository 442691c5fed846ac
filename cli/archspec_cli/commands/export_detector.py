"""`archspec export` of a detector: its networks, and with `--whole` all of it, as proved ONNX files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec import provenance
from archspec.detection import keys, stored
from archspec.detection.kind import holds_detector, is_detector
from archspec.detection.load import load_detector
from archspec.detection.onnx.export import IMAGE, Order, export, metadata
from archspec.lift.files import is_weights
from archspec.weights.files import checked, read_weights
from archspec.weights.match import fitting
from archspec_cli.output import emit_json, fail, say, steps, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.detection.load import LoadedDetector
    from archspec.detection.onnx.export import Exported, File
    from archspec.detection.onnx.proof import Case
    from archspec.weights.contents import Array
    from archspec.weights.files import Weights
    from archspec_cli.commands.export import Asked


def detects(spec: str, *, allow_outside: bool) -> bool:
    """Whether a detector is named, or weights of one: a file, a checkpoint, a run's folder."""
    path = _weights_of(Path(spec))
    if is_weights(path):
        return holds_detector(path)
    return is_detector(spec, allow_outside=allow_outside)


def run(spec: str, asked: Asked, changes: list[str] | None, *, allow_outside: bool, as_json: bool) -> None:
    _check_asked(asked)
    loaded, weights = _opened(spec, asked, changes, allow_outside=allow_outside)
    target = asked.output or Path("models") / loaded.name
    if target.suffix == ".onnx" or target.is_file():
        fail(f"{target} is no folder", "a detector becomes several files: -o names their folder")
    tensors = _tensors(loaded, weights, asked)
    said = weights.metadata if weights is not None else {}
    order = Order(
        form=replace(asked.form, dynamic_size=True),
        whole=asked.whole,
        license=asked.license or said.get(provenance.LICENSE, ""),
        origin=said.get(provenance.ORIGIN, ""),
        weights_sha256=weights.sha256 if weights is not None else "",
        tolerance=asked.tolerance,
        prove=asked.prove,
    )
    with steps(f"exporting {loaded.name}") as step:
        exported = export(loaded, tensors, target, order, say=step)
    if as_json:
        emit_json(_record(loaded, exported, order))
    else:
        tell(_human(exported))


def _check_asked(asked: Asked) -> None:
    """Refuses what makes no sense of a detector, with the reason."""
    refused = {
        "--precision": (asked.precision != "fp32", "a detector's files are fp32"),
        "--calibrate": (asked.calibrate is not None, "it sets the scales of int8"),
        "--dynamic-size": (asked.form.dynamic_size, "a detector's files take pictures of any size already"),
        "--softmax": (asked.form.softmax, "detector.onnx takes it already, and regions.onnx gives what it is taken of"),
        "--preprocess": (asked.in_graph, "a detector's files normalise pictures themselves"),
        "--preprocessing": (asked.preprocessing is not None, "the detector says so itself: [detector.image]"),
        "--labels": (asked.labels is not None, "the detector says so itself: detector.classes"),
        "--external-data": (asked.external, "each of a detector's files holds its own weights"),
        "--report": (asked.report, "--json says all that is known"),
        "--triton": (asked.triton is not None, "a detector's files take no batches of pictures of one size"),
        "--force": (asked.force, "it is for a Triton repository"),
    }  # fmt: skip
    for option, (typed, reason) in refused.items():
        if typed:
            fail(f"{option} is for networks, and this is a detector", reason)
    if asked.tolerance == float("inf"):
        fail("a tolerance that everything meets proves nothing", "--no-proof")


def _weights_of(path: Path) -> Path:
    """The weights file of a run's folder or a checkpoint; what is none stays as it is."""
    if not path.is_dir():
        return path
    from archspec.train.checkpoint import model_weights

    return model_weights(path, say)


def _opened(
    spec: str, asked: Asked, changes: list[str] | None, *, allow_outside: bool
) -> tuple[LoadedDetector, Weights | None]:
    """The detector, and its weights where there are any."""
    if asked.weights is not None:
        loaded = load_detector(spec, changes or (), allow_outside=allow_outside)
        weights = checked(read_weights(_weights_of(asked.weights)))
        if weights.metadata.get(provenance.DIGEST, loaded.digest) != loaded.digest:
            say(
                "the weights were trained with a detector of other settings; those that are exported are named"
            )
        return loaded, weights
    if not is_weights(_weights_of(Path(spec))):
        return load_detector(spec, changes or (), allow_outside=allow_outside), None
    if changes:
        fail("--set is for a SPEC, and these weights carry theirs")
    return stored.opened(Path(spec), say)


def _tensors(loaded: LoadedDetector, weights: Weights | None, asked: Asked) -> Mapping[str, Array]:
    if weights is not None:
        return fitting(keys.shapes(loaded), weights)
    from archspec.detection.onnx.proof import initial

    say(f"no --weights: the detector is as it starts training, seed {asked.seed}, and not trained")
    return initial(loaded, asked.seed)


def _record(loaded: LoadedDetector, exported: Exported, order: Order) -> dict[str, Any]:
    import json

    proof = exported.proof
    return {
        "path": str(exported.folder),
        "name": loaded.name,
        "detector_hash": loaded.digest,
        "function_hash": loaded.architecture.hash,
        "weights_sha256": order.weights_sha256 or None,
        "image": json.loads(metadata(loaded, "features", order)[IMAGE]),
        "labels": list(loaded.detector.labels),
        "license": order.license or None,
        "files": [_file(each) for each in exported.files],
        "proof": None
        if proof is None
        else {"tolerance": proof.limit.tolerance, "cases": [_case(each) for each in proof.cases]},
    }


def _file(file: File) -> dict[str, Any]:
    values = {
        "inputs": [each._asdict() for each in file.inputs],
        "outputs": [each._asdict() for each in file.outputs],
    }
    return {
        "file": file.path.name,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "nodes": file.nodes,
        **values,
    }


def _case(case: Case) -> dict[str, Any]:
    return {"file": f"{case.file}.onnx", "weights": case.weights, **case.figures._asdict()}


def _human(exported: Exported) -> str:
    lines = []
    for file in exported.files:
        lines.append(f"wrote {file.path}: {file.bytes / 2**20:.1f} MiB, {file.nodes} nodes")
        lines.append(f"  in: {_values(file.inputs)}  out: {_values(file.outputs)}")
    shown = "\n".join(map(sanitize, lines))
    proof = exported.proof
    if proof is None:
        return f"{shown}\nnot proved: --no-proof"
    head = ["file", "weights", "of", "size", "worst relative", "same boxes"]
    limit = f"{proof.limit.tolerance:g} of the largest output"
    ending = f"proved: onnxruntime on these files against torch, within {limit}."
    return "\n\n".join([shown, table(head, [_row(case) for case in proof.cases]), ending])


def _values(values: Any) -> str:
    return ", ".join(f"{each.name} {each.type} ({', '.join(map(str, each.shape))})" for each in values)


def _row(case: Case) -> list[str]:
    figures = case.figures
    of = {"features": "images", "regions": "regions", "detector": "boxes"}[case.file]
    worst = max(figures.relative, figures.pooled)
    same = f"{figures.same:.0%}" if case.file == "detector" else "-"
    size = f"{figures.size[0]}x{figures.size[1]}"
    return [
        case.file,
        case.weights,
        f"{figures.number} {of if figures.number != 1 else of.removesuffix('s')}",
        size,
        f"{worst:.1e}",
        same,
    ]
