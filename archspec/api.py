"""The functions people import: load, measure, build, source. Each takes a path, a shipped name or an architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.architecture import Architecture, compiled
from archspec.spec.load import load_spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from archspec.passes.budget import Budget


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


def _loaded(
    spec: str | Path | Architecture, params: Mapping[str, int] | None, settings: Sequence[str]
) -> Architecture:
    if not isinstance(spec, Architecture):
        return load(spec, params, settings=settings)
    if params or settings:
        raise TypeError("a loaded architecture has its parameters; give params and settings to archspec.load")
    return spec


def build(
    spec: str | Path | Architecture,
    params: Mapping[str, int] | None = None,
    *,
    settings: Sequence[str] = (),
    init: bool = True,
) -> nn.Module:
    """The network as a `torch.nn.Module`: `(N, C, H, W)` in, `(N, classes)` out.

    Weights are filled as the spec's `[init]` says, from torch's global generator; `init=False` leaves them
    unfilled. Under `with torch.device("meta"):` no memory is touched. Raises `archspec.SpecError`.
    """
    from archspec.backends.torch.build import build_module  # torch takes seconds to import

    return build_module(_loaded(spec, params, settings), init=init)


def source(
    spec: str | Path | Architecture, params: Mapping[str, int] | None = None, *, settings: Sequence[str] = ()
) -> str:
    """The network as standalone Python source that imports only torch. Raises `archspec.SpecError`."""
    from archspec.backends.source.render import render  # Jinja2 is only needed here

    return render(_loaded(spec, params, settings))
