"""How commands load what they work on: a spec, a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.api import load as load_architecture
from archspec.passes.budget import Budget
from archspec_cli.output import fail

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.data.find import Source
    from archspec.train.contenders import Contender


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


def sought(name: str | None, root: Path | None, first: Contender) -> Source:
    """The set that is named, for a network's input."""
    from archspec.data.find import NAMES, find
    from archspec.weights.match import classes

    if name is None:
        fail("no data set is named", f"--data takes {', '.join(NAMES)}")
    channels, height, width = first.architecture.input_shape
    return find(name, root, shape=(channels, height, width), classes=classes(first.architecture))
