"""Runs' folders as training leaves them, with made-up errors shaped like the paper's Figure 6."""

from __future__ import annotations

import json
from math import cos, exp, pi
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

LEVELS = {
    "plain-20": ((0.095, 0.15), (0.036, 0.094), (0.026, 0.0905)),
    "plain-56": ((0.21, 0.26), (0.115, 0.165), (0.098, 0.152)),
    "resnet-20": ((0.09, 0.145), (0.031, 0.0905), (0.021, 0.0875)),
    "resnet-56": ((0.068, 0.125), (0.009, 0.073), (0.004, 0.0697)),
}
"""Training and validation error that a net nears at each of the rates 0.1, 0.01, 0.001."""
EPOCH = 352


def told(name: str, **changes: Any) -> dict[str, Any]:
    """What `run.json` says."""
    return {
        "schema_version": 1,
        "spec": {
            "name": name,
            "hash": "0" * 64,
            "text": "",
            "parameters": changes.get("parameters", 272_474),
            "multiply_adds": 1,
        },
        "recipe": {"name": changes.get("recipe", "cifar10-paper"), "digest": "0" * 64, "text": ""},
        "data": {
            "name": changes.get("data", "cifar10"),
            "place": "",
            "train": 45_000,
            "validation": changes.get("validation", 5000),
            "test": 10_000,
            "shape": [3, 32, 32],
            "classes": 10,
        },
        "seed": changes.get("seed", 0),
        "terms": {
            "device": "cpu",
            "device_name": "a processor",
            "threads": 2,
            "ranks": 1,
            "nodes": 1,
            "parallel": None,
            "sync_bn": False,
            "compile": False,
            "channels_last": True,
            "workers": 0,
        },
        "batch_norm_images": 128,
        "versions": {"archspec": "0.1.0"},
        "started": "2026-11-21T09:30:00+00:00",
        "command": ["archspec", "train"],
    }


LOSSES = {"objectness": 0.65, "proposal_boxes": 0.12, "classes": 0.8, "boxes": 0.2}
"""What a detector's four losses begin with."""


def told_of_detector(name: str = "faster-rcnn-resnet18-shapes", **changes: Any) -> dict[str, Any]:
    """What `run.json` says of a detector; its texts are none."""
    run = told(name, **{"recipe": "shapes-detection", "data": "shapes", **changes})
    backbone = {"name": "resnet18", "hash": "0" * 64, "text": ""}
    run["spec"] |= {"kind": "detector", "backbone": backbone, "multiply_adds_per_region": 1}
    held = changes.get("validation", 100)
    run["data"] |= {"train": 900, "validation": held, "test": 200, "shape": None, "classes": 3}
    return run


def detection(
    seed: int = 0,
    until: int = 1500,
    every: int = 10,
    level: float = 0.14,
    total: int = 1500,
    held: bool = True,
) -> list[dict[str, Any]]:
    """A detector's run along a cosine: records of losses, and epochs of 113 steps."""
    random, out = Random(f"detection {seed} {level}"), []
    for step in range(every, until + 1, every):
        pace = exp(-step / 260)
        noise = [1 + random.gauss(0, 0.12) for _ in LOSSES]
        losses = {
            key: max(0.0, first * (0.12 + 0.88 * pace) * each)
            for (key, first), each in zip(LOSSES.items(), noise, strict=True)
        }
        rate = 1e-3 * (1 + cos(pi * step / total)) / 2
        record = {"kind": "train", "step": step, "lr": rate, "loss": sum(losses.values()), "losses": losses}
        out.append({**record, "images": 8 * every, "seconds": 1.0, "waited": 0.0})
        if step // 113 > (step - every) // 113:
            epoch = step // 113
            error = min(1.0, level + 0.9 * exp(-step / 330) + abs(random.gauss(0, 0.012)))
            validated = error if held else None
            out.append({"kind": "epoch", "step": 113 * epoch, "epoch": epoch, "validation_error": validated})
    return out


def folder(path: Path, records: Iterable[Mapping[str, Any] | str], name: str = "net", **changes: Any) -> Path:
    """A run that is going on. A record that is a text stands in the file as it is."""
    return put(path, told(name, **changes), records)


def detector(path: Path, records: Iterable[Mapping[str, Any] | str] | None = None, **changes: Any) -> Path:
    """A detector's run that is going on."""
    return put(
        path, told_of_detector(**changes), detection(changes.get("seed", 0)) if records is None else records
    )


def put(path: Path, run: Mapping[str, Any], records: Iterable[Mapping[str, Any] | str]) -> Path:
    """A run's folder."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "run.json").write_text(json.dumps(run))
    lines = (each if isinstance(each, str) else json.dumps(each) + "\n" for each in records)
    (path / "metrics.jsonl").write_text("".join(lines))
    return path


def epochs(*errors: tuple[float | None, float | None], length: int = 100) -> list[dict[str, Any]]:
    """Records of epochs with these training and validation errors."""
    return [
        {
            "kind": "epoch",
            "step": length * number,
            "epoch": number,
            "train_error": train,
            "validation_error": held,
        }
        for number, (train, held) in enumerate(errors, 1)
    ]


def train(step: int, error: float | None, lr: float | None = 0.1, images: int = 1280) -> dict[str, Any]:
    """A record of about a second."""
    return {"kind": "train", "step": step, "lr": lr, "loss": 1.0, "train_error": error, "images": images}


def staircase(rates: Sequence[float], each: int, apart: int = 10) -> list[dict[str, Any]]:
    """Train records with so many at each rate."""
    return [train(apart * (place + 1), 0.5, rates[place // each]) for place in range(each * len(rates))]


def paper(
    name: str, seed: int = 0, until: int = 64_000, every: int = 100, drops: Sequence[int] = (32_000, 48_000)
) -> list[dict[str, Any]]:
    """A run by the paper's CIFAR-10 protocol up to a step: train records, and epochs of 352 steps."""
    random, stages = Random(f"{name} {seed}"), LEVELS[name]
    value, out = [0.75, 0.72], []
    for step in range(every, until + 1, every):
        stage = sum(step > drop for drop in drops)
        pace = exp(-every / (4200 if stage == 0 else 900))
        for which in (0, 1):
            goal = stages[stage][which]
            value[which] = goal + (value[which] - goal) * pace
        rate = 0.1 / 10**stage
        out.append(
            train(step, min(1.0, value[0] + random.gauss(0, 0.009 * (1 + value[0]))), rate, 128 * every)
        )
        if step // EPOCH > (step - every) // EPOCH:
            spread = 0.022 * (1 + 2 * value[1]) if stage == 0 else 0.0012
            held = (
                value[1] + abs(random.gauss(0, spread)) if stage == 0 else value[1] + random.gauss(0, spread)
            )
            seen = value[0] + random.gauss(0, 0.0012)
            epoch = step // EPOCH
            errors = {"train_error": max(seen, 0.0), "validation_error": min(max(held, 0.0), 1.0)}
            out.append({"kind": "epoch", "step": EPOCH * epoch, "epoch": epoch, **errors})
    return out
