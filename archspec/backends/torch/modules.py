"""The modules a live network is made of. They run a plan's steps; none of them knows a block type."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, assert_never

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from archspec.backends.spelling import ChannelPad, Expression, Flattened, Operator, Strided
from archspec.sizes import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.backends.filling import Rule
    from archspec.backends.plan import Plan

_OPERATORS = {("+", False): operator.add, ("+", True): operator.iadd, ("*", False): operator.mul}
_KINDS = {"nn.Conv2d": nn.Conv2d, "nn.Linear": nn.Linear}


class Block(nn.Module):
    """A graph with its submodules: `(N, C, H, W)` in, and out whatever the graph makes of it."""

    def __init__(
        self, title: str, plan: Plan, modules: Mapping[str, nn.Module | None], zero_norm: str | None = None
    ) -> None:
        super().__init__()
        self._title = title
        self._zero_norm = zero_norm
        self._steps = plan.steps
        self._result = plan.result
        for name, module in modules.items():
            self.register_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        values = {"x": x}
        for step in self._steps:
            operands = [values[name] for name in step.operands]
            if not isinstance(step.action, str):
                values[step.target] = _evaluate(step.action, operands)
                continue
            module = getattr(self, step.action)
            # an empty slot passes its second operand on
            values[step.target] = operands[-1] if module is None else module(operands[0])
        return values[self._result]

    def _get_name(self) -> str:
        return self._title


class Network(Block):
    """A whole network. `function_hash` says which function it was compiled to compute."""

    def __init__(
        self,
        plan: Plan,
        modules: Mapping[str, nn.Module | None],
        rules: tuple[Rule, ...],
        *,
        name: str,
        hash: str,
    ) -> None:
        super().__init__(name, plan, modules)
        self.function_hash = hash
        self._rules = {_KINDS[rule.module]: rule for rule in rules}

    def init_weights(self) -> None:
        """Fills every parameter as the spec's `[init]` says, from torch's global generator."""
        for module in self.modules():
            rule = next((rule for kind, rule in self._rules.items() if isinstance(module, kind)), None)
            if rule is not None:
                _fill(module, rule)
            else:
                _reset(module)
        for module in self.modules():
            if isinstance(module, Block) and module._zero_norm is not None:
                nn.init.zeros_(getattr(module, module._zero_norm).weight)


def _fill(module: nn.Module, rule: Rule) -> None:
    if rule.reset and not (rule.bias_only and module.bias is None):
        _reset(module)
    for fill in rule.fills:
        tensor = getattr(module, fill.tensor)
        if tensor is not None:
            getattr(nn.init, fill.function)(tensor, **dict(fill.keywords))


def _reset(module: nn.Module) -> None:
    """Torch's own filling, for the modules that have one."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()


def _evaluate(expression: Expression, operands: list[Tensor]) -> Tensor:
    match expression:
        case Operator():
            result: Tensor = _OPERATORS[expression.symbol, expression.in_place](operands[0], operands[1])
            return result
        case Flattened():
            return operands[0].flatten(1)
        case Strided():
            return _strided(operands[0], evaluate(expression.step))
        case ChannelPad():
            padding = (0, 0, 0, 0, evaluate(expression.before), evaluate(expression.after))
            return F.pad(operands[0], padding)
        case _:
            assert_never(expression)


def _strided(images: Tensor, step: int) -> Tensor:
    """Every `step`-th pixel of (N, C, H, W), with a gradient that lies in memory as the images do.

    A slice's own gradient lies row by row: whoever adds to it or masks it then walks through two layouts at once.
    """
    if not images.is_contiguous(memory_format=torch.channels_last):
        return images[:, :, ::step, ::step]
    return images.permute(0, 2, 3, 1)[:, ::step, ::step].permute(0, 3, 1, 2)
