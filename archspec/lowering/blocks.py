"""Block types and their shortcuts. Which shortcut a block gets is decided in `fill_for`, for all block types."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from archspec.errors import Note, Problem, ProblemsFound
from archspec.ir import ops
from archspec.ir.graph import INPUT, Call, Graph, Slot
from archspec.lowering.builder import Builder, Context
from archspec.sizes import Size, SizeError, Var, combine, evaluate, names, substitute
from archspec.spec.models import Conv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.spec.declaration import Declaration
    from archspec.spec.models import Block, Shortcut

SLOT = "downsample"
"""torchvision's name for what stands on a shortcut."""


class BlockType(NamedTuple):
    """A block type, built once: without and with the addition, and what its shortcuts are made of."""

    name: str
    out: Size
    plain: Graph
    residual: Graph
    projection: Graph
    padding: Graph
    tap: Size
    """Channels of the value that a projection starts from."""

    @property
    def strides(self) -> bool:
        """Whether any of its layers takes the stage's stride."""
        return any(parameter.name == "stride" for parameter in self.plain.parameters)

    def channels(self, incoming: int, width: int) -> int:
        """Channels that a block puts out."""
        return evaluate(self.out, {"in": incoming, "width": width})


def block_type(architecture: Declaration, name: str, context: Context) -> BlockType:
    """The graphs of a block type. Raises `ProblemsFound`."""
    block = architecture.block(name)
    out = context.fixed(block.out)
    if "out" in names(out) or "stride" in names(out):
        raise ProblemsFound([Problem("AS106", "out is said by in and width", ("blocks", name, "out"))])
    inside = context._replace(fixed=lambda size: substitute(context.fixed(size), {"out": out}))
    strided = _strided(architecture, name, block)
    plain, _ = _branch(name, block, inside, strided, out, wired=False)
    residual, tap = _branch(name, block, inside, strided, out, wired=True)
    return BlockType(name, out, plain, residual, _projection(name, block, context), _padding(context), tap)


def _branch(
    name: str, block: Block, context: Context, strided: int | None, out: Size, *, wired: bool
) -> tuple[Graph, Size]:
    """F(x), and with `wired` the slot and the addition behind it."""
    loc = ("blocks", name)
    builder = Builder(context, Var("in"))
    tap: tuple[str, Size] = (INPUT, Var("in"))
    for place, layer in enumerate(block.layers):
        builder.layer(layer, (*loc, "layers", place), Var("stride") if place == strided else 1)
        if place + 1 == block.project_after:
            tap = (builder.value, builder.channels)
    if block.project_after > len(block.layers):
        raise ProblemsFound(
            [Problem("AS104", f"the block has {len(block.layers)} layers", (*loc, "project_after"))]
        )
    if builder.channels != out and not _same_everywhere(builder.channels, out):
        message = f'the layers of block "{name}" do not end in as many channels as its "out" says'
        raise ProblemsFound(
            [Problem("AS308", message, (*loc, "out") if "out" in block.model_fields_set else loc)]
        )
    # a plain net's norms have nothing beside them to stand in while they are zero
    last_norm = builder.last_norm if wired else None
    if wired:
        value = builder.value
        shortcut = builder.add(Slot(SLOT), SLOT, loc, (tap[0], INPUT))
        builder.op(ops.Add(), loc, inputs=(value, shortcut))
    builder.layers(block.after, (*loc, "after"))
    graph = replace(builder.graph(name, "block", about=block.about), last_norm=last_norm)
    return graph, tap[1]


def _same_everywhere(left: Size, right: Size) -> bool:
    """Whether two expressions agree on a spread of values: `2 * width + 2 * width` is `4 * width`."""
    trials = [{"in": i, "width": w, "stride": 1} for i, w in ((7, 11), (64, 256), (13, 5))]
    try:
        return all(evaluate(left, trial) == evaluate(right, trial) for trial in trials)
    except SizeError:
        return False


def _strided(architecture: Declaration, name: str, block: Block) -> int | None:
    """The layer that takes the stage's stride, or None where the block's own layers say it."""
    wanted = architecture.spec.defaults.stride_on
    convs = [(place, layer) for place, layer in enumerate(block.layers) if isinstance(layer, Conv)]
    said = [place for place, layer in convs if layer.stride is not None]
    if said:
        if wanted == "first" or "stride_on" not in architecture.spec.defaults.model_fields_set:
            return None
        notes = (Note(("blocks", name, "layers", said[0], "stride"), "the block says where the stride sits"),)
        message = f'block "{name}" and stride_on both place the stride'
        raise ProblemsFound([Problem("AS112", message, ("defaults", "stride_on"), notes=notes)])
    kernel = {"first": None, "1x1": 1, "3x3": 3}[wanted]
    found = [place for place, layer in convs if kernel is None or architecture.fixed(layer.conv) == kernel]
    if not found and convs:
        message = f'block "{name}" has no {wanted} convolution to take the stride'
        raise ProblemsFound(
            [Problem("AS112", message, ("defaults", "stride_on"), notes=_own(architecture, name))]
        )
    return found[0] if found else None


def _own(architecture: Declaration, name: str) -> tuple[Note, ...]:
    """The place of a block type, where it is the spec's own."""
    return (Note(("blocks", name), "the block"),) if name in architecture.spec.blocks else ()


def _projection(name: str, block: Block, context: Context) -> Graph:
    """Options B and C: what the block type says a projection is made of."""
    builder = Builder(context, Var("in"))
    builder.layers(block.projection, ("blocks", name, "projection"))
    return builder.graph(
        "projection", "shortcut", chain=True, about="A projection shortcut (options B and C, 3.3)."
    )


def _padding(context: Context) -> Graph:
    """Option A: sub-sampling and zero channels, no parameters."""
    defaults = context.defaults
    builder = Builder(context, Var("in"))
    origin = ("defaults", "shortcut")
    halve = ops.Subsample(Var("stride"))
    builder.op(
        halve if defaults.subsample == "stride" else ops.AvgPool2d(Var("stride"), Var("stride")), origin
    )
    extra = combine("-", Var("out"), Var("in"))
    before = combine("//", extra, 2) if defaults.pad == "both" else 0
    builder.op(ops.PadChannels(before, combine("-", extra, before)), origin)
    return builder.graph(
        "zero_pad", "shortcut", about="A parameter-free shortcut: extra zero channels (option A, 3.3)."
    )


def residual(kind: Shortcut, *, incoming: int, outgoing: int, stride: int) -> bool:
    """Whether a block has an addition at all."""
    if kind == "identity":
        return incoming == outgoing and stride == 1
    return kind != "none"


def fill_for(kind: Shortcut, block: BlockType, sizes: Mapping[str, int], outgoing: int) -> Call | None:
    """What stands on a block's shortcut: None is the identity. The one place that knows A, B and C (3.3, 4.1)."""
    incoming, stride = sizes["in"], sizes["stride"]
    changes = incoming != outgoing or stride != 1
    if kind in ("none", "identity") or (kind in ("A", "B") and not changes):
        return None
    if kind == "A":
        if outgoing < incoming:
            message = f"option A can only add channels, but {incoming} are to become {outgoing}"
            raise ProblemsFound([Problem("AS302", message, hint="use a projection, option B")])
        return _call(block.padding, {"in": incoming, "out": outgoing, "stride": stride})
    tap = evaluate(block.tap, {**sizes})
    return _call(block.projection, {**sizes, "in": tap, "out": outgoing})


def _call(graph: Graph, sizes: Mapping[str, int]) -> Call:
    wanted = [(parameter.name, sizes[parameter.name], parameter.default) for parameter in graph.parameters]
    return Call(graph, tuple((name, size) for name, size, default in wanted if size != default))


def block_call(block: BlockType, kind: Shortcut, sizes: Mapping[str, int]) -> Call:
    """One block of a stage: which graph, with which sizes, with which shortcut."""
    outgoing = block.channels(sizes["in"], sizes["width"])
    if not residual(kind, incoming=sizes["in"], outgoing=outgoing, stride=sizes["stride"]):
        return _call(block.plain, sizes)
    fill = fill_for(kind, block, sizes, outgoing)
    call = _call(block.residual, sizes)
    return call if fill is None else replace(call, fills=((SLOT, fill),))
