"""`archspec card`: the protocol card of a run, or of several seeds of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.runs.card import CARD, CARD_JSON, card, write_card
from archspec.runs.folder import read_run
from archspec_cli.output import emit_json, say, tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def run(runs: Sequence[Path], *, as_json: bool) -> None:
    if len(runs) == 1:
        made = write_card(runs[0])
        say(f"{CARD} and {CARD_JSON} are in {runs[0]}")
    else:
        made = card([read_run(each) for each in runs])
        say("a card of several folders belongs into none of them: it is printed only")
    if as_json:
        emit_json(made.as_json())
    else:
        tell(made.as_markdown())
