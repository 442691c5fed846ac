"""What a test sees in an SVG."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from archspec.drawing.draw import Wanted, draw

if TYPE_CHECKING:
    from archspec.architecture import Architecture

SVG = "{http://www.w3.org/2000/svg}"


def seen(
    *architectures: Architecture, wanted: Wanted | None = None, titles: tuple[str, ...] = ()
) -> ET.Element:
    """The SVG of some networks, parsed."""
    text = draw(architectures, "svg", wanted, titles=titles)
    assert isinstance(text, str)
    return ET.fromstring(text)


def of(element: ET.Element, *classes: str) -> list[ET.Element]:
    """The elements that carry all of some classes, in order."""
    return [each for each in element.iter() if set(classes) <= set(each.get("class", "").split())]


def words(element: ET.Element) -> str:
    """The text that is drawn, tooltips and descriptions left out."""
    return " ".join(each.text or "" for each in element.iter(f"{SVG}text"))


def box(element: ET.Element) -> tuple[float, float, float, float]:
    """Place and size of a box's rectangle."""
    rect = element.find(f"{SVG}rect")
    assert rect is not None
    x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
    return x, y, width, height


def repeats(element: ET.Element) -> list[int]:
    """How often what stands in brackets is repeated, from the top down."""
    return [int((each.text or "")[1:]) for each in of(element, "times")]
