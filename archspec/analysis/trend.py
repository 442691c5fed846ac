"""Whether a signal vanishes or explodes on its way through a network: a geometric trend over its layers."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log, log10
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 1000.0
"""By what factor a signal may grow or shrink from one end of a network to the other."""
CRITERION = (
    "a straight line through the logarithms of the standard deviations, over the convolutions of the main path, says "
    f"by what factor a signal grows with each layer; over {LIMIT:,.0f} from end to end is exploding, below "
    f"1/{LIMIT:,.0f} vanishing, all between healthy; what is no finite number is exploding, what ends at 0 vanishing"
)

Verdict = Literal["vanishing", "exploding", "healthy"]


@dataclass(frozen=True, slots=True)
class Trend:
    """Of a signal that passes `names` in this order. `per_layer` is the fitted factor, None where nothing is to fit."""

    names: tuple[str, ...]
    values: tuple[float, ...]
    per_layer: float | None
    not_finite: str | None
    """The first layer that the signal reaches with values that are no finite numbers."""
    zeros: tuple[str, ...]
    """The layers that it reaches as nothing but zeros."""

    @property
    def orders(self) -> float | None:
        """By how many orders of magnitude the fitted signal grows from end to end."""
        if self.per_layer is None:
            return None
        return log10(self.per_layer) * (len(self.names) - 1)

    @property
    def verdict(self) -> Verdict:
        """By the criterion."""
        if self.not_finite is not None:
            return "exploding"
        if self.names and self.names[-1] in self.zeros:
            return "vanishing"
        orders, limit = self.orders, log10(LIMIT)
        if orders is None or -limit <= orders <= limit:
            return "healthy"
        return "exploding" if orders > 0 else "vanishing"

    def __str__(self) -> str:
        """The figures, in words: `x1.21 a layer, x2.7e+04 over 55 layers`."""
        parts = []
        if self.per_layer is not None and self.orders is not None:
            parts.append(
                f"x{self.per_layer:.3g} a layer, {_times(self.orders)} over {len(self.names):,} layers"
            )
        else:
            parts.append("too few layers for a trend")
        if self.not_finite is not None:
            parts.append(f"no finite number from {self.not_finite} on")
        elif self.zeros:
            more = f" and {len(self.zeros) - 1:,} more" if len(self.zeros) > 1 else ""
            parts.append(f"nothing but zeros at {self.zeros[0]}{more}")
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Figures and verdict."""
        return {
            "verdict": self.verdict,
            "factor_per_layer": self.per_layer,
            "orders_of_magnitude": self.orders,
            "layers": len(self.names),
            "first_not_finite": self.not_finite,
            "zero": list(self.zeros),
            "sentence": str(self),
        }


def trend(names: Sequence[str], values: Sequence[float]) -> Trend:
    """Of standard deviations, in the order in which the signal passes the layers."""
    broken = next((name for name, value in zip(names, values, strict=True) if not isfinite(value)), None)
    zeros = tuple(name for name, value in zip(names, values, strict=True) if value == 0)
    points = [
        (float(place), log(value)) for place, value in enumerate(values) if isfinite(value) and value > 0
    ]
    return Trend(tuple(names), tuple(values), _factor(points), broken, zeros)


def _factor(points: Sequence[tuple[float, float]]) -> float | None:
    """By what a layer multiplies, by least squares."""
    if len(points) < 2:
        return None
    x0, y0 = (sum(each) / len(points) for each in zip(*points, strict=True))
    slope = sum((x - x0) * (y - y0) for x, y in points) / sum((x - x0) ** 2 for x, _ in points)
    return exp(slope)


def _times(orders: float) -> str:
    return f"x{10**orders:.3g}" if abs(orders) < 300 else f"x10^{orders:.0f}"
