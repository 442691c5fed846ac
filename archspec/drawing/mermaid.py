"""Networks as a Mermaid flowchart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.drawing.net import often
from archspec.drawing.scene import INK
from archspec.drawing.wires import Repeated, wires

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.drawing.net import Net
    from archspec.drawing.wires import Joint, Style

MAX_EDGES = 500
"""What Mermaid draws unless its page is configured otherwise."""

_ARROWS: dict[Style, str] = {"wire": "-->", "identity": "-->", "projection": "==>", "dimensions": "-.->"}
_WHITE = ("pool", "gate", "norm", "act", "other", "image", "plus")
_FILLS = {"conv": "#ddd3ee", "fc": "#efefef", **dict.fromkeys(_WHITE, "#ffffff")}
_HARMLESS = frozenset(" ,./+()-_\N{MULTIPLICATION SIGN}")


def mermaid(nets: Sequence[Net]) -> str:
    """The flowchart: dotted are shortcuts that change dimensions, thick ones project without changing them."""
    looks = [f"  classDef {kind} fill:{fill},stroke:{INK},color:{INK}" for kind, fill in _FILLS.items()]
    lines = [line for place, net in enumerate(nets) for line in _net(net, place)]
    return "\n".join(["flowchart TD", *looks, *lines]) + "\n"


def edges(nets: Sequence[Net]) -> int:
    """How many edges their flowchart has."""
    return sum(len(wires(net, "n").edges) for net in nets)


def _net(net: Net, place: int) -> Iterator[str]:
    prefix = f"n{place}"
    found = wires(net, prefix)
    yield f"  subgraph {prefix}[{_quoted(net.title)}]"
    yield "    direction TB"
    for joint in found.joints:
        yield from _repeated(joint) if isinstance(joint, Repeated) else [f"    {_joint(joint)}"]
    for start, end, style, label in found.edges:
        yield f"    {start} {_ARROWS[style]}{f'|{_quoted(label)}|' if label else ''} {end}"
    yield "  end"


def _repeated(repeated: Repeated) -> Iterator[str]:
    yield f"    subgraph {repeated.id}[{_quoted(often(repeated.times))}]"
    yield "      direction TB"
    for joint in repeated.joints:
        yield f"      {_joint(joint)}"
    yield "    end"


def _joint(joint: Joint) -> str:
    before, behind = {"plus": ("((", "))"), "image": ("([", "])")}.get(joint.kind, ("[", "]"))
    return f"{joint.id}{before}{_quoted(joint.text)}{behind}:::{joint.kind}"


def _quoted(text: str) -> str:
    """A label. Whatever Mermaid might read as more than a character is written as its number."""
    return '"' + "".join(map(_character, text)) + '"'


def _character(char: str) -> str:
    return char if char.isalnum() or char in _HARMLESS else f"#{ord(char)};"
