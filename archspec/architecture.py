"""What a spec compiles to before any backend: a graph that is known to make sense, with its counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from archspec.errors import Note, Problem, ProblemsFound
from archspec.lowering.network import lower
from archspec.passes.budget import Budget
from archspec.passes.flatten import function_hash
from archspec.passes.measure import Measure, measure

if TYPE_CHECKING:
    from archspec.ir.graph import Graph
    from archspec.spec.declaration import Declaration


@dataclass(frozen=True)
class Architecture:
    """A spec that is known to make sense: declared, lowered to a graph, measured and within budget."""

    declared: Declaration
    graph: Graph
    measure: Measure

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.declared.name

    @property
    def input_shape(self) -> tuple[int, ...]:
        """`(C, H, W)` of the image it is declared for."""
        return self.declared.input_shape

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the function it computes."""
        return function_hash(self.graph)


def compiled(declared: Declaration, budget: Budget | None = None) -> Architecture:
    """Lowers and measures a declared architecture. Raises `SpecError`."""
    try:
        graph = lower(declared)
        measured = measure(graph, declared.input_shape)
        problems = [*(budget or Budget()).problems(measured.total), *_family_problems(declared, measured)]
    except ProblemsFound as found:
        raise declared.sources.error(found.problems) from found
    if problems:
        raise declared.sources.error(problems)
    return Architecture(declared, graph, measured)


def _family_problems(declared: Declaration, measured: Measure) -> list[Problem]:
    """A family's rule must agree with the layers that are really there."""
    family = declared.spec.family
    if family is None:
        return []
    claimed = declared.size(family.depth, ("family", "depth"), 1, 10**9)
    if claimed == measured.total.layers:
        return []
    message = f"the family's rule gives {claimed} weighted layers, but there are {measured.total.layers}"
    notes = (Note(("stages",), "the stages"),) if declared.spec.stages else ()
    return [Problem("AS309", message, ("family", "depth"), notes=notes)]
