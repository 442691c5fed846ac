"""Strangers' words, strangers' networks and too much of both."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import archspec
from archspec.drawing.draw import Wanted, draw
from archspec.drawing.net import MAX_BOXES, DrawingError
from archspec.drawing.reading import read
from tests import strategies
from tests.conftest import architecture
from tests.drawing.looking import SVG, of, repeats, seen

HOSTILE = [
    'a"] --> b["',
    "<script>alert(1)</script>",
    "]]></title><script>",
    "&lt;b&gt; &amp; &#60;",
    "line\nfeed\r\n\ttab",
    "$x^2$ `code` **bold**",
    'end"; evil [label="',
    "back\\slash\\",
    "\x1b[31m\x07\x00\u009b2J",
    "\u202egnol\u2066",
    "%% comment\nclick n0 call evil()",
    "中文 ñ é 🙂",
    "#quot; #34;",
    "w" * 5000,
]
SMALL: dict[str, Any] = {
    "format": 1,
    "name": "small",
    "input": {"size": [8, 8]},
    "defaults": {"block": "basic", "shortcut": "B"},
    "stages": [{"name": "a", "width": 8, "depth": 3}, {"name": "b", "width": 16, "stride": 2}],
    "head": {"layers": [{"pool": "average"}, {"linear": 5}]},
}
QUOTED = r'"(?:[^"\\]|\\["\\])*"'


@pytest.mark.parametrize("text", HOSTILE)
def test_words_stay_words_in_every_format(text: str) -> None:
    network = strategies.load({**SMALL, "about": text.replace("\x00", "")[:2000]})
    drawing = seen(network, titles=(text,))
    allowed = {"svg", "title", "desc", "g", "rect", "text", "path"}
    assert {element.tag.removeprefix(SVG) for element in drawing.iter()} == allowed
    assert len(of(drawing, "title")[0].text or "") <= 60
    for format in ("mermaid", "dot", "text"):
        drawn = draw([network], format, Wanted(collapse=True), titles=[text])
        assert isinstance(drawn, str)
        usual = draw([network], format, Wanted(collapse=True))
        assert isinstance(usual, str)
        assert drawn.count("\n") == usual.count("\n")
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", drawn)


@pytest.mark.parametrize("text", HOSTILE)
def test_mermaid_and_dot_keep_their_structure(text: str) -> None:
    network = strategies.load(SMALL)
    for format, label in (("mermaid", r'"[^"]*"'), ("dot", QUOTED)):
        drawn, usual = (draw([network], format, titles=titles) for titles in ([text], []))
        assert isinstance(drawn, str)
        assert isinstance(usual, str)
        assert re.sub(label, "LABEL", drawn) == re.sub(label, "LABEL", usual)
    mermaid = draw([network], "mermaid", titles=[text])
    assert isinstance(mermaid, str)
    for label in re.findall(r'"([^"]*)"', mermaid):
        assert not set(re.sub(r"#\d+;", "", label)) & set("<>&`$#;{}[]\\*%")


@given(strategies.specs(), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_whatever_loads_can_be_drawn(spec: strategies.Table, collapse: bool, everything: bool) -> None:
    try:
        network = strategies.load(spec)
    except archspec.SpecError:
        return
    wanted = Wanted(collapse=collapse, everything=everything)
    svg = draw([network, architecture("specs/cifar/resnet20.toml")], "svg", wanted)
    assert isinstance(svg, str)
    drawing = of(ET.fromstring(svg), "net")[0]
    if not collapse:
        weighted = len(of(drawing, "box", "conv") + of(drawing, "box", "fc"))
        assert weighted == network.measure.total.layers
    for format in ("mermaid", "dot", "text"):
        assert draw([network], format, wanted)
    if spec["keys"] == "resnet":
        assert of(seen(network, wanted=Wanted(blocks=True, everything=everything)), "block")


AROUND_NOTHING: strategies.Table = {
    **SMALL,
    "blocks": {
        "own": {"out": "width", "layers": [{"act": True}, {"conv": 1, "out": "out"}], "project_after": 2}
    },
    "stages": [{"name": "s0", "width": 4, "depth": 1, "shortcut": "B", "block": "own"}],
    "head": {"layers": [{"pool": "average"}]},
}
"""Its shortcut starts and ends where the block does."""


@given(strategies.specs())
@example(AROUND_NOTHING)
@settings(max_examples=25)
def test_nothing_is_lost_by_collapsing(spec: strategies.Table) -> None:
    from archspec.drawing.draw import nets

    try:
        network = strategies.load(spec)
    except archspec.SpecError:
        return
    (full,), (folded,) = nets([network], Wanted()), nets([network], Wanted(collapse=True))
    assert sum(unit.times * (unit.end - unit.start) for unit in folded.units) == len(full.boxes)
    assert sum(way.times for way in folded.shortcuts) == len(full.shortcuts)
    for kind in ("identity", "dimensions", "projection"):
        counts = [sum(way.times for way in net.shortcuts if way.kind == kind) for net in (full, folded)]
        assert counts[0] == counts[1]


def _deep(layers: list[dict[str, Any]], depth: int) -> archspec.Architecture:
    stage = {"name": "a", "width": 8, "depth": depth, "block": "own", "shortcut": "none"}
    block = {"out": "in", "layers": layers}
    return strategies.load({**SMALL, "input": {"size": [2, 2]}, "blocks": {"own": block}, "stages": [stage]})


def test_ten_thousand_layers_are_refused_in_full_and_drawn_collapsed() -> None:
    network = _deep([{"conv": 1, "out": "in"}], 9_000)
    for draws in (lambda: draw([network], "svg"), lambda: read(network)):
        with pytest.raises(DrawingError, match=f"more than {MAX_BOXES:,} boxes") as refused:
            draws()
        assert refused.value.hint.startswith("--collapse")
    assert repeats(seen(network, wanted=Wanted(collapse=True))) == [9_000]


def test_a_million_layers_without_a_box_are_refused_too() -> None:
    network = _deep([{"act": True}] * 150, 9_000)
    with pytest.raises(DrawingError, match="more than 200,000 operations") as refused:
        draw([network], "text")
    assert refused.value.hint.startswith("--collapse")
    assert [box.findtext(f"{SVG}text") for box in of(seen(network, wanted=Wanted(collapse=True)), "box")] == [
        "avg pool",
        "fc 5",
    ]


def test_several_networks_are_bounded_together() -> None:
    deep = architecture("specs/cifar/resnet1202.toml")
    with pytest.raises(DrawingError, match="the networks have more than 4,000 boxes"):
        draw([deep] * 4, "text")
    assert draw([deep] * 4, "text", Wanted(collapse=True))


def test_a_branch_without_boxes_still_has_something_for_its_shortcut_to_go_around() -> None:
    block = {"out": "in", "layers": [{"act": "tanh"}, {"dropout": 0.5}]}
    stage = {"name": "a", "width": 1, "depth": 3, "block": "own", "shortcut": "identity"}
    drawing = seen(strategies.load({**SMALL, "blocks": {"own": block}, "stages": [stage]}))
    assert [box.findtext(f"{SVG}text") for box in of(drawing, "box", "other")] == ["tanh, dropout, 0.5"] * 3
    assert len(of(drawing, "arc", "identity")) == 3


def test_layers_of_several_output_sizes_are_not_one_repeat() -> None:
    stem = {"layers": [{"conv": 3, "out": 4, "padding": 0}] * 3}
    drawing = seen(strategies.load({**SMALL, "stem": stem, "stages": []}), wanted=Wanted(collapse=True))
    assert len(of(drawing, "box", "conv")) == 3
    assert repeats(drawing) == []


def test_a_picture_of_too_many_pixels_is_refused() -> None:
    with pytest.raises(DrawingError, match="pixels is too large") as refused:
        draw([architecture("specs/cifar/resnet1202.toml")], "png", Wanted(scale=8))
    assert "--collapse" in refused.value.hint


def test_sizes_that_grow_again_keep_their_order() -> None:
    convs = [{"padding": 2}, {"stride": 2}, {"padding": 3}]
    stem = {"layers": [{"conv": 1, "out": 4, **conv} for conv in convs]}
    drawing = seen(strategies.load({**SMALL, "stem": stem}), architecture("specs/cifar/resnet20.toml"))
    sizes = [each.text for each in of(of(drawing, "rail")[0], "size")]
    assert sizes == [f"output size: {size}" for size in (32, 16, 12, 8, 6, 12, 6, 1)]
