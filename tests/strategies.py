"""Random specs: small networks that mostly make sense, in every word that the language has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tomli_w
from hypothesis import strategies as st

from archspec.architecture import Architecture, compiled
from archspec.spec.documents import parse
from archspec.spec.load import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

Table = dict[str, Any]

NORMS = ("batch", "layer", "group", "instance", "rms", "frn", "none")
ACTIVATIONS = (
    "relu",
    "relu6",
    "leaky-relu",
    "elu",
    "silu",
    "gelu",
    "hardswish",
    "hardsigmoid",
    "sigmoid",
    "tanh",
    "tlu",
)
FILLINGS = ("he-normal-fan-in", "he-normal-fan-out", "xavier-normal", "normal", "torch")


def load(spec: Table) -> Architecture:
    """The architecture of a spec that is in no file. Raises `SpecError`."""
    return compiled(resolve(parse(tomli_w.dumps(spec).encode(), "random.toml", None)))


@st.composite
def tables(draw: st.DrawFn, required: Table, **optional: Any) -> Table:
    """A table with what is required, and some of what is not: a strategy, or the words to choose from."""
    table = {key: _drawn(draw, value) for key, value in required.items()}
    for key, value in optional.items():
        if draw(st.integers(0, 2)) == 0:
            table[key] = _drawn(draw, value)
    return table


def _drawn(draw: st.DrawFn, value: Any) -> Any:
    return draw(value if isinstance(value, st.SearchStrategy) else st.sampled_from(value))


SWITCH: Sequence[Any] = (True, False)
NORM: Sequence[Any] = (True, False, *NORMS)
ACT: Sequence[Any] = (True, False, *ACTIVATIONS)


def convs(out: Sequence[Any], groups: Sequence[Any] = (1, 2), **optional: Any) -> st.SearchStrategy[Table]:
    """Convolutions that keep a map's size, or halve it."""
    return tables(
        {"conv": (1, 3, 3, 5), "out": out},
        dilation=(1, 2),
        groups=groups,
        bias=SWITCH,
        norm=NORM,
        act=ACT,
        order=("post", "pre"),
        standardise=SWITCH,
        **optional,
    )


def pools() -> st.SearchStrategy[Table]:
    """Pools of both kinds, rounded both ways, with padding or without."""
    windows = tables(
        {"pool": ("max", "average"), "size": (1, 2, 3), "rounding": ("floor", "ceil")},
        stride=(1, 2, 2),
        padding=(0, 1),
    )
    return windows | st.just({"pool": "average", "output": 4})


def gates(channels: Sequence[Any]) -> st.SearchStrategy[Table]:
    """Squeeze-and-excitation, attention to places, and a gate of a gate."""
    squeeze = [{"pool": "average"}, {"conv": 1, "out": 2}]
    excite = tables({"conv": (1,), "out": channels, "act": ("sigmoid", "hardsigmoid", "tanh")}, norm=NORM)
    place = tables({"conv": (3,), "out": channels, "act": ("sigmoid",)})
    inner = st.builds(lambda last: [*squeeze, last], excite) | st.builds(lambda one: [one], place)
    inner |= st.just([{"act": "sigmoid"}]) | st.just([{"pool": "average"}, {"gate": [{"act": "tanh"}]}])
    return st.builds(lambda layers: {"gate": layers}, inner)


def simple() -> st.SearchStrategy[Table]:
    """Layers that fit everywhere."""
    return (
        tables({"act": ACT})
        | tables({"norm": NORM}, act=ACT)
        | st.just({"dropout": 0.25})
        | st.just({"gate": [{"act": "sigmoid"}]})
    )


@st.composite
def blocks(draw: st.DrawFn) -> Table:
    """A block type that ends in as many channels as it says."""
    out = draw(st.sampled_from(["width", "2 * width", "width + 4", "width * 3 - in + in"]))
    layers = draw(st.lists(simple(), max_size=2))
    layers += draw(
        st.lists(convs(["width", "in", "2 * width", 8, "out"], (1, 2, "in", "stride")), max_size=2)
    )
    layers.append(draw(convs(["out"])))
    layers += draw(st.lists(gates(["out"]), max_size=1))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(layers) - 1))
        if "conv" in layers[place]:
            layers[place]["stride"] = "stride"
    table: Table = {"out": out, "layers": layers}
    if draw(st.booleans()):
        table["after"] = draw(st.lists(simple(), max_size=2))
    table["project_after"] = draw(st.sampled_from([0, 0, 1, 2]))
    if draw(st.booleans()):
        first: Table = {
            "pool": "average",
            "size": "stride",
            "padding": 0,
            "rounding": draw(st.sampled_from(["floor", "ceil"])),
        }
        table["projection"] = [first, draw(convs(["out"], (1,)))]
    elif draw(st.booleans()):
        table["projection"] = [{**draw(convs(["out"], (1,))), "stride": "stride"}]
    return table


STAGE = tables(
    {"width": (4, 8, "w")},
    depth=(1, 2, 3, "n"),
    stride=(1, 2, 2, 3),
    shortcut=("none", "identity", "A", "B", "C"),
    block=("basic", "bottleneck", "conv", "own"),
    before=st.lists(pools() | simple(), max_size=1),
    after=st.lists(pools() | simple(), max_size=1),
)
DEFAULTS = tables(
    {"block": ("basic", "bottleneck", "own", "own"), "shortcut": ("none", "identity", "A", "B", "B", "C")},
    pad=("end", "both"),
    subsample=("stride", "average"),
    stride_on=("first", "1x1", "3x3"),
    order=("post", "pre"),
    act=ACTIVATIONS,
    bias=(True, False, "auto"),
    standardise=SWITCH,
)


@st.composite
def specs(draw: st.DrawFn) -> Table:
    """A whole spec. Most load; the others must say why not."""
    stages = draw(st.lists(STAGE, min_size=1, max_size=4))
    head: list[Table] = draw(st.lists(convs([8], (1,)) | pools() | simple(), max_size=1))
    head += draw(st.sampled_from([[{"pool": "average"}], [{"pool": "average", "output": 2}], []]))
    head += draw(st.lists(tables({"linear": (5, 10)}, bias=SWITCH, act=ACT, dropout=(0.5,)), max_size=2))
    return {
        "format": 1,
        "name": "random",
        "keys": draw(st.sampled_from(["resnet", "resnet", "resnet", "sequential"])),
        "params": {"n": draw(st.integers(1, 3)), "w": "2 * n + 2"},
        "input": {
            "channels": draw(st.integers(1, 4)),
            "size": draw(st.lists(st.integers(7, 20), min_size=2, max_size=2)),
        },
        "defaults": draw(DEFAULTS),
        "norm": draw(tables({"kind": NORMS, "groups": (1, 2, 4)}, eps=(1e-3,), momentum=(0.3,))),
        "init": draw(
            tables(
                {}, conv=FILLINGS, linear=FILLINGS, std=(0.02,), bias=("zero", "torch"), zero_last_norm=SWITCH
            )
        ),
        "blocks": {"own": draw(blocks())},
        "stem": {
            "layers": draw(st.lists(convs([4, 8], (1,), stride=(1, 2)) | pools() | simple(), max_size=3))
        },
        "stages": [{"name": f"s{place}", **stage} for place, stage in enumerate(stages)],
        "head": {"layers": head},
    }
