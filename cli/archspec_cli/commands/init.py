"""`archspec init`: a commented starter spec."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from archspec_cli.output import data, fail, say, write_whole

if TYPE_CHECKING:
    from pathlib import Path


def run(path: Path, *, force: bool) -> None:
    text = files("archspec_cli").joinpath("starter.toml").read_text(encoding="utf-8")
    if str(path) == "-":
        data(text)
        return
    if path.suffix != ".toml":
        fail(f"{path} does not end in .toml", "archspec init my-net.toml")
    if path.exists() and not force:
        fail(f"{path} is there already", "--force overwrites it")
    write_whole(path, text.replace('name = "network"', f'name = "{_name(path.stem)}"'))
    say(f"wrote {path}. Next: archspec show {path}")


def _name(stem: str) -> str:
    """A spec's name from a file's: lower case, and only what a name may hold."""
    cleaned = re.sub(r"[^a-z0-9_.-]", "-", stem.lower()).lstrip("0123456789_.-")[:64]
    return cleaned or "network"
