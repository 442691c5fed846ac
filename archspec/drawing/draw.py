"""Architectures in, a drawing out. What a drawing is read from, the graph, is there without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, assert_never, get_args

from archspec.drawing.net import MAX_BOXES, DrawingError, collapsed
from archspec.drawing.reading import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.architecture import Architecture
    from archspec.drawing.net import Net
    from archspec.drawing.scene import Scene

Format = Literal["svg", "png", "mermaid", "dot", "text"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES: dict[str, Format] = {
    ".svg": "svg",
    ".png": "png",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".txt": "text",
}


class Wanted(NamedTuple):
    """What is to be drawn.

    `collapse` draws repeats once, `blocks` draws block types one by one, `everything` gives norms and activations
    boxes, too; `scale` is a PNG's pixels for each unit.
    """

    collapse: bool = False
    blocks: bool = False
    everything: bool = False
    scale: float = 2


def draw(
    architectures: Sequence[Architecture],
    format: Format = "svg",
    wanted: Wanted | None = None,
    *,
    titles: Sequence[str] = (),
) -> str | bytes:
    """Networks side by side, as He et al. 2015, Fig. 3: a text, or the bytes of a PNG. Raises `DrawingError`."""
    wanted = wanted or Wanted()
    return drawn(nets(architectures, wanted, titles), format, wanted)


def nets(architectures: Sequence[Architecture], wanted: Wanted, titles: Sequence[str] = ()) -> list[Net]:
    """The columns of a drawing. Titles stand in the place of the first names."""
    if len(titles) > len(architectures):
        raise DrawingError(f"{len(titles)} titles for {len(architectures)} networks")
    result: list[Net] = []
    for place, architecture in enumerate(architectures):
        title = titles[place] if place < len(titles) else ""
        once, everything = wanted.collapse or wanted.blocks, wanted.everything or wanted.blocks
        net = read(architecture, title, once=once, everything=everything)
        result.append(collapsed(net) if wanted.collapse and not wanted.blocks else net)
    if sum(len(net.boxes) for net in result) > MAX_BOXES:
        hint = "fewer specs" if wanted.collapse else "--collapse draws what is repeated once"
        raise DrawingError(f"the networks have more than {MAX_BOXES:,} boxes to draw", hint)
    return result


def drawn(nets: Sequence[Net], format: Format, wanted: Wanted) -> str | bytes:
    """The columns in a format. What a format needs is imported here, so that text does not pay for pictures."""
    if wanted.blocks and format not in ("svg", "png"):
        raise DrawingError(f"blocks are drawn as svg or png, not as {format}", "-o blocks.svg")
    match format:
        case "svg":
            from archspec.drawing.svg import svg

            return svg(_scene(nets, wanted))
        case "png":
            from archspec.drawing.png import png

            return png(_scene(nets, wanted), wanted.scale)
        case "mermaid":
            from archspec.drawing.mermaid import mermaid

            return mermaid(nets)
        case "dot":
            from archspec.drawing.dot import dot

            return dot(nets)
        case "text":
            from archspec.drawing.text import text

            return text(nets)
        case _:
            assert_never(format)


def _scene(nets: Sequence[Net], wanted: Wanted) -> Scene:
    from archspec.drawing.blocks import blocks
    from archspec.drawing.columns import columns

    return blocks(nets, norms=wanted.everything) if wanted.blocks else columns(nets)
