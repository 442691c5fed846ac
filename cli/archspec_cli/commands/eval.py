"""`archspec eval`: what trained networks get right, by the paper's protocol."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from archspec.errors import file_error
from archspec_cli.loading import load, sought
from archspec_cli.output import emit_json, fail, progress, say, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.data.find import Source
    from archspec.data.sets import Set
    from archspec.train.contenders import Contender, Crops
    from archspec.train.scores import Average, Row, Scores
    from archspec.train.views import View

TOP = 5
MOST_CLASSES = 20
"""More have a table of the worst ones."""
WORST = 10
MOST_SIDES = 16
MAX_SIDE = 16_384

Split = Literal["test", "validation", "train", "unjudged"]


def run(
    checkpoints: Sequence[Path],
    *,
    spec: str | None = None,
    data: str | None = None,
    data_root: Path | None = None,
    split: Split = "test",
    recipe: str | None = None,
    preprocessing: str | None = None,
    crops: Crops | None = None,
    crop: int | None = None,
    sizes: str | None = None,
    flip: bool = False,
    batch: int = 256,
    device: str = "auto",
    average: Average = "probabilities",
    refine: bool = False,
    across: int = 224,
    write: Path | None = None,
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    sides = _sides(sizes)
    from archspec.detection.kind import holds_detector
    from archspec.train.checkpoint import model_weights

    # once: a run's checkpoint is verified whole
    checkpoints = [model_weights(path, say) for path in checkpoints]
    if holds_detector(checkpoints[0]):
        from archspec_cli.commands import eval_detectors as detectors

        _without(
            {"--spec": spec, "--recipe": recipe, "--preprocessing": preprocessing, "--crops": crops}
            | {"--crop": crop, "--flip": flip, "--average": average != "probabilities"}
        )
        told = detectors.Asked(data, data_root, split, refine, sides or (), across, device, write, as_json)
        detectors.run(checkpoints, told)
        return
    if refine or write:
        fail("--refine and --write are for detectors", "archspec train faster-rcnn-resnet18-shapes makes one")
    if crops == "full" and crop is not None:
        fail("--crops full looks at whole images", "--sizes says their shorter sides")
    architecture = load(spec, allow_outside=allow_outside) if spec else None
    from archspec.recipes.load import load_recipe
    from archspec.train import contenders as field  # with it comes torch, which takes seconds
    from archspec.train.evaluate import device_named, evaluate
    from archspec.train.scores import Untestable

    protocol = load_recipe(recipe, allow_outside=allow_outside) if recipe else None
    try:
        place = device_named(device)
    except ValueError as error:
        fail(str(error))
    asked = field.Asked(architecture, protocol, preprocessing)
    entered = [field.contender(path, asked, say) for path in checkpoints]
    source = sought(data or field.data_name(entered[0]), data_root, entered[0])
    try:
        view, full = field.common_view(
            field.Look(crops, (crop, crop) if crop else None, sides, flip), entered
        )
        splits = source.read()
        part = _part(getattr(field.parted(splits, entered[0]), split, None), split, source)
        for each in entered:
            field.check(each, part, view, full=full)
        scores = evaluate(
            [field.ready(each, field.normalisation(each, splits), place, full=full) for each in entered],
            _pictures(part),
            part.labels,
            view=view,
            normalise=lambda images: images,  # each network has its own
            batch=batch,
            device=place,
            ensemble=average,
            progress=lambda chunks: progress(chunks, "testing"),
        )
    except Untestable as error:
        if not error.code:
            fail(str(error), error.hint)
        raise file_error(entered[0].file, error.code, str(error), hint=error.hint) from error
    if not as_json:
        tell(_human(entered, f"{part.name}, {split}", view, part.classes, scores))
        return
    record = {
        "networks": [_said(each) for each in entered],
        "data": {"name": part.name, "place": source.place, "split": split, "classes": list(part.classes)},
        "view": {**asdict(view), "fully_convolutional": full, "looks": len(view)},
        "average": average,
        "device": str(place),
    }
    emit_json({**record, **scores.as_json()})


def _without(options: dict[str, object]) -> None:
    """Refuses what means nothing for a detector."""
    given = [name for name, value in options.items() if value]
    if given:
        fail(f"{', '.join(given)}: not for detectors, which see whole pictures as their own file says")


def _sides(text: str | None) -> tuple[int, ...] | None:
    """`224,256` as numbers."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 6]
    if len(numbers) < len(parts) or not all(0 < side <= MAX_SIDE for side in numbers):
        fail(f'"{text}" are no sizes', "shorter sides with commas between: --sizes 224,256,384,480,640")
    if len(numbers) > MOST_SIDES:
        fail(f"{len(numbers)} sizes are too many", f"at most {MOST_SIDES}")
    return tuple(numbers)


def _part(part: Set | None, split: Split, source: Source) -> Set:
    if part is not None and len(part):
        return part
    hint = "--recipe RECIPE says which are held out" if split == "validation" else ""
    raise file_error(source.place, "AS531", f"{source.name} has no images for {split}", hint=hint)


def _pictures(part: Set) -> Any:
    from archspec.data.sets import Images

    return part.pixels if isinstance(part, Images) else part


def _said(each: Contender) -> dict[str, Any]:
    return {
        "file": each.file,
        "sha256": each.weights.sha256,
        "name": each.architecture.name,
        "function_hash": each.architecture.hash,
        "recipe": each.recipe.name if each.recipe else None,
        "preprocessing": each.preprocessing.model_dump() if each.preprocessing else None,
    }


def _human(entered: Sequence[Contender], what: str, view: View, names: Sequence[str], scores: Scores) -> str:
    who = entered[0].architecture.name if len(entered) == 1 else f"{len(entered)} networks together"
    errors = [
        [f"top-{top}", f"{scores.right(top):,}", _percent(scores.error(top)), _percent(scores.accuracy(top))]
        for top in ((1, 5) if scores.classes > TOP else (1,))
    ]
    parts = [
        f"{sanitize(who)} on {sanitize(what)}: {scores.images:,} images, {view}",
        table(["", "right", "error", "accuracy"], errors),
        *_by_class(names, scores),
    ]
    return "\n\n".join(parts)


def _by_class(names: Sequence[str], scores: Scores) -> list[str]:
    """All classes, or the worst ones of many; and what is taken for what."""
    rows = [row for row in scores.rows() if row.images]
    shown = rows if scores.classes <= MOST_CLASSES else sorted(rows, key=_accuracy)[:WORST]
    first = "class" if len(shown) == len(rows) else f"worst {len(shown)} of {len(rows):,} classes"
    cells = [
        [names[row.number], f"{row.images:,}", f"{row.right:,}", _percent(_accuracy(row))] for row in shown
    ]
    confused = [f"{names[true]} for {names[told]} ({count:,})" for true, told, count in scores.confused()[:5]]
    said = [f"Most often taken for another: {', '.join(map(sanitize, confused))}."] if confused else []
    return [table([first, "images", "right", "accuracy"], cells), *said]


def _accuracy(row: Row) -> float:
    return row.right / row.images


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
