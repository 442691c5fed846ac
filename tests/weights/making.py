"""Networks as other projects write them, and files of weights, sound and not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archspec
from archspec.weights.files import read_weights

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.weights.files import Weights

SMALL = """\
format = 1
name = "small"

[input]
size = [8, 8]

[stem]
layers = [{ conv = 3, out = 4 }]

[defaults]
block = "basic"
shortcut = "A"

[[stages]]
name = "a"
width = 4

[[stages]]
name = "b"
width = 8
stride = 2

[head]
layers = [{ pool = "average" }, { linear = 3 }]
"""


def small(folder: Path, *settings: str) -> Architecture:
    """A network of a few hundred weights."""
    path = folder / "small.toml"
    path.write_text(SMALL)
    return archspec.load(path, settings=settings)


def trained(module: nn.Module, seed: int = 0) -> nn.Module:
    """A module with random weights and running statistics, in evaluation."""
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=draw) + 0.5)
        elif tensor.is_floating_point():
            scale = tensor[0].numel() ** -0.5 if tensor.dim() > 1 else 0.1
            tensor.copy_(torch.randn(tensor.shape, generator=draw) * scale)
            if tensor.dim() == 1 and name.endswith("weight"):
                tensor.add_(1)
    return module.eval()


def state_of(architecture: Architecture, seed: int = 0) -> dict[str, Tensor]:
    """A `state_dict` of random weights."""
    return trained(archspec.build(architecture), seed).state_dict()


def written(path: Path, content: object, *, zipped: bool = True) -> Path:
    """A torch checkpoint."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def read(path: Path, content: object) -> Weights:
    return read_weights(written(path, content))


def images(architecture: Architecture) -> Tensor:
    shape = (2, *architecture.input_shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Shortened(nn.Module):
    """akamaster's option A: every second pixel, a half of the zeros on either side."""

    def __init__(self, extra: int) -> None:
        super().__init__()
        self.extra = extra

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra // 2))


class LinearBlock(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Sequential()
        if stride != 1 and shortcut == "A":
            self.shortcut = Shortened(width - channels)
        elif stride != 1:
            convolution = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(branch + self.shortcut(x))


class LinearNet(nn.Module):
    """A CIFAR ResNet with the names of akamaster/pytorch_resnet_cifar10."""

    def __init__(self, depth: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        channels = 16
        for stage, (width, stride) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
            blocks = []
            for place in range(depth):
                blocks.append(LinearBlock(channels, width, stride if place == 0 else 1, shortcut))
                channels = width
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class Both(nn.ModuleList):
    """Torch7's ConcatTable with the addition behind it: the sum of what its members make of one input."""

    def forward(self, x: Tensor) -> Tensor:
        return self[0](x) + self[1](x)


class Pooled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def nested(layers: tuple[int, ...], *, bottleneck: bool) -> nn.Sequential:
    """fb.resnet.torch's ImageNet ResNet: containers in containers, named by their positions."""
    parts: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    parts.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for stage, depth in enumerate(layers):
        blocks = []
        width = 64 * 2**stage
        out = 4 * width if bottleneck else width
        for place in range(depth):
            stride = 2 if stage and place == 0 else 1
            blocks.append(_nested_block(channels, width, out, stride, bottleneck=bottleneck))
            channels = out
        parts.append(nn.Sequential(*blocks))
    return nn.Sequential(*parts, nn.Identity(), Pooled(), nn.Linear(channels, 1000))


def _nested_block(channels: int, width: int, out: int, stride: int, *, bottleneck: bool) -> nn.Sequential:
    kernels = ((1, 1), (3, stride), (1, 1)) if bottleneck else ((3, stride), (3, 1))
    branch: list[nn.Module] = []
    incoming = channels
    for place, (kernel, step) in enumerate(kernels):
        last = place == len(kernels) - 1
        branch += [
            nn.Conv2d(incoming, out if last else width, kernel, step, kernel // 2, bias=False),
            nn.BatchNorm2d(out if last else width),
        ]
        branch += [] if last else [nn.ReLU()]
        incoming = width
    shortcut: nn.Module = nn.Identity()
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
    return nn.Sequential(Both([nn.Sequential(*branch), shortcut]), nn.Identity(), nn.ReLU())
