"""From a spec and its weights to a file that is proved to be the same function.

Everything is written to a folder beside the target first. What is proved is the file as it lies there, and only
then is it moved: a file at the target has passed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from archspec import provenance
from archspec.backends.onnx.store import store
from archspec.backends.onnx.write import Form, Normalisation, Written, write_model
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from onnx import ModelProto

    from archspec.architecture import Architecture
    from archspec.deploy.proof import Case, Proof, Subject
    from archspec.preprocessing import Preprocessing

Precision = Literal["fp32", "fp16", "int8"]
FORM = "archspec.form"
GRAPH = "archspec.graph_sha256"
PRECISION = "archspec.precision"
LEAST_APART = 1024
"""Bytes of a tensor that is worth a place in the second file."""
MOST_INLINE = 2 * 10**9
"""Bytes of weights that one protobuf can hold; past them they go to a second file."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for beside the network and its weights."""

    form: Form = field(default_factory=Form)
    precision: Precision = "fp32"
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    license: str = ""
    origin: str = ""
    weights_sha256: str = ""
    external: bool = False
    tolerance: float | None = None
    prove: bool = True
    calibration: tuple[np.ndarray[Any, Any], ...] = ()
    """Batches of pictures as the file takes them, for int8."""


class Value(NamedTuple):
    """An input or an output of a model: `("input", "float", ("batch", 3, 224, 224))`."""

    name: str
    type: str
    shape: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export: bytes by file name; no `proof` where none was asked for."""

    path: Path
    sizes: dict[str, int]
    nodes: int
    input: Value
    output: Value
    metadata: dict[str, str]
    proof: Proof | None


def metadata(architecture: Architecture, order: Order) -> dict[str, str]:
    """What the file says of itself, but for its digest."""
    import onnx

    said = provenance.stamp(architecture)
    said[FORM] = json.dumps(asdict(order.form))
    said[PRECISION] = order.precision
    said["archspec.onnx_version"] = onnx.__version__
    optional = {
        provenance.WEIGHTS: order.weights_sha256,
        provenance.PREPROCESSING: order.preprocessing.to_json() if order.preprocessing else "",
        provenance.LABELS: json.dumps(order.labels) if order.labels else "",
        provenance.LICENSE: order.license,
        provenance.ORIGIN: order.origin,
    }
    return said | {key: value for key, value in optional.items() if value}


def form_of(order: Order) -> Form:
    """The form with what follows from the rest of the order: half precision, normalisation inside."""
    form, by = order.form, order.preprocessing
    if order.precision == "fp16":
        form = replace(form, precision="fp16")
    if by is not None and by.in_graph:
        form = replace(form, normalisation=Normalisation(by.mean, by.std, by.range))
    return form


def graph_digest(model: ModelProto) -> str:
    """SHA-256 over the graph: its inputs and outputs, its nodes, its tensors with their values."""
    graph, digest = model.graph, hashlib.sha256()
    for part in (*graph.input, *graph.output, *graph.node):
        digest.update(part.SerializeToString(deterministic=True))
    for tensor in graph.initializer:
        digest.update(repr((tensor.name, tensor.data_type, list(tensor.dims))).encode())
        # the quantiser also writes small tensors by their values
        digest.update(tensor.raw_data or tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()


def written(architecture: Architecture, tensors: Mapping[str, np.ndarray[Any, Any]], order: Order) -> Written:
    """The model with its metadata, in memory, before any quantisation. Needs no torch."""
    form = form_of(order)
    made = write_model(architecture, tensors, form, {})
    say_of_itself(made.model, metadata(architecture, replace(order, form=form)))
    return made


def say_of_itself(model: ModelProto, said: Mapping[str, str]) -> None:
    """Gives a model its metadata, and with it the digest of its graph."""
    from onnx import helper

    # sorted, so that equal contents give equal bytes
    helper.set_model_props(model, dict(sorted({**said, GRAPH: graph_digest(model)}.items())))


def export(
    architecture: Architecture,
    tensors: Mapping[str, np.ndarray[Any, Any]],
    target: Path,
    order: Order,
    *,
    say: Callable[[str], None] = lambda _: None,
    extras: Sequence[Callable[[Exported, Path], None]] = (),
) -> Exported:
    """Writes, proves and only then moves to the target. Raises `FileError`; nothing is left behind then.

    `extras` write what goes with the file into the folder that they are given: cards, reports.
    """
    if order.precision == "int8" and not order.calibration:
        raise file_error(target, "AS514", "int8 needs pictures to calibrate with", hint="--calibrate FOLDER")
    order = replace(order, form=form_of(order))
    say("writing")
    made = written(architecture, tensors, order)
    with staging(target) as folder:
        staged = folder / target.name
        model = made.model
        if order.precision == "int8":
            from archspec.deploy.quantize import quantized

            say("quantising")
            model = quantized(made.model, order.calibration, folder)
            say_of_itself(model, metadata(architecture, order))
        said = {each.key: each.value for each in model.metadata_props}
        weights = 4 * architecture.measure.total.params
        store_model(model, staged, external=order.external or weights > MOST_INLINE)
        proof = None
        if order.prove:
            proof = _proved(architecture, tensors, (staged, model, made), order, target, say)
        exported = _finished(folder, target, model, said, proof)
        for extra in extras:
            extra(exported, folder)
        move(folder, target.parent)
    return exported


def _finished(
    folder: Path, target: Path, model: ModelProto, said: dict[str, str], proof: Proof | None
) -> Exported:
    files = sorted(folder.iterdir(), key=lambda path: path.name)
    sizes = {each.name: each.stat().st_size for each in files}
    shapes = [value_of(value) for value in (*model.graph.input, *model.graph.output)]
    return Exported(target, sizes, len(model.graph.node), shapes[0], shapes[1], said, proof)


def value_of(value: Any) -> Value:
    """An input or an output of a graph."""
    from onnx import TensorProto

    tensor = value.type.tensor_type
    sides = tuple(side.dim_param or side.dim_value or "?" for side in tensor.shape.dim)
    return Value(value.name, TensorProto.DataType.Name(tensor.elem_type).lower(), sides)


@contextmanager
def staging(target: Path) -> Iterator[Path]:
    """A folder on the target's file system that is gone afterwards, whatever happens."""
    made = [each for each in (target.parent, *target.parent.parents) if not each.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    # not the whole name, which may be as long as names can be
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:32]}."))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # those that are not empty hold the file
            for each in made:
                each.rmdir()


def move(folder: Path, home: Path) -> None:
    """Moves finished files home, the largest (what others point to) first."""
    for each in sorted(folder.iterdir(), key=lambda path: -path.stat().st_size):
        each.replace(home / each.name)


def store_model(model: ModelProto, path: Path, *, external: bool) -> None:
    """One file, or two where the weights lie apart."""
    import onnx

    if external:
        # a copy, because the weights are taken out of what is saved
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        for tensor in copy.graph.initializer:
            if len(tensor.raw_data) >= LEAST_APART:
                onnx.external_data_helper.set_external_data(tensor, f"{path.name}.data")
        # with `location`, onnx looks for that file in the folder the program runs in, and fails if it is there
        onnx.save_model(copy, path)
    else:
        with path.open("wb") as stream:
            store(model, stream)
    for each in path.parent.iterdir():
        each.chmod(0o644)  # a server may be another user
        with each.open("rb") as stream:
            os.fsync(stream.fileno())


def _proved(
    architecture: Architecture,
    tensors: Mapping[str, np.ndarray[Any, Any]],
    files: tuple[Path, ModelProto, Written],
    order: Order,
    target: Path,
    say: Callable[[str], None],
) -> Proof:
    """The proof of a staged file. Raises `FileError` (AS513) where it does not hold."""
    import numpy as np

    from archspec.deploy.proof import TOLERANCE, Limit, Proof, Subject, compare, shaken

    staged, model, made = files
    say("checking")
    check_model(staged, model, target)
    limit = Limit(order.tolerance, 0) if order.tolerance is not None else Limit(TOLERANCE[order.precision])
    pictures = np.concatenate(order.calibration) if order.precision == "int8" else None
    by = order.preprocessing
    prepared = Normalisation(by.mean, by.std, by.range) if by else None
    subject = Subject(architecture, tensors, order.form, pictures, prepared)
    if order.precision == "fp16":
        _check_range(subject, target)
    cases: list[Case] = list(compare(subject, staged, "given", limit, say))
    if not all(case.within(limit) for case in cases):
        raise _refused(subject, (model, made), Proof(tuple(cases), limit), target)
    # the random weights prove the writing; what quantisation loses is measured on the real ones
    plain = Limit(TOLERANCE[order.form.precision]) if order.precision == "int8" else limit
    other = shaken(architecture)
    subject = Subject(architecture, other, order.form)
    again = write_model(architecture, other, order.form, {})
    random = list(compare(subject, again.model.SerializeToString(), "random", plain, say))
    if not all(case.within(plain) for case in random):
        raise _refused(subject, (again.model, again), Proof(tuple(random), plain), target)
    return Proof((*cases, *random), limit)


def _check_range(subject: Subject, target: Path) -> None:
    """Refuses fp16 for a network whose values leave it. onnxruntime computes fp16 in fp32 on a CPU, a GPU does not."""
    from archspec.deploy.divergence import overflow

    found = overflow(subject, 65504)
    if found is not None:
        message = f"{found.path} reaches {found.reached:,.0f}, and fp16 ends at 65,504"
        raise file_error(target, "AS513", message, hint="nothing was written")


def check_model(path: Path, model: ModelProto, target: Path) -> None:
    """The full checker of onnx on the file as it lies there, and strict inference of every value's shape."""
    import onnx

    try:
        onnx.checker.check_model(path, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(
            _outline(model), check_type=True, strict_mode=True, data_prop=True
        )
    except Exception as error:
        raise file_error(target, "AS513", f"onnx's checker refuses it: {str(error)[:300]}") from error
    known = {value.name for value in (*inferred.graph.value_info, *inferred.graph.output)}
    unknown = [name for node in model.graph.node for name in node.output if name not in known]
    if unknown:
        raise file_error(target, "AS513", f"no shape can be inferred for {unknown[0]}")


def _outline(model: ModelProto) -> ModelProto:
    """The model with its weights as inputs: shapes do not depend on their values, and copies of them take time."""
    import onnx

    outline = onnx.ModelProto(ir_version=model.ir_version)
    outline.opset_import.extend(model.opset_import)
    outline.functions.extend(model.functions)
    graph, whole = outline.graph, model.graph
    graph.name = whole.name
    graph.node.extend(whole.node)
    graph.input.extend(whole.input)
    graph.output.extend(whole.output)
    for tensor in whole.initializer:
        if tensor.data_type == onnx.TensorProto.INT64:
            graph.initializer.append(tensor)  # shapes, axes and pads
        else:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    return outline


def _refused(subject: Any, models: tuple[ModelProto, Written], proof: Proof, target: Path) -> Exception:
    from archspec.deploy.divergence import first_divergence

    model, made = models
    worst = max(proof.cases, key=lambda case: case.relative - case.rounding)
    first = first_divergence(subject, model, made.values, proof.limit)
    where = (
        f"the first layer that diverges is {first.path} ({first.relative:.1e})"
        if first is not None
        else "every layer agrees without onnxruntime's optimiser: it is to blame"
    )
    message = (
        f"the file is off by {worst.relative:.1e} of the largest output with {worst.weights} weights at batch "
        f"{worst.batch}, past the tolerance of {proof.limit.tolerance:g}; {where}"
    )
    return file_error(target, "AS513", message, hint="nothing was written")
