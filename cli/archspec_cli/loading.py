"""How commands load the spec they work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.api import load as load_architecture
from archspec.passes.budget import Budget

if TYPE_CHECKING:
    from archspec.architecture import Architecture


def load(
    spec: str,
    changes: list[str] | None = None,
    *,
    allow_outside: bool = False,
    max_params: int | None = None,
    max_activations: int | None = None,
    max_layers: int | None = None,
) -> Architecture:
    """The architecture a command works on."""
    usual = Budget()
    budget = Budget(
        max_params or usual.params, max_activations or usual.activations, max_layers or usual.layers
    )
    return load_architecture(spec, settings=changes or (), budget=budget, allow_outside=allow_outside)
