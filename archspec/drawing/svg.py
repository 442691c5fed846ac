"""A scene as SVG. Elements are built, never pasted together, so that no text can become markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never
from xml.etree import ElementTree as ET

from archspec.drawing.scene import (
    DASHES,
    INK,
    TEXT,
    Bow,
    Part,
    Plate,
    Plus,
    Point,
    Rule,
    Wire,
    Words,
    bends,
    head,
)
from archspec.drawing.words import FAMILY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.drawing.scene import Item, Scene

_SPACE = "http://www.w3.org/2000/svg"


def svg(scene: Scene) -> str:
    """The SVG document of a scene: the same bytes on every run, and no ids, so that a page may hold several."""
    width, height = _number(scene.width), _number(scene.height)
    root = ET.Element(
        "svg",
        {
            "xmlns": _SPACE,
            "viewBox": f"0 0 {width} {height}",
            "width": width,
            "height": height,
            "role": "img",
            "aria-label": scene.title,
            "font-family": FAMILY,
            "font-size": str(TEXT),
            "fill": INK,
        },
    )
    _text(root, "title", scene.title)
    _text(root, "desc", scene.about)
    # its own paper: on a dark page dark lines would be lost
    ET.SubElement(root, "rect", {"class": "paper", "width": width, "height": height, "fill": "#ffffff"})
    for item in scene.items:
        _item(root, item)
    ET.indent(root, " ")
    return ET.tostring(root, encoding="unicode") + "\n"


def _item(parent: ET.Element, item: Item) -> None:
    match item:
        case Part():
            part = ET.SubElement(parent, "g", {"class": item.name})
            for inner in item.items:
                _item(part, inner)
        case Plate():
            _plate(parent, item)
        case Wire():
            _line(parent, item.points, item.name)
            if item.arrow:
                _head(parent, item.points[-2], item.points[-1])
        case Bow():
            _bow(parent, item)
        case Rule():
            _line(parent, item.points, "rule", item.color, DASHES[item.stroke], item.width)
        case Words():
            _words(parent, item)
        case Plus():
            _plus(parent, item)
        case _:
            assert_never(item)


def _plate(parent: ET.Element, plate: Plate) -> None:
    group = ET.SubElement(parent, "g", {"class": plate.name})
    if plate.tip:
        _text(group, "title", plate.tip)
    place = {name: _number(getattr(plate, name)) for name in ("x", "y", "width", "height")}
    ET.SubElement(group, "rect", {**place, "rx": "3", "fill": plate.fill, "stroke": INK})
    middle = {"x": _number(plate.x + plate.width / 2), "y": _number(plate.y + plate.height / 2 + TEXT * 0.35)}
    _text(group, "text", plate.text, **middle, **{"text-anchor": "middle"})


def _line(
    parent: ET.Element,
    points: Sequence[Point],
    name: str,
    color: str = INK,
    dashes: tuple[float, ...] = (),
    width: float = 1,
) -> None:
    look = {"fill": "none", "stroke": color, "stroke-width": _number(width), **_dashed(dashes)}
    ET.SubElement(parent, "path", {"class": name, "d": f"M{' L'.join(map(_point, points))}", **look})


def _bow(parent: ET.Element, bow: Bow) -> None:
    first, *curve = map(_point, bends(bow))
    path = (
        f"M{_point((bow.x, bow.top))} L{first} C{' '.join(curve)} L{_point((bow.x + bow.short, bow.bottom))}"
    )
    look = {"fill": "none", "stroke": INK, "stroke-width": "1.3", **_dashed(DASHES[bow.stroke])}
    drawn = ET.SubElement(parent, "path", {"class": bow.name, "d": path, **look})
    if bow.tip:
        _text(drawn, "title", bow.tip)
    _head(parent, (bow.edge, bow.bottom), (bow.x + bow.short, bow.bottom))


def _head(parent: ET.Element, before: Point, tip: Point) -> None:
    ET.SubElement(parent, "path", {"class": "head", "d": f"M{' L'.join(map(_point, head(before, tip)))}z"})


def _words(parent: ET.Element, words: Words) -> None:
    look = {"font-size": _number(words.size)} if words.size != TEXT else {}
    look |= {"font-weight": "bold"} if words.bold else {}
    look |= {"text-anchor": words.anchor} if words.anchor != "start" else {}
    look |= {"fill": words.color} if words.color != INK else {}
    _text(parent, "text", words.text, **{"class": words.name}, x=_number(words.x), y=_number(words.y), **look)


def _plus(parent: ET.Element, plus: Plus) -> None:
    group = ET.SubElement(parent, "g", {"class": "plus", "stroke": INK})
    x, y, radius = plus.x, plus.y, plus.radius
    circle = {"cx": _number(x), "cy": _number(y), "r": _number(radius), "fill": "#ffffff"}
    ET.SubElement(group, "circle", circle)
    arm = radius * 0.6
    level, upright = ((x - arm, y), (x + arm, y)), ((x, y - arm), (x, y + arm))
    for ends in (level, upright):
        ET.SubElement(group, "path", {"d": f"M{' L'.join(map(_point, ends))}"})


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text


def _dashed(dashes: tuple[float, ...]) -> dict[str, str]:
    return {"stroke-dasharray": " ".join(map(_number, dashes))} if dashes else {}


def _point(point: Point) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{round(value, 1):g}" if value < 100_000 else str(round(value))
