"""From an ONNX graph to a spec, by structure alone: the names in a file say nothing that is relied on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from archspec.errors import file_error
from archspec.ir import ops
from archspec.ir.operation import dims
from archspec.lift.canonical import Canonical, canonical
from archspec.lift.drafts import compiled_draft, draft, prove
from archspec.lift.known import carried, known_as
from archspec.lift.lifted import Deviation, Lifted, Unliftable, remark, shown
from archspec.lift.onnx_file import checked, read_model
from archspec.lift.onnx_nodes import Reader
from archspec.lift.onnx_rules import RULES
from archspec.lift.onnx_values import Value
from archspec.lift.writing import plain, spec_name
from archspec.weights.ambiguity import Ambiguity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import ModelProto

    from archspec.ir.operation import Shape
    from archspec.passes.flatten import FlatOp

Norm = Literal["none", "batch"]
USUAL_SIDE = 224
# what may stand between the input and the node that brings its channels to the front
_BEFORE = frozenset({"Cast", "Identity", "Sub", "Div", "Mul", "Add", "Pad"})
MAX_SIDE = 16384


class _Image(NamedTuple):
    """The input that is the image: its shape, whether its channels come last, and whether a side is left open."""

    name: str
    shape: Shape
    last: bool
    open: bool


def lift_onnx(path: Path, assume_norm: Norm = "none") -> Lifted:
    """The spec of an ONNX file, proved node by node. Raises `FileError`: AS511 not readable, AS512 not liftable.

    `assume_norm="batch"` writes batch normalisation into a spec whose file has none, as before it was folded.
    """
    model = read_model(path)
    try:
        return _lifted(model, str(path), assume_norm)
    except Unliftable as problem:
        hint = "the residual, plain and VGG families are lifted, from float graphs as exporters write them"
        raise file_error(path, "AS512", str(problem), hint=hint) from problem


def _lifted(model: ModelProto, file: str, assume_norm: Norm) -> Lifted:
    opset = checked(model)
    image = _image(model)
    reader = Reader(model, image.shape, opset, any_size=image.open)
    reader.values[image.name] = Value(-1, image.shape, "last" if image.last else "first")
    reader.run(RULES)
    flat = _whole(reader)
    _witness(model, reader)
    network = canonical(flat, image.shape)
    table = draft(network, image.shape)
    folded = _folded(flat)
    unfold = folded == assume_norm == "batch"
    if unfold:
        table["norm"] = {key: value for key, value in table["norm"].items() if key != "kind"}
        table["defaults"].pop("bias", None)
    name = spec_name(file)
    _, architecture = compiled_draft(table, name, "")
    prove(architecture, flat, image.shape, fold=unfold)
    deviations = tuple(_outside(image, reader))
    known = known_as(architecture) if all(each.outside for each in deviations) else ()
    ambiguous = tuple(_ambiguous(network, image, folded, assume_norm))
    like = f": computes the same as {known[0]}" if known else ""
    about = f"Lifted from {plain(Path(file).name)}{like}."
    remarks = [remark(each) for each in ambiguous] + [f"The file differs: {each}." for each in deviations]
    text, architecture = compiled_draft(table, known[0].rpartition("/")[2] if known else name, about, remarks)
    params = sum(step.op.count() for step in flat)
    metadata = {each.key: each.value for each in model.metadata_props}
    return Lifted(
        text, architecture, params, ambiguous, deviations, known, carried(metadata, file, architecture)
    )


def _image(model: ModelProto) -> _Image:
    """The input of a graph that no tensor fills. Raises `Unliftable`."""
    graph = model.graph
    filled = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in filled]
    if len(inputs) != 1:
        named = ", ".join(shown(each.name) for each in inputs[:5])
        raise Unliftable(f"the graph has {len(inputs)} inputs ({named}); a network has one image")
    kind = inputs[0].type.tensor_type
    sides = [each.dim_value if each.HasField("dim_value") else 0 for each in kind.shape.dim]
    if len(sides) != 4:
        raise Unliftable(
            f"the input {shown(inputs[0].name)} has {len(sides)} dimensions; a batch of images has 4"
        )
    name = inputs[0].name
    last = _turned(model, name)
    channels, *size = (sides[3], *sides[1:3]) if last else sides[1:]
    if any(not 0 <= each <= MAX_SIDE for each in (channels, *size)):
        raise Unliftable(f"the input {shown(name)} has the shape {sides}")
    channels = channels or _first_channels(model)
    height, width = (each or USUAL_SIDE for each in size)
    return _Image(name, (channels, height, width), last, open=0 in size)


def _turned(model: ModelProto, name: str) -> bool:
    """Whether the channels of an input come last: the first node that turns axes brings them to the front."""
    values = {name}
    for node in model.graph.node:
        if not values & set(node.input[:2]):
            continue
        if node.op_type == "Transpose":
            return any(list(each.ints) == [0, 3, 1, 2] for each in node.attribute)
        if node.op_type not in _BEFORE:
            return False
        values |= set(node.output)
    return False


def _first_channels(model: ModelProto) -> int:
    """The channels that the first convolution wants, where the input does not say them."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv" and len(node.input) > 1 and len(shapes.get(node.input[1], ())) == 4:
            return int(shapes[node.input[1]][1])
    raise Unliftable("neither the input nor a convolution says how many channels an image has")


def _whole(reader: Reader) -> tuple[FlatOp, ...]:
    """The operations that the output comes from, the output last. Raises `Unliftable`."""
    outputs = [each.name for each in reader.graph.output]
    if len(outputs) != 1:
        raise Unliftable(f"the graph has {len(outputs)} outputs; a classifier has one")
    last = reader.values.get(outputs[0])
    if not isinstance(last, Value) or last.place < 0:
        raise Unliftable(f"the output {shown(outputs[0])} is not computed from the image")
    if last.pads is not None or last.rows is not None or last.zero:
        raise Unliftable(f"the output {shown(outputs[0])} is padded or cut")
    if last.layout == "flat" and len(last.shape) == 3:
        reader.deviations.append(
            Deviation(f"output {shown(outputs[0])}", "flattens the map that the spec puts out")
        )
    wanted, stack = set(), [last.place]
    while stack:
        place = stack.pop()
        if place >= 0 and place not in wanted:
            wanted.add(place)
            stack += reader.flat[place].inputs
    order = [place for place in range(len(reader.flat)) if place in wanted]
    # nodes that nothing reads are left out; the output comes last because nothing wanted follows it
    renumbered = {place: number for number, place in enumerate(order)} | {-1: -1}
    return tuple(
        step._replace(inputs=tuple(renumbered[each] for each in step.inputs))
        for step in (reader.flat[place] for place in order)
    )


def _witness(model: ModelProto, reader: Reader) -> None:
    """Holds the shapes against those that ONNX itself infers and the file says. Raises `Unliftable`."""
    from onnx import shape_inference

    # shapes follow from shapes, and a copy of the weights would take its time
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 4096:
            tensor.ClearField("raw_data")
    try:
        inferred = shape_inference.infer_shapes(model)
    except Exception as error:
        raise Unliftable(f"ONNX finds its shapes contradictory: {plain(str(error))[:200]}") from error
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        value = reader.values.get(info.name)
        if not isinstance(value, Value) or value.pads is not None or value.rows is not None:
            continue
        said = [
            each.dim_value if each.HasField("dim_value") else None for each in info.type.tensor_type.shape.dim
        ]
        if not said:
            continue
        fits = len(said) == 1 + len(value.dims) and all(
            side in (None, own) for side, own in zip(said[1:], value.dims, strict=True)
        )
        if not fits:
            own = dims(value.dims)
            raise Unliftable(
                f"the value {shown(info.name)} has the shape {said} for ONNX, and {own} for its operations"
            )


def _folded(flat: Sequence[FlatOp]) -> Norm | Literal["in part"] | None:
    """What folding left: every convolution has a bias and none a norm ("batch"), or some do; None where none did."""
    normed = {step.inputs[0] for step in flat if isinstance(step.op, ops.BatchNorm2d)}
    convolutions = [
        (step.op.bias, place in normed) for place, step in enumerate(flat) if isinstance(step.op, ops.Conv2d)
    ]
    bare = [biased for biased, behind in convolutions if not behind]
    if not convolutions or not any(bare):
        return None
    return "batch" if not normed and all(bare) else "in part"


def _outside(image: _Image, reader: Reader) -> list[Deviation]:
    turned = [Deviation(f"input {shown(image.name)}", "takes images with their channels last (NHWC)")]
    return [*(turned if image.last else []), *reader.deviations]


def _ambiguous(network: Canonical, image: _Image, folded: str | None, assume_norm: Norm) -> list[Ambiguity]:
    found = []
    size = f"{image.shape[1]}x{image.shape[2]}"
    if image.open:
        found.append(Ambiguity("input.size", size, ("any",), "the file takes images of any size"))
    if folded == "batch" and assume_norm == "none":
        why = "folded batch normalisation looks the same; --norm batch writes it, for a net to train"
        found.append(Ambiguity("norm.kind", "none", ("batch",), why))
    if folded == "batch" and assume_norm == "batch":
        why = "the file has biased convolutions and no normalisation; eps and momentum are torch's"
        found.append(Ambiguity("norm.kind", "batch", ("none",), why))
    if folded == "in part" and any(isinstance(step.op, ops.BatchNorm2d) for step in network.steps):
        why = "some convolutions have a bias and no norm, which folding leaves where a norm followed"
        found.append(Ambiguity("layers.norm", "false where there is a bias", ("true",), why))
    if not image.open and any(_covers(step, network, image.shape) for step in network.steps):
        why = f"at {size}, the only size the file takes, the window is the whole map"
        found.append(Ambiguity("head.layers.pool", "the window of the file", ("the global average",), why))
    linear = sum(isinstance(step.op, ops.Linear) for step in network.steps)
    if linear > 1 and not any(isinstance(step.op, ops.Dropout) for step in network.steps):
        why = "dropout does nothing in evaluation, so exporters leave it out"
        found.append(Ambiguity("head.layers.dropout", "0.0", ("0.5",), why, training_only=True))
    return found


def _covers(step: FlatOp, network: Canonical, image: Shape) -> bool:
    if not isinstance(step.op, ops.AvgPool2d) or step.op.padding:
        return False
    shape = network.shapes[step.inputs[0]] if step.inputs[0] >= 0 else image
    return shape[1:] == (step.op.kernel_size, step.op.kernel_size)
