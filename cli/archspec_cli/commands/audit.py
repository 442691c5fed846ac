"""`archspec audit`: published tables against what is really there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from archspec.architecture import Architecture
from archspec.audit.run import Audit, Finding
from archspec.audit.table import Network, Published, load_table, names_of, plain_name, table_names
from archspec.errors import did_you_mean
from archspec.passes.measure import CONVENTION
from archspec_cli.loading import load_any
from archspec_cli.output import emit_json, fail, progress, say, steps, table, tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.audit.table import PublishedDetector
    from archspec.audit.witness import WitnessName
    from archspec.detection.load import LoadedDetector


def run(
    specs: Sequence[str],
    table_name: str,
    witnesses: Sequence[str],
    network: str | None,
    changes: list[str] | None,
    *,
    allow_outside: bool,
    as_json: bool,
    size: str | None = None,
) -> None:
    if not specs and (changes or network or size):
        fail("--set, --as and --size are for a SPEC of yours, and none is given")
    if not table_name.endswith(".toml") and table_name not in table_names():
        fail(f'no table is named "{table_name}"', did_you_mean(table_name, table_names()))
    published = load_table(table_name)
    # the graph's integers are what the others are held against
    asked = cast("list[WitnessName]", list(dict.fromkeys(["graph", *witnesses])))
    findings: list[Finding] = []
    detected: list[Finding] = []
    if not specs:
        findings += _whole(published, asked)
    loaded = [_loaded(spec, changes, allow_outside=allow_outside) for spec in specs]
    if size and any(isinstance(each, Architecture) for each in loaded):
        fail("--size is for detectors", "a network's image is changed with --set input.size=[448,448]")
    audit = Audit(published, asked)
    for spec, each in zip(specs, loaded, strict=True):
        if isinstance(each, Architecture):
            target = _network(published, network or each.name, given=network is not None)
            findings += audit.other(target, each, spec)
        else:
            detected += _detector(published, each, spec, asked, size=size, network=network)
    if as_json:
        emit_json(
            {
                "table": published.table.name,
                "convention": CONVENTION,
                "rows": [each.as_json() for each in [*findings, *detected]],
            }
        )
    else:
        texts = [_human(published, findings)] if findings or not detected else []
        tell("\n\n".join([*texts, *([_witnesses(detected, asked)] if detected else [])]))
    if not all(each.fine for each in [*findings, *detected]):
        raise SystemExit(1)


def _whole(published: Published, asked: Sequence[WitnessName]) -> Iterator[Finding]:
    """Every network and every detector of a table."""
    audit = Audit(published, asked)
    all_: list[Network | PublishedDetector] = [*published.table.networks, *published.table.detectors]
    for each in progress(all_, "auditing"):
        if isinstance(each, Network):
            yield from audit.own(each)
        else:
            from archspec.audit import detectors

            yield from detectors.own(published, each, asked)


def _detector(
    published: Published,
    loaded: LoadedDetector,
    spec: str,
    asked: Sequence[WitnessName],
    *,
    size: str | None,
    network: str | None,
) -> list[Finding]:
    """What the witnesses count of a detector, and the table's rows for it where it has some."""
    from archspec.audit import detectors
    from archspec_cli.commands.detectors import sized

    if network is not None:
        fail(f"--as is for networks, and {spec} is a detector")
    image = sized(loaded, size).size
    with steps("auditing") as step:
        found = list(detectors.witnessed(loaded, spec, asked, size=image, step=step))
        entry = detectors.entry_for(published, loaded)
        return found if entry is None else [*found, *detectors.against(entry, loaded, spec, asked)]


def _loaded(spec: str, changes: list[str] | None, *, allow_outside: bool) -> Architecture | LoadedDetector:
    """A spec, a detector, or what a foreign file is lifted to."""
    path = Path(spec)
    if path.suffix == ".toml" or not path.is_file():
        return load_any(spec, changes, allow_outside=allow_outside)
    from archspec.lift.files import lift_file

    if changes:
        fail(f"--set is for specs, and {spec} is none", f"archspec lift {spec} makes one of it")
    lifted = lift_file(path)
    if not lifted.exact:
        say(f"{spec} does not compute what the lifted spec says: {'; '.join(map(str, lifted.deviations))}")
    return lifted.architecture


def _network(published: Published, name: str, *, given: bool) -> Network:
    if given:
        exact = [each for each in published.table.networks if plain_name(each.name) == plain_name(name)]
        found = exact[0] if exact else None
    else:
        found = published.network_for(name)
    if found is None:
        what = f'"{name}" is not in the table "{published.table.name}"'
        fail(what, f"--as NETWORK says which row it is held against: {names_of(published.table.networks)}")
    return found


def _human(published: Published, findings: Sequence[Finding]) -> str:
    header = ["network", "spec", "quantity", "printed", "exact", "verdict", "place and reason"]
    rows = [_row(finding) for finding in findings]
    counted = [
        sum(each.verdict == verdict for each in findings)
        for verdict in ("rounds", "within-one-unit", "differs")
    ]
    disputed = sum(not each.agree for each in findings)
    witnesses = ", ".join(findings[0].witnesses) if findings else "none"
    return "\n".join(
        [
            published.table.title,
            "",
            table(header, rows, left=3),
            "",
            f"{len(findings)} rows: {counted[0]} round to the printed figure, {counted[1]} lie within one unit of its "
            f"last digit, {counted[2]} differ; the witnesses ({witnesses}) "
            + (f"disagree on {disputed}." if disputed else "agree on all."),
            f"macs: {CONVENTION}.",
        ]
    )


def _row(finding: Finding) -> list[str]:
    quantity = f"{finding.quantity} {finding.stage}".strip()
    if finding.convention == "conv":
        quantity += " (conv only)"
    exact = finding.witnesses["graph"]
    written = f"{exact:,}" if isinstance(exact, int) else str(exact)
    if not finding.agree:
        written = ", ".join(f"{name} {count}" for name, count in finding.witnesses.items())
    place = f"{finding.place}: {finding.reason}" if finding.reason else finding.place
    return [finding.network, finding.spec, quantity, finding.printed, written, finding.verdict, place]


def _witnesses(findings: Sequence[Finding], asked: Sequence[WitnessName]) -> str:
    """Detectors: what each witness counted, beside each other."""
    header = ["detector", "quantity", *asked, "printed", "verdict", "place"]
    rows = [
        [
            each.spec,
            f"{each.quantity} {each.stage}".strip(),
            *(_count(each.witnesses[name]) for name in asked),
            each.printed,
            _detected(each),
            each.place,
        ]
        for each in findings
    ]
    disputed = sum(not each.agree for each in findings)
    printed = [each for each in findings if each.printed]
    met = sum(each.verdict == "rounds" for each in printed)
    lines = [
        table(header, rows, left=2),
        "",
        f"{len(findings)} rows: the witnesses ({', '.join(asked)}) "
        + (f"disagree on {disputed}" if disputed else "agree on all")
        + (f"; {met} of {len(printed)} printed figures are met." if printed else "."),
        f"macs: {CONVENTION}.",
    ]
    return "\n".join(lines)


def _detected(finding: Finding) -> str:
    if not finding.agree:
        return "the witnesses disagree"
    return finding.verdict if finding.printed else "all agree"


def _count(count: int | str | None) -> str:
    return "-" if count is None else f"{count:,}" if isinstance(count, int) else count
