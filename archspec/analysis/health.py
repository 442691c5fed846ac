"""Signals on one batch: activations on their way forward, gradients on their way back, layer by layer.

The network is in training mode, so that batch normalisation takes the batch's own statistics; dropout rests. The loss
is the mean cross-entropy. Activations and gradients are those of a layer's own output, before any normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from archspec.analysis.moments import deviation, norm
from archspec.analysis.trend import trend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from archspec.analysis.layers import Layer
    from archspec.analysis.trend import Trend, Verdict

MODE = "training mode (normalisation by the batch's own statistics), without dropout; mean cross-entropy"


@dataclass(frozen=True, slots=True)
class Signal:
    """Of one layer: the deviations of its output and of the loss's gradient there, and the norms of its weights'."""

    layer: Layer
    activation: float
    gradient: float
    weight_gradient: float
    weight: float

    @property
    def ratio(self) -> float:
        """The gradient of the weights, as a share of the weights."""
        return self.weight_gradient / self.weight if self.weight else float("nan")

    def as_json(self) -> dict[str, Any]:
        """What is no finite number is null."""
        numbers = {
            "activation_std": self.activation,
            "gradient_std": self.gradient,
            "weight_gradient_norm": self.weight_gradient,
            "weight_norm": self.weight,
            "gradient_to_weight": self.ratio,
        }
        told = {name: value if isfinite(value) else None for name, value in numbers.items()}
        return {"name": self.layer.name, "kind": self.layer.kind, "role": self.layer.role, **told}


@dataclass(frozen=True, slots=True)
class Health:
    """What was seen in one network, in one state."""

    state: str
    loss: float
    signals: tuple[Signal, ...]

    @property
    def path(self) -> tuple[Signal, ...]:
        """What the trends are taken over: the convolutions of the main path; all layers where there are too few."""
        found = tuple(each for each in self.signals if each.layer.main and each.layer.kind != "linear")
        return found if len(found) > 1 else tuple(each for each in self.signals if each.layer.main)

    @property
    def forward(self) -> Trend:
        """Of the activations, from the image on."""
        return trend([each.layer.name for each in self.path], [each.activation for each in self.path])

    @property
    def backward(self) -> Trend:
        """Of the gradients, from the loss on."""
        back = self.path[::-1]
        return trend([each.layer.name for each in back], [each.gradient for each in back])

    @property
    def verdict(self) -> Verdict:
        """The gradients', unless it is only the activations that are not healthy."""
        back = self.backward.verdict
        return back if back != "healthy" else self.forward.verdict

    def __str__(self) -> str:
        """A sentence."""
        forward, backward = self.forward, self.backward
        if forward.not_finite is not None:
            return f"{self.verdict}: activations {forward}, so there are no gradients"
        return (
            f"{self.verdict}: activations are {forward.verdict} ({forward}); "
            f"gradients, from the loss back, are {backward.verdict} ({backward})"
        )

    def as_json(self) -> dict[str, Any]:
        """Verdict, trends and layers."""
        return {
            "state": self.state,
            "loss": self.loss if isfinite(self.loss) else None,
            "verdict": self.verdict,
            "sentence": str(self),
            "forward": self.forward.as_json(),
            "backward": self.backward.as_json(),
            "layers": [{"index": place, **each.as_json()} for place, each in enumerate(self.signals, 1)],
        }


@dataclass(slots=True)
class _Seen:
    """By layer; what a gradient never reached is 0."""

    activation: dict[str, float] = field(default_factory=dict)
    gradient: dict[str, float] = field(default_factory=dict)


def signals(
    network: nn.Module,
    layers: Sequence[Layer],
    images: Tensor,
    labels: Tensor,
    *,
    state: str = "",
    tell: Callable[[str], None] = lambda _: None,
) -> Health:
    """Of normalised images (N, C, H, W) and labels (N,). The network's running statistics move."""
    seen = _Seen()
    _train(network)
    network.zero_grad(set_to_none=True)
    hooks = [
        network.get_submodule(layer.name).register_forward_hook(
            _watch(seen, layer.name, place, len(layers), tell)
        )
        for place, layer in enumerate(layers, 1)
    ]
    try:
        with torch.enable_grad():
            loss = cross_entropy(network(images).flatten(1), labels)
            loss.backward()  # type: ignore[no-untyped-call]
    finally:
        for hook in hooks:
            hook.remove()
    weights = [network.get_submodule(layer.name).get_parameter("weight") for layer in layers]
    found = tuple(
        Signal(
            layer,
            seen.activation[layer.name],
            seen.gradient.get(layer.name, 0.0),
            0.0 if weight.grad is None else norm(weight.grad),
            norm(weight),
        )
        for layer, weight in zip(layers, weights, strict=True)
    )
    network.zero_grad(set_to_none=True)
    network.eval()
    return Health(state, float(loss.detach()), found)


def _watch(
    seen: _Seen, name: str, place: int, count: int, tell: Callable[[str], None]
) -> Callable[..., None]:
    """A hook: what goes into the next layer may be overwritten there, so it is looked at right away."""

    def back(gradient: Tensor) -> None:
        seen.gradient[name] = deviation(gradient)
        tell(f"back at layer {place:,} of {count:,}")

    def forth(_: nn.Module, __: object, output: Tensor) -> None:
        seen.activation[name] = deviation(output)
        output.register_hook(back)  # type: ignore[no-untyped-call]
        tell(f"at layer {place:,} of {count:,}")

    return forth


def _train(network: nn.Module) -> None:
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
