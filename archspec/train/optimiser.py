"""A recipe's optimiser, as torch implements it, fused where torch can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from archspec.recipes.models import Optimiser

_DECAYING = {"weights": (nn.Conv2d, nn.Linear), "conv": (nn.Conv2d,)}


def make_optimiser(network: nn.Module, told: Optimiser) -> torch.optim.Optimizer:
    """The optimiser of a network's parameters: those that decay in the first group, the others in the second."""
    decaying, others = _groups(network, told.decay)
    fused = not any(
        isinstance(each, DTensor) for each in decaying
    )  # torch has no fused SGD for parts of tensors
    groups: list[dict[str, Any]] = [{"params": decaying, "weight_decay": told.weight_decay}]
    if others:
        groups.append({"params": others, "weight_decay": 0.0})
    if told.kind == "sgd":
        return torch.optim.SGD(
            groups, lr=told.lr, momentum=told.momentum, nesterov=told.nesterov, fused=fused
        )
    kind = torch.optim.Adam if told.kind == "adam" else torch.optim.AdamW
    return kind(groups, lr=told.lr, betas=told.betas, eps=told.eps, fused=fused)


def _groups(network: nn.Module, decay: str) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters that decay, and parameters that don't, in the order of the network."""
    parameters = list(network.parameters())
    if decay == "all":
        return parameters, []
    kinds = _DECAYING[decay]
    chosen = {id(module.weight) for module in network.modules() if isinstance(module, kinds)}
    return [each for each in parameters if id(each) in chosen], [
        each for each in parameters if id(each) not in chosen
    ]
