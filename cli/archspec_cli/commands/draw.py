"""`archspec draw`: networks side by side as a picture, a flowchart or text."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.drawing.draw import FORMATS, SUFFIXES, Wanted, drawn, nets
from archspec.drawing.net import DrawingError
from archspec_cli.loading import load
from archspec_cli.output import data, emit_json, fail, say, tell, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.drawing.draw import Format
    from archspec.drawing.net import Net

MAX_SPECS = 24


class Asked(NamedTuple):
    """What the command line says: the drawing, its place, its format, its titles."""

    wanted: Wanted = Wanted()
    output: Path | None = None
    format: str | None = None
    titles: Sequence[str] = ()


def run(
    specs: Sequence[str],
    asked: Asked,
    changes: list[str] | None = None,
    *,
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    if not 1 <= len(specs) <= MAX_SPECS:
        fail(f"{len(specs)} specs", f"a drawing shows 1 to {MAX_SPECS}")
    if list(specs).count("-") > 1:
        fail("standard input can be read once", "give the other specs as files")
    output = None if asked.output is None or str(asked.output) == "-" else asked.output
    if output is not None:
        _check(output, specs)
    format = _format(asked)
    if output is None and format == "png" and sys.stdout.isatty():
        fail("a PNG is no text for a terminal", "-o net.png writes it")
    architectures = [load(spec, changes, allow_outside=allow_outside) for spec in specs]
    try:
        columns = nets(architectures, asked.wanted, _titles(architectures, specs, asked.titles))
        content = drawn(columns, format, asked.wanted)
    except DrawingError as error:
        fail(str(error), error.hint)
    _remark(columns, format)
    if output is not None:
        write_whole(output, content)
    if as_json:
        emit_json(_record(architectures, columns, format, output, content))
    elif output is not None:
        say(f"wrote {output}")
    else:
        _print(content, format)


def _format(asked: Asked) -> Format:
    """As asked, or by the file's name; on the terminal text."""
    if asked.format is not None:
        if asked.format not in FORMATS:
            fail(f'unknown format "{asked.format}"', f"known: {', '.join(FORMATS)}")
        return asked.format
    if asked.output is None:
        return "text"
    if str(asked.output) == "-":
        return "svg"
    suffix = asked.output.suffix.lower()
    if suffix not in SUFFIXES:
        fail(
            f'"{asked.output}" does not say its format',
            f"--format {', '.join(FORMATS)}, or a name that ends in {', '.join(SUFFIXES)}",
        )
    return SUFFIXES[suffix]


def _check(output: Path, specs: Sequence[str]) -> None:
    """Refuses a place that cannot be written, before anything is computed."""
    if output.is_dir():
        fail(f"{output} is a folder", "-o names the picture's file: net.svg")
    if output.exists() and not output.is_file():
        fail(f"{output} is not a regular file")
    if any(os.path.exists(spec) and output.exists() and output.samefile(spec) for spec in specs):
        fail("the drawing would replace the spec that it shows")


def _titles(
    architectures: Sequence[Architecture], specs: Sequence[str], titles: Sequence[str]
) -> Sequence[str]:
    """As given; then the specs' names, or, where two specs have one name, what was typed."""
    names = [architecture.name for architecture in architectures]
    told_apart = [name if names.count(name) == 1 else spec for name, spec in zip(names, specs, strict=True)]
    return [*titles, *told_apart[len(titles) :]]


def _remark(columns: Sequence[Net], format: Format) -> None:
    if format != "mermaid":
        return
    from archspec.drawing.mermaid import MAX_EDGES, edges

    if (count := edges(columns)) > MAX_EDGES:
        say(
            f"{count} edges: most pages let Mermaid draw {MAX_EDGES}. --collapse draws what is repeated once."
        )


def _print(content: str | bytes, format: Format) -> None:
    if isinstance(content, bytes):
        sys.stdout.buffer.write(content)
        sys.stdout.flush()
    elif format == "text":
        tell(content.removesuffix("\n"))
    else:
        data(content)


def _record(
    architectures: Sequence[Architecture],
    columns: Sequence[Net],
    format: Format,
    output: Path | None,
    content: str | bytes,
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "format": format,
        "output": None if output is None else str(output),
        "networks": [
            {"name": each.name, "hash": each.hash, "title": net.title, **_counts(net)}
            for each, net in zip(architectures, columns, strict=True)
        ],
    }
    if output is None and isinstance(content, str):
        document["drawing"] = content
    return document


def _counts(net: Net) -> dict[str, Any]:
    shortcuts = dict.fromkeys(("identity", "dimensions", "projection"), 0)
    for way in net.shortcuts:
        shortcuts[way.kind] += way.times
    return {"boxes": len(net.boxes), "shortcuts": shortcuts}
