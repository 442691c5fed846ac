"""Networks in Graphviz's language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.drawing.net import often
from archspec.drawing.wires import Repeated, wires

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.drawing.net import Net
    from archspec.drawing.wires import Joint, Style

_EDGES: dict[Style, str] = {
    "wire": "",
    "identity": "",
    "projection": "style=dashed",
    "dimensions": "style=dotted",
}
_FILLS = {"conv": "#ddd3ee", "fc": "#efefef"}


def dot(nets: Sequence[Net]) -> str:
    """The graph: dotted are shortcuts that change dimensions, dashed ones project without changing them."""
    lines = [
        "digraph networks {",
        '  graph [bgcolor="white", fontname="Helvetica"]',
        '  node [shape=box, style="rounded,filled", fillcolor="white", fontname="Helvetica", height=0.3]',
        '  edge [fontname="Helvetica"]',
        *(line for place, net in enumerate(nets) for line in _net(net, place)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _net(net: Net, place: int) -> Iterator[str]:
    prefix = f"n{place}"
    found = wires(net, prefix)
    yield f"  subgraph cluster_{prefix} {{"
    yield f"    label={_quoted(net.title)}"
    for joint in found.joints:
        yield from _repeated(joint) if isinstance(joint, Repeated) else [f"    {_joint(joint)}"]
    for start, end, style, label in found.edges:
        said = [_EDGES[style], f"label={_quoted(label)}" if label else ""]
        look = ", ".join(filter(None, said))
        yield f"    {start} -> {end}{f' [{look}]' if look else ''}"
    yield "  }"


def _repeated(repeated: Repeated) -> Iterator[str]:
    yield f"    subgraph cluster_{repeated.id} {{"
    yield f"      label={_quoted(often(repeated.times))}"
    for joint in repeated.joints:
        yield f"      {_joint(joint)}"
    yield "    }"


def _joint(joint: Joint) -> str:
    looks = {"plus": "shape=circle, width=0.3, fixedsize=true", "image": 'shape=plaintext, style=""'}
    fill = f'fillcolor="{_FILLS[joint.kind]}"' if joint.kind in _FILLS else ""
    look = ", ".join(filter(None, [f"label={_quoted(joint.text)}", looks.get(joint.kind, ""), fill]))
    return f"{joint.id} [{look}]"


def _quoted(text: str) -> str:
    """A string that is neither markup nor an escape of Graphviz's."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
