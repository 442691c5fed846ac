"""From stages in plain numbers to the tables of a spec: sizes by the stage's width, block types by their layers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import gcd
from typing import TYPE_CHECKING, Any, Literal

from archspec.lift.lifted import Unliftable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.lift.layers import Layer

Kind = Literal["none", "identity", "A", "B", "C", ""]
ACT: list[dict[str, Any]] = [{"act": True}]
PROJECTION: list[dict[str, Any]] = [{"conv": 1, "out": "out", "stride": "stride", "act": False}]
BUILT_IN: dict[str, tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = {
    "basic": ("width", [{"conv": 3, "out": "width"}, {"conv": 3, "out": "width", "act": False}], ACT),
    "bottleneck": (
        "4 * width",
        [{"conv": 1, "out": "width"}, {"conv": 3, "out": "width"}, {"conv": 1, "out": "out", "act": False}],
        ACT,
    ),
    "conv": ("width", [{"conv": 3, "out": "width"}], []),
}
STRIDE_ON = {("bottleneck", 0): "1x1", ("bottleneck", 1): "3x3", ("basic", 0): "first", ("conv", 0): "first"}


@dataclass(slots=True)
class Stage:
    """Equal blocks in a row, in plain numbers: layers, `after` and `projection` as lists of layers.

    `kind` is the shortcut where the blocks tell it, and empty where any would do.
    """

    layers: list[Layer]
    incoming: int
    outgoing: int
    stride: int = 1
    depth: int = 1
    kind: Kind = ""
    after: list[Layer] = field(default_factory=list)
    projection: list[Layer] | None = None
    project_after: int = 0
    before: list[Layer] = field(default_factory=list)
    behind: list[Layer] = field(default_factory=list)
    pad: str = ""
    subsample: str = ""

    @property
    def width(self) -> int:
        """The width that a block's sizes are told by: a quarter of what a bottleneck puts out, as papers count."""
        outs = {layer["out"] for layer in self.layers if "conv" in layer}
        quarter = self.outgoing // 4
        if outs in ({self.outgoing}, set()):
            return self.outgoing
        if self.outgoing % 4 == 0 and all(out % quarter == 0 for out in outs):
            return quarter
        return gcd(self.outgoing, *outs)


@dataclass(slots=True)
class _Type:
    """A block type in the making. `position` is the layer that takes the stride, once a stage has shown it."""

    out: str
    layers: list[Layer]
    after: list[Layer]
    project_after: int
    position: int | None = None
    projection: list[Layer] | None = None
    name: str = ""

    def takes(self, other: _Type) -> bool:
        """Whether two stages can share a type, and what one of them leaves open is filled by the other."""
        same = (self.out, self.layers, self.after) == (other.out, other.layers, other.after)
        if not same or (other.projection is not None and self.project_after != other.project_after):
            return False
        if None not in (self.position, other.position) and self.position != other.position:
            return False
        mine, theirs = self.projection, other.projection
        if mine is not None and theirs is not None and _still(mine) != _still(theirs):
            return False
        self.position = other.position if self.position is None else self.position
        if mine is None or (theirs is not None and _strided(theirs) and not _strided(mine)):
            self.projection = theirs
        return True


def _strided(layers: list[Layer]) -> bool:
    return any("stride" in (layer.get("stride"), layer.get("size")) for layer in layers)


def _still(layers: list[Layer]) -> list[Layer]:
    """A projection as it stands in a stage of stride 1: a pool over one pixel is none."""
    return [
        {key: value for key, value in layer.items() if value != "stride"}
        for layer in layers
        if layer.get("size") not in ("stride", 1)
    ]


def tables(stages: Sequence[Stage], names: Sequence[str]) -> dict[str, Any]:
    """The tables `defaults`, `blocks` and `stages` of a spec. Raises `Unliftable`."""
    types: list[_Type] = []
    of: list[_Type] = []
    for stage in stages:
        made = _type(stage)
        found = next((each for each in types if each.takes(made)), None)
        if found is None:
            types.append(made)
            found = made
        of.append(found)
    defaults, blocks = _named(types)
    most, _ = Counter(each.name for each in of).most_common(1)[0]
    defaults = {"block": most, **_shortcuts(stages), **defaults}
    written = []
    for stage, name, each in zip(stages, names, of, strict=True):
        table: Layer = {"name": name}
        if each.name != most:
            table["block"] = each.name
        if stage.depth > 1:
            table["depth"] = stage.depth
        table["width"] = stage.width
        if stage.stride > 1:
            table["stride"] = stage.stride
        if stage.kind and stage.kind != defaults.get("shortcut", "none"):
            table["shortcut"] = stage.kind
        if stage.before:
            table["before"] = stage.before
        if stage.behind:
            table["after"] = stage.behind
        written.append(table)
    return {"defaults": defaults, "blocks": blocks, "stages": written}


def _shortcuts(stages: Sequence[Stage]) -> Layer:
    """The shortcut that most stages have, and option A's two choices. Stages that fit any take it over."""
    said: Counter[Kind] = Counter(stage.kind for stage in stages if stage.kind)
    usual: Kind = max(said, key=lambda kind: (said[kind], kind in ("A", "B")), default="identity")
    if usual in ("C", "none"):
        for stage in stages:
            stage.kind = stage.kind or "identity"
    choices: Layer = {"shortcut": usual} if usual != "none" else {}
    for key, default in (("pad", "end"), ("subsample", "stride")):
        found = {getattr(stage, key) for stage in stages} - {""}
        if len(found) > 1:
            raise Unliftable(f"shortcuts without parameters differ in {key}: {' and '.join(sorted(found))}")
        chosen = next(iter(found), default)
        if chosen != default:
            choices[key] = chosen
    return choices


def _type(stage: Stage) -> _Type:
    width = stage.width
    sizes = _Sizes(width, stage.outgoing, stage.stride)
    position = None
    for place, layer in enumerate(stage.layers):
        if stage.stride > 1 and layer.get("stride") == stage.stride and "conv" in layer and position is None:
            position = place
    plain = [
        {key: value for key, value in layer.items() if key != "stride"} if place == position else layer
        for place, layer in enumerate(stage.layers)
    ]
    if stage.stride > 1 and position is None:
        raise Unliftable("a stage halves its map, but no convolution of its first block does")
    return _Type(
        out=sizes.expression(stage.outgoing),
        layers=list(sizes.relative(plain, stage.incoming, strides=False)),
        after=list(sizes.relative(stage.after, stage.outgoing, strides=False)),
        project_after=stage.project_after,
        position=position,
        projection=None
        if stage.projection is None
        else list(sizes.relative(stage.projection, stage.incoming, strides=True)),
    )


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Writes numbers by the names that a block has for them."""

    width: int
    outgoing: int
    stride: int

    def expression(self, size: int) -> Any:
        if size == self.width:
            return "width"
        if size % self.width == 0:
            return f"{size // self.width} * width"
        return f"width // {self.width // size}" if self.width % size == 0 else size

    def relative(self, layers: Sequence[Layer], channels: int, *, strides: bool) -> Iterator[Layer]:
        for layer in layers:
            written = dict(layer)
            if "gate" in layer:
                written["gate"] = list(self.relative(layer["gate"], channels, strides=False))
            if strides and self.stride > 1 and layer.get("stride") == self.stride:
                written["stride"] = "stride"
            if strides and self.stride > 1 and "pool" in layer and layer.get("size") == self.stride:
                written["size"] = "stride"
            if "conv" in layer:
                out = layer["out"]
                written["out"] = "out" if out == self.outgoing != self.width else self.expression(out)
                if layer.get("groups", 1) == channels > 1:
                    written["groups"] = self.expression(channels)
                channels = out
            yield written


def _named(types: Sequence[_Type]) -> tuple[Layer, Layer]:
    """Names for block types: `defaults.stride_on` where all are built in, and the tables of those that are not."""
    built_in = [_built_in(each) for each in types]
    positions = {
        STRIDE_ON.get((name, each.position), "")
        for name, each in zip(built_in, types, strict=True)
        if name and each.position is not None
    }
    if all(built_in) and len(set(built_in)) == len(built_in) and len(positions) <= 1 and "" not in positions:
        for each, name in zip(types, built_in, strict=True):
            each.name = name
        on = next(iter(positions), "first")
        return ({"stride_on": on} if on != "first" else {}), {}
    taken: Counter[str] = Counter()
    blocks: Layer = {}
    for each in types:
        word = _word(each)
        taken[word] += 1
        each.name = word if taken[word] == 1 else f"{word}-{taken[word]}"
        blocks[each.name] = _table(each)
    return {}, blocks


def _built_in(each: _Type) -> str:
    if not _usual(each.projection) or each.project_after:
        return ""
    own = (each.out, each.layers, each.after)
    return next((name for name, table in BUILT_IN.items() if table == own), "")


def _usual(projection: list[Layer] | None) -> bool:
    """Whether a projection is what a block type has without saying so."""
    if projection is None:
        return True
    return len(projection) == 1 and _still(projection) == _still(PROJECTION)


def _word(each: _Type) -> str:
    """What people call a block: by its kernels, and by what sets it apart."""
    kernels = [layer["conv"] for layer in each.layers if "conv" in layer]
    shape = {(1, 3, 1): "bottleneck", (3, 3): "basic"}.get(tuple(kernels), "block")
    if any("gate" in layer for layer in each.layers):
        return f"se-{shape}"
    if any("groups" in layer for layer in each.layers):
        return f"grouped-{shape}"
    leads = bool(each.layers) and "conv" not in each.layers[0] and "norm" in each.layers[0]
    return f"preact-{shape}" if leads else f"own-{shape}"


def _table(each: _Type) -> Layer:
    table: Layer = {} if each.out == "width" else {"out": each.out}
    layers = [dict(layer) for layer in each.layers]
    if each.position is not None:
        first, *rest = layers[each.position].items()
        second, *others = rest
        layers[each.position] = dict([first, second, ("stride", "stride"), *others])
    table["layers"] = layers
    if not _usual(each.projection):
        table["projection"] = each.projection
    if each.project_after:
        table["project_after"] = each.project_after
    if each.after != ACT:
        table["after"] = each.after
    return table
