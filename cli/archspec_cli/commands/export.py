"""`archspec export`: a spec and its weights as a proved ONNX file; a detector as several."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec import provenance
from archspec.deploy.card import report, write_beside
from archspec.deploy.export import Exported, Order, export, form_of
from archspec.deploy.known import known
from archspec.errors import file_error
from archspec.lift.files import is_weights
from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, progress, say, steps, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from archspec.architecture import Architecture
    from archspec.backends.onnx.write import Form
    from archspec.deploy.export import Precision
    from archspec.deploy.known import Known
    from archspec.deploy.proof import Case
    from archspec.weights.files import Weights

_MOST_PICTURES = 512
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command, as they were typed."""

    weights: Path | None
    output: Path | None
    seed: int
    precision: Precision
    calibrate: Path | None
    form: Form
    in_graph: bool
    preprocessing: str | None
    labels: Path | None
    license: str
    external: bool
    tolerance: float | None
    prove: bool
    report: bool
    triton: Path | None
    force: bool
    whole: bool = False


def run(spec: str, asked: Asked, changes: list[str] | None, *, allow_outside: bool, as_json: bool) -> None:
    from archspec_cli.commands import export_detector as of_detector

    if of_detector.detects(spec, allow_outside=allow_outside):
        of_detector.run(spec, asked, changes, allow_outside=allow_outside, as_json=as_json)
        return
    if asked.whole:
        fail("--whole is for detectors", "a network is one file already")
    if asked.weights is None and is_weights(Path(spec)):
        asked = replace(asked, weights=Path(spec))
        architecture = _carried(Path(spec), changes)
    else:
        architecture = load(spec, changes, allow_outside=allow_outside)
    target = _target(architecture, asked)
    _check_asked(architecture, asked)
    weights = _opened(asked.weights)
    tensors = _tensors(architecture, weights, asked)
    order = _order(architecture, weights, asked)
    served: list[str] = []
    extras = [lambda done, folder: write_beside(architecture, done, folder)] if asked.report else []
    if asked.triton is not None:
        # last, and before the file is in its place: what Triton refuses is not left there
        extras.append(lambda done, folder: served.append(_triton(asked, done, folder)))
    with steps(f"exporting {architecture.name}") as step:
        exported = export(architecture, tensors, target, order, say=step, extras=extras)
    if as_json:
        where = {"path": str(target), "triton": served[0] if served else None}
        emit_json({**report(architecture, exported, target.parent), **where})
    else:
        beside = [target.with_suffix(end) for end in (".report.json", ".card.md")] if asked.report else []
        tell(_human(exported, served, beside))


def _carried(path: Path, changes: list[str] | None) -> Architecture:
    """The architecture that a weights file says it is of."""
    from archspec.weights.files import read_weights

    if changes:
        fail("--set is for a SPEC, and these weights carry theirs")
    architecture = provenance.recalled(read_weights(path).metadata, str(path))
    if architecture is None:
        fail(f"{path} does not say which spec it is of", f"archspec export SPEC --weights {path}")
    return architecture


def _target(architecture: Architecture, asked: Asked) -> Path:
    target = asked.output or Path(f"{architecture.name}.onnx")
    if target.suffix != ".onnx":
        fail(f"{target} does not end in .onnx", f"-o {target.name}.onnx")
    if target.is_dir():
        fail(f"{target} is a folder", "-o names the file")
    try:
        str(target).encode()
    except UnicodeEncodeError:
        fail(f"{target} is not UTF-8, which models and reports are written in")
    sources = [each for each in (asked.weights, asked.labels) if each is not None and each.exists()]
    if target.exists() and any(target.samefile(each) for each in sources):
        fail("the output would replace what it is made from")
    return target


def _check_asked(architecture: Architecture, asked: Asked) -> None:
    """What would otherwise fail after the proof, or be passed over without a word."""
    if asked.tolerance == float("inf"):
        fail("a tolerance that everything meets proves nothing", "--no-proof")
    if asked.calibrate is not None and asked.precision != "int8":
        fail("--calibrate sets the scales of int8", "add --precision int8")
    if asked.force and asked.triton is None:
        fail("--force is for a Triton repository", "add --triton DIR")
    if asked.triton is None:
        return
    if asked.external:
        fail("Triton's folder gets one file, and --external-data makes two")
    home = asked.triton / architecture.name
    if not asked.force and home.exists() and not (home.is_dir() and not any(home.iterdir())):
        fail(f"{home} is already there", "--force replaces it, versions and all")


def _opened(path: Path | None) -> Weights | None:
    if path is None:
        return None
    from archspec.weights.files import checked, read_weights

    return checked(read_weights(path))


def _tensors(
    architecture: Architecture, weights: Weights | None, asked: Asked
) -> Mapping[str, np.ndarray[Any, Any]]:
    if weights is not None:
        from archspec.weights.match import matched

        return matched(architecture, weights)
    from archspec.deploy.proof import initial

    say(f"no --weights: the network is as [init] fills it, seed {asked.seed}, and not trained")
    return initial(architecture, asked.seed)


def _order(architecture: Architecture, weights: Weights | None, asked: Asked) -> Order:
    said = weights.metadata if weights is not None else {}
    file = weights.file if weights is not None else architecture.name
    found = known(said, file, architecture.input_shape, asked=asked.preprocessing, labels=asked.labels)
    by = found.preprocessing
    if by is None and asked.in_graph:
        fail("--preprocess in-graph needs to know the preprocessing", "--preprocessing imagenet, or a file")
    if by is not None:
        layout = "NHWC" if asked.in_graph else "NCHW"
        by = by.model_copy(update={"layout": layout, "in_graph": asked.in_graph})
    _check_labels(found, architecture, asked)
    order = Order(
        form=asked.form,
        precision=asked.precision,
        preprocessing=by,
        labels=found.labels,
        license=asked.license or said.get(provenance.LICENSE, ""),
        origin=said.get(provenance.ORIGIN, ""),
        weights_sha256=weights.sha256 if weights is not None else "",
        external=asked.external,
        tolerance=asked.tolerance,
        prove=asked.prove,
    )
    return _calibrated(order, asked) if asked.precision == "int8" else order


def _check_labels(found: Known, architecture: Architecture, asked: Asked) -> None:
    classes = architecture.measure.output[0]
    if found.labels and len(found.labels) != classes:
        message = f"there are {len(found.labels)} labels for {classes} classes"
        raise file_error(asked.labels or asked.weights or architecture.name, "AS522", message)


def _calibrated(order: Order, asked: Asked) -> Order:
    """The order with the pictures that set the scales of int8."""
    import numpy as np

    from archspec.deploy.pictures import found
    from archspec.deploy.predict import prepared

    if asked.calibrate is None:
        fail("int8 needs pictures to set its scales", "--calibrate FOLDER: a few hundred, like those to come")
    by = order.preprocessing
    if by is None:
        fail("the preprocessing of the pictures is not known", "--preprocessing imagenet, or a file")
    files = found([str(asked.calibrate)])
    if len(files) > _MOST_PICTURES:
        say(f"calibrating with {_MOST_PICTURES} of {len(files)} pictures, evenly spread")
        files = [files[place * len(files) // _MOST_PICTURES] for place in range(_MOST_PICTURES)]
    pictures = [prepared(by, file) for file in progress(files, "reading pictures")]
    batches = [np.stack(pictures[start : start + _BATCH]) for start in range(0, len(pictures), _BATCH)]
    return replace(order, form=form_of(order), calibration=tuple(batches))


def _triton(asked: Asked, exported: Exported, folder: Path) -> str:
    from archspec.deploy.triton import repository

    assert asked.triton is not None
    model = (folder / exported.path.name).read_bytes()
    return str(repository(asked.triton, model, exported.metadata, force=asked.force))


def _human(exported: Exported, served: list[str], beside: list[Path]) -> str:
    said = exported.metadata
    lines = [
        f"wrote {exported.path}: {sum(exported.sizes.values()) / 2**20:.1f} MiB, {exported.nodes} nodes, "
        f"{said['archspec.precision']}",
        *(f"wrote {exported.path.parent / name}" for name in exported.sizes if name != exported.path.name),
        *(f"wrote {each}" for each in beside),
        f"in: {_value(exported.input)}  out: {_value(exported.output)}",
    ]
    lines += [f"wrote {home} for Triton" for home in served]
    proof = exported.proof
    if proof is None:
        return "\n".join([*map(sanitize, lines), "not proved: --no-proof"])
    return "\n".join(
        [
            *map(sanitize, lines),
            "",
            table(
                ["weights", "batch", "image", "worst absolute", "worst relative", "same class"],
                [_row(case) for case in proof.cases],
            ),
            "",
            f"proved: onnxruntime on this file against torch on the spec, within {proof.limit.tolerance:g} of the "
            f"largest output; {proof.agreement:.1%} of the images get the same class.",
        ]
    )


def _value(value: Any) -> str:
    return f"{value.name} {value.type} ({', '.join(str(side) for side in value.shape)})"


def _row(case: Case) -> list[str]:
    size = f"{case.size[0]}x{case.size[1]}"
    if not case.finite:
        return [case.weights, str(case.batch), size, "not finite", "in torch too", "-"]
    errors = [f"{case.absolute:.1e}", f"{case.relative:.1e}"]
    return [case.weights, str(case.batch), size, *errors, f"{case.agreement:.0%}"]
