"""From a table to the text of a spec as people write it: one layer a line, nothing that is implied."""

from __future__ import annotations

import re
from pathlib import PurePath
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LINE = 100
TABLES = ("params", "input", "stem", "defaults", "norm")


def spec_text(table: Mapping[str, Any], remarks: Sequence[str] = ()) -> str:
    """The text of a spec. Remarks become comments at its head."""
    lines = [
        line
        for each in remarks
        for line in wrap(plain(each), LINE, initial_indent="# ", subsequent_indent="#   ")
    ]
    lines += _assignments({key: value for key, value in table.items() if not isinstance(value, (dict, list))})
    for name in TABLES:
        if table.get(name):
            lines += ["", f"[{name}]", *_assignments(table[name])]
    for name, block in table.get("blocks", {}).items():
        lines += ["", f"[blocks.{name}]", *_assignments(block)]
    for stage in table.get("stages", ()):
        lines += ["", "[[stages]]", *_assignments(stage)]
    if table.get("head"):
        lines += ["", "[head]", *_assignments(table["head"])]
    return "\n".join(lines) + "\n"


def _assignments(table: Mapping[str, Any]) -> list[str]:
    return [line for key, value in table.items() for line in _assignment(key, value)]


def _assignment(key: str, value: Any) -> list[str]:
    written = f"{key} = {_value(value)}"
    if len(written) <= LINE or not isinstance(value, list):
        return [written]
    return [f"{key} = [", *(f"  {_value(each)}," for each in value), "]"]


def _value(value: Any) -> str:
    if isinstance(value, str):
        return '"' + plain(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return repr(value)


def plain(text: str) -> str:
    """Printable ASCII: foreign text neither ends a line nor steers a terminal."""
    return "".join(char if " " <= char <= "~" else "?" for char in text)[:500]


def spec_name(file: str) -> str:
    """A spec's name made of a file's: `open-nsfw.onnx` is open-nsfw."""
    stem = re.sub(r"[^a-z0-9_.-]+", "-", PurePath(file).stem.lower()).strip("-._")[:60]
    return stem if re.match(r"[a-z]", stem) else f"net-{stem}".rstrip("-")
