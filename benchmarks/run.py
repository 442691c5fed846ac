"""Runs the benchmarks: `uv run python benchmarks/run.py [NAME...] [OPTION...]`.

NAME is a case or the beginning of one: `start` runs start-help, start-check and start-show. Exit 1 when a
ratio is over its limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cases import CASES
from measure import HEADER, Machine, Result, contest, machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from measure import Case

BEGIN = "<!-- results: written by benchmarks/run.py --markdown -->"
END = "<!-- /results -->"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the named cases, or all. 1 when a ratio is over its limit, 2 for a mistake of the caller's."""
    asked = _parser().parse_args(arguments)
    chosen = _chosen(asked.names)
    if asked.markdown is not None and BEGIN not in asked.markdown.read_text(encoding="utf-8"):
        _parser().error(f"{asked.markdown} has no line {BEGIN}")
    if asked.threads is not None:
        import torch

        torch.set_num_threads(asked.threads)
    results = [contest(case, asked.repeats or case.repeats, _say) for case in chosen]
    print(_table(results))
    here = machine()
    print(f"\n{here}")
    if asked.json is not None:
        document = {"machine": asdict(here), "results": [each.as_json() for each in results]}
        asked.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    if asked.markdown is not None:
        _fill(asked.markdown, results, here)
    return 0 if all(each.ok for each in results) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description="Ratios of archspec to its peers.")
    names = ", ".join(case.name for case in CASES)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"cases, or beginnings of their names: {names}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample to a file")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="fill the results section of a file")
    parser.add_argument(
        "--repeats", type=_positive, metavar="N", help="pairs of runs, instead of a case's own"
    )
    parser.add_argument("--threads", type=_positive, metavar="N", help="torch's threads, for both sides")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _chosen(names: Sequence[str]) -> list[Case]:
    for name in names:
        if not any(case.name.startswith(name) for case in CASES):
            _parser().error(f"no case is named {name}")
    return [case for case in CASES if not names or any(case.name.startswith(name) for name in names)]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _table(results: Sequence[Result]) -> str:
    rows = [HEADER, *(each.cells() for each in results)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(HEADER))]
    lines = [
        "  ".join(
            cell.ljust(width) if place in (0, len(HEADER) - 1) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _fill(path: Path, results: Sequence[Result], here: Machine) -> None:
    """Puts the table between the two marks."""
    head, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = [
        "| name | ours | peer | ours is | peer is | ratio | limit | |",
        "| :-- | --: | --: | :-- | :-- | --: | --: | :-- |",
    ]
    for each in results:
        name, ours, peer, ratio, limit, verdict = each.cells()
        cells = [name, ours, peer, each.case.about, each.case.peer, ratio, limit, verdict]
        lines.append(f"| {' | '.join(cells)} |")
    section = "\n".join([BEGIN, "", f"{here}.", "", *lines, "", END])
    path.write_text(head + section + tail, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
