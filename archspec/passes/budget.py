"""Bounds that are checked in closed form before anything is built."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from archspec.errors import Problem

if TYPE_CHECKING:
    from archspec.passes.measure import Counts


class Budget(NamedTuple):
    """The most that a network may have. The defaults hold every network of the paper several times over."""

    params: int = 1_000_000_000
    activations: int = 1_000_000_000
    layers: int = 20_000

    def problems(self, counts: Counts) -> list[Problem]:
        """What exceeds the budget."""
        weighted = counts.layers + counts.projections
        checks = (
            ("AS401", "parameters", counts.params, self.params, "--max-params"),
            ("AS402", "activations for one image", counts.activations, self.activations, "--max-activations"),
            ("AS403", "layers", weighted, self.layers, "--max-layers"),
        )
        return [
            Problem(code, f"{value:,} {what}, but the budget is {most:,}", ("name",), f"{option} raises it")
            for code, what, value, most, option in checks
            if value > most
        ]
