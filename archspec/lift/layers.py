"""From operations to layers of a spec: a convolution with the norm and the activation behind it is one layer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.ir import ops
from archspec.lift.chains import Item, Join
from archspec.lift.lifted import Unliftable, shown
from archspec.passes.flatten import FlatOp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Layer = dict[str, Any]


class Context(NamedTuple):
    """What a network's layers have in common, so that they need not say it."""

    norm: ops.BatchNorm2d | None
    act: ops.ActivationKind
    bias: bool | str

    @property
    def tables(self) -> dict[str, Layer]:
        """The tables `[defaults]` and `[norm]`, without what is the default."""
        defaults: Layer = {}
        if self.act != "relu":
            defaults["act"] = self.act
        if self.bias != "auto":
            defaults["bias"] = self.bias
        norm: Layer = {"kind": "none"}
        if self.norm is not None:
            usual = ops.BatchNorm2d(self.norm.channels)
            pairs = {"eps": (self.norm.eps, usual.eps), "momentum": (self.norm.momentum, usual.momentum)}
            norm = {key: own for key, (own, default) in pairs.items() if own != default}
        return {"defaults": defaults, "norm": norm}


def context(items: Sequence[Item]) -> Context:
    """What the layers of a network have in common. Raises `Unliftable` where norms differ."""
    norms: set[ops.BatchNorm2d] = set()
    acts: Counter[ops.ActivationKind] = Counter()
    biases: list[tuple[bool, bool]] = []
    for step, behind in _all(items):
        match step.op:
            case ops.BatchNorm2d():
                norms.add(replace(step.op, channels=1))
                if len(norms) > 1:
                    settings = " and ".join(f"eps {each.eps}, momentum {each.momentum}" for each in norms)
                    raise Unliftable(f"{shown(step.path)} normalises with other settings: {settings}")
            case ops.Activation():
                acts[step.op.kind] += 1
            case ops.Conv2d():
                biases.append((isinstance(behind, ops.BatchNorm2d), step.op.bias))
    gate = ("sigmoid", "hardsigmoid")
    usual = [kind for kind, _ in acts.most_common() if kind not in gate]
    return Context(next(iter(norms), None), usual[0] if usual else "relu", usual_bias(biases))


def usual_bias(convolutions: Sequence[tuple[bool, bool]]) -> bool | str:
    """The rule that says the biases of most convolutions, each given by whether it is normalised and has a bias."""
    wrong: dict[bool | str, int] = {
        "auto": sum(normed == biased for normed, biased in convolutions),
        True: sum(not biased for _, biased in convolutions),
        False: sum(biased for _, biased in convolutions),
    }
    return min(wrong, key=lambda rule: wrong[rule])


def _all(items: Sequence[Item]) -> Iterator[tuple[FlatOp, ops.Op | None]]:
    """Every operation, with the one behind it."""
    for place, item in enumerate(items):
        if isinstance(item, Join):
            yield from _all(item.main)
            yield from _all(item.side)
            continue
        after = items[place + 1] if place + 1 < len(items) else None
        yield item, after.op if isinstance(after, FlatOp) else None


def layers(items: Sequence[Item], common: Context, *, gate: bool = False) -> list[Layer]:
    """The layers of a chain. Raises `Unliftable`."""
    written: list[Layer] = []
    place = 0
    while place < len(items):
        item = items[place]
        if isinstance(item, Join):
            written.append(_gate(item, common))
            place += 1
            continue
        taken, layer = _layer(items[place:], item, common, gate=gate)
        written += [layer] if layer is not None else []
        place += taken
    return written


def _gate(join: Join, common: Context) -> Layer:
    if not isinstance(join.step.op, ops.Multiply) or join.side:
        raise Unliftable(f"{shown(join.path)} joins two ways where only a gate can stand")
    return {"gate": layers(join.main, common, gate=True)}


def _layer(items: Sequence[Item], step: FlatOp, common: Context, *, gate: bool) -> tuple[int, Layer | None]:
    """The layer that begins with an operation, and how many operations it takes."""
    match step.op:
        case ops.Conv2d():
            return _conv(items, step.op, common, gate=gate)
        case ops.BatchNorm2d():
            act, taken = _act(items[1:], common)
            return 1 + taken, {"norm": True, **({"act": act} if act is not False else {})}
        case ops.Activation():
            return 1, {"act": True if step.op.kind == common.act else step.op.kind}
        case ops.MaxPool2d() | ops.AvgPool2d() | ops.AdaptiveAvgPool2d():
            return 1, _pool(step.op)
        case ops.Subsample():
            return 1, {"pool": "max", "size": 1, "stride": step.op.stride}
        case ops.Dropout():
            return 1, {"dropout": step.op.p}
        case ops.Flatten():
            return 1, None
        case ops.Linear():
            return _linear(items, step.op, common)
    raise Unliftable(f"{shown(step.path)} ({type(step.op).__name__}) stands where no layer can say it")


def _linear(items: Sequence[Item], op: ops.Linear, common: Context) -> tuple[int, Layer]:
    act, taken = _act(items[1:], common)
    layer: Layer = {"linear": op.out_features}
    if not op.bias:
        layer["bias"] = False
    if act is not False:
        layer["act"] = act
    behind = items[1 + taken] if len(items) > 1 + taken else None
    if not isinstance(behind, FlatOp) or not isinstance(behind.op, ops.Dropout):
        return 1 + taken, layer
    return 2 + taken, {**layer, "dropout": behind.op.p}


def _act(items: Sequence[Item], common: Context) -> tuple[bool | str, int]:
    """The activation that comes next, as a layer says it, and how many operations it takes."""
    first = items[0] if items else None
    if not isinstance(first, FlatOp) or not isinstance(first.op, ops.Activation):
        return False, 0
    return (True if first.op.kind == common.act else first.op.kind), 1


def _conv(items: Sequence[Item], op: ops.Conv2d, common: Context, *, gate: bool) -> tuple[int, Layer]:
    behind = items[1] if len(items) > 1 else None
    normed = isinstance(behind, FlatOp) and isinstance(behind.op, ops.BatchNorm2d)
    taken = 1 + normed
    act, more = _act(items[taken:], common)
    return taken + more, conv_layer(op, common, normed=normed, act=act, gate=gate)


def conv_layer(
    op: ops.Conv2d, common: Context, *, normed: bool, act: bool | str, gate: bool = False
) -> Layer:
    """A convolution as a layer that says nothing it need not."""
    usual = {
        "stride": (op.stride, 1),
        "padding": (op.padding, op.dilation * (op.kernel_size - 1) // 2),
        "dilation": (op.dilation, 1),
        "groups": (op.groups, 1),
        "bias": (op.bias, not normed if common.bias == "auto" else common.bias),
        # a network without any norm says so once, in [norm]
        "norm": (normed, not gate if common.norm is not None else normed),
        "act": (act, True),
    }
    said = {key: own for key, (own, default) in usual.items() if own != default}
    return {"conv": op.kernel_size, "out": op.out_channels, **said}


def _pool(op: ops.MaxPool2d | ops.AvgPool2d | ops.AdaptiveAvgPool2d) -> Layer:
    if isinstance(op, ops.AdaptiveAvgPool2d):
        return {"pool": "average", **({"output": op.output_size} if op.output_size != 1 else {})}
    largest = isinstance(op, ops.MaxPool2d)
    layer: Layer = {"pool": "max" if largest else "average", "size": op.kernel_size}
    if op.stride != op.kernel_size:
        layer["stride"] = op.stride
    if op.padding != ((op.kernel_size - 1) // 2 if largest and not op.ceil else 0):
        layer["padding"] = op.padding
    if op.ceil:
        layer["rounding"] = "ceil"
    return layer
