"""The task of finding objects: pictures and boxes in, four losses out, judged by average precision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from archspec import provenance
from archspec.data.sets import held_out
from archspec.detection.build import detector
from archspec.detection.counts import counted
from archspec.detection.judging.average_precision import Detected
from archspec.detection.judging.metrics import judged
from archspec.detection.keys import PREDICTOR
from archspec.detection.models import Detector
from archspec.detection.modules import LOSSES
from archspec.detection.scenes.feed import PLACE, Pictures
from archspec.detection.scenes.flat import refuse_flat_ones
from archspec.detection.stored import fill, opened, recalled, restored, stamp
from archspec.errors import file_error
from archspec.train.contenders import DATA, RECIPE
from archspec.train.record import data_record, spec_record
from archspec.train.scores import Untestable
from archspec.train.task import Loss, Prepared, Task, Tested

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from archspec.data.feed import Batch, Feed
    from archspec.data.order import Plan
    from archspec.data.prepare import Placement
    from archspec.detection.load import LoadedDetector
    from archspec.detection.modules import RegionDetector
    from archspec.detection.scenes.annotations import Scenes, Splits
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.loop import Terms
    from archspec.train.task import Forward
    from archspec.train.topology import Topology
    from archspec.weights.files import Weights

_MOST_NAMED = 30


@dataclass(frozen=True, slots=True)
class Detection(Task):
    """A detector by a recipe on pictures with objects. `place` is where the data were found, for the card."""

    loaded: LoadedDetector
    recipe: LoadedRecipe
    splits: Splits
    place: str = ""
    weights: Weights | None = None
    """What training starts from: a detector's, or its network's, of classification."""

    measure = "map"
    told = ("objectness", "proposal_boxes", "classes", "boxes")
    """As `LOSSES`, by our names."""

    @property
    def name(self) -> str:
        """The detector's name."""
        return self.loaded.name

    @property
    def digest(self) -> str:
        """The hash of all that the detector computes and learns from."""
        return self.loaded.digest

    def record(self, means: Mapping[str, float]) -> Mapping[str, Any]:
        """The four losses."""
        return {"losses": dict(means)}

    def prepare(self, plan: Plan, placement: Placement) -> Prepared:
        """Feeds: crowds, difficult objects and pictures without objects are not learned from."""
        data = self.recipe.recipe.data
        splits = held_out(self.splits, data.split, data.which)
        train = splits.train.to_learn()
        if not len(train):
            raise file_error(train.name, "AS531", "there are no pictures with objects to train on")
        image = self.loaded.detector.image
        for part in (train, splits.validation, splits.test):
            if part is not None:  # now, and not in the middle of an epoch or when all is done
                refuse_flat_ones(part, [(min(image.shorter), image.longest)])
        for part, what in ((splits.validation, "held out"), (splits.test, "to test on")):
            if part is not None and (part.objects.crowd | part.objects.difficult).all():
                raise file_error(part.name, "AS531", f"the pictures {what} show no object that counts")
        flip = self.recipe.recipe.augment.flip
        feed = Pictures(train, plan, flip=flip, device=placement.device, workers=placement.workers)
        validation = None
        if splits.validation is not None:
            validation = Pictures(
                splits.validation, plan, flip=False, device=placement.device, workers=placement.workers
            )
        learned = replace(splits, train=train)
        record = {"spec": detector_record(self.loaded), "data": data_record(learned, self.place)}
        carried = {
            **stamp(self.loaded),
            provenance.ORIGIN: f"archspec train, {self.recipe.name}",
            RECIPE: self.recipe.text(),
            DATA: train.name,
        }
        return Prepared(feed, validation, record, carried)

    def network(self) -> nn.Module:
        """The module. Raises `FileError` for weights to start from that do not fit."""
        if self.weights is None or provenance.DETECTOR not in self.weights.metadata:
            return detector(self.loaded, self.weights)
        return _continued(self.loaded, self.weights)

    def check(self, terms: Terms, images: int) -> None:
        """Nothing: batch normalisation is frozen, or it sees maps and the regions of all images."""

    def loss(self, forward: Forward, part: Batch) -> Loss:
        """The four losses added up, as the mean over a part's pictures."""
        targets = [{key: each[key] for key in ("boxes", "labels")} for each in part.labels]
        losses = forward(part.images, targets)
        told = torch.stack([losses[key].float() for key in LOSSES])
        return Loss(told.sum(), told * len(part.images))

    def tally(self, feed: Feed, device: torch.device) -> Found:  # noqa: ARG002 - boxes are kept where all ranks' meet
        """Boxes of one test."""
        assert isinstance(feed, Pictures), "what this task prepared"
        return Found(feed.scenes)

    def tested(self, checkpoint: Path, device: torch.device) -> Tested | None:
        """What a checkpoint finds in the test pictures; None where their objects are not published."""
        scenes = self.splits.test
        if scenes is None:
            return None
        from archspec.detection.testing import detected

        module = restored(*opened(checkpoint)).to(device)
        found = [detected([module], each.pixels()) for each in scenes]
        result = judged(scenes, found)
        if result.value is None:
            raise file_error(scenes.name, "AS531", "there are no objects in the test pictures")
        return Tested(result.value, 1 - result.value, "the whole picture", result.as_json())


class Found:
    """What was found in the pictures of a set, in the order in which ranks look at them."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes
        self.found: list[tuple[int, Detected]] = []
        self.broken = False

    def add(self, network: nn.Module, batch: Batch) -> None:
        """One batch. Boxes of weights that are no numbers are dropped by torchvision: the weights are looked at."""
        if not self.found:
            self.broken = not all(bool(each.isfinite().all()) for each in network.state_dict().values())
        for target, boxes in zip(batch.labels, network(batch.images), strict=True):
            self.found.append((int(target[PLACE]), as_detected(boxes)))

    def error(self, topology: Topology) -> float:
        """1 - mAP."""
        everything = sorted(topology.gathered(self.found), key=lambda each: each[0])
        found = [each for _, each in everything]
        if any(topology.gathered([self.broken])):
            raise Untestable("the weights are not finite numbers", code="AS523")
        result = judged(self.scenes, found)
        if result.value is None:
            raise Untestable("there are no objects in the pictures held out", code="AS531")
        return 1 - result.value


def as_detected(boxes: Mapping[str, Tensor]) -> Detected:
    """Boxes of one picture as torchvision's detectors give them, whose labels count from 1."""
    return Detected(
        boxes["boxes"].cpu().double().numpy(),
        boxes["scores"].cpu().double().numpy(),
        boxes["labels"].cpu().numpy() - 1,
    )


def detector_record(loaded: LoadedDetector) -> dict[str, Any]:
    """A detector in `run.json`."""
    counts = counted(loaded)
    return {
        "kind": "detector",
        "name": loaded.name,
        "hash": loaded.digest,
        "text": loaded.text(),
        "backbone": {
            key: value
            for key, value in spec_record(loaded.architecture).items()
            if key in ("name", "hash", "text")
        },
        "parameters": counts.parameters,
        "multiply_adds": counts.per_image,
        "multiply_adds_per_region": counts.per_region,
    }


def fitted(loaded: LoadedDetector, scenes: Scenes) -> LoadedDetector:
    """The detector with the names of a set's classes, where it says only how many there are.

    Raises `FileError`: AS541 where it has other classes.
    """
    told = loaded.detector
    if told.classes == len(scenes.classes):
        named = _named(told, scenes)
        return replace(loaded, file=loaded.file.model_copy(update={"detector": named}))
    if told.labels == scenes.classes:
        return loaded
    message = f"the detector finds {_some(told.labels)}, and {scenes.name} shows {_some(scenes.classes)}"
    wanted = ", ".join(f'"{each}"' for each in scenes.classes)
    hint = "--set detector.classes=" + (
        f"'[{wanted}]'" if len(scenes.classes) <= _MOST_NAMED else str(len(scenes.classes))
    )
    raise file_error(loaded.name, "AS541", message, hint=hint)


def _named(told: Detector, scenes: Scenes) -> Detector:
    table = {**told.model_dump(mode="json", exclude_none=True), "classes": list(scenes.classes)}
    try:
        return Detector.model_validate(table)
    except ValidationError as error:
        message = f"names of classes that a detector cannot have: {error.errors()[0]['msg']}"
        raise file_error(scenes.name, "AS541", message, hint="one line of 1 to 64 characters each") from error


def _some(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:3])
    return shown if len(labels) <= 3 else f"{len(labels)} classes ({shown}, ...)"


def _continued(loaded: LoadedDetector, weights: Weights) -> RegionDetector:
    """From another detector's weights; for other classes its predictor stays as it is drawn."""
    before = recalled(weights)
    assert before is not None
    module = detector(loaded)
    if before.architecture.hash != loaded.architecture.hash:
        message = f"the detector in it has another network: {before.architecture.name}"
        raise file_error(weights.file, "AS506", message)
    same = before.detector.labels == loaded.detector.labels
    fill(module, weights, but=None if same else PREDICTOR)
    return module
