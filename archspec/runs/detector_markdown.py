"""The protocol card of a detector as Markdown. As in every card, a stranger's words are words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.passes.measure import CONVENTION
from archspec.runs.detectors import frozen_words, shipped_as
from archspec.runs.deviations import normalises_batches
from archspec.runs.document import classes
from archspec.runs.folder import MapResultTold
from archspec.runs.markdown import (
    computation_section,
    data_section,
    deviations_section,
    duration,
    escaped,
    fenced,
    how_far,
    items,
    percent,
    readings_section,
    recipe_section,
    repeat_section,
    seeds,
    spread_words,
    table,
    unfinished,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.runs.card import DetectorCard, Progress
    from archspec.runs.folder import RunFolder, RunTold


def markdown(card: DetectorCard) -> str:
    """The whole card."""
    told = card.job.told
    assert told.spec.backbone is not None, "a detector has one"
    of_classes = _classes(card)
    sections = [
        f"# {escaped(card.title)}",
        items([*_figures(card), *_choice(card)]),
        f"## Runs\n\n{_runs(card)}",
        *([f"## Classes\n\n{of_classes}"] if of_classes else []),
        f"## Against the paper\n\n{_paper(card)}",
        f"## Deviations from the paper\n\n{deviations_section(card)}",
        f"## Left open by the paper\n\n{readings_section(card)}",
        f"## Detector\n\n{_detector(card)}",
        f"## Recipe\n\n{recipe_section(card)}",
        f"## Data\n\n{data_section(card)}",
        f"## Computation\n\n{computation_section(card, _batch_norm(card))}",
        f"## To repeat it\n\n{repeat_section(card)}",
        f"## Detector, resolved\n\n{fenced(told.spec.text, 'toml')}",
        f"## Backbone, resolved\n\n{fenced(told.spec.backbone.text, 'toml')}",
        f"## Recipe, resolved\n\n{fenced(told.recipe.text, 'toml')}",
    ]
    return "\n\n".join(sections) + "\n"


def _measure(card: DetectorCard) -> str:
    """What the tests measured, in words: "mAP@.5 (VOC 2012)"."""
    found = {
        run.result.test.measure
        for run in card.ended
        if isinstance(run.result, MapResultTold) and run.result.test is not None
    }
    return escaped("; ".join(sorted(found))) or "mAP"


def _figures(card: DetectorCard) -> Iterator[str]:
    yield from unfinished(card)
    names = {"test_map": f"Test {_measure(card)}", "test_map_50": "Test mAP@.5"}
    names["validation_map"] = "Validation mAP that chose the detector"
    for name, words in names.items():
        figure = card.figure(name)
        repeated = name == "test_map_50" and figure == card.figure("test_map")
        if figure is not None and not repeated:
            bold = "**" if name == "test_map" else ""
            yield f"{bold}{words}: {spread_words(figure)}{bold}"
    if card.ended and card.figure("test_map") is None:
        yield "There is no test mAP: the objects of the test pictures are not published."
    yield from seeds(card)


def _choice(card: DetectorCard) -> Iterator[str]:
    if card.job.told.data.validation is None:
        yield "No images are held out, so nothing is chosen: the detector of the last step is the one tested."
    else:
        yield (
            "Of each run the detector with the highest validation mAP at the end of an epoch is tested, once. No "
            "detector is chosen by its test mAP."
        )
    if card.views:
        yield f"Tested on {card.job.told.data.test or 0:,} images: {escaped('; '.join(card.views))}."


def _runs(card: DetectorCard) -> str:
    header = ["seed", "test mAP", "validation mAP", "tested step", "images/s", "trained for"]
    rows = [_run(run, run.told) for run in card.runs if run.told is not None]
    parts = [table(header, rows)]
    parts += [items([how_far(each, _known(each)) for each in card.going])] if card.going else []
    return "\n\n".join(parts)


def _known(progress: Progress) -> list[str]:
    error = progress.validation_error
    return [] if error is None else [f"validation mAP {percent(1 - error)}"]


def _run(run: RunFolder, told: RunTold) -> list[str]:
    result = run.result
    if not isinstance(result, MapResultTold):
        return [str(told.seed), "not ended", *["-"] * 4]
    return [
        str(told.seed),
        percent(result.test_map),
        percent(result.best_val_map),
        f"{result.tested_step:,} of {result.steps:,}",
        f"{result.images_per_second:,.3g}" if result.images_per_second else "-",
        duration(result.seconds),
    ]


def _classes(card: DetectorCard) -> str:
    rows = [
        [escaped(each.name), f"{each.objects:,}", "-" if each.ap is None else spread_words(each.ap)]
        for each in classes(card)
    ]
    return table(["class", "objects", "AP"], rows) if rows else ""


def _paper(card: DetectorCard) -> str:
    name = escaped(card.job.told.data.name)
    if not card.held.in_paper:
        return (
            f"The set {name} is not in the paper, so no mAP of the paper's can be compared with those here."
        )
    if not card.printed:
        return f"The paper prints no mAP of a detector on this network for {name}."
    rows = []
    for each in card.printed:
        value = f"{each.printed.map:.1f} %"
        if each.printed.map_50 is not None:
            value = f"mAP@[.5, .95] {value}, mAP@.5 {each.printed.map_50:.1f} %"
        rows.append([f"{each.net}, {each.printed.place}", value, f"no: {escaped(each.why_not)}"])
    return table(["the paper's", "mAP", "comparable"], rows)


def _detector(card: DetectorCard) -> str:
    job, told = card.job, card.job.told.spec
    backbone, read, initial = told.backbone, job.detector, job.told.initial
    assert backbone is not None, "a detector has one"
    sides = ", ".join(f"{side:,}" for side in read.image.shorter)
    per_region = told.multiply_adds_per_region or 0
    lines = [
        f"Name: {escaped(told.name)}. Digest: `{told.hash}`.",
        f"Backbone: {escaped(backbone.name)}, function `{backbone.hash}`, shared up to {escaped(read.cut)}; what "
        "follows is run for each region.",
        f"Stays as it is in training: {escaped(frozen_words(job))}.",
        f"{told.parameters:,} parameters; {told.multiply_adds:,} multiply-adds for an image at its largest, "
        f"{per_region:,} for each region ({escaped(CONVENTION)}).",
        f"Images: shorter side {sides} pixels, the longer one at most {read.image.longest:,}. Regions: RoI "
        f"{read.regions.kind}, {read.regions.size}x{read.regions.size}; {read.proposals.keep_train:,} proposals of an "
        f"image in training, of which {read.regions.sampled:,} are trained on, {read.proposals.keep_test:,} in a test.",
    ]
    lines.append(
        _start(initial.file, initial.sha256) if initial and initial.file else "All weights were drawn."
    )
    shipped = shipped_as(job)
    if shipped is None:
        lines.append("No detector of that name ships with archspec.")
    else:
        lines.append(
            "As it ships with archspec, but perhaps for its classes."
            if shipped
            else "Changed from the detector that ships under that name."
        )
    return items(lines)


def _start(file: str, sha256: str | None) -> str:
    return f"Training starts from weights of {escaped(file)}" + (f", SHA-256 `{sha256}`." if sha256 else ".")


def _batch_norm(card: DetectorCard) -> list[list[str]]:
    if not normalises_batches(card.job):
        return [["BN", "the network has none"]]
    kind = card.job.detector.batch_norm
    if kind != "trained":
        return [["BN", f"{kind}: no statistics are computed in training"]]
    return [
        ["images that one BN layer sees together", f"{card.job.told.batch_norm_images:,}, or their regions"]
    ]
