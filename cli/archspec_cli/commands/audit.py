"""`archspec audit`: published tables against what is really there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from archspec.audit.run import Audit, Finding
from archspec.audit.table import Network, Published, load_table, names_of, plain_name, table_names
from archspec.errors import did_you_mean
from archspec.passes.measure import CONVENTION
from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, progress, say, table, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.architecture import Architecture
    from archspec.audit.witness import WitnessName


def run(
    specs: Sequence[str],
    table_name: str,
    witnesses: Sequence[str],
    network: str | None,
    changes: list[str] | None,
    *,
    allow_outside: bool,
    as_json: bool,
) -> None:
    if not specs and (changes or network):
        fail("--set and --as are for a SPEC of yours, and none is given")
    if not table_name.endswith(".toml") and table_name not in table_names():
        fail(f'no table is named "{table_name}"', did_you_mean(table_name, table_names()))
    published = load_table(table_name)
    # the graph's integers are what the others are held against
    asked = cast("list[WitnessName]", list(dict.fromkeys(["graph", *witnesses])))
    audit = Audit(published, asked)
    findings: list[Finding] = []
    if specs:
        for spec in specs:
            architecture = _architecture(spec, changes, allow_outside=allow_outside)
            target = _network(published, network or architecture.name, given=network is not None)
            findings += audit.other(target, architecture, spec)
    else:
        for each in progress(published.table.networks, "auditing"):
            findings += audit.own(each)
    if as_json:
        emit_json(
            {
                "table": published.table.name,
                "convention": CONVENTION,
                "rows": [each.as_json() for each in findings],
            }
        )
    else:
        tell(_human(published, findings))
    if not all(each.fine for each in findings):
        raise SystemExit(1)


def _architecture(spec: str, changes: list[str] | None, *, allow_outside: bool) -> Architecture:
    """A spec, or what a foreign file is lifted to."""
    path = Path(spec)
    if path.suffix == ".toml" or not path.is_file():
        return load(spec, changes, allow_outside=allow_outside)
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
