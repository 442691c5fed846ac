"""The residual networks of arXiv 1512.03385 and their relatives, under torchvision's parameter names.

Weights keep PyTorch's default initialisation: a comparison copies them from one side to the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

BlockKind = Literal["basic", "bottleneck"]
Shortcut = Literal["none", "A", "B", "C"]
StrideOn = Literal["1x1", "3x3"]
Pad = Literal["end", "both"]
Pool = Literal["floor", "ceil"]
Order = Literal["post", "pre"]


@dataclass(frozen=True)
class Style:
    """What every block of one network has in common."""

    shortcut: Shortcut
    pad: Pad
    stride_on: StrideOn = "1x1"
    groups: int = 1
    base_width: int = 64
    se: bool = False

    def inner_width(self, planes: int) -> int:
        """Channels of a bottleneck's 3x3 convolution."""
        return planes * self.base_width // 64 * self.groups

    def strides(self, stride: int) -> tuple[int, int]:
        """Strides of a bottleneck's first 1x1 and of its 3x3."""
        return (stride, 1) if self.stride_on == "1x1" else (1, stride)


def conv1x1(cin: int, cout: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 1, stride, bias=False)


def conv3x3(cin: int, cout: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, 3, stride, padding=1, groups=groups, bias=False)


class PaddedIdentity(nn.Module):
    """Option A: every stride-th pixel, and zero channels up to the wanted number."""

    def __init__(self, cin: int, cout: int, stride: int, pad: Pad) -> None:
        super().__init__()
        self.stride = stride
        self.before = (cout - cin) // 2 if pad == "both" else 0
        self.after = cout - cin - self.before

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))


def make_shortcut(style: Style, cin: int, cout: int, stride: int, norm: bool = True) -> nn.Module | None:
    """The module on a block's shortcut; None where there is no shortcut at all (a plain net)."""
    if style.shortcut == "none":
        return None
    same = cin == cout and stride == 1
    if style.shortcut != "C" and same:
        return nn.Identity()
    if style.shortcut == "A":
        return PaddedIdentity(cin, cout, stride, style.pad)
    if norm:
        return nn.Sequential(conv1x1(cin, cout, stride), nn.BatchNorm2d(cout))
    return nn.Sequential(conv1x1(cin, cout, stride))


def make_gate(style: Style, channels: int) -> nn.Module | None:
    """Squeeze and excitation with ratio 16: one factor per channel."""
    if not style.se:
        return None
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Conv2d(channels, channels // 16, 1),
        nn.ReLU(),
        nn.Conv2d(channels // 16, channels, 1),
        nn.Sigmoid(),
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions; the second ReLU comes after the addition."""

    def __init__(self, style: Style, cin: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(cin, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = make_shortcut(style, cin, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            out = out + self.downsample(x)
        return F.relu(out)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1; the last has four times as many channels as `planes`."""

    def __init__(self, style: Style, cin: int, planes: int, stride: int) -> None:
        super().__init__()
        width, cout = style.inner_width(planes), 4 * planes
        stride1, stride2 = style.strides(stride)
        self.conv1 = conv1x1(cin, width, stride1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride2, style.groups)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, cout)
        self.bn3 = nn.BatchNorm2d(cout)
        self.gate = make_gate(style, cout)
        self.downsample = make_shortcut(style, cin, cout, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.gate is not None:
            out = out * self.gate(out)
        if self.downsample is not None:
            out = out + self.downsample(x)
        return F.relu(out)


class PreActBottleneck(nn.Module):
    """The same three convolutions, each behind its BN and ReLU; nothing follows the addition.

    A projection takes the activated input, an identity (padded or not) the raw one.
    """

    def __init__(self, style: Style, cin: int, planes: int, stride: int) -> None:
        super().__init__()
        width, cout = style.inner_width(planes), 4 * planes
        stride1, stride2 = style.strides(stride)
        self.bn1 = nn.BatchNorm2d(cin)
        self.conv1 = conv1x1(cin, width, stride1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride2, style.groups)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, cout)
        self.gate = make_gate(style, cout)
        self.downsample = make_shortcut(style, cin, cout, stride, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        out: Tensor = self.conv1(active)
        out = self.conv2(F.relu(self.bn2(out)))
        out = self.conv3(F.relu(self.bn3(out)))
        if self.gate is not None:
            out = out * self.gate(out)
        if self.downsample is not None:
            projects = isinstance(self.downsample, nn.Sequential)
            out = out + self.downsample(active if projects else x)
        return out


def make_stage(
    block: Callable[[Style, int, int, int], nn.Module],
    style: Style,
    depth: int,
    cin: int,
    planes: int,
    cout: int,
    stride: int,
) -> nn.Sequential:
    """`depth` blocks, the first of which changes the size and the channels."""
    first = block(style, cin, planes, stride)
    return nn.Sequential(first, *(block(style, cout, planes, 1) for _ in range(depth - 1)))


class ResNet(nn.Module):
    """An ImageNet network with four stages, by default the one in the authors' release (v1)."""

    def __init__(
        self,
        depths: Sequence[int],
        block: BlockKind = "bottleneck",
        shortcut: Shortcut = "B",
        stride_on: StrideOn = "1x1",
        pad: Pad = "end",
        pool: Pool = "floor",
        conv1_bias: bool = False,
        groups: int = 1,
        base_width: int = 64,
        se: bool = False,
        order: Order = "post",
    ) -> None:
        super().__init__()
        if block == "basic" and (order == "pre" or se or groups != 1 or base_width != 64):
            raise ValueError("order='pre', se, groups and base_width are for bottlenecks")
        style = Style(shortcut, pad, stride_on, groups, base_width, se)
        self.pre = order == "pre"
        make: Callable[[Style, int, int, int], nn.Module] = PreActBottleneck if self.pre else Bottleneck
        expansion = 4
        if block == "basic":
            make, expansion = BasicBlock, 1
        out = [expansion * planes for planes in (64, 128, 256, 512)]

        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=conv1_bias)
        if not self.pre:
            self.bn1 = nn.BatchNorm2d(64)
        if pool == "ceil":
            self.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
        else:
            self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        self.layer1 = make_stage(make, style, depths[0], 64, 64, out[0], stride=1)
        self.layer2 = make_stage(make, style, depths[1], out[0], 128, out[1], stride=2)
        self.layer3 = make_stage(make, style, depths[2], out[1], 256, out[2], stride=2)
        self.layer4 = make_stage(make, style, depths[3], out[2], 512, out[3], stride=2)
        if self.pre:
            self.bn1 = nn.BatchNorm2d(out[3])  # the one BN outside the blocks is the last, not the first
        self.fc = nn.Linear(out[3], 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        if not self.pre:
            x = F.relu(self.bn1(x))
        x = self.maxpool(x)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        if self.pre:
            x = F.relu(self.bn1(x))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class CifarResNet(nn.Module):
    """The CIFAR-10 network of section 4.2 with 6n+2 layers."""

    def __init__(self, n: int, shortcut: Literal["A", "none", "B"] = "A", pad: Pad = "end") -> None:
        super().__init__()
        style = Style(shortcut, pad)
        self.conv1 = conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = make_stage(BasicBlock, style, n, 16, 16, 16, stride=1)
        self.layer2 = make_stage(BasicBlock, style, n, 16, 32, 32, stride=2)
        self.layer3 = make_stage(BasicBlock, style, n, 32, 64, 64, stride=2)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out
