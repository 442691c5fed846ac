"""`archspec eval` on detectors: average precision, a row for each of the paper's improvements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archspec.errors import file_error
from archspec_cli.output import emit_json, fail, progress, say, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.detection.judging.average_precision import ClassPrecision, Detected
    from archspec.detection.judging.coco_map import ClassMap
    from archspec.detection.judging.metrics import Judged
    from archspec.detection.judging.paper import Number
    from archspec.detection.load import LoadedDetector
    from archspec.detection.modules import RegionDetector
    from archspec.detection.rows import Row
    from archspec.detection.scenes.annotations import Scenes, Splits
    from archspec.weights.files import Weights
    from archspec_cli.commands.eval import Split

MOST_CLASSES = 30
_IN_NAMES: dict[Split, str] = {"train": "train", "validation": "val"}
"""What files of VOC's are called after; of pictures to test on their set says it."""
_COLUMNS = {"07+12": 0, "voc2007": 0, "07++12": 1}
"""Of Table 7: which test pictures a set has."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The options, as they were typed."""

    data: str | None
    root: Path | None
    split: Split
    refine: bool
    sizes: tuple[int, ...]
    across: int
    device: str
    write: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class Tested:
    """The pictures that are looked at, and where they are; whether their objects are published."""

    scenes: Scenes
    place: str
    published: bool


@dataclass(frozen=True, slots=True)
class Scored:
    """A row, and how good it is."""

    row: Row
    found: Sequence[Detected]
    judged: Judged


def run(checkpoints: Sequence[Path], asked: Asked) -> None:
    from archspec.detection.rows import rows
    from archspec.detection.stored import opened, restored
    from archspec.detection.testing import Improvements
    from archspec.train.evaluate import device_named

    entered = [opened(path, say) for path in checkpoints]
    try:
        place = device_named(asked.device)
        improvements = Improvements(refine=asked.refine, sides=asked.sizes, across=asked.across)
    except ValueError as error:
        fail(str(error))
    if asked.write is not None and asked.write.exists() and not asked.write.is_dir():
        fail(f"{asked.write} is there and no folder", "--write takes a folder, for files of several classes")
    tested = _tested(entered[0], asked)
    for loaded, weights in entered:
        _check(loaded, weights, tested.scenes)
    detectors = [restored(*each).to(place) for each in entered]
    _refuse_flat(detectors, asked, tested.scenes)
    wanted = rows(detectors, improvements)
    record = _record(entered, asked, tested, str(place))
    if tested.published:
        _judge(entered[0][0], asked, tested.scenes, wanted, record)
    else:
        # there is nothing to judge the other rows by
        _only_write(entered[0][0], asked, tested.scenes, wanted[-1], record)


def _judge(
    first: LoadedDetector, asked: Asked, scenes: Scenes, wanted: Sequence[Row], record: dict[str, Any]
) -> None:
    scored = [_scored(row, scenes) for row in wanted]
    written = _written(asked, scenes, scored[-1].found, _IN_NAMES.get(asked.split))
    if asked.as_json:
        number = _number(scenes.name, asked)
        rows = [{**_of_row(each.row), **each.judged.as_json()} for each in scored]
        paper = None if number is None else [each.as_json() for each in _beside(number, scenes, scored)]
        value = scored[-1].judged.value
        emit_json({**record, "map": value, "rows": rows, "paper": paper, "written": written})
    else:
        tell(_human(first, asked, scenes, scored))


def _only_write(
    first: LoadedDetector, asked: Asked, scenes: Scenes, row: Row, record: dict[str, Any]
) -> None:
    """For pictures that only their set's server can judge."""
    from archspec.detection.judging.metrics import words
    from archspec.detection.judging.servers import destination

    found = _found(row, scenes)
    written = _written(asked, scenes, found, split="test")
    if asked.as_json:
        rows = [{**_of_row(row), "measure": words(scenes.name), "map": None}]
        emit_json({**record, "map": None, "rows": rows, "paper": None, "written": written})
        return
    boxes = sum(map(len, found))
    tell(
        f"{first.name} on {scenes.name}, test: {len(scenes):,} pictures, whose objects are not published: "
        f"nothing was judged\n\n{boxes:,} boxes ({row.name}) are in {asked.write}\n{destination(scenes)}"
    )


def _written(
    asked: Asked, scenes: Scenes, found: Sequence[Detected], split: str | None = None
) -> list[str] | None:
    """The files for the set's server, where they are asked for."""
    if asked.write is None:
        return None
    from archspec.detection.judging.servers import write

    files = [*map(str, write(asked.write, scenes, found, split=split))]
    say(f"written: {', '.join(files)}")
    return files


def _tested(first: tuple[LoadedDetector, Weights], asked: Asked) -> Tested:
    from archspec.detection.scenes.sets import find

    name = asked.data or _learned_from(first[1])
    source = find(name, asked.root, say)
    splits = _parted(source.read(), source.name, first[1], asked.split)
    scenes: Scenes | None = getattr(splits, asked.split)
    published = asked.split != "unjudged"
    if scenes is None and asked.split == "test":
        scenes, published = splits.unjudged, False
    if scenes is None or not len(scenes):
        hint = "the objects of its test pictures are not published" if asked.split == "test" else ""
        raise file_error(name, "AS531", f"{name} has no pictures to take as {asked.split}", hint=hint)
    for remark in scenes.remarks:
        say(f"{source.place}: {remark}")
    if not published and asked.write is None:
        hint = "--write FOLDER finds boxes and makes the files that its server judges"
        raise file_error(
            name, "AS531", f"the objects of the test pictures of {name} are not published", hint=hint
        )
    return Tested(scenes, source.place, published)


def _learned_from(weights: Weights) -> str:
    """The set that weights say they learned from. A file may be anybody's, so it names no folder that is then read."""
    from archspec.detection.scenes.sets import NAMES
    from archspec.train.contenders import DATA

    name, known = weights.metadata.get(DATA), f"--data takes {', '.join(NAMES)}, or a folder"
    if name is None:
        fail("no data set is named", known)
    if name == "folder":
        fail("the detector was trained on a folder", "name it with --data")
    if name not in NAMES:
        fail(f'the detector was trained on "{name[:60]}", and no set is called that', known)
    return name


def _parted(splits: Splits, name: str, weights: Weights, split: Split) -> Splits:
    """The set as a detector was trained on it, where what it learned from is asked for, and it is that set."""
    from archspec.data.sets import held_out
    from archspec.train.contenders import DATA, carried

    recipe = carried(weights)
    if recipe is None or split not in ("train", "validation") or weights.metadata.get(DATA) != name:
        return splits
    return held_out(splits, recipe.recipe.data.split, recipe.recipe.data.which)


def _check(loaded: LoadedDetector, weights: Weights, scenes: Scenes) -> None:
    if loaded.detector.labels != scenes.classes:
        message = f"the detector finds other classes than {scenes.name} shows, or in another order"
        raise file_error(weights.file, "AS522", message)


def _refuse_flat(detectors: Sequence[RegionDetector], asked: Asked, scenes: Scenes) -> None:
    """Before anything is computed, and with the names of their files."""
    from archspec.detection.pyramid import bounds
    from archspec.detection.scenes.flat import refuse_flat_ones

    refuse_flat_ones(scenes, [both for each in detectors for both in bounds(each, asked.sizes)])


def _scored(row: Row, scenes: Scenes) -> Scored:
    from archspec.detection.judging.metrics import judged

    found = _found(row, scenes)
    return Scored(row, found, judged(scenes, found))


def _found(row: Row, scenes: Scenes) -> list[Detected]:
    from archspec.detection.testing import detected

    pictures = progress(range(len(scenes)), row.name)
    return [detected(row.detectors, scenes[place].pixels(), row.improvements) for place in pictures]


def _record(
    entered: Sequence[tuple[LoadedDetector, Weights]],
    asked: Asked,
    tested: Tested,
    device: str,
) -> dict[str, Any]:
    """What was looked at, by what."""
    scenes = tested.scenes
    return {
        "detectors": [
            {"file": weights.file, "sha256": weights.sha256, "name": loaded.name, "hash": loaded.digest}
            for loaded, weights in entered
        ],
        "data": {
            "name": scenes.name,
            "place": tested.place,
            "split": asked.split,
            "pictures": len(scenes),
            "classes": list(scenes.classes),
        },
        "device": device,
    }


def _of_row(row: Row) -> dict[str, Any]:
    return {
        "row": row.name,
        "sides": list(row.improvements.sides),
        "refine": row.improvements.refine,
        "detectors": len(row.detectors),
    }


def _human(first: LoadedDetector, asked: Asked, scenes: Scenes, scored: Sequence[Scored]) -> str:
    last = scored[-1].judged
    header, cells = _values(scored)
    lines = [
        f"{first.name} on {scenes.name}, {asked.split}: {len(scenes):,} pictures, {last.words}",
        "",
        table(["row", *header], cells),
        "",
        _of_classes(scored[-1]),
    ]
    number = _number(scenes.name, asked)
    if number is not None:
        lines += ["", _paper(number, scenes, scored)]
    return "\n".join(lines)


def _values(scored: Sequence[Scored]) -> tuple[list[str], list[list[str]]]:
    """A column for mAP, or COCO's two."""
    from archspec.detection.judging.coco_map import CocoResult

    header, cells = ["mAP"], []
    for each in scored:
        values = [each.judged.value]
        if isinstance(each.judged.result, CocoResult):
            header = ["mAP@.5", "mAP@[.5, .95]"]
            values = [each.judged.result.mean_50, each.judged.result.mean]
        cells.append([each.row.name, *map(_percent, values)])
    return header, cells


def _of_classes(scored: Scored) -> str:
    all_rows: list[ClassPrecision | ClassMap] = [*scored.judged.result.rows]
    rows = sorted(all_rows, key=lambda row: (row.ap is None, row.ap or 0.0))
    told = [
        [sanitize(row.name), f"{row.objects:,}", f"{row.detections:,}", _percent(row.ap)]
        for row in rows[:MOST_CLASSES]
    ]
    left = f"\nand {len(rows) - MOST_CLASSES} better ones" if len(rows) > MOST_CLASSES else ""
    return table([f"class ({scored.row.name})", "objects", "boxes", "AP"], told) + left


def _number(name: str, asked: Asked) -> Number | None:
    """The paper's table of a set's test pictures."""
    if asked.split != "test":
        return None
    if name in _COLUMNS:
        return "7"
    if name != "coco":
        return None
    return "9" if asked.refine or asked.sizes else "8"


def _beside(number: Number, scenes: Scenes, scored: Sequence[Scored]) -> list[Any]:
    """The paper's rows, then ours."""
    from archspec.detection.judging.paper import beside, paper

    printed: list[Any] = []
    ours: list[Any] = []
    for each in scored:
        columns: list[Any] = [None] * len(paper().tables[number].columns)
        if number == "7":
            columns[_COLUMNS[scenes.name]] = each.judged.result
        else:
            columns[:2] = [each.judged.result] * 2
        *printed, own = beside(number, each.row.name, columns)
        ours.append(own)
    return [*printed, *ours]


def _paper(number: Number, scenes: Scenes, scored: Sequence[Scored]) -> str:
    from archspec.detection.judging.paper import paper

    told = paper().tables[number]
    rows = [
        [
            "here" if each.ours else "paper",
            each.system,
            *("" if v is None else f"{v:.1f}" for v in each.values),
        ]
        for each in _beside(number, scenes, scored)
    ]
    trained = ", ".join(dict.fromkeys(told.trained_on))
    return f"{told.title} (trained on {trained})\n\n" + table(["from", "system", *told.columns], rows, left=2)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"
