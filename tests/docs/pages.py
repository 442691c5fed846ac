"""What stands in the pages: fenced blocks in order, with the comment before each, and the links."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("docs/*.md"))]

_BLOCK = re.compile(
    r"(?P<comments>(?:^[ ]*<!-- [^\n]* -->\n)*)^(?P<margin>[ ]*)```(?P<kind>\w*)\n(?P<text>.*?)^[ ]*```$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"<!-- (?P<word>not run|file|wrong): (?P<said>.*) -->")
_LINK = re.compile(r"\[[^\]\n]+\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.*)$", re.MULTILINE)
_INSTALLS = ("python3 -m pip install", "pip install", "uv sync", "git clone")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `file` is where it is saved, `not_run` why it is left out, `wrong` the codes it shows."""

    kind: str
    text: str
    line: int
    file: str = ""
    not_run: str = ""
    wrong: str = ""

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block that are commands."""
        return [line for line in self.text.splitlines() if line.strip() and not line.startswith("#")]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        said = {each["word"]: each["said"] for each in _COMMENT.finditer(match["comments"])}
        found.append(
            Block(
                match["kind"],
                textwrap.dedent(match["text"]),
                text.count("\n", 0, match.start("margin")) + 1,
                said.get("file", ""),
                said.get("not run", ""),
                said.get("wrong", ""),
            )
        )
    return found


def why_not_run(block: Block, command: str) -> str:
    """Why a command is left out, or nothing when it is run."""
    return block.not_run or ("installs" if command.startswith(_INSTALLS) else "")


def links(page: Path) -> list[str]:
    """The targets of a page's links."""
    return [match["target"] for match in _LINK.finditer(_prose(page))]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    titles = (match["title"] for match in _HEADING.finditer(_prose(page)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _prose(page: Path) -> str:
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))
