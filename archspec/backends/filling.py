"""How weights are filled: one plan from a spec's `[init]`, read by both PyTorch backends.

Both go through `self.modules()` in the same order with torch's generator in the same state, so one seed gives
one network. He's initialisation is He et al. 2015b (arXiv 1502.01852), eq. 10 (fan-in) and 14 (fan-out).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archspec.spec.models import Init, InitKind

Keyword = tuple[str, str | float]


@dataclass(frozen=True, slots=True)
class Fill:
    """A call of `nn.init`: `nn.init.kaiming_normal_(module.weight, mode="fan_out")`."""

    function: str
    tensor: str
    keywords: tuple[Keyword, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done to every module of a kind: torch's own reset first where something of it remains."""

    module: str
    reset: bool
    fills: tuple[Fill, ...]

    @property
    def bias_only(self) -> bool:
        """Whether the reset matters for a bias alone: the weight is filled behind it."""
        return self.reset and any(fill.tensor == "weight" for fill in self.fills)


def rules(init: Init) -> tuple[Rule, ...]:
    """The rules of a spec, for convolutions and linear layers. What has no rule resets itself."""
    both = (_rule("nn.Conv2d", init.conv, init), _rule("nn.Linear", init.linear, init))
    return tuple(rule for rule in both if rule.fills)


def _rule(module: str, kind: InitKind, init: Init) -> Rule:
    fills = [] if kind == "torch" else [_weight(kind, init)]
    if init.bias == "zero":
        fills.append(Fill("zeros_", "bias"))
    return Rule(module, kind == "torch" or init.bias == "torch", tuple(fills))


def _weight(kind: InitKind, init: Init) -> Fill:
    match kind:
        case "xavier-normal":
            return Fill("xavier_normal_", "weight")
        case "normal":
            return Fill("normal_", "weight", (("std", init.std),))
        case _:
            mode = "fan_in" if kind == "he-normal-fan-in" else "fan_out"
            # torch's default gain here, a leaky ReLU of slope 0, is ReLU's
            return Fill("kaiming_normal_", "weight", (("mode", mode),))


_WORDS = {
    "he-normal-fan-in": "He normal (fan-in)",
    "he-normal-fan-out": "He normal (fan-out)",
    "xavier-normal": "Xavier normal",
    "normal": "normal",
    "torch": "torch's default",
}


def described(init: Init) -> str:
    """One sentence for a docstring."""
    return f"Convolutions: {_WORDS[init.conv]}. Linear layers: {_WORDS[init.linear]}."
