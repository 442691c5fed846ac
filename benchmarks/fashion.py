"""Fashion-MNIST with CIFAR's ResNet-20: `archspec train` against the plain loop, the same steps, accuracy and time.

`uv run python benchmarks/fashion.py --seeds 3 --epochs 6 --out DIR`, from anywhere. Each run's result is a file in
DIR; those that are there are not run again, and a stopped run of ours goes on from its checkpoint.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

SPEC, DATA = "cifar/resnet20", "fashion-mnist"
SIZE = ("input.channels=1", "input.size=[28, 28]")
IMAGES, BATCH = 60_000, 128
STEPS = -(-IMAGES // BATCH)
WHO = ("ours", "plain")


@dataclass(frozen=True, slots=True)
class Run:
    """One training: how well it tells the 10,000, and how long its steps took."""

    who: str
    seed: int
    epochs: int
    steps: int
    accuracy: float
    seconds: float
    images_per_second: float


def schedule(epochs: int) -> tuple[int, int, int]:
    """The steps at which the rate is divided by ten, at a half and three quarters of the way, and the last one."""
    total = epochs * STEPS
    return total // 2, total * 3 // 4, total


def ours(seed: int, epochs: int, folder: Path) -> Run:
    """The command, as it is typed."""
    first, second, total = schedule(epochs)
    changes = ["data.split=0", "schedule.unit=iteration", f"schedule.milestones=[{first}, {second}]"]
    arguments = [SPEC, "--data", DATA, "--recipe", DATA, "--seed", str(seed), "--device", "cpu", "--json"]
    for change in (*changes, f"schedule.total={total}"):
        arguments += ["--set-recipe", change]
    command = [
        sys.executable,
        "-m",
        "archspec",
        "train",
        *arguments,
        "--out",
        str(folder / f"run-{seed}-{epochs}"),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"archspec train exits with {done.returncode}; the same command goes on from there")
    told = json.loads(done.stdout)
    speed = told["images_per_second"]
    return Run("ours", seed, epochs, told["steps"], told["test_accuracy"], epochs * IMAGES / speed, speed)


def plain(seed: int, epochs: int) -> Run:
    """The usual loop with the recipe's mathematics and the same first weights."""
    import torch
    from usual_loop import Pictures, ResNet20, accuracy, centred, loader, optimiser, train_epoch

    import archspec
    from archspec.data.find import find

    splits = find(DATA, None, fetch=False).read()
    parts = [(part.pixels.numpy()[:, 0], part.labels.numpy()) for part in (splits.train, splits.test)]
    mean = torch.from_numpy(parts[0][0].mean(axis=0, dtype="float64") / 255).float()[None]
    made = [Pictures(*part, centred(mean, side)) for part, side in zip(parts, (28, None), strict=True)]
    training, testing = loader(made[0], BATCH, shuffle=True), loader(made[1], BATCH, shuffle=False)
    torch.manual_seed(seed)
    first = archspec.build(archspec.load(SPEC, settings=SIZE)).state_dict()
    network = ResNet20(channels=1)
    network.load_state_dict(dict(zip(network.state_dict(), first.values(), strict=True)), strict=True)
    layers = [each for each in network.modules() if isinstance(each, torch.nn.Conv2d | torch.nn.Linear)]
    optimizer = optimiser(network, [layer.weight for layer in layers])
    *milestones, total = schedule(epochs)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, 0.1)
    start = time.perf_counter()
    for epoch in range(epochs):
        loss = train_epoch(network, training, optimizer, scheduler=scheduler)
        speed = (epoch + 1) * IMAGES / (time.perf_counter() - start)
        say(f"plain, seed {seed}: epoch {epoch + 1} of {epochs}: loss {loss:.4f}, {speed:,.0f} images/s")
    seconds = time.perf_counter() - start
    return Run("plain", seed, epochs, total, accuracy(network, testing), seconds, epochs * IMAGES / seconds)


def kept(who: str, seed: int, epochs: int, folder: Path) -> Run:
    """A run, from its file, or run now in a process of its own."""
    path = folder / f"{who}-{seed}-{epochs}.json"
    if not path.is_file():
        say(f"{who}, seed {seed}, {epochs} epochs")
        if who == "ours":
            run = ours(seed, epochs, folder)
        else:
            command = [
                sys.executable,
                "-W",
                "ignore",
                __file__,
                "--plain",
                str(seed),
                "--epochs",
                str(epochs),
            ]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            run = Run(**json.loads(done.stdout))
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(asdict(run)) + "\n", encoding="utf-8")
        unfinished.replace(path)
    return Run(**json.loads(path.read_text(encoding="utf-8")))


def summed(runs: Sequence[Run]) -> dict[str, Any]:
    """Mean and deviation over the seeds."""
    found = [run.accuracy for run in runs]
    return {
        "mean": statistics.mean(found),
        "std": statistics.stdev(found) if len(found) > 1 else None,
        "seconds": statistics.mean(run.seconds for run in runs),
        "images_per_second": statistics.mean(run.images_per_second for run in runs),
        "runs": [asdict(run) for run in runs],
    }


def table(sums: dict[str, dict[str, Any]]) -> str:
    """As Markdown."""
    seeds = [run["seed"] for run in sums[WHO[0]]["runs"]]
    head = ["loop", *(f"seed {seed}" for seed in seeds), "mean ± std", "seconds", "images/s"]
    lines = [head, [":--", *["--:"] * (len(head) - 1)]]
    for who, total in sums.items():
        spread = "" if total["std"] is None else f" ± {total['std'] * 100:.2f}"
        accuracies = [f"{run['accuracy']:.2%}" for run in total["runs"]]
        mean = f"{total['mean'] * 100:.2f}{spread} %"
        lines.append(
            [who, *accuracies, mean, f"{total['seconds']:,.0f}", f"{total['images_per_second']:,.0f}"]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Runs what is missing, by turns, and prints the table."""
    parser = argparse.ArgumentParser(prog="benchmarks/fashion.py", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results are kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to a file too")
    parser.add_argument("--plain", type=int, metavar="SEED", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plain is not None:
        print(json.dumps(asdict(plain(asked.plain, asked.epochs))))
        return 0
    if asked.out is None:
        parser.error("--out says where results are kept")
    asked.out.mkdir(parents=True, exist_ok=True)
    runs = [kept(who, seed, asked.epochs, asked.out) for seed in range(asked.seeds) for who in WHO]
    sums = {who: summed([run for run in runs if run.who == who]) for who in WHO}
    _, _, total = schedule(asked.epochs)
    print(
        f"Fashion-MNIST, ResNet-20, {asked.epochs} epochs of {IMAGES:,} images, {total:,} steps\n\n{table(sums)}"
    )
    document = {"epochs": asked.epochs, "steps": total, "loops": sums}
    text = json.dumps(document, indent=2)
    if asked.json is None:
        print(f"\n{text}")
    else:
        asked.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
