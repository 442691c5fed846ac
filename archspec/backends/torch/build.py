"""Evaluates the table: from an architecture to a live `torch.nn.Module`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.overrides import TorchFunctionMode

from archspec.backends import support
from archspec.backends.filling import rules
from archspec.backends.plan import Held, Step, chain, plan
from archspec.backends.spelling import ChannelPad, Module, Strided
from archspec.backends.torch.modules import Block, Network
from archspec.ir.graph import Call, Repeat
from archspec.sizes import Binary, Var, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archspec.architecture import Architecture
    from archspec.spec.models import Init


class _NoFilling(TorchFunctionMode):
    """Lets `nn.init` pass without effect: layers fill themselves on construction, and we fill them once."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def build_module(architecture: Architecture, *, init: bool = True) -> Network:
    """The network of an architecture, on torch's current default device."""
    builder = _Builder(architecture.declared.spec.init)
    with _NoFilling():
        network = builder.network(architecture)
    if init:
        network.init_weights()
    return network


class _Builder:
    def __init__(self, init: Init) -> None:
        self.init = init

    def network(self, architecture: Architecture) -> Network:
        plan_ = plan(architecture.graph)
        modules = {each.name: self.sub(each.held, {}) for each in plan_.attributes}
        return Network(plan_, modules, rules(self.init), name=architecture.name, hash=architecture.hash)

    def sub(self, held: Held | None, values: Mapping[str, int]) -> nn.Module | None:
        return None if held is None else self.module(held, values)

    def module(self, held: Held, values: Mapping[str, int]) -> nn.Module:
        if isinstance(held, Module):
            return _evaluate(held, values)
        assert isinstance(held, Call), "a repetition only stands in a chain"
        return self.call(held, values)

    def call(self, call: Call, outer: Mapping[str, int]) -> nn.Module:
        values = {parameter.name: parameter.default or 0 for parameter in call.graph.parameters}
        values |= {name: evaluate(size, outer) for name, size in call.arguments}
        if call.graph.chain:
            return nn.Sequential(
                *(each for member in chain(call.graph) for each in self.members(member[1], values))
            )
        plan_ = plan(call.graph)
        modules = {each.name: self.sub(each.held, values) for each in plan_.attributes}
        modules |= {name: self.call(filled, outer) for name, filled in call.fills}
        zero = call.graph.last_norm if self.init.zero_last_norm else None
        bound = replace(plan_, steps=tuple(_bound(step, values) for step in plan_.steps))
        return Block(call.graph.name, bound, modules, zero)

    def members(self, held: Held, values: Mapping[str, int]) -> list[nn.Module]:
        if not isinstance(held, Repeat):
            return [self.module(held, values)]
        return [self.call(held.call, values) for _ in range(held.times)]


def _evaluate(module: Module, values: Mapping[str, int]) -> nn.Module:
    home, _, name = module.path.rpartition(".")
    kind = getattr(nn if home == "nn" else support, name)
    arguments = [_value(value, values) for value in module.arguments]
    made: nn.Module = kind(*arguments, **{key: _value(value, values) for key, value in module.keywords})
    return made


def _value(value: Any, values: Mapping[str, int]) -> Any:
    return evaluate(value, values) if isinstance(value, (Var, Binary)) else value


def _bound(step: Step, values: Mapping[str, int]) -> Step:
    """The step with integers in its expression."""
    match step.action:
        case Strided(size):
            return replace(step, action=Strided(evaluate(size, values)))
        case ChannelPad(before, after):
            return replace(step, action=ChannelPad(evaluate(before, values), evaluate(after, values)))
    return step
