"""Detections as the evaluation servers of PASCAL VOC and of COCO take them; nothing is rounded.

VOC has a text file for each class, a line for each detection: picture, score, first and last pixel, counted from 1.
COCO has one list of results: picture, category, x, y, width and height from edge to edge, score.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from archspec.detection.judging.average_precision import checked
from archspec.detection.scenes.voc import COMBINATIONS
from archspec.errors import file_error
from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.detection.judging.average_precision import Detected
    from archspec.detection.scenes.annotations import Scenes

_IN_A_NAME = re.compile(r"[A-Za-z0-9][\w+-]{0,99}", re.ASCII)


def voc_files(scenes: Scenes, found: Sequence[Detected], split: str = "test") -> dict[str, str]:
    """VOC's files by their names, `comp4_det_SPLIT_CLASS.txt`: one for every class, empty where nothing was found.

    Competition 4 is detection with any training data. Raises `FileError`: AS523 for detections that are not numbers,
    AS531 for names of classes or pictures that such files cannot hold.
    """
    checked(scenes, found, len(scenes.classes))
    for name in scenes.classes:
        if not _IN_A_NAME.fullmatch(name):
            message = f'the class "{name[:60]}" cannot be part of the name of a file of VOC\'s'
            raise file_error(scenes.name, "AS531", message, hint="COCO's results have any classes")
    pictures = [str(each) for each in scenes.image_ids]
    if odd := next((each for each in pictures if not each or re.search(r"\s", each)), None):
        message = f'the picture "{odd[:60]}" cannot stand in a file of VOC\'s, which spaces divide'
        raise file_error(scenes.name, "AS531", message, hint="COCO's results have any pictures")
    lines: list[list[str]] = [[] for _ in scenes.classes]
    for picture, each in zip(pictures, found, strict=True):
        for (x1, y1, x2, y2), score, label in zip(
            each.boxes.tolist(), each.scores.tolist(), each.labels.tolist(), strict=True
        ):
            lines[label].append(f"{picture} {score!r} {x1 + 1!r} {y1 + 1!r} {x2!r} {y2!r}\n")
    return {
        f"comp4_det_{split}_{name}.txt": "".join(own) for name, own in zip(scenes.classes, lines, strict=True)
    }


def coco_results(scenes: Scenes, found: Sequence[Detected]) -> list[dict[str, Any]]:
    """COCO's list of results, with the numbers that the set's own files have for pictures and classes.

    Raises `FileError`: AS523 for detections that are not numbers.
    """
    checked(scenes, found, len(scenes.classes))
    return [
        {
            "image_id": picture,
            "category_id": scenes.category_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for picture, each in zip(scenes.image_ids, found, strict=True)
        for (x1, y1, x2, y2), score, label in zip(
            each.boxes.tolist(), each.scores.tolist(), each.labels.tolist(), strict=True
        )
    ]


def write(folder: Path, scenes: Scenes, found: Sequence[Detected], *, split: str | None = None) -> list[Path]:
    """Writes what a set's own server takes: VOC's, whose pictures have names, or COCO's `results.json`.

    VOC's files are named after `split`, else after the one that the set is tested on.
    """
    if _of_voc(scenes):
        return write_voc(folder, scenes, found, split or _tested(scenes)[1])
    return [write_coco(folder / "results.json", scenes, found)]


def destination(scenes: Scenes) -> str:
    """Where the files of pictures without published objects go, in words."""
    if not _of_voc(scenes):
        named = "zipped, as detections_test-dev2017_NAME_results.json (or whichever test it is)"
        return f"results.json goes, {named}, to COCO's server: https://cocodataset.org/#upload"
    year, _ = _tested(scenes)
    return (
        f"the files go, in an archive's folder results/VOC{year}/Main, to VOC's server: "
        "http://host.robots.ox.ac.uk:8080"
    )


def _of_voc(scenes: Scenes) -> bool:
    return any(isinstance(each, str) for each in scenes.image_ids)


def _tested(scenes: Scenes) -> tuple[int, str]:
    """The year and the split that a set of VOC's is tested on."""
    return COMBINATIONS.get(scenes.name, ((), (2012, "test")))[1]


def write_voc(folder: Path, scenes: Scenes, found: Sequence[Detected], split: str = "test") -> list[Path]:
    """Writes VOC's files into a folder: `results/VOC2012/Main` is where its server looks for them in an archive."""
    files = {folder / name: text for name, text in voc_files(scenes, found, split).items()}
    for file, text in files.items():
        _write(file, text)
    return list(files)


def write_coco(file: Path, scenes: Scenes, found: Sequence[Detected]) -> Path:
    """Writes COCO's results: `detections_test-dev2017_NAME_results.json` is what its server calls them."""
    _write(file, json.dumps(coco_results(scenes, found), separators=(",", ":"), allow_nan=False))
    return file


def _write(file: Path, text: str) -> None:
    with staged(file) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
