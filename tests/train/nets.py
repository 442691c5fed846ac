"""Small networks with every kind of head, and images for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

import archspec
from tests.weights.making import trained

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture

TOP = """\
format = 1
name = "net"
[input]
size = [16, 16]
[stem]
layers = [{ conv = 3, out = 6 }]
[defaults]
block = "basic"
shortcut = "A"
[[stages]]
name = "a"
width = 6
[[stages]]
name = "b"
width = 12
stride = 2
"""
VGG = """\
format = 1
name = "net"
keys = "sequential"
[input]
size = [16, 16]
[defaults]
block = "conv"
[norm]
kind = "none"
[[stages]]
name = "a"
depth = 2
width = 6
after = [{ pool = "max", size = 2 }]
[[stages]]
name = "b"
width = 8
after = [{ pool = "max", size = 2 }]
"""
DEEP = "{ linear = 20, act = true, dropout = 0.5 }, { linear = 9, act = true }, { linear = 7 }]\n"
POOLED = '[head]\nlayers = [{ pool = "average" }, { linear = 7 }]\n'
HEADS = {
    "global": TOP + POOLED,
    "dropout": TOP + '[head]\nlayers = [{ pool = "average" }, { dropout = 0.2 }, { linear = 7 }]\n',
    "two linear": TOP + '[head]\nlayers = [{ pool = "average" }, { linear = 9 }, { linear = 7 }]\n',
    "curved": TOP + '[head]\nlayers = [{ pool = "average" }, ' + DEEP,
    "window": TOP
    + '[head]\nlayers = [{ pool = "average", size = 8, stride = 1, padding = 0 }, { linear = 7 }]\n',
    "no pool": TOP + "[head]\nlayers = [{ linear = 7 }]\n",
    "oblong": TOP.replace("[16, 16]", "[16, 12]") + "[head]\nlayers = [{ linear = 7 }]\n",
    "pre": TOP
    + '[head]\nlayers = [{ norm = true, act = true }, { pool = "average" }, { act = true }, { linear = 7 }]\n',
    "one pixel": TOP.replace("[16, 16]", "[1, 1]") + POOLED,
    "vgg": VGG + "[head]\nlayers = [" + DEEP,
    "torchvision's vgg": VGG + '[head]\nlayers = [{ pool = "average", output = 4 }, ' + DEEP,
    "vgg, global": VGG + POOLED,
}


@dataclass(frozen=True)
class Net:
    architecture: Architecture
    module: nn.Module


def load(folder: Path, text: str) -> Architecture:
    path = folder / "net.toml"
    path.write_text(text)
    return archspec.load(path)


def net(folder: Path, head: str = "global", seed: int = 0) -> Net:
    architecture = load(folder, HEADS[head])
    return Net(architecture, trained(archspec.build(architecture, init=False), seed))


@cache
def pixels(height: int = 20, width: int = 24, count: int = 13) -> Tensor:
    draw = torch.Generator().manual_seed(height * width + count)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=draw)


def labels(count: int = 13) -> Tensor:
    return torch.randint(0, 7, (count,), generator=torch.Generator().manual_seed(count))


def normal(images: Tensor) -> Tensor:
    return images.float() / 128 - 1


class Gallery:
    """Pictures of three sizes, decoded one by one."""

    def __init__(self, count: int = 13) -> None:
        sizes = [(20, 24), (24, 20), (33, 17)]
        self.pictures = [pixels(*sizes[place % 3])[place] for place in range(count)]

    def __len__(self) -> int:
        return len(self.pictures)

    def decode(self, place: int) -> Tensor:
        return self.pictures[place]
