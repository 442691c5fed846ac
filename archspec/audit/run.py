"""The audit: every row of a table against every witness."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archspec.api import load
from archspec.audit.reasons import differences
from archspec.audit.table import Network, Published, Row, metadata
from archspec.audit.verdict import Judgement, Verdict, judge, same
from archspec.audit.witness import WITNESSES, Testimony, WitnessName, hear
from archspec.ir.operation import dims

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.architecture import Architecture

Count = int | str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One audited row."""

    network: str
    spec: str
    quantity: str
    stage: str
    printed: str
    place: str
    convention: str
    witnesses: dict[WitnessName, Count]
    verdict: Verdict
    reason: str

    @property
    def agree(self) -> bool:
        """Whether all witnesses that saw it counted the same."""
        return len({count for count in self.witnesses.values() if count is not None}) <= 1

    @property
    def fine(self) -> bool:
        """Whether the row neither differs nor is disputed."""
        return self.agree and self.verdict != "differs"

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` prints it."""
        table = {name: getattr(self, name) for name in self.__slots__}
        table["witnesses"] = {name: self.witnesses.get(name) for name in WITNESSES}
        return {**table, "agree": self.agree}


class Subject:
    """A spec under audit, with its witnesses' testimonies, each heard once."""

    def __init__(self, architecture: Architecture, shown_as: str, witnesses: Sequence[WitnessName]) -> None:
        self.architecture = architecture
        self.shown_as = shown_as
        self.names = witnesses

    @cached_property
    def testimonies(self) -> dict[WitnessName, Testimony]:
        return {name: hear(self.architecture, name) for name in self.names}

    def counts(self, row: Row) -> dict[WitnessName, Count]:
        """What each witness says about a row."""
        return {name: _count(each, row) for name, each in self.testimonies.items()}


def _count(each: Testimony, row: Row) -> Count:
    if row.quantity == "output":
        size = each.outputs.get(row.stage)
        return None if size is None else dims(size)
    if row.quantity == "macs":
        return each.conv_macs if row.convention == "conv" else each.macs
    return int(getattr(each, row.quantity))


class Audit:
    """An audit of a table's own specs, or of a user's in their place."""

    def __init__(self, published: Published, witnesses: Sequence[WitnessName] = WITNESSES) -> None:
        self.published = published
        self.witnesses = witnesses
        self._loaded: dict[str, Architecture] = {}

    def own(self, network: Network) -> Iterator[Finding]:
        """The table's spec of a network against its rows."""
        subject = Subject(self._reference(network.spec), network.spec, self.witnesses)
        yield from self._findings(network, subject, [])

    def other(self, network: Network, architecture: Architecture, shown_as: str) -> Iterator[Finding]:
        """A user's spec against a network's rows, with what tells it from the table's spec."""
        subject = Subject(architecture, shown_as, self.witnesses)
        yield from self._findings(network, subject, differences(architecture, self._reference(network.spec)))

    def _reference(self, spec: str) -> Architecture:
        if spec not in self._loaded:
            self._loaded[spec] = load(self.published.spec(spec))
        return self._loaded[spec]

    def _findings(self, network: Network, subject: Subject, why: Sequence[str]) -> Iterator[Finding]:
        for row in network.rows:
            counts = subject.counts(row)
            printed = (
                metadata(network.weights or "", row.printed[5:])
                if row.printed.startswith("meta:")
                else row.printed
            )
            judgement = self._judge(row, counts["graph"], printed)
            # what tells a spec from the table's own belongs where it shows: at the counts, and where a row differs
            shows = row.quantity in ("macs", "params") or judgement.verdict == "differs"
            reasons = [judgement.reason, *(why if shows else ())] if why else [row.reason, judgement.reason]
            reasons = [text for text in reasons if text]
            if len({count for count in counts.values() if count is not None}) > 1:
                reasons.insert(0, "the witnesses disagree")
            yield Finding(
                network=network.name,
                spec=subject.shown_as,
                quantity=row.quantity,
                stage=row.stage,
                printed=printed if not row.equals else f"as {row.equals.removesuffix('.toml')}",
                place=row.place,
                convention=row.convention if row.quantity == "macs" else "",
                witnesses=counts,
                verdict=judgement.verdict,
                reason="; ".join(reasons),
            )

    def _judge(self, row: Row, exact: Count, printed: str) -> Judgement:
        if isinstance(exact, str) or exact is None:
            return same(exact or f"no stage {row.stage}", printed)
        if row.equals:
            return self._equal(row, exact)
        if row.share_of:
            whole = self._reference(row.share_of).measure.total.macs
            judgement = judge(Decimal(100 * exact) / Decimal(whole), Decimal(printed.rstrip("%")))
            share = f"{exact:,} of {whole:,}"
            return Judgement(judgement.verdict, f"{share}: {judgement.reason}" if judgement.reason else share)
        return judge(Decimal(exact), Decimal(printed))

    def _equal(self, row: Row, exact: int) -> Judgement:
        """Whether two specs' counts agree to the precision at which the paper compares them."""
        other = self._reference(row.equals).measure.total
        value = {"macs": other.macs, "params": other.params, "layers": other.layers}[row.quantity]
        unit = Decimal(row.unit)
        rounded = (Decimal(value) / unit).quantize(Decimal(1), "ROUND_HALF_UP") * unit
        judgement = judge(Decimal(exact), rounded, unit)
        if judgement.verdict == "rounds":
            return judgement
        return Judgement(judgement.verdict, f"{exact:,} against {value:,}")
