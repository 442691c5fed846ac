"""`archspec predict` with a detector: boxes in pictures, told and drawn."""

from __future__ import annotations

from os.path import lexists
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from archspec.deploy.pictures import STDIN, found
from archspec.detection.boxes import FORMATS, drawn, encoded
from archspec.detection.predict import predict, ready
from archspec.errors import FileError
from archspec_cli.commands.predict import refusals
from archspec_cli.output import (
    emit_json,
    fail,
    progress,
    report_diagnostics,
    say,
    table,
    tell,
    write_whole,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archspec.detection.load import LoadedDetector
    from archspec.detection.predict import Seen
    from archspec.errors import Diagnostic

SCORE = 0.5


class Asked(NamedTuple):
    """The options that detectors have."""

    score: float | None = None
    output: Path | None = None
    device: str | None = None
    threads: int | None = None


class Told(NamedTuple):
    """What is said of a picture."""

    file: str
    size: tuple[int, int]
    rows: list[dict[str, Any]]
    drawn: Path | None


def run(pictures: Sequence[str], model: Path, asked: Asked, *, as_json: bool = False) -> None:
    """Of a detector's weights file."""
    files = found(pictures)
    targets = {} if asked.output is None else _targets(files, asked.output)
    score = SCORE if asked.score is None else asked.score
    try:
        loaded, detector = ready(model, asked.device or "auto", threads=asked.threads, say=say)
    except ValueError as error:
        fail(str(error))
    refused: list[FileError] = []
    told = [
        _told(seen, loaded.detector.labels, targets)
        for seen in predict(detector, progress(files, "predicting"), score=score, refused=refused.append)
    ]
    diagnostics = [each for error in refused for each in error.diagnostics]
    if not told:
        raise FileError(diagnostics)
    if as_json:
        emit_json(_record(model, loaded, score, told, diagnostics))
    else:
        tell(_human(told))
        say(_remark(told, score, asked.output))
    if diagnostics:
        if not as_json:
            report_diagnostics(FileError(diagnostics))
        raise SystemExit(1)


def _targets(files: Sequence[str], output: Path) -> dict[str, Path]:
    """Where each picture is drawn to: one file, or a folder. Never the place of one that is read."""
    takes = f"-o takes a folder, or for one picture a file that ends in {', '.join(FORMATS)}"
    if str(output) == "-":
        fail("pictures are not written to standard output", takes)
    if output.is_dir():
        targets = _inside(output, files)
    elif output.suffix.lower() in FORMATS:
        if len(set(files)) > 1:
            fail(f"{len(set(files))} pictures do not fit into one file", f"-o {output.stem} is a folder")
        targets = dict.fromkeys(files, output)
    elif output.suffix or lexists(output):
        what = (
            "is there and no folder" if lexists(output) else f"is no picture: {output.suffix} is not written"
        )
        fail(f"{output} {what}", takes)
    else:
        targets = _inside(output, files)
    for target in targets.values():
        _check(target, files)
    return targets


def _inside(folder: Path, files: Sequence[str]) -> dict[str, Path]:
    """A name for each picture: its own, as PNG unless it is a JPEG, with a number where one is taken."""
    targets: dict[str, Path] = {}
    taken: set[str] = set()
    for file in dict.fromkeys(files):
        path = Path("stdin" if file == STDIN else file)
        suffix = path.suffix.lower() if FORMATS.get(path.suffix.lower()) == "JPEG" else ".png"
        stem, number = path.stem, 1
        # not every file system tells capitals from small letters
        while f"{stem}{suffix}".casefold() in taken:
            number += 1
            stem = f"{path.stem}-{number}"
        taken.add(f"{stem}{suffix}".casefold())
        targets[file] = folder / f"{stem}{suffix}"
    return targets


def _check(target: Path, files: Sequence[str]) -> None:
    """Refuses a place that cannot be written to, or is a picture's that is read, before anything is computed."""
    if not lexists(target):
        return
    if not target.is_file():
        fail(f"{target} is not a regular file")
    if any(file != STDIN and Path(file).exists() and target.samefile(file) for file in files):
        fail(f"{target} would be drawn over: it is one of the pictures", "-o names another file or folder")


def _told(seen: Seen, labels: Sequence[str], targets: Mapping[str, Path]) -> Told:
    target = targets.get(seen.file)
    if target is not None:
        write_whole(target, encoded(drawn(seen.picture, seen.found, labels), target.suffix))
    found = seen.found
    rows = [
        {"class": labels[label], "index": label, "score": score, "box": box}
        for label, score, box in zip(
            found.labels.tolist(), found.scores.tolist(), found.boxes.tolist(), strict=True
        )
    ]
    return Told(seen.file, seen.picture.size, rows, target)


def _record(
    model: Path, loaded: LoadedDetector, score: float, told: Sequence[Told], diagnostics: Sequence[Diagnostic]
) -> dict[str, Any]:
    return {
        "model": str(model),
        "detector": loaded.name,
        "hash": loaded.digest,
        "classes": list(loaded.detector.labels),
        "score": score,
        "predictions": [
            {
                "file": each.file,
                "width": each.size[0],
                "height": each.size[1],
                "boxes": each.rows,
                "drawn": None if each.drawn is None else str(each.drawn),
            }
            for each in told
        ],
        "refused": refusals(diagnostics),
    }


def _human(told: Sequence[Told]) -> str:
    """A line for each box, and one for a picture without any."""
    lines = [
        line
        for each in told
        for line in (
            [
                [each.file, row["class"], f"{row['score']:.2f}", *(f"{side:.1f}" for side in row["box"])]
                for row in each.rows
            ]
            or [[each.file, *["-"] * 6]]
        )
    ]
    return table(["picture", "class", "score", "x1", "y1", "x2", "y2"], lines, left=2)


def _remark(told: Sequence[Told], score: float, output: Path | None) -> str:
    if not any(each.rows for each in told):
        return f"no box has a score of {score:g} or more: --score {score / 5:g} shows worse ones"
    if output is None:
        return f"-o {'found.png' if len(told) == 1 else 'FOLDER'} draws them"
    return f"drawn to {told[0].drawn if len(told) == 1 else output}"
