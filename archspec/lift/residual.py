"""Residual networks: blocks are what lies between a fork and its addition, stages are equal blocks in a row."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.ir import ops
from archspec.lift.chains import Item, Join
from archspec.lift.layers import Context, Layer, layers
from archspec.lift.lifted import Unliftable, shown
from archspec.lift.stages import Stage, tables
from archspec.passes.flatten import FlatOp

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_STAGES = 64


class _Between(NamedTuple):
    """What stands before a block: layers of the network, and those that belong to the block but lie before its fork."""

    outside: tuple[Item, ...]
    lead: tuple[Item, ...]


def additions(items: Sequence[Item]) -> list[int]:
    """The places of a chain's residual additions."""
    return [
        place
        for place, item in enumerate(items)
        if isinstance(item, Join) and isinstance(item.step.op, ops.Add)
    ]


def residual_tables(items: Sequence[Item], common: Context, channels: int) -> dict[str, Any]:
    """The spec's tables for a chain with additions. Raises `Unliftable`."""
    places = additions(items)
    joins = [item for item in items if isinstance(item, Join) and isinstance(item.step.op, ops.Add)]
    after = _after(items, places)
    before = _between(items, places, joins, after)
    stages: list[Stage] = []
    for join, between in zip(joins, before, strict=True):
        outside = layers(between.outside, common)
        channels = _channels(between.outside, channels)
        block = _block(join, between, common, channels)
        block.after = layers(after, common)
        channels = block.outgoing
        if stages and not outside and _continues(stages[-1], block):
            stages[-1].depth += 1
            continue
        block.before = outside if stages else []
        stages.append(block)
    if len(stages) > MAX_STAGES:
        raise Unliftable(
            f"the blocks differ so often that they make {len(stages)} stages; a spec has {MAX_STAGES}"
        )
    _settle(stages)
    rest = items[places[-1] + 1 + len(after) :]
    return {
        "stem": {"layers": layers(before[0].outside, common)},
        **tables(stages, [f"conv{place + 2}_x" for place in range(len(stages))]),
        "head": {"layers": layers(rest, common)},
    }


def _after(items: Sequence[Item], places: Sequence[int]) -> tuple[Item, ...]:
    """What stands behind every addition: the activation of He et al. 2015, or nothing, as in He et al. 2016."""
    ends = [*places[1:], len(items)]
    gaps = [tuple(items[place + 1 : end]) for place, end in zip(places, ends, strict=True)]
    # a block with an identity shortcut begins where the last one ends, so nothing but `after` lies between
    told = [gap for gap, end in zip(gaps, places[1:], strict=False) if not _join(items[end]).side]
    shortest = min(told or gaps, key=len)
    for length, item in enumerate(shortest):
        kind = _elementwise(item)
        alike = kind is not None and all(
            len(gap) > length and _elementwise(gap[length]) == kind for gap in gaps
        )
        if not alike:
            return shortest[:length]
    return shortest


def _join(item: Item) -> Join:
    assert isinstance(item, Join)
    return item


def _elementwise(item: Item) -> str | None:
    """What may stand behind an addition: a norm or an activation, by its kind."""
    if not isinstance(item, FlatOp) or not isinstance(item.op, (ops.BatchNorm2d, ops.Activation)):
        return None
    return item.op.kind if isinstance(item.op, ops.Activation) else "norm"


def _between(
    items: Sequence[Item], places: Sequence[int], joins: Sequence[Join], after: Sequence[Item]
) -> list[_Between]:
    """What stands before each block. Only where nothing follows an addition can a block begin before its fork."""
    found = []
    start = 0
    for place, join in zip(places, joins, strict=True):
        gap = tuple(items[start:place])
        cut = len(gap)
        while not after and join.side and cut and _elementwise(gap[cut - 1]) is not None:
            cut -= 1
        found.append(_Between(gap[:cut], gap[cut:]))
        start = place + 1 + len(after)
    return found


def _channels(items: Sequence[Item], channels: int) -> int:
    convolutions = (item.op for item in items if isinstance(item, FlatOp))
    outs = [op.out_channels for op in convolutions if isinstance(op, ops.Conv2d)]
    return outs[-1] if outs else channels


def _block(join: Join, between: _Between, common: Context, channels: int) -> Stage:
    main = (*between.lead, *join.main)
    strides = [
        item.op.stride
        for item in main
        if isinstance(item, FlatOp) and isinstance(item.op, ops.Conv2d) and item.op.stride > 1
    ]
    if len(strides) > 1:
        raise Unliftable(f"two convolutions of the block that ends in {shown(join.path)} have a stride")
    block = Stage(layers(main, common), channels, _channels(main, channels), prod(strides))
    changes = block.incoming != block.outgoing or block.stride > 1
    block.project_after = len(layers(between.lead, common))
    if not join.side:
        return block
    if not any(isinstance(item, FlatOp) and isinstance(item.op, ops.Conv2d) for item in join.side):
        block.kind = "A"
        _zeros(join, block)
        return block
    block.kind = "B" if changes else "C"
    block.projection = layers(join.side, common)
    return block


def _zeros(join: Join, block: Stage) -> None:
    """Option A's two choices, read from a shortcut without parameters."""
    for item in join.side:
        match item.op if isinstance(item, FlatOp) else None:
            case ops.Subsample():
                block.subsample = "stride"
            case ops.AvgPool2d() as pool if pool.kernel_size == pool.stride and not pool.padding:
                block.subsample = "average"
            case ops.PadChannels() as pad if pad.before == 0:
                block.pad = "end"
            case ops.PadChannels() as pad if pad.before == (pad.before + pad.after) // 2:
                block.pad = "both"
            case _:
                raise Unliftable(
                    f"{shown(item.path)} stands on a shortcut where option A has no place for it"
                )


def _continues(stage: Stage, block: Stage) -> bool:
    """Whether a block is one more of a stage: the same layers, nothing that changes, a shortcut that fits."""
    if block.stride > 1 or block.incoming != block.outgoing or block.outgoing != stage.outgoing:
        return False
    own = [_without_stride(layer) for layer in stage.layers] if stage.stride > 1 else stage.layers
    if own != block.layers:
        return False
    if block.kind == "":
        return stage.kind != "C"
    if block.kind != "C" or stage.projection is None or stage.project_after != block.project_after:
        return False
    # a projection in the second block says option C of the stage, unless identities came between
    if stage.kind == "B" and stage.depth > 1:
        return False
    stage.kind = "C"
    return True


def _without_stride(layer: Layer) -> Layer:
    return {key: value for key, value in layer.items() if key != "stride"}


def _settle(stages: Sequence[Stage]) -> None:
    """Blocks that lead in before their fork look alike everywhere: stages without a projection have it inside."""
    leads = {stage.project_after for stage in stages if stage.projection is not None}
    for stage in stages:
        if stage.projection is None and len(leads) == 1:
            stage.project_after = next(iter(leads))
