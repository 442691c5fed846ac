"""What `archspec train` is asked to learn: a network that tells classes apart, or a detector."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from archspec.detection.kind import is_detector
from archspec.recipes.load import load_recipe, recipe_names
from archspec_cli.loading import load
from archspec_cli.output import fail, say

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.recipes.load import LoadedRecipe
    from archspec.train.task import Task
    from archspec.weights.files import Weights

DIGITS = ("cifar/resnet20", ("n=1",))
"""What is trained where nothing is said: a residual net of 8 layers."""
USUAL = {"cifar10": "cifar10-paper", "imagenet": "imagenet-paper"}
"""The recipes of sets that have none of their own name."""
# of sets that need not be there for a schedule to be printed
IMAGES = {
    "cifar10": 50_000,
    "cifar100": 50_000,
    "mnist": 60_000,
    "fashion-mnist": 60_000,
    "imagenet": 1_281_167,
    # trainval of VOC, train of VOC 2012 alone and of COCO 2014: with the pictures that show nothing to learn
    "voc2007": 5_011,
    "voc2012": 5_717,
    "07+12": 16_551,
    "07++12": 21_503,
    "coco": 82_783,
}


@dataclass(frozen=True)
class Wanted:
    """A spec, a recipe and a set, as they were typed; None where nothing was."""

    spec: str | None = None
    changes: tuple[str, ...] = ()
    named: str | None = None
    """The recipe."""
    recipe_changes: tuple[str, ...] = ()
    data: str | None = None
    root: Path | None = None
    download: bool = False
    start: Path | None = None
    """Weights to start from."""

    @cached_property
    def network(self) -> tuple[str, list[str]]:
        """The spec and its changes, or the small net that is trained where nothing is said."""
        if self.spec is not None:
            return self.spec, list(self.changes)
        return DIGITS[0], [*DIGITS[1], *self.changes]

    @cached_property
    def detects(self) -> bool:
        """Whether the spec is a detector's."""
        return self.spec is not None and is_detector(self.spec)

    @cached_property
    def recipe(self) -> LoadedRecipe:
        """The recipe that is named, else the data's own."""
        return load_recipe(self.named or self._usual(), self.recipe_changes)

    @property
    def set(self) -> str:
        """The name of the data set."""
        return self.data or self.recipe.recipe.data.name

    def _usual(self) -> str:
        if self.detects:
            from archspec.detection.fitting import usual_recipe, usual_set
            from archspec.detection.load import load_detector

            data = self.data or usual_set(load_detector(*self.network))
            if data is None:
                fail("no data set is named, and none has this detector's classes", "--data NAME, or a folder")
            return usual_recipe(data)
        name = USUAL.get(self.data or "digits", self.data or "digits")
        if name not in recipe_names():
            fail(f"no recipe is made for {name}", f"--recipe takes a file, or {', '.join(recipe_names())}")
        return name

    def task(self) -> Task:
        """The task, its data read. Raises `FileError`, `SpecError`."""
        self._check_kind(self.data)
        usual = self.recipe.recipe.data.name  # what is wrong with a recipe is said before data are read
        if self.data is None:
            self._check_kind(usual)
        return self._detection() if self.detects else self._classification()

    def _check_kind(self, name: str | None) -> None:
        """Ends the command where a set is of the other kind."""
        from archspec.data import find
        from archspec.detection.scenes import sets

        here, there = (sets.NAMES, find.NAMES) if self.detects else (find.NAMES, sets.NAMES)
        if name in here or name not in there:
            return
        if self.detects:
            fail(
                f"{name} is a set of images with classes, and this is a detector",
                f"--data {', '.join(here)}",
            )
        fail(
            f"{name} is a set for detectors",
            "archspec train faster-rcnn-resnet18-shapes, or one of your own",
        )

    def images(self) -> int:
        """How many images an epoch has."""
        held_out = self.recipe.recipe.data.split
        if self.set in IMAGES:
            return IMAGES[self.set] - held_out
        if self.detects:
            from archspec.detection.scenes.sets import find

            return len(find(self.set, self.root, say).read().train) - held_out
        from archspec.train.fitting import sought

        spec, changes = self.network
        return len(sought(self.set, self.root, load(spec, changes)).read().train) - held_out

    def _classification(self) -> Task:
        from archspec.train.classification import Classification
        from archspec.train.fitting import fitted, sought

        spec, changes = self.network
        source = sought(self.set, self.root, load(spec, changes), fetch=self.download, say=say)
        splits = source.read()
        architecture = fitted(spec, changes, splits, self.recipe.recipe)
        return Classification(architecture, self.recipe, splits, source.place, self._weights())

    def _detection(self) -> Task:
        from archspec.detection.fitting import fits
        from archspec.detection.load import load_detector
        from archspec.detection.scenes.sets import find
        from archspec.detection.training import Detection, fitted

        loaded = load_detector(*self.network)
        fits(self.recipe, loaded)
        source = find(self.set, self.root, say)
        splits = source.read()
        for part in (splits.train, splits.validation, splits.test):
            for remark in part.remarks if part is not None else ():
                say(f"{source.place}: {remark}")
        return Detection(fitted(loaded, splits.train), self.recipe, splits, source.place, self._weights())

    def _weights(self) -> Weights | None:
        if self.start is None:
            return None
        from archspec.train.checkpoint import model_weights
        from archspec.weights.files import checked, read_weights

        return checked(read_weights(model_weights(self.start, say)))
