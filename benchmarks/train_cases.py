"""The sides of the training benchmarks: each a process that steps when it is told to, and says how long it took.

`train.py` starts them. By hand: `echo 10 30 | python benchmarks/train_cases.py ours`.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from torch import nn
    from torch.utils.data import DataLoader

    from archspec.data.feed import Feed
    from archspec.data.sets import Splits
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.classification import Classification

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Network:
    """What is trained: one of our specs, the side of its images, the classes that it tells apart."""

    spec: str
    side: int
    classes: int


NETWORKS = {
    "resnet20": Network("cifar/resnet20", 32, 10),
    "resnet50": Network("torchvision/resnet50", 224, 1000),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """What all sides have in common."""

    network: Network
    images: int
    batch: int
    device: str

    def data(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Noise in bytes, (N, C, H, W), as CIFAR's files have it, and labels."""
        generator = np.random.default_rng(0)
        shape = (self.images, 3, self.network.side, self.network.side)
        return generator.integers(0, 256, shape, np.uint8), generator.integers(
            0, self.network.classes, self.images
        )


class Clock:
    """Times stretches of steps: for each line "SKIP COUNT" on stdin, COUNT steps after SKIP others."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.done = self.skip = self.count = 0
        self.asked = self.start = 0.0

    def ticking(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches. A loop that asks for the next one has ended its step."""
        for batch in batches:
            yield batch
            self.tick()

    def tick(self) -> None:
        """A step is over."""
        self.done += 1
        if self.done == self.skip:
            self.start = self.now()
        if self.done == self.skip + self.count:
            told = {"seconds": self.now() - self.start, "skipped": self.start - self.asked}
            print(json.dumps(told), flush=True)
            self.ask()

    def ask(self) -> None:
        """Waits for an order. Where there are no more, the process ends."""
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        self.skip, self.count = map(int, line.split())
        self.done = 0
        self.asked = self.start = self.now()

    def now(self) -> float:
        """Seconds, when the device has done all that it was told."""
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()
        return time.perf_counter()


def _pictures(setting: Setting) -> DataLoader[Any]:
    from usual_loop import Pictures, loader, varied

    pixels, labels = setting.data()
    images = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    return loader(
        Pictures(images, labels, varied(setting.network.side, MEAN, STD)), setting.batch, shuffle=True
    )


def _plain(setting: Setting) -> nn.Module:
    """The network as the usual loop has it."""
    if setting.network.side == 32:
        from usual_loop import ResNet20

        return ResNet20()
    from torchvision.models import resnet50

    return resnet50()


def _usual(setting: Setting, clock: Clock) -> None:
    """The usual loop."""
    from usual_loop import optimiser, train_epoch

    batches, network = _pictures(setting), _plain(setting).to(setting.device)
    optimizer = optimiser(network)
    clock.ask()
    while True:
        train_epoch(network, clock.ticking(batches), optimizer, device=setting.device)


def _usual_loader(setting: Setting, clock: Clock) -> None:
    """The usual loader, with nobody behind it."""
    batches = _pictures(setting)
    clock.ask()
    while True:
        for _ in clock.ticking(batches):
            pass


def _recipe(setting: Setting, precision: str) -> LoadedRecipe:
    from archspec.recipes.load import load_recipe

    changes = [f"train.precision={precision}", f"data.batch={setting.batch}"]
    return load_recipe("cifar10-paper-full50k", [*changes, f"augment.crop={setting.network.side}"])


def _splits(setting: Setting) -> Splits:
    """Noise, as readers lay images."""
    import torch

    from archspec.data.sets import Images, Splits, room

    pixels, labels = setting.data()
    names = tuple(map(str, range(setting.network.classes)))
    laid = room(len(pixels), pixels.shape[1:]).copy_(torch.from_numpy(pixels))
    images = Images("noise", laid, torch.from_numpy(labels), names)
    return Splits(images, None, images.part(slice(0, setting.batch)))


def _task(setting: Setting, precision: str = "fp32") -> Classification:
    """What `archspec train` is given."""
    import archspec
    from archspec.train.classification import Classification

    recipe = _recipe(setting, precision)
    return Classification(archspec.load(setting.network.spec), recipe, _splits(setting))


def _feed(setting: Setting, task: Classification) -> Feed:
    """Its batches, as it prepares them."""
    from archspec.data.order import Plan
    from archspec.data.prepare import Placement

    placement = Placement(setting.device, channels_last=True)
    return task.prepare(Plan(task.recipe.recipe.data.batch), placement).train


def _endless(feed: Feed) -> Iterator[Any]:
    for epoch in count():
        yield from feed.training(epoch)


def _ours(setting: Setting, clock: Clock, *, precision: str = "fp32", compiled: bool = False) -> None:
    """Our loop: what `archspec train` runs, with its looks and its metrics."""
    import torch

    from archspec.runs.metrics import Metrics
    from archspec.train.loop import Terms, Trainer

    _keep_memory()
    task = _task(setting, precision)
    feed = _feed(setting, task)
    trainer = Trainer(task, Terms(torch.device(setting.device), compile=compiled), len(feed))
    with tempfile.TemporaryDirectory() as folder, Metrics(Path(folder) / "metrics.jsonl") as metrics:
        clock.ask()
        for look in trainer.run(clock.ticking(_endless(feed)), 10**9):
            metrics.append({"kind": "train", **look.as_json()})


def _our_loader(setting: Setting, clock: Clock) -> None:
    """Our batches, with nobody behind them."""
    _keep_memory()
    feed = _feed(setting, _task(setting))
    clock.ask()
    for _ in clock.ticking(_endless(feed)):
        pass


def _keep_memory() -> None:
    """What a run does at its start."""
    try:
        from archspec.train.memory import keep_large_blocks
    except ImportError:
        libc = ctypes.CDLL(None)
        libc.mallopt(-1, 2**31 - 1)
        libc.mallopt(-3, 2**30)
        return
    keep_large_blocks()


def _bare(setting: Setting, clock: Clock) -> None:
    """A compiled step in bf16 on one batch that is always the same: what no loop can be faster than."""
    import torch
    from torch.nn.functional import cross_entropy

    import archspec
    from archspec.train.optimiser import make_optimiser

    recipe = _recipe(setting, "bf16").recipe
    network = archspec.build(setting.network.spec).to(setting.device, memory_format=torch.channels_last)
    optimizer = make_optimiser(network, recipe.optimiser)
    forward = torch.compile(network)
    shape = (setting.batch, 3, setting.network.side, setting.network.side)
    images = torch.randn(shape, device=setting.device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(setting.network.classes, (setting.batch,), device=setting.device)
    clock.ask()
    for _ in clock.ticking(count()):
        optimizer.zero_grad()
        with torch.autocast(setting.device, torch.bfloat16):
            scores = forward(images)
        cross_entropy(scores.float(), labels).backward()
        optimizer.step()


def _lightning(setting: Setting, clock: Clock) -> None:
    """Lightning's Trainer on the usual loader, with what it keeps and shows switched off."""
    import warnings

    # its advice, on workers for one, goes to warnings
    warnings.simplefilter("ignore")
    import lightning
    from torch.nn.functional import cross_entropy
    from usual_loop import optimiser

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = _plain(setting)

        def training_step(self, batch: Any) -> Any:
            images, labels = batch
            return cross_entropy(self.network(images), labels)

        def configure_optimizers(self) -> Any:
            return optimiser(self)

    class Told(lightning.Callback):
        def on_train_start(self, *_: Any) -> None:
            clock.ask()

        def on_train_batch_end(self, *_: Any) -> None:
            clock.tick()

    trainer = lightning.Trainer(
        accelerator="gpu" if setting.device == "cuda" else "cpu",
        devices=1,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Told()],
    )
    trainer.fit(Module(), _pictures(setting))


SIDES: dict[str, Callable[[Setting, Clock], None]] = {
    "usual": _usual,
    "ours": _ours,
    "ours-compiled": partial(_ours, compiled=True),
    "ours-bf16": partial(_ours, precision="bf16"),
    "ours-bf16-compiled": partial(_ours, precision="bf16", compiled=True),
    "lightning": _lightning,
    "loader": _our_loader,
    "usual-loader": _usual_loader,
    "bare": _bare,
}


def main() -> None:
    """One side, until stdin ends."""
    parser = argparse.ArgumentParser(prog="benchmarks/train_cases.py", description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("--network", choices=NETWORKS, default="resnet20")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    asked = parser.parse_args()
    setting = Setting(NETWORKS[asked.network], asked.images, asked.batch, asked.device)
    SIDES[asked.side](setting, Clock(asked.device))


if __name__ == "__main__":
    main()
