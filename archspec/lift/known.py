"""Which shipped specs compute the same as a lifted one: figures first, operation by operation where those agree."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from archspec.api import load
from archspec.errors import InputError
from archspec.lift.canonical import canonical, equal
from archspec.passes.flatten import flatten
from archspec.provenance import recalled
from archspec.spec.library import shipped_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.architecture import Architecture
    from archspec.lift.lifted import Carried


@cache
def _shipped() -> tuple[tuple[str, Architecture], ...]:
    found = []
    for name in shipped_names():
        try:
            found.append((name, load(name)))
        except InputError:  # a folder of specs may hold one that a user is working on
            continue
    return tuple(found)


def known_as(architecture: Architecture) -> tuple[str, ...]:
    """Shipped specs that compute the same in evaluation at the same image size: as they are, or else folded."""
    figures = architecture.input_shape, architecture.measure.total.macs
    alike = [each for each in _shipped() if (each[1].input_shape, each[1].measure.total.macs) == figures]
    for fold in (False, True):
        found = tuple(name for name, each in alike if same(each, architecture, fold=fold))
        if found:
            return found
    return ()


def same(left: Architecture, right: Architecture, *, fold: bool) -> bool:
    """Whether two specs compute the same in evaluation, with batch normalisation folded or as it stands."""
    one, other = (
        canonical(flatten(each.graph), each.input_shape, fold=fold, evaluation=True) for each in (left, right)
    )
    return equal(one, other)


def carried(metadata: Mapping[str, str], file: str, architecture: Architecture) -> Carried:
    """Whether the spec that a file of archspec's carries computes what was lifted from it."""
    try:
        said = recalled(metadata, file)
    except InputError:
        return "unreadable"
    if said is None:
        return ""
    if said.hash == architecture.hash:
        return "the same function"
    alike = any(same(said, architecture, fold=fold) for fold in (False, True))
    return "the same in evaluation" if alike else "another function"
