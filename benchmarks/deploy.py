"""What exported files hold and how near they are: figures that are no times, as Markdown tables.

`uv run python benchmarks/deploy.py`, from anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import deploy_cases as cases
import numpy as np
import onnx
import torch

import archspec
from archspec.deploy.export import Order, export
from archspec.deploy.proof import errors
from archspec.weights.files import read_weights, write_weights
from archspec.weights.match import matched

if TYPE_CHECKING:
    from pathlib import Path

TORCHVISION = ("resnet18", "resnet50", "resnet101", "resnet152", "vgg16", "vgg19")
IMAGES = 64


def outputs(path: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What a file says to images, eight at a time."""
    session = cases.session(path)
    name = session.get_inputs()[0].name
    return np.concatenate(
        [session.run(None, {name: images[at : at + 8]})[0] for at in range(0, len(images), 8)]
    )


def resnet50() -> None:
    """ResNet-50 in our file, in torch's exporter's, and in int8."""
    _, tensors, module = cases.network()
    folder = cases.folder()
    images = np.random.default_rng(3).standard_normal((IMAGES, *cases.IMAGE), np.float32)
    with torch.inference_mode():
        wanted = torch.cat([module(part) for part in torch.from_numpy(images).split(8)]).numpy()
    cases.ours(folder / "ours.onnx")
    cases.ours(folder / "int8.onnx", precision="int8", calibration=cases.calibration())
    cases.theirs(folder / "theirs.onnx", dynamic=True)
    weights = sum(values.nbytes for values in tensors.values())
    print(f"ResNet-50, {IMAGES} random images; its tensors are {weights:,} bytes.\n")
    print("| file | nodes | bytes | worst relative error | top-1 agreement |")
    print("| :-- | --: | --: | --: | --: |")
    for name in ("ours", "theirs", "int8"):
        path = folder / f"{name}.onnx"
        found = outputs(path, images)
        same = (found.argmax(1) == wanted.argmax(1)).mean()
        nodes = len(onnx.load(path).graph.node)
        _, relative = errors(found, wanted)
        print(f"| {name} | {nodes} | {path.stat().st_size:,} | {relative:.1e} | {same:.1%} |", flush=True)
    print("\n| first export of a process | MiB more at its peak |\n| :-- | --: |")
    for name in cases.EXPORTS:
        print(f"| {name} | {cases.first(name)['mib']:.0f} |", flush=True)


def torchvision() -> None:
    """Module to safetensors to spec to ONNX to onnxruntime, with random weights and running statistics."""
    from torchvision.models import get_model

    print("\n| torchvision | worst relative error | top-1 agreement |\n| :-- | --: | --: |")
    for name in TORCHVISION:
        torch.manual_seed(0)
        module = get_model(name, weights=None).eval()
        held = cases.randomised({key: value.numpy() for key, value in module.state_dict().items()})
        path = cases.folder() / f"{name}.safetensors"
        write_weights(path, held, {})
        module.load_state_dict({key: torch.tensor(values) for key, values in held.items()}, strict=True)
        one = archspec.load(f"torchvision/{name}")
        export(one, matched(one, read_weights(path)), path.with_suffix(".onnx"), Order())
        images = np.random.default_rng(4).standard_normal((8, *cases.IMAGE), np.float32)
        with torch.inference_mode():
            wanted = module(torch.from_numpy(images)).numpy()
        found = outputs(path.with_suffix(".onnx"), images)
        _, relative = errors(found, wanted)
        print(f"| {name} | {relative:.1e} | {(found.argmax(1) == wanted.argmax(1)).mean():.1%} |", flush=True)
        path.unlink()


if __name__ == "__main__":
    resnet50()
    torchvision()
