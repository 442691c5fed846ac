"""The functions people import: load, measure, build, source. Each takes a path, a shipped name or an architecture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from archspec.errors import Note, Problem, ProblemsFound
from archspec.lowering.network import lower
from archspec.passes.budget import Budget
from archspec.passes.flatten import function_hash
from archspec.passes.measure import Measure, measure
from archspec.spec.load import load_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from archspec.ir.graph import Graph
    from archspec.spec.architecture import Architecture as Declared


@dataclass(frozen=True)
class Architecture:
    """A spec that is known to make sense: declared, lowered to a graph, measured and within budget."""

    declared: Declared
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


def load(
    spec: str | Path,
    params: Mapping[str, int] | None = None,
    *,
    settings: Sequence[str] = (),
    budget: Budget | None = None,
    allow_outside: bool = False,
) -> Architecture:
    """Reads and checks a spec.

    `params` gives values to the spec's `[params]`; `settings` are `--set` assignments such as
    `"norm.kind=group"`. Raises `archspec.SpecError` with every mistake found and its place.
    """
    return compiled(load_spec(spec, params, settings, allow_outside=allow_outside), budget)


def compiled(declared: Declared, budget: Budget | None = None) -> Architecture:
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


def _family_problems(declared: Declared, measured: Measure) -> list[Problem]:
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


def _loaded(spec: str | Path | Architecture) -> Architecture:
    return spec if isinstance(spec, Architecture) else load(spec)


def build(spec: str | Path | Architecture, *, init: bool = True) -> nn.Module:
    """The network as a `torch.nn.Module`: `(N, C, H, W)` in, `(N, classes)` out.

    Weights are filled as the spec's `[init]` says, from torch's global generator; `init=False` leaves them
    unfilled. Under `with torch.device("meta"):` no memory is touched. Raises `archspec.SpecError`.
    """
    from archspec.backends.torch.build import build_module

    return build_module(_loaded(spec), init=init)


def source(spec: str | Path | Architecture) -> str:
    """The network as standalone Python source that imports only torch. Raises `archspec.SpecError`."""
    from archspec.backends.source.render import render

    return render(_loaded(spec))
