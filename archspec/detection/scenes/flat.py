"""Pictures too flat for a detector, of whose shorter side torchvision's transform would leave nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.errors import Diagnostic, FileError, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike

    from archspec.detection.scenes.annotations import Scenes

MOST_TOLD = 20


def refuse_flat(file: str | PathLike[str], size: Sequence[int], shorter: int, longest: int) -> None:
    """Raises `FileError`, AS521, for a picture whose `size`, (H, W), a transform to these sides shrinks to nothing."""
    message = _flat(size, shorter, longest)
    if message:
        raise FileError([_told(file, message)])


def refuse_flat_ones(scenes: Scenes, bounds: Iterable[tuple[int, int]]) -> None:
    """Nothing is decoded. `bounds`: the shorter side and the most that the longer one may have, of each transform.

    Raises `FileError`, AS521, with the first `MOST_TOLD` of them.
    """
    sizes: list[list[int]] = scenes.sizes.tolist()
    for shorter, longest in bounds:
        flat = [
            (place, message) for place, size in enumerate(sizes) if (message := _flat(size, shorter, longest))
        ]
        if flat:
            raise FileError([_told(_file(scenes, place), message) for place, message in flat[:MOST_TOLD]])


def _flat(size: Sequence[int], shorter: int, longest: int) -> str:
    """What is wrong with a size; nothing if it can be used."""
    short, long = min(size), max(size)
    if int(short * min(shorter / short, longest / long)) >= 1:  # torchvision's own reckoning
        return ""
    said = f"a picture of {size[1]}x{size[0]} pixels is too flat"
    return f"{said}: where the longer side is shrunk to {longest}, nothing is left of the other"


def _told(file: str | PathLike[str], message: str) -> Diagnostic:
    return Diagnostic("AS521", message, Span(str(file), 0, 0, 0, 0))


def _file(scenes: Scenes, place: int) -> str:
    picture = scenes.pictures[place]
    return picture if isinstance(picture, str) else f"{scenes.name}, picture {scenes.image_ids[place]}"
