"""Figure 7's two findings (He et al. 2015, 4.2), held against what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.analysis.responses import Responses

RESIDUAL = "residual nets have smaller responses than plain nets"
DEEPER = "deeper residual nets have smaller responses"
CRITERION = (
    "a net's responses are smaller than another's where their median is, and where those of more than half of the "
    "layers are, layer by layer at the same relative depth"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two networks of which the first is expected to have the smaller responses."""

    smaller: Responses
    larger: Responses

    @property
    def compared(self) -> tuple[tuple[float, float], ...]:
        """Both responses at the relative depth of each layer of the shorter network."""
        count = min(len(self.smaller.stds), len(self.larger.stds))
        depths = [place / max(count - 1, 1) for place in range(count)]
        return tuple((_at(self.smaller.stds, depth), _at(self.larger.stds, depth)) for depth in depths)

    @property
    def below(self) -> int:
        """At how many of these depths it is smaller."""
        return sum(one < other for one, other in self.compared)

    @property
    def holds(self) -> bool:
        """By the criterion."""
        return self.smaller.median < self.larger.median and 2 * self.below > len(self.compared)

    def __str__(self) -> str:
        """In words."""
        one, other = self.smaller, self.larger
        return (
            f"{one.label} has a median of {one.median:.3f}, {other.label} one of {other.median:.3f}; "
            f"{one.label} is smaller in {self.below:,} of {len(self.compared):,} layers"
        )

    def as_json(self) -> dict[str, Any]:
        """The figures that the criterion asks for, and the means."""
        return {
            "expected_smaller": self.smaller.label,
            "expected_larger": self.larger.label,
            "holds": self.holds,
            "medians": [self.smaller.median, self.larger.median],
            "means": [self.smaller.mean, self.larger.mean],
            "layers_smaller": self.below,
            "layers_compared": len(self.compared),
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim of the paper, and the networks that speak to it: it holds where it does for every pair."""

    claim: str
    pairs: tuple[Pair, ...]

    @property
    def holds(self) -> bool:
        """Whether all pairs bear it out."""
        return all(pair.holds for pair in self.pairs)

    def __str__(self) -> str:
        """A sentence."""
        good = sum(pair.holds for pair in self.pairs)
        verdict = "holds" if self.holds else "does not hold" if not good else "holds in part"
        return f"Figure 7, {self.claim}: {verdict} ({good} of {len(self.pairs)}). {'. '.join(map(str, self.pairs))}."

    def as_json(self) -> dict[str, Any]:
        """The claim, the criterion, the figures and the sentence."""
        return {
            "claim": self.claim,
            "criterion": CRITERION,
            "holds": self.holds,
            "pairs": [pair.as_json() for pair in self.pairs],
            "sentence": str(self),
        }


def findings(several: Sequence[Responses]) -> tuple[Finding, ...]:
    """What can be said of these networks: comparable are those whose layers have the same widths."""
    against_plain, deeper = tuple(_against_plain(several)), tuple(_deeper(several))
    both = ((RESIDUAL, against_plain), (DEEPER, deeper))
    return tuple(Finding(claim, pairs) for claim, pairs in both if pairs)


def _against_plain(several: Sequence[Responses]) -> Iterator[Pair]:
    """Each residual net with its plain counterparts of the same depth; where no net has one, with all."""
    plain = [each for each in several if not each.residual]
    nets = [each for each in several if each.residual]
    pairs = [Pair(one, other) for one, other in product(nets, plain) if _alike(one, other)]
    counterparts = [pair for pair in pairs if len(pair.smaller.stds) == len(pair.larger.stds)]
    yield from counterparts or pairs


def _deeper(several: Sequence[Responses]) -> Iterator[Pair]:
    """Each residual net with the next deeper ones."""
    groups: dict[frozenset[int], dict[int, list[Responses]]] = {}
    for each in several:
        if each.residual:
            groups.setdefault(_widths(each), {}).setdefault(len(each.stds), []).append(each)
    for group in groups.values():
        for shallow, deep in pairwise(sorted(group)):
            yield from (Pair(one, other) for one, other in product(group[deep], group[shallow]))


def _alike(one: Responses, other: Responses) -> bool:
    return _widths(one) == _widths(other)


def _widths(each: Responses) -> frozenset[int]:
    return frozenset(layer.channels for layer in each.layers)


def _at(values: Sequence[float], depth: float) -> float:
    """The value at a relative depth from 0 to 1, on the way between two layers."""
    place = depth * (len(values) - 1)
    low = min(int(place), len(values) - 1)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)
