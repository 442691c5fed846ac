"""Residual and plain networks by their weights: `layer1.0.conv1` says its stage, its block and its place in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from archspec.lift.lifted import Unliftable, shown
from archspec.lift.stages import ACT, Stage, tables
from archspec.lift.tensors import Conv, Tensors, context, conv
from archspec.weights.ambiguity import Ambiguity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archspec.lift.layers import Context, Layer

_BLOCK = re.compile(r"layer([1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,4})\.(.+)", re.ASCII)
MAX_STAGES = 64


def residual_draft(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Any], list[Ambiguity]]:
    """The tables of a spec for `conv1`, `layerI.J.convK` and `fc`, and what was assumed. Raises `Unliftable`."""
    tensors = Tensors(shapes)
    stem = _row(tensors, "", None)
    depths = _depths(shapes)
    if not depths:
        raise Unliftable(
            "no tensor is called layer1.0.conv1.weight or features.0.weight: these keys are of no known style"
        )
    channels = stem[0].incoming if stem else None
    blocks = list(_blocks(tensors, depths, stem[-1].out if stem else None))
    # gates have no norms, so they say nothing of the rule for biases
    common = context([*stem, *(each for stage in blocks for block in stage for each in block.convolutions)])
    projects = any(block.projection for stage in blocks for block in stage)
    stages = [_stage(place, stage, common, projects=projects) for place, stage in enumerate(blocks)]
    if channels is None:
        channels = blocks[0][0].incoming
    large = bool(stem) and (len(stem) > 1 or stem[0].kernel > 3)
    size = [224, 224] if large else [32, 32]
    made = tables(stages, [f"conv{place + 2}_x" for place in range(len(stages))])
    table = {
        "input": {"channels": channels, "size": size},
        "stem": {"layers": _stem(stem, common, large=large)} if stem else {},
        "defaults": {**made["defaults"], **common.tables["defaults"]},
        "norm": common.tables["norm"],
        "blocks": made["blocks"],
        "stages": made["stages"],
        "head": {"layers": head} if (head := _head(tensors)) else {},
    }
    return table, list(_assumed(made["defaults"], stem, large=large, size=size))


class _Block:
    """One block as its tensors show it."""

    def __init__(self, tensors: Tensors, path: str, incoming: int | None) -> None:
        self.path = path
        self.convolutions = _row(tensors, f"{path}.", incoming)
        if not self.convolutions:
            raise Unliftable(f"{shown(path)} has no convolution conv1")
        self.incoming = self.convolutions[0].incoming
        self.outgoing = self.convolutions[-1].out
        self.pooled = tensors.has(f"{path}.downsample.1") and not tensors.has(f"{path}.downsample.0")
        place = int(self.pooled)
        self.projection: Conv | None = None
        if tensors.has(f"{path}.downsample.{place}"):
            name = f"{path}.downsample"
            self.projection = conv(tensors, f"{name}.{place}", f"{name}.{place + 1}", self.incoming)
        self.gate: list[Conv] = []
        for number in (1, 3) if tensors.has(f"{path}.gate.1") else ():
            before = self.gate[-1].out if self.gate else self.outgoing
            self.gate.append(conv(tensors, f"{path}.gate.{number}", f"{path}.gate.{number + 1}", before))

    def layers(self, common: Context, stride: int) -> list[Layer]:
        """The residual branch: the stride on the first kernel that is wider than a pixel, as torchvision has it."""
        wide = [place for place, each in enumerate(self.convolutions) if each.kernel > 1]
        position = wide[0] if wide else 0
        last = len(self.convolutions) - 1
        written = [
            each.layer(common, act=place != last, stride=stride if place == position else 1)
            for place, each in enumerate(self.convolutions)
        ]
        if not self.gate:
            return written
        narrow, wide_again = self.gate
        inner = [
            narrow.layer(common, act=True, gate=True),
            wide_again.layer(common, act="sigmoid", gate=True),
        ]
        return [*written, {"gate": [{"pool": "average"}, *inner]}]

    def shortcut(self, common: Context, stride: int) -> list[Layer] | None:
        """What a projection is made of: with a mean over the stride's window before it where its key leaves room."""
        if self.projection is None:
            return None
        if not self.pooled:
            return [self.projection.layer(common, act=False, stride=stride)]
        return [{"pool": "average", "size": stride}, self.projection.layer(common, act=False)]


def _row(tensors: Tensors, prefix: str, incoming: int | None) -> list[Conv]:
    """Convolutions `conv1`, `conv2`, ... of a module, each taking what the one before puts out."""
    row: list[Conv] = []
    while tensors.has(f"{prefix}conv{len(row) + 1}"):
        number = len(row) + 1
        before = row[-1].out if row else incoming
        row.append(conv(tensors, f"{prefix}conv{number}", f"{prefix}bn{number}", before))
    return row


def _depths(shapes: Mapping[str, tuple[int, ...]]) -> list[int]:
    """How many blocks each stage has. Raises `Unliftable` where numbers are left out."""
    seen: dict[int, set[int]] = {}
    for key in shapes:
        found = _BLOCK.fullmatch(key)
        if found is not None:
            seen.setdefault(int(found[1]), set()).add(int(found[2]))
    for number in range(1, len(seen) + 1):
        blocks = seen.get(number, set())
        if blocks != set(range(len(blocks))) or not blocks:
            raise Unliftable(f"the blocks of layer{number} are not numbered 0, 1, 2 and so on")
    if len(seen) > MAX_STAGES:
        raise Unliftable(f"the weights have {len(seen)} stages; a spec has {MAX_STAGES} at most")
    return [len(seen[number]) for number in range(1, len(seen) + 1)]


def _blocks(tensors: Tensors, depths: Sequence[int], incoming: int | None) -> Iterator[list[_Block]]:
    for stage, depth in enumerate(depths, start=1):
        blocks = []
        for number in range(depth):
            block = _Block(tensors, f"layer{stage}.{number}", incoming)
            incoming = block.outgoing
            blocks.append(block)
        yield blocks


def _stage(place: int, blocks: Sequence[_Block], common: Context, *, projects: bool) -> Stage:
    """A stage of equal blocks. A map is taken to be halved where a stage but the first begins with new channels."""
    first, rest = blocks[0], blocks[1:]
    changes = first.incoming != first.outgoing
    everywhere = all(block.projection for block in blocks)
    # a projection of equal channels in a first block alone is there for its stride
    for_stride = first.projection is not None and not changes and not everywhere
    stride = 2 if for_stride or (place and (changes or first.projection is not None)) else 1
    stage = Stage(first.layers(common, stride), first.incoming, first.outgoing, stride, len(blocks))
    still = first.layers(common, 1)
    for block in rest:
        # the first convolution of a block takes what comes in, and so has other weights in the first block alone
        if block.layers(common, 1) != still or block.incoming != block.outgoing:
            raise Unliftable(f"{shown(block.path)} is another block than the one before it in its stage")
        if bool(block.projection) != bool(rest[0].projection):
            raise Unliftable(
                f"{shown(block.path)} has a projection where its neighbour has none, or none where it has"
            )
    stage.after = list(ACT)
    stage.projection = first.shortcut(common, stride)
    if first.projection is not None:
        stage.kind = "C" if rest and rest[0].projection else "B" if changes or stride > 1 else "C"
    elif changes:
        stage.kind = "B" if projects else "A"
    if rest and rest[0].projection and first.projection is None:
        raise Unliftable(f"{shown(rest[0].path)} has a projection, and the first block of its stage has none")
    return stage


def _stem(stem: Sequence[Conv], common: Context, *, large: bool) -> list[Layer]:
    written = [
        each.layer(common, act=True, stride=2 if large and place == 0 else 1)
        for place, each in enumerate(stem)
    ]
    return [*written, {"pool": "max", "size": 3, "stride": 2}] if large else written


def _head(tensors: Tensors) -> list[Layer]:
    """The classifier: one linear layer called `fc`, or several called `fc1`, `fc2` and so on."""
    names = ["fc"] if tensors.has("fc") else []
    while tensors.has(f"fc{len(names) + 1}") and "fc" not in names:
        names.append(f"fc{len(names) + 1}")
    head: list[Layer] = [{"pool": "average"}] if names else []
    for place, name in enumerate(names):
        layer: Layer = {"linear": tensors.linear(name)[0]}
        if not tensors.biased(name):
            layer["bias"] = False
        head.append({**layer, "act": True} if place + 1 < len(names) else layer)
    return head


def _assumed(
    defaults: Layer, stem: Sequence[Conv], *, large: bool, size: Sequence[int]
) -> Iterator[Ambiguity]:
    shortcut = defaults.get("shortcut", "none")
    if shortcut in ("A", "identity"):
        why = "no shortcut has weights, so a plain net would hold the same tensors"
        yield Ambiguity("defaults.shortcut", shortcut, ("none",), why)
    if stem:
        kernel = stem[0].kernel
        said = ("2, then a max pool", "1, no pool") if large else ("1, no pool", "2, then a max pool")
        why = f"neither a stride nor a pool has weights; a {kernel}x{kernel} stem usually comes with this one"
        yield Ambiguity("stem.layers", f"stride {said[0]}", (f"stride {said[1]}",), why)
    yield Ambiguity("input.size", f"{size[0]}x{size[1]}", ("any",), "weights fit images of any size")
