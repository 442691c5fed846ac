"""The audit of detectors: what three witnesses count, and what the paper says of what regions share."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from archspec.audit.run import Finding
from archspec.audit.table import plain_name, starts
from archspec.audit.verdict import judge
from archspec.audit.witness import on_the_path
from archspec.detection.counts import counted, largest
from archspec.detection.load import load_detector
from archspec.detection.witness import hear
from archspec.ir.operation import dims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from archspec.audit.run import Count
    from archspec.audit.table import Published, PublishedDetector
    from archspec.audit.witness import WitnessName
    from archspec.detection.load import LoadedDetector

_SMALL = (64, 96)
_PROBED = 1024


class Shared(NamedTuple):
    """What one witness says of the part that all regions share. None is what it cannot see."""

    convolutions: int
    stride: int | None


def own(
    published: Published, entry: PublishedDetector, witnesses: Sequence[WitnessName]
) -> Iterator[Finding]:
    """The table's own detector against its rows."""
    yield from against(entry, load_detector(published.spec(entry.spec)), entry.spec, witnesses)


def against(
    entry: PublishedDetector, loaded: LoadedDetector, shown_as: str, witnesses: Sequence[WitnessName]
) -> Iterator[Finding]:
    """A detector against a table's rows."""
    said = {witness: _hear_shared(loaded, witness) for witness in witnesses}
    for row in entry.rows:
        counts: dict[WitnessName, Count] = {name: getattr(each, row.quantity) for name, each in said.items()}
        exact = counts["graph"]
        assert isinstance(exact, int), "the graph sees all"
        judgement = judge(Decimal(exact), Decimal(row.printed))
        yield Finding(
            network=entry.name,
            spec=shown_as,
            quantity=row.quantity,
            stage="",
            printed=row.printed,
            place=row.place,
            convention="",
            witnesses=counts,
            verdict=judgement.verdict,
            reason="; ".join([*_dispute(counts), *([judgement.reason] if judgement.reason else [])]),
        )


def entry_for(published: Published, loaded: LoadedDetector) -> PublishedDetector | None:
    """The table's detector of the same network and the same cut: resnet101-v1.5 is a ResNet-101."""
    for entry in published.table.detectors:
        theirs = load_detector(published.spec(entry.spec))
        names = plain_name(loaded.architecture.name), plain_name(theirs.architecture.name)
        if starts(*names) and loaded.detector.cut == theirs.detector.cut:
            return entry
    return None


def witnessed(
    loaded: LoadedDetector,
    shown_as: str,
    witnesses: Sequence[WitnessName],
    *,
    size: tuple[int, int] | None = None,
    step: Callable[[str], None] = lambda _: None,
) -> Iterator[Finding]:
    """What each witness counts for an image of `(height, width)`, by default of the detector's largest."""
    said = {}
    for witness in witnesses:
        step(f"{loaded.name}, {witness}")
        said[witness] = hear(loaded, witness, size)
    image = dims(size or largest(loaded))
    for quantity, name, stage in (
        ("params", "parameters", ""),
        ("macs per image", "per_image", image),
        ("macs per region", "per_region", ""),
    ):
        counts: dict[WitnessName, Count] = {witness: getattr(each, name) for witness, each in said.items()}
        yield Finding(
            network=loaded.name,
            spec=shown_as,
            quantity=quantity,
            stage=stage,
            printed="",
            place="",
            convention="conv+linear" if quantity.startswith("macs") else "",
            witnesses=counts,
            verdict="not printed",
            reason="; ".join(_dispute(counts)),
        )


def _dispute(counts: dict[WitnessName, Count]) -> list[str]:
    known = {count for count in counts.values() if count is not None}
    return ["the witnesses disagree"] if len(known) > 1 else []


def _hear_shared(loaded: LoadedDetector, witness: WitnessName) -> Shared:
    return {"graph": _graph, "fvcore": _fvcore, "torch": _torch}[witness](loaded)


def _graph(loaded: LoadedDetector) -> Shared:
    return Shared(counted(loaded, _SMALL).part("shared").counts.layers, loaded.parts.stride)


def _fvcore(loaded: LoadedDetector) -> Shared:
    import warnings

    import torch

    from archspec.detection.build import detector

    shared = detector(loaded, init=False).eval().backbone
    with warnings.catch_warnings():
        # fvcore leans on interfaces that torch deprecates; that is fvcore's to mend
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(shared, torch.zeros(1, loaded.parts.image_channels, *_SMALL))
        analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
        found = analysis.by_module_and_operator()
    leaves = [name for name, each in shared.named_modules() if not any(True for _ in each.children())]
    return Shared(sum(bool(found[name]["conv"]) and on_the_path(name) for name in leaves), None)


def _torch(loaded: LoadedDetector) -> Shared:
    import torch

    from archspec.detection.build import detector

    with torch.device("meta"):
        shared = detector(loaded, init=False).eval().backbone
        output = shared(torch.empty(1, loaded.parts.image_channels, _PROBED, _PROBED))
    convolutions = (name for name, each in shared.named_modules() if isinstance(each, torch.nn.Conv2d))
    return Shared(sum(map(on_the_path, convolutions)), _PROBED // output.shape[-1])
