"""Sets for detection on disk, in the true formats, small; and objects and detections in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from archspec.detection.judging.average_precision import Detected
from archspec.detection.scenes.annotations import Objects, Scenes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Box = tuple[float, float, float, float]

PLAIN = """\
<annotation>
	<folder>VOC2007</folder>
	<filename>000001.jpg</filename>
	<source>
		<database>The VOC2007 Database</database>
		<annotation>PASCAL VOC2007</annotation>
		<image>flickr</image>
		<flickrid>341012865</flickrid>
	</source>
	<owner>
		<flickrid>Fried Camels</flickrid>
		<name>Jinky the Fruit Bat</name>
	</owner>
	<size>
		<width>{width}</width>
		<height>{height}</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
{objects}</annotation>
"""
OBJECT = """\
	<object>
		<name>{name}</name>
		<pose>Left</pose>
		<truncated>1</truncated>
		<difficult>{difficult}</difficult>
		<bndbox>
			<xmin>{box[0]}</xmin>
			<ymin>{box[1]}</ymin>
			<xmax>{box[2]}</xmax>
			<ymax>{box[3]}</ymax>
		</bndbox>
	</object>
"""
DOG = ("dog", 0, (48, 30, 80, 60))


def voc_xml(objects: Sequence[tuple[str, Any, Any]] = (DOG,), width: Any = 100, height: Any = 80) -> str:
    """As the devkit's files are, tabs and all: class, difficult, and the first and last pixels, counted from 1."""
    inside = "".join(OBJECT.format(name=name, difficult=hard, box=box) for name, hard, box in objects)
    return PLAIN.format(width=width, height=height, objects=inside)


def voc(root: Path, year: int, splits: Mapping[str, Mapping[str, str | None]]) -> Path:
    """`root`/VOCdevkit with the pictures of some splits: their annotations by name, None for none."""
    folder = root / "VOCdevkit" / f"VOC{year}"
    for each in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    for split, pictures in splits.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{each}\n" for each in pictures))
        for name, text in pictures.items():
            picture(folder / "JPEGImages" / f"{name}.jpg")
            if text is not None:
                (folder / "Annotations" / f"{name}.xml").write_text(text)
    return folder


def picture(file: Path, width: int = 100, height: int = 80, **said: Any) -> Path:
    """A picture whose left half is dark and whose right half is light."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((height, width, 3), 40, np.uint8)
    pixels[:, width // 2 :] = 220
    Image.fromarray(pixels).save(file, **said)
    return file


def coco_table() -> dict[str, Any]:
    """Three pictures, the second without objects; categories with gaps, out of order; a crowd with an outline."""
    return {
        "info": {"year": 2017},
        "licenses": [],
        "images": [
            {"id": 139, "file_name": "000000000139.jpg", "height": 80, "width": 100, "license": 2},
            {"id": 25, "file_name": "000000000025.jpg", "height": 80, "width": 100},
            {"id": 7, "file_name": "000000000007.jpg", "height": 80, "width": 100},
        ],
        "annotations": [
            annotation(1, 139, 44, [10.5, 20.25, 30.0, 15.5], area=300.125),
            annotation(
                2, 7, 1, [0, 0, 100, 80], iscrowd=1, segmentation={"counts": [8000], "size": [80, 100]}
            ),
            annotation(3, 139, 90, [99, 79, 1, 1], area=1),
        ],
        "categories": [
            {"id": 90, "name": "toothbrush", "supercategory": "indoor"},
            {"id": 1, "name": "person", "supercategory": "person"},
            {"id": 44, "name": "bottle", "supercategory": "kitchen"},
        ],
    }


def annotation(number: int, image: int, category: int, box: Sequence[float], **more: Any) -> dict[str, Any]:
    plain = {"segmentation": [[0.0, 0.0, 1.0, 1.0]], "iscrowd": 0, "area": box[2] * box[3]}
    return {"id": number, "image_id": image, "category_id": category, "bbox": box, **plain, **more}


def coco(root: Path, table: Any = None, part: str = "val2017") -> Path:
    """COCO's layout with one part: the json, and the pictures it names. Returns the json."""
    table = coco_table() if table is None else table
    for each in table["images"]:
        picture(root / part / each["file_name"], each["width"], each["height"])
    file = root / "annotations" / f"instances_{part}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(table))
    return file


def scenes(*pictures: Sequence[tuple[Box, int]], classes: int = 2, difficult: Sequence[int] = ()) -> Scenes:
    """In memory: a box and a label for each object of each picture. Difficult ones by their numbers, over all."""
    rows = [each for inside in pictures for each in inside]
    hard = [(box, label, place in difficult, False, area(box)) for place, (box, label) in enumerate(rows)]
    return Scenes(
        "made",
        tuple("abcdefgh"[:classes]),
        tuple(range(1, classes + 1)),
        np.zeros((len(pictures), 4, 4, 3), np.uint8),
        tuple(range(len(pictures))),
        np.tile(np.array([1000, 1000]), (len(pictures), 1)),
        Objects.of(hard),
        np.cumsum([0, *map(len, pictures)]),
    )


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def detected(*rows: tuple[Box, float, int]) -> Detected:
    """Box, score and label of each detection in a picture."""
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return Detected(
        np.array(boxes, float).reshape(-1, 4), np.array(scores, float), np.array(labels, np.int64)
    )


def case(seed: int, *, pixels: bool = False) -> tuple[Scenes, list[Detected]]:
    """A random set with crowds or difficult objects, and detections: near misses, doubles, ties, wrong classes.

    With `pixels` corners are whole, as VOC's are, and some objects are difficult; else some are crowds.
    """
    random = np.random.default_rng(seed)
    classes, rows, found, ends = int(random.integers(1, 5)), [], [], [0]
    for _ in range(random.integers(1, 6)):
        count, side = int(random.integers(0, 8)), float(random.choice([20, 60, 150]))
        corner, sides = random.uniform(0, 200, (count, 2)), random.uniform(1, side, (count, 2))
        boxes = np.concatenate([corner, corner + sides], axis=1).round(0 if pixels else 2)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        labels = random.integers(0, classes, count)
        odd = random.random(count) < 0.15
        for box, label, flag in zip(boxes, labels, odd, strict=True):
            own = area(tuple(box)) * float(random.choice([1, 0.7]))
            rows.append((box, int(label), bool(flag and pixels), bool(flag and not pixels), own))
        ends.append(len(rows))
        found.append(_found(random, boxes, labels, classes, side))
    whole = Scenes(
        "random",
        tuple("abcdefgh"[:classes]),
        tuple(range(1, classes + 1)),
        np.zeros((len(found), 1, 1, 3), np.uint8),
        tuple(range(len(found))),
        np.tile(np.array([400, 400]), (len(found), 1)),
        Objects.of(rows),
        np.array(ends),
    )
    return whole, found


def _found(random: np.random.Generator, boxes: Any, labels: Any, classes: int, side: float) -> Detected:
    count = int(random.integers(0, 12)) if random.random() < 0.95 else 130
    if not len(boxes):
        boxes, labels = np.array([[10.0, 10.0, 50.0, 70.0]]), np.array([0])
    pick = random.integers(0, len(boxes), count)
    near = boxes[pick] + random.normal(0, side * 0.04, (count, 4)) * (random.random((count, 1)) < 0.7)
    near = np.concatenate(
        [np.minimum(near[:, :2], near[:, 2:]), np.maximum(near[:, :2], near[:, 2:])], axis=1
    )
    right = random.random(count) < 0.85
    told = np.where(right, labels[pick], random.integers(0, classes, count)).astype(np.int64)
    ties = random.choice(np.linspace(0, 1, 8), count)
    return Detected(near, ties if random.random() < 0.5 else random.random(count), told)
