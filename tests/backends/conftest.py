"""Live and printed modules of the shipped specs, and images that they take."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import archspec
from archspec.errors import ProblemsFound
from archspec.ir.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.architecture import Architecture


def printed_class(source: str) -> type[nn.Module]:
    """The network's class in generated source: the last one defined."""
    namespace: dict[str, Any] = {"__name__": "generated"}
    exec(compile(source, "generated", "exec"), namespace)
    name = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)][-1]
    found: type[nn.Module] = namespace[name]
    return found


def printed(architecture: Architecture) -> nn.Module:
    """The printed network, constructed."""
    return printed_class(archspec.source(architecture))()


def image_size(architecture: Architecture) -> int:
    """The smallest of a few sizes that the network takes: most need no 224 pixels to be compared."""
    channels = architecture.input_shape[0]
    for size in (32, 64, architecture.input_shape[1]):
        try:
            Walk().graph(architecture.graph, (channels, size, size))
        except ProblemsFound:
            continue
        return size
    raise AssertionError("a network takes its own size")


def images(architecture: Architecture, batch: int = 2) -> Tensor:
    """Random images for a network."""
    size = image_size(architecture)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, architecture.input_shape[0], size, size, generator=generator)


def calibrate(module: nn.Module, batch: Tensor) -> None:
    """Gives the norms the statistics of a batch, then shakes them: outputs then depend on the input everywhere."""
    generator = torch.Generator().manual_seed(1)
    norms = [each for each in module.modules() if isinstance(each, nn.BatchNorm2d)]
    if not norms:
        # without norms, torch's own filling lets the signal fade
        for weight in (each for each in module.parameters() if each.dim() > 1):
            nn.init.kaiming_normal_(weight, generator=generator)
    for norm in norms:
        norm.momentum = None  # a plain average
    with torch.no_grad():
        module.train()(batch)
        for norm in norms:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean += 0.1 * torch.randn(norm.num_features, generator=generator)
            norm.running_var *= 0.8 + 0.4 * torch.rand(norm.num_features, generator=generator)
            norm.weight *= 0.8 + 0.4 * torch.rand(norm.num_features, generator=generator)
            norm.bias += 0.1 * torch.randn(norm.num_features, generator=generator)
    module.eval()


def gradients(module: nn.Module, batch: Tensor) -> Iterator[Tensor]:
    """The gradients of a sum of squares for the input and every parameter, dropout seeded."""
    batch = batch.clone().requires_grad_()
    torch.manual_seed(5)
    module(batch).square().sum().backward()
    assert batch.grad is not None
    yield batch.grad
    for parameter in module.parameters():
        assert parameter.grad is not None
        yield parameter.grad
