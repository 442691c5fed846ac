"""Networks without additions: plain nets and VGG. Runs of equal convolutions are stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.lift.layers import Context, Layer, layers
from archspec.lift.stages import ACT, Stage, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.lift.chains import Item

MAX_STAGES = 64


def plain_tables(items: Sequence[Item], common: Context, channels: int) -> dict[str, Any]:
    """The spec's tables for a chain without additions. Raises `Unliftable`."""
    return plain_stages(layers(items, common), channels)


def plain_stages(written: Sequence[Layer], channels: int) -> dict[str, Any]:
    """The spec's tables for layers in a row, from the stem to the head."""
    convolutions = [place for place, layer in enumerate(written) if "conv" in layer]
    end = convolutions[-1] + 1 if convolutions else 0
    while end < len(written) and written[end].get("pool") == "max":
        end += 1
    body, head = list(written[:end]), list(written[end:])
    pools = any("pool" in layer for layer in body)
    strided = any(layer.get("stride", 1) > 1 for layer in body if "conv" in layer)
    stem = 0 if pools and not strided else _stem(body)
    runs = _runs(body[stem:])
    usual = all(
        set(layer) <= {"conv", "out", "stride"} and layer["conv"] == 3 for run in runs for layer in run[0]
    )
    if not runs or not usual or len(runs) > MAX_STAGES:
        return {"stem": {"layers": body}, "head": {"layers": head}}
    incoming = next((layer["out"] for layer in reversed(body[:stem]) if "out" in layer), channels)
    stages = _stages(runs, incoming, paired=bool(stem) and all(len(run) % 2 == 0 for run, _ in runs))
    names = [f"conv{place + 2}_x" if stem else f"conv{place + 1}" for place in range(len(stages))]
    table = {"stem": {"layers": body[:stem]}, **tables(stages, names), "head": {"layers": head}}
    if not stem and any("linear" in layer for layer in head):
        table["keys"] = "sequential"
    return table


def _stem(body: Sequence[Layer]) -> int:
    """How many layers make the stem of a plain net: the first convolution, and what is no convolution behind it."""
    end = 1
    while end < len(body) and "conv" not in body[end]:
        end += 1
    return end


def _runs(body: Sequence[Layer]) -> list[tuple[list[Layer], list[Layer]]]:
    """Equal convolutions in a row, the first with any stride, and the other layers behind them."""
    runs: list[tuple[list[Layer], list[Layer]]] = []
    for layer in body:
        if "conv" not in layer:
            if not runs:
                return []
            runs[-1][1].append(layer)
            continue
        like = runs and not runs[-1][1] and {**runs[-1][0][0], "stride": 1} == {**layer, "stride": 1}
        if like and layer.get("stride", 1) == 1:
            runs[-1][0].append(layer)
        else:
            runs.append(([layer], []))
    return runs


def _stages(runs: Sequence[tuple[list[Layer], list[Layer]]], incoming: int, *, paired: bool) -> list[Stage]:
    stages = []
    for run, behind in runs:
        first = run[0]
        second = {key: value for key, value in first.items() if key != "stride"}
        block = [first, {**second, "act": False}] if paired else [first]
        stage = Stage(block, incoming, first["out"], first.get("stride", 1), len(run) // len(block), "none")
        stage.after = list(ACT) if paired else []
        stage.behind = behind
        stages.append(stage)
        incoming = first["out"]
    return stages
