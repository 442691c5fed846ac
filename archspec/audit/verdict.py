"""The verdict on one row. The paper's figures follow no single rounding rule, so there are three."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Literal

from archspec.audit.table import precision

Verdict = Literal["rounds", "within-one-unit", "differs", "not printed"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and, where it is not the first, why."""

    verdict: Verdict
    reason: str = ""


def judge(exact: Decimal, printed: Decimal, unit: Decimal | None = None) -> Judgement:
    """Whether an exact value rounds to the printed one, lies within one unit of its last digit, or differs."""
    unit = precision(printed) if unit is None else unit
    rounded = (exact / unit).quantize(Decimal(1), ROUND_HALF_UP) * unit
    if rounded == printed:
        return Judgement("rounds")
    if abs(exact - printed) >= unit:
        return Judgement(
            "differs", f"{_short(exact)} is {_short(abs(exact - printed))} away from {_short(printed)}"
        )
    cut = (exact / unit).quantize(Decimal(1), ROUND_DOWN) * unit
    how = (
        "the printed figure is cut off, not rounded" if cut == printed else "the printed figure is rounded up"
    )
    return Judgement("within-one-unit", f"{_short(exact)} rounds to {_short(rounded)}; {how}")


def same(exact: object, printed: object) -> Judgement:
    """Whether two things that cannot be rounded are equal."""
    return Judgement("rounds") if exact == printed else Judgement("differs", f"{exact}, not {printed}")


def _short(value: Decimal) -> str:
    """A value for reading: 3.858e9, 0.467e6, 19."""
    for exponent in (9, 6):
        if abs(value) >= Decimal(10) ** exponent or (exponent == 6 and abs(value) >= Decimal(10) ** 5):
            scaled = (value / Decimal(10) ** exponent).quantize(Decimal("0.001"), ROUND_HALF_UP).normalize()
            return f"{scaled:f}e{exponent}"
    return f"{value.quantize(Decimal('0.01')).normalize():f}"
