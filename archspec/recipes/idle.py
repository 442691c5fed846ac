"""Keys that nothing reads, because another key switches them off: which they are, and a recipe without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.errors import Loc, Problem
from archspec.recipes.fields import TRAIN_ERROR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archspec.recipes.models import Recipe
    from archspec.spec.inherit import Sources


@dataclass(frozen=True, slots=True)
class Rule:
    """Keys of one table that are read under certain values of a switch alone."""

    keys: tuple[str, ...]
    switch: Loc
    used: Callable[[Recipe], bool]
    needed: str

    @property
    def locs(self) -> tuple[Loc, ...]:
        """Where the keys stand: beside the switch."""
        return tuple((*self.switch[:-1], key) for key in self.keys)


def _waits(recipe: Recipe) -> bool:
    return recipe.schedule.warmup is None or recipe.schedule.warmup.until == TRAIN_ERROR


_KIND = ("schedule", "kind")
_WARMUP = ("schedule", "warmup", "until")
_MEASURED = ("per-pixel-mean", "per-channel", "per-channel-std")
_DIVIDING = ("steps", "every", "plateau")
RULES = (
    Rule(("milestones",), _KIND, lambda it: it.schedule.kind == "steps", 'kind = "steps"'),
    Rule(("period",), _KIND, lambda it: it.schedule.kind == "every", 'kind = "every"'),
    Rule(
        ("watch", "patience", "threshold", "most_drops"),
        _KIND,
        lambda it: it.schedule.kind == "plateau",
        'kind = "plateau"',
    ),
    Rule(("divide_by",), _KIND, lambda it: it.schedule.kind in _DIVIDING, "a kind that divides"),
    Rule(("below", "every"), _WARMUP, _waits, f'until = "{TRAIN_ERROR}"'),
    Rule(("which",), ("data", "split"), lambda it: it.data.split > 0, "a split"),
    Rule(("aspect",), ("augment", "area"), lambda it: it.augment.area is not None, "an area"),
    Rule(("fill",), ("augment", "pad"), lambda it: it.augment.pad > 0, "a pad"),
    Rule(("pca_sigma",), ("augment", "colour"), lambda it: it.augment.colour == "pca", 'colour = "pca"'),
    Rule(("mean", "std"), ("normalise", "kind"), lambda it: it.normalise.kind == "fixed", 'kind = "fixed"'),
    Rule(
        ("momentum", "nesterov"), ("optimiser", "kind"), lambda it: it.optimiser.kind == "sgd", 'kind = "sgd"'
    ),
    Rule(("betas", "eps"), ("optimiser", "kind"), lambda it: it.optimiser.kind != "sgd", "adam or adamw"),
    Rule(
        ("decay",), ("optimiser", "weight_decay"), lambda it: it.optimiser.weight_decay > 0, "a weight_decay"
    ),
    Rule(
        ("sample",), ("normalise", "kind"), lambda it: it.normalise.kind in _MEASURED, "statistics of images"
    ),
    Rule(("crop",), ("test", "crops"), lambda it: it.test.crops != "full", "single or ten crops"),
)


def idle(recipe: Recipe, sources: Sources) -> Iterator[Problem]:
    """Keys that change nothing. What a base says for a switch that was since set otherwise is no mistake."""
    merged = sources.merged()
    order = {document.file: place for place, document in enumerate(sources.documents)}

    def said(loc: Loc) -> int:
        return order[sources.origin(loc)[0].file] if _holds(merged, loc) else -1

    for rule in RULES:
        if rule.used(recipe):
            continue
        for loc in rule.locs:
            if _holds(merged, loc) and said(loc) >= said(rule.switch):
                yield Problem(
                    "AS541", f'"{loc[-1]}" changes nothing here: it goes with {rule.needed}', loc, at="key"
                )


def _holds(table: object, loc: Loc) -> bool:
    for key in loc:
        if not isinstance(table, dict) or key not in table:
            return False
        table = table[key]
    return True


def effective(recipe: Recipe) -> dict[str, Any]:
    """A recipe's values without those that nothing reads: all that a run depends on, and its name and words."""
    table = recipe.model_dump(mode="json", exclude_none=True)
    for rule in RULES:
        holder: Any = table
        for key in rule.switch[:-1]:
            holder = holder.get(key, {})
        for key in () if rule.used(recipe) else rule.keys:
            holder.pop(key, None)
    return table
