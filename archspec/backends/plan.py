"""How a graph becomes a class: its attributes, its steps, and the variables that hold values.

Both PyTorch backends read the same plan, so what is printed is what runs: the same keys, the same order of
registration, the same variables, the same activations in place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.backends.spelling import Expression, Module, can_overwrite, spell
from archspec.ir import ops
from archspec.ir.graph import INPUT, Call, Graph, Node, Repeat, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

# operations whose gradients do not need their own output, so that an activation may overwrite it
_OVERWRITABLE = (
    ops.Conv2d,
    ops.Linear,
    ops.BatchNorm2d,
    ops.GroupNorm,
    ops.InstanceNorm2d,
    ops.RMSNorm2d,
    ops.FilterResponseNorm2d,
    ops.Add,
)
_SPARE_NAMES = ("out", "y", "z", "u", "v", "w")

Held = Module | Call | Repeat
"""What an attribute holds."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A submodule, by its key. A slot's attribute holds None: the caller gives it."""

    name: str
    held: Held | None


@dataclass(frozen=True, slots=True)
class Step:
    """One line of `forward`: the target variable is an attribute applied, or an expression, of the operands.

    For a slot (`slot=True`) the operands are the value it is applied to and the value it passes on when empty.
    """

    node: Node
    target: str
    operands: tuple[str, ...]
    action: str | Expression
    slot: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph as a class."""

    attributes: tuple[Attribute, ...]
    steps: tuple[Step, ...]
    result: str


def plan(graph: Graph) -> Plan:
    """The class of a graph that is not a chain."""
    variables = _variables(graph)
    uses, overwritable = _uses(graph), _overwritable(graph)
    attributes: dict[str, Held | None] = {}
    shared: dict[Module, str] = {}
    steps = []
    for node in graph.nodes:
        action = _action(node, uses, overwritable, attributes, shared)
        operands = tuple(variables[name] for name in node.inputs)
        steps.append(Step(node, variables[node.name], operands, action, isinstance(node.body, Slot)))
    held = tuple(Attribute(name, value) for name, value in attributes.items())
    return Plan(held, tuple(steps), variables[graph.output])


def chain(graph: Graph) -> tuple[tuple[str, Held], ...]:
    """The members of an `nn.Sequential`, by key."""
    assert graph.chain
    uses, overwritable = _uses(graph), _overwritable(graph)
    members: list[tuple[str, Held]] = []
    for node in graph.nodes:
        if isinstance(node.body, (Call, Repeat)):
            members.append((node.name, node.body))
            continue
        assert not isinstance(node.body, Slot)
        spelling = spell(node.body, in_place=_in_place(node, uses, overwritable))
        assert isinstance(spelling, Module), "a chain holds modules only"
        members.append((node.name, spelling))
    return tuple(members)


def _action(
    node: Node,
    uses: Counter[str],
    overwritable: Set[str],
    attributes: dict[str, Held | None],
    shared: dict[Module, str],
) -> str | Expression:
    body = node.body
    if isinstance(body, (Call, Repeat)):
        attributes[node.name] = body
        return node.name
    if isinstance(body, Slot):
        attributes[node.name] = None
        return node.name
    spelling = spell(body, in_place=_in_place(node, uses, overwritable))
    if not isinstance(spelling, Module):
        return spelling
    if not body.has_state:
        # one `self.relu` serves every place that needs the same
        name = shared.setdefault(spelling, node.name)
        attributes.setdefault(name, spelling)
        return name
    attributes[node.name] = spelling
    return node.name


def _uses(graph: Graph) -> Counter[str]:
    return Counter(name for node in graph.nodes for name in set(node.inputs))


def _overwritable(graph: Graph) -> Set[str]:
    return {node.name for node in graph.nodes if isinstance(node.body, _OVERWRITABLE)}


def _in_place(node: Node, uses: Counter[str], overwritable: Set[str]) -> bool:
    body, (source, *_) = node.body, node.inputs
    if isinstance(body, ops.Activation):
        return can_overwrite(body) and uses[source] == 1 and source in overwritable
    return isinstance(body, ops.Add) and uses[source] == 1 and source in overwritable


def _variables(graph: Graph) -> Mapping[str, str]:
    """A variable for every value: the input's is taken over where it is not needed any more."""
    last_use = {name: place for place, node in enumerate(graph.nodes) for name in node.inputs}
    variables = {INPUT: "x"}
    for place, node in enumerate(graph.nodes):
        main = node.inputs[0]
        if last_use[main] == place and not isinstance(node.body, Slot):
            variables[node.name] = variables[main]
            continue
        live = {variables[name] for name, last in last_use.items() if last > place and name in variables}
        wanted = ("identity",) if isinstance(node.body, Slot) else ()
        variables[node.name] = next(name for name in (*wanted, *_SPARE_NAMES) if name not in live)
    return variables
