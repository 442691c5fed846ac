"""Prints a plan's steps as `forward`: one line a layer, its normalisation and activation folded onto it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, assert_never

from archspec.backends.source.encode import Src, ident, size
from archspec.backends.source.layout import INDENT, WIDTH
from archspec.backends.spelling import ChannelPad, Expression, Flattened, Operator, Strided
from archspec.ir import ops
from archspec.ir.graph import Call

if TYPE_CHECKING:
    from archspec.backends.plan import Plan, Step
    from archspec.sizes import Size

_FOLDED_ONTO = (
    ops.BatchNorm2d,
    ops.GroupNorm,
    ops.InstanceNorm2d,
    ops.RMSNorm2d,
    ops.FilterResponseNorm2d,
    ops.Activation,
    ops.ThresholdedLinearUnit,
    ops.Dropout,
)


def stored_sizes(plan: Plan) -> dict[str, Size]:
    """The sizes that `forward` needs, by the name under which `__init__` keeps them."""
    found = {name: value for step in plan.steps for name, value in _sizes(step.action).items()}
    return {name: value for name, value in found.items() if not isinstance(value, int)}


def _sizes(action: str | Expression) -> dict[str, Size]:
    match action:
        case Strided():
            return {"stride": action.step}
        case ChannelPad():
            return {"before": action.before, "after": action.after}
    return {}


def _kept(expression: Expression) -> list[Src]:
    """The sizes of an expression as `forward` writes them: a number, or the attribute that holds it."""
    return [
        size(value) if isinstance(value, int) else Src(f"self.{ident(name)}")
        for name, value in _sizes(expression).items()
    ]


def forward_lines(plan: Plan) -> list[Src]:
    """The method, from `def forward` to `return`."""
    lines = [Src(f"{INDENT}def forward(self, x: Tensor) -> Tensor:")]
    uses = Counter(name for step in plan.steps for name in set(step.node.inputs))
    pending: Src | None = None
    for place, step in enumerate(plan.steps):
        code = _code(step, pending)
        if isinstance(step.action, Operator) and step.action.in_place:
            pending = None
            lines.append(Src(f"{INDENT * 2}{step.operands[0]} {step.action.symbol}= {step.operands[1]}"))
            continue
        after = plan.steps[place + 1] if place + 1 < len(plan.steps) else None
        if after is None:
            return [*lines, _line("return ", code)]
        if _folds(step, after, uses) and len(_line("return ", code)) + 16 <= WIDTH:
            pending = code
            continue
        pending = None
        lines.append(_line(f"{step.target} = ", code))
    return [*lines, _line("return ", Src(plan.result))]


def _line(before: str, code: Src) -> Src:
    return Src(f"{INDENT * 2}{before}{code}")


def _folds(step: Step, after: Step, uses: Counter[str]) -> bool:
    """Whether a value is written inside the next line instead of being given a name."""
    if uses[step.node.name] != 1 or step.node.name not in after.node.inputs or step.slot:
        return False
    if isinstance(after.node.body, ops.Multiply):
        return isinstance(step.node.body, Call) and step.node.body.graph.role == "gate"
    return isinstance(after.node.body, _FOLDED_ONTO)


def _code(step: Step, pending: Src | None) -> Src:
    """The step as an expression; `pending` stands for its last operand where the line before was folded."""
    operands = [Src(each) for each in step.operands]
    if step.slot:
        name = ident(str(step.action))
        return Src(f"{operands[1]} if self.{name} is None else self.{name}({operands[0]})")
    if pending is not None:
        operands[-1] = pending
    if isinstance(step.action, str):
        return Src(f"self.{ident(step.action)}({operands[0]})")
    return _expression(step.action, operands)


def _expression(expression: Expression, operands: list[Src]) -> Src:
    match expression:
        case Operator():
            return Src(f"{operands[0]} {expression.symbol} {operands[1]}")
        case Flattened():
            return Src(f"{operands[0]}.flatten(1)")
        case Strided():
            (step,) = _kept(expression)
            return Src(f"{operands[0]}[:, :, :: {step}, :: {step}]")
        case ChannelPad():
            before, after = _kept(expression)
            return Src(f"F.pad({operands[0]}, (0, 0, 0, 0, {before}, {after}))")
        case _:
            assert_never(expression)
