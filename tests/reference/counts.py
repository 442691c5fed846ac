"""Exact counts of a network, taken while one image runs through it."""

from typing import Any

import torch
from torch import Tensor, nn


def count(model: nn.Module, size: int) -> tuple[int, int, int, int]:
    """Parameters, multiply-adds, layers and projections for one 3 x `size` x `size` image.

    Multiply-adds are those of Conv2d and Linear, without biases. Layers are the Conv2d and Linear
    modules on the main path (not below a `downsample` or a `gate`); projections are the Conv2d
    below a `downsample`. The image is made on the model's device, so a model built under
    `torch.device("meta")` is counted without memory or arithmetic.
    """
    macs = layers = projections = 0

    def add_macs(module: nn.Module, _: Any, out: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            kh, kw = module.kernel_size
            macs += out.numel() * (module.in_channels // module.groups) * kh * kw
        elif isinstance(module, nn.Linear):
            macs += out.numel() * module.in_features

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            hooks.append(module.register_forward_hook(add_macs))
            above = name.split(".")[:-1]
            layers += "downsample" not in above and "gate" not in above
            projections += isinstance(module, nn.Conv2d) and "downsample" in above

    parameters = list(model.parameters())
    modes = [(module, module.training) for module in model.modules()]
    model.eval()  # so that no running statistics move
    try:
        with torch.no_grad():
            model(torch.zeros(1, 3, size, size, device=parameters[0].device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    return sum(p.numel() for p in parameters), macs, layers, projections
