"""Training as most people write it in PyTorch: pictures as PIL images, varied one by one by a loader's workers.

The peer of our loop. It is meant to be good of its kind, and plain: NCHW, fp32, torch's defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np

WORKERS = 2


class Block(nn.Module):
    """Two convolutions and a shortcut without parameters: every second pixel, channels of zeros behind (option A)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.more = stride, after - before

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = x
        if self.more:
            shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return functional.relu(out + shortcut)


class ResNet20(nn.Module):
    """ResNet-20 of He et al. 2015, section 4.2."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        widths = [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2 + [(32, 64, 2)] + [(64, 64, 1)] * 2
        self.blocks = nn.Sequential(*(Block(*each) for each in widths))
        self.linear = nn.Linear(64, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        out = self.blocks(functional.relu(self.bn(self.conv(x))))
        return self.linear(functional.adaptive_avg_pool2d(out, 1).flatten(1))


class Pictures(Dataset[tuple[Any, int]]):
    """Images of bytes, (N, H, W, C) or (N, H, W), each handed on as a PIL image, as torchvision's sets do it."""

    def __init__(
        self, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], transform: Callable[[Any], Any]
    ) -> None:
        self.images, self.labels, self.transform = images, labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def varied(side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Callable[[Any], Any]:
    """The usual transforms for training."""
    return transforms.Compose(
        [
            transforms.RandomCrop(side, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


def centred(mean: Tensor, vary: int | None) -> Callable[[Any], Any]:
    """Transforms that subtract a mean image, as the paper has them: what is padded is 0. `vary`: the crop's side."""
    plain = [transforms.ToTensor(), transforms.Normalize(mean, torch.ones_like(mean))]
    if vary is None:
        return transforms.Compose(plain)
    crop = transforms.RandomCrop(vary, padding=4)
    return transforms.Compose([*plain, crop, transforms.RandomHorizontalFlip()])


def loader(pictures: Pictures, batch: int, *, shuffle: bool) -> DataLoader[Any]:
    """Batches of pictures, made by two workers."""
    pinned = torch.cuda.is_available()
    return DataLoader(pictures, batch, shuffle=shuffle, num_workers=WORKERS, pin_memory=pinned)


def optimiser(network: nn.Module, decaying: Iterable[nn.Parameter] | None = None) -> torch.optim.SGD:
    """SGD as the paper has it. Where some parameters alone decay, they are named."""
    if decaying is None:
        return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    chosen = list(decaying)
    ids = {id(each) for each in chosen}
    others = [each for each in network.parameters() if id(each) not in ids]
    groups = [{"params": chosen, "weight_decay": 1e-4}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def train_epoch(
    network: nn.Module,
    batches: Iterable[Any],
    optimizer: torch.optim.Optimizer,
    *,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    device: str = "cpu",
) -> float:
    """One epoch; its mean loss. A scheduler is told of every step."""
    network.train()
    criterion = nn.CrossEntropyLoss()
    running, steps = 0.0, 0
    for images, labels in batches:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        running += loss.item()
        steps += 1
    return running / steps


@torch.no_grad()
def accuracy(network: nn.Module, batches: Iterable[Any], device: str = "cpu") -> float:
    """The share of images that a network tells rightly."""
    network.eval()
    right = count = 0
    for images, labels in batches:
        found = network(images.to(device)).argmax(1)
        right += (found == labels.to(device)).sum().item()
        count += len(labels)
    return right / count
