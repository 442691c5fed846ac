"""VGG by its weights: the numbers in `features.N` tell where activations, norms and pools stand."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

from archspec.lift.lifted import Unliftable, shown
from archspec.lift.plain import plain_stages
from archspec.lift.tensors import Conv, Tensors, context, conv
from archspec.weights.ambiguity import Ambiguity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archspec.lift.layers import Layer

DROPOUT = 0.5
MAX_SIZE = 16384


def vgg_draft(shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict[str, Any], list[Ambiguity]]:
    """The tables of a spec for `features.N` and `classifier.N`, and what was assumed. Raises `Unliftable`."""
    tensors = Tensors(shapes)
    places = _places(shapes, "features", 4)
    if not places:
        raise Unliftable("no convolution is called features.N.weight")
    convolutions: list[Conv] = []
    for place in places:
        incoming = convolutions[-1].out if convolutions else None
        convolutions.append(conv(tensors, f"features.{place}", f"features.{place + 1}", incoming))
    common = context(convolutions)
    body: list[Layer] = []
    for each, place, after in zip(convolutions, places, [*places[1:], None], strict=True):
        body.append(each.layer(common, act=True))
        # a convolution, its norm and its activation; what is one more is a pool. Behind the last one it is assumed
        missing = 1 if after is None else after - place - 2 - each.normed
        if missing not in (0, 1):
            raise Unliftable(
                f"between {shown(f'features.{place}')} and the next convolution stand {missing} more layers"
            )
        body += [{"pool": "max", "size": 2}] * missing
    pools = sum("pool" in layer for layer in body)
    linear = _places(shapes, "classifier", 2)
    head, side = _head(tensors, linear, convolutions[-1].out)
    size = min(max(side, 1) * 2**pools, MAX_SIZE)
    tables = plain_stages([*body, *head], convolutions[0].incoming)
    why = (
        f"the classifier takes a map of {side}x{side}: a pool to that size, or images of {size}x{size} alone"
    )
    assumed = [
        Ambiguity("head.layers.0.pool", f"an average pool to {side}x{side}", ("no pool",), why),
        Ambiguity("input.size", f"{size}x{size}", ("any",), "weights fit images of any size"),
    ]
    channels = convolutions[0].incoming
    return {
        "keys": "sequential",
        "input": {"channels": channels, "size": [size, size]},
        "stem": tables["stem"] if tables["stem"]["layers"] else {},
        "defaults": {**tables.get("defaults", {}), **common.tables["defaults"]},
        "norm": common.tables["norm"],
        "blocks": tables.get("blocks", {}),
        "stages": tables.get("stages", []),
        "head": tables["head"],
    }, assumed


def _places(shapes: Mapping[str, tuple[int, ...]], part: str, rank: int) -> list[int]:
    """The numbers of a part's layers with weights of so many dimensions, in order."""
    found = []
    for key, shape in shapes.items():
        start, _, rest = key.partition(".")
        number, _, name = rest.partition(".")
        if (
            start == part
            and name == "weight"
            and number.isascii()
            and number.isdigit()
            and len(shape) == rank
        ):
            found.append(int(number[:6]))
    return sorted(found)


def _head(tensors: Tensors, places: Sequence[int], channels: int) -> tuple[list[Layer], int]:
    """The layers of the classifier, and the side of the map that it takes. Raises `Unliftable`."""
    if not places:
        return [], 1
    inside = tensors.linear(f"classifier.{places[0]}")[1]
    side = isqrt(inside // channels)
    if side * side * channels != inside:
        raise Unliftable(
            f"{shown(f'classifier.{places[0]}')} takes {inside} values, no square map of {channels} channels"
        )
    head: list[Layer] = [{"pool": "average", **({"output": side} if side > 1 else {})}]
    for place, after in zip(places, [*places[1:], None], strict=True):
        layer: Layer = {"linear": tensors.linear(f"classifier.{place}")[0]}
        if not tensors.biased(f"classifier.{place}"):
            layer["bias"] = False
        between = 0 if after is None else after - place - 1
        if between > 2:
            raise Unliftable(f"behind {shown(f'classifier.{place}')} stand {between} layers without weights")
        layer |= {"act": True} if between else {}
        layer |= {"dropout": DROPOUT} if between == 2 else {}
        head.append(layer)
    return head, side
