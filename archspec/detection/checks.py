"""What single fields cannot show: fields of a detector that contradict each other, or the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.detection.parts import rows
from archspec.errors import Note, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.detection.models import Detector
    from archspec.detection.parts import Parts
    from archspec.spec.inherit import Sources

POINTS = ("detector", "regions", "points")
_KIND = ("detector", "regions", "kind")


def contradictions(detector: Detector, sources: Sources) -> list[Problem]:
    """Everything about a valid detector that makes no sense, whatever the network."""
    return [
        *_names(detector),
        *_image(detector),
        *_anchors(detector),
        *_boxes(detector),
        *_idle(detector, sources),
    ]


def misfits(detector: Detector, parts: Parts) -> list[Problem]:
    """What does not fit the network."""
    return [*_channels(detector, parts), *_frozen(detector, parts)]


def _wrong(message: str, *loc: str | int, hint: str = "", notes: tuple[Note, ...] = ()) -> Problem:
    return Problem("AS571", message, ("detector", *loc), hint, notes=notes)


def _names(detector: Detector) -> Iterator[Problem]:
    if "background" in detector.labels:
        yield _wrong("background is no class of its own: it is one more than these", "classes")
    if len(set(detector.frozen)) < len(detector.frozen):
        yield _wrong("a row stands here twice", "frozen")


def _image(detector: Detector) -> Iterator[Problem]:
    image = detector.image
    if max(image.shorter) > image.longest:
        notes = (Note(("detector", "image", "longest"), f"the longer side is at most {image.longest}"),)
        yield _wrong(
            f"a shorter side of {max(image.shorter)} never comes about", "image", "shorter", notes=notes
        )
    if len(image.mean) != len(image.std):
        counts = f"{len(image.mean)} and {len(image.std)} are given"
        yield _wrong(f"there are a mean and a std for each channel: {counts}", "image", "std")


def _anchors(detector: Detector) -> Iterator[Problem]:
    for name in ("sizes", "ratios"):
        values = getattr(detector.anchors, name)
        if len(set(values)) != len(values):
            yield _wrong("an anchor stands here twice", "anchors", name)


def _boxes(detector: Detector) -> Iterator[Problem]:
    proposals = detector.proposals
    for when in ("train", "test"):
        before, keep = getattr(proposals, f"before_{when}"), getattr(proposals, f"keep_{when}")
        if keep > before:
            notes = (Note(("detector", "proposals", f"before_{when}"), f"NMS is given {before}"),)
            yield _wrong(f"NMS cannot leave {keep} boxes", "proposals", f"keep_{when}", notes=notes)
    for name, table in (("proposals", proposals), ("regions", detector.regions)):
        if table.background > table.foreground:
            notes = (Note(("detector", name, "foreground"), f"objects begin at {table.foreground}"),)
            message = f"a box of overlap {table.foreground} would be an object and background"
            yield _wrong(message, name, "background", notes=notes)


def _idle(detector: Detector, sources: Sources) -> Iterator[Problem]:
    """What a base says for another kind is no mistake; what is said beside it is one."""
    if detector.regions.kind == "align":
        return
    order = {document.file: place for place, document in enumerate(sources.documents)}
    said = {loc: _said(sources, order, loc) for loc in (POINTS, _KIND)}
    if said[POINTS] >= max(said[_KIND], 0):
        yield Problem("AS571", '"points" changes nothing here: it goes with kind = "align"', POINTS, at="key")


def _said(sources: Sources, order: dict[str, int], loc: tuple[str, ...]) -> int:
    """The place of the last document that says a value, or -1."""
    table: object = sources.merged()
    for key in loc:
        if not isinstance(table, dict) or key not in table:
            return -1
        table = table[key]
    return order[sources.origin(loc)[0].file]


def _channels(detector: Detector, parts: Parts) -> Iterator[Problem]:
    given = len(detector.image.mean)
    if given == len(detector.image.std) and given != parts.image_channels:
        message = f"the network takes {parts.image_channels} channels, and there are means of {given}"
        yield _wrong(message, "image", "mean")


def _frozen(detector: Detector, parts: Parts) -> Iterator[Problem]:
    known = rows(parts)
    for place, name in enumerate(detector.frozen):
        if name not in known:
            hint = did_you_mean(name, known)
            yield _wrong(f'no row of the network with weights is called "{name}"', "frozen", place, hint=hint)
