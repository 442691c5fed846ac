"""What of a recipe a detector can be trained by: pictures are the detector's matter, and so are tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.detection.scenes import shapes, voc
from archspec.errors import Problem
from archspec.recipes.fields import TRAIN_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.detection.load import LoadedDetector
    from archspec.recipes.load import LoadedRecipe
    from archspec.recipes.models import Recipe

USUAL = dict.fromkeys(voc.COMBINATIONS, "voc0712-detection") | {
    "shapes": "shapes-detection",
    "07++12": "voc0712plus-detection",
    "coco": "coco-detection",
}
_FOLDER = "folder-detection"
_SIZES = "pictures are resized as detector.image says"
_CUT = "boxes are of whole pictures"
_TESTED = "a test is of whole pictures"


def usual_recipe(name: str) -> str:
    """The recipe that is made for a set of this name; any other name is a folder of one's own."""
    return USUAL.get(name, _FOLDER)


def usual_set(detector: LoadedDetector) -> str | None:
    """The set that shows a detector's classes; None where no set that has a name does."""
    labels = detector.detector.labels
    if labels == voc.CLASSES:
        return "07+12"
    return "shapes" if labels == shapes.CLASSES[:3] else None


def fits(recipe: LoadedRecipe, detector: LoadedDetector) -> None:
    """Raises `SpecError` (AS541), each where the recipe says it, with all that training a detector does not do.

    A value that changes nothing, as a resolved recipe writes it out, is no mistake.
    """
    found = [
        *_images(recipe.recipe),
        *_normalisation(recipe.recipe),
        *_errors(recipe.recipe),
        *_training(recipe.recipe, detector),
        *_tests(recipe.recipe),
    ]
    if found:
        raise recipe.sources.error(found)


def _wrong(message: str, *loc: str, hint: str = "") -> Problem:
    return Problem("AS541", f"a detector is not trained with {message}", loc, hint)


def _images(recipe: Recipe) -> Iterator[Problem]:
    augment = recipe.augment
    for key, message, said, hint in (
        ("resize", "sides drawn by the recipe", augment.resize, f"{_SIZES}; `shorter` takes several sides"),
        ("area", "parts of pictures", augment.area, _CUT),
        ("pad", "padded pictures", augment.pad, _CUT),
        ("crop", "crops", augment.crop, _CUT),
        ("jitter", "changed colours", augment.jitter, "of the augmentations only the flip is done"),
        ("colour", "changed colours", augment.colour != "none", "of the augmentations only the flip is done"),
    ):
        if said:
            yield _wrong(message, "augment", key, hint=hint)


def _normalisation(recipe: Recipe) -> Iterator[Problem]:
    normalise = recipe.normalise
    hint = "pictures are normalised as detector.image.mean and .std say"
    if normalise.kind != "none":
        message = f'the recipe\'s normalisation, "{normalise.kind}"'
        yield _wrong(message, "normalise", "kind", hint=f'{hint}: say normalise.kind = "none"')
    if normalise.range != 1:
        yield _wrong(f"pixels up to {normalise.range}", "normalise", "range", hint=hint)


def _errors(recipe: Recipe) -> Iterator[Problem]:
    """A detector has losses and a validation mAP, but no training error."""
    schedule, none = recipe.schedule, "a detector has no training error"
    if schedule.kind == "plateau" and schedule.watch == TRAIN_ERROR:
        hint = f'{none}; watch = "validation-error" is 1 - mAP, and needs data.split'
        yield _wrong("a plateau of the training error", "schedule", "watch", hint=hint)
    if schedule.warmup is not None and schedule.warmup.until == TRAIN_ERROR:
        message = "a warm-up that waits for the training error"
        yield _wrong(message, "schedule", "warmup", "until", hint=f"{none}; say until = 500, for example")


def _training(recipe: Recipe, detector: LoadedDetector) -> Iterator[Problem]:
    train, kind = recipe.train, detector.detector.batch_norm
    if train.label_smoothing:
        hint = "what is learnt of a region is a matter of the detector's parts"
        yield _wrong("smoothed labels", "train", "label_smoothing", hint=hint)
    if train.precise_bn and (kind != "trained" or detector.detector.frozen):
        hint = f'detector.batch_norm is "{kind}", so its statistics stay as they are'
        if kind == "trained":
            hint = "those of frozen stages stay as they are"
        yield _wrong("statistics averaged anew", "train", "precise_bn", hint=hint)


def _tests(recipe: Recipe) -> Iterator[Problem]:
    test = recipe.test
    if test.crops != "single":
        yield _wrong(f'"{test.crops}" as its test', "test", "crops", hint=_TESTED)
    if test.crop is not None:
        yield _wrong("crops in tests", "test", "crop", hint=_TESTED)
    if test.sizes:
        yield _wrong("the recipe's sizes in tests", "test", "sizes", hint=f"{_SIZES}; tests take the last")
