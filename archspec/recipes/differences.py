"""In what one recipe departs from another: what a run's card lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.recipes.idle import effective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.recipes.models import Recipe

_ABOUT = {"format", "name", "about", "source", "says"}


class Difference(NamedTuple):
    """A field with two values; None where a recipe has none, or does not read it."""

    field: str
    here: Any
    there: Any


def differences(recipe: Recipe, other: Recipe) -> tuple[Difference, ...]:
    """Every field in which a recipe departs from another one, defaults included, names and words not."""
    here, there = _values(recipe), _values(other)
    return tuple(
        Difference(name, here.get(name), there.get(name))
        for name in dict.fromkeys([*here, *there])
        if here.get(name) != there.get(name)
    )


def _values(recipe: Recipe) -> dict[str, Any]:
    table = effective(recipe)
    return dict(_leaves({key: each for key, each in table.items() if key not in _ABOUT}, ""))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{name}.{key}" if name else key)
