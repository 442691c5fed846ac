"""Networks that take part in a test: their weights, and how each wants its images."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Literal, NamedTuple

from archspec import provenance
from archspec.data.order import Plan
from archspec.data.prepare import Placement
from archspec.data.prepare import prepared as fed
from archspec.data.sets import Images, held_out
from archspec.data.statistics import Normaliser
from archspec.deploy.known import known
from archspec.deploy.predict import json_labels
from archspec.deploy.proof import live
from archspec.errors import ProblemsFound, SpecError, file_error
from archspec.passes.measure import count
from archspec.recipes.load import resolve_recipe
from archspec.spec.documents import MAX_BYTES, parse
from archspec.train.checkpoint import model_weights
from archspec.train.convolutional import fully_convolutional
from archspec.train.evaluate import normalised, placed, prepared
from archspec.train.scores import Untestable
from archspec.train.views import SCALES, View
from archspec.weights.files import checked, read_weights
from archspec.weights.match import classes, matched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import torch

    from archspec.architecture import Architecture
    from archspec.data.sets import Set, Splits
    from archspec.preprocessing import Preprocessing
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.evaluate import Network, Normalise
    from archspec.weights.files import Weights

RECIPE = "archspec.recipe"
"""The metadata key of the resolved recipe that weights were trained by."""
DATA = "archspec.data"
"""That of the data set they were trained on."""

NORMALISER = "archspec.normaliser"
"""That of the mean and the factor which images were normalised by: safetensors, as base64."""

Crops = Literal["single", "ten", "full"]


class Contender(NamedTuple):
    """A network that takes part. Without a preprocessing, the recipe says how images are normalised."""

    architecture: Architecture
    weights: Weights
    recipe: LoadedRecipe | None
    preprocessing: Preprocessing | None
    normaliser: Normaliser | None = None

    @property
    def file(self) -> str:
        """Where its weights are."""
        return self.weights.file


class Asked(NamedTuple):
    """What an option says of a network, above what its file says; None where there is none."""

    architecture: Architecture | None = None
    recipe: LoadedRecipe | None = None
    preprocessing: str | None = None


class Look(NamedTuple):
    """What of the images is looked at; None where nothing is said."""

    crops: Crops | None = None
    crop: tuple[int, int] | None = None
    sides: tuple[int, ...] | None = None
    mirrored: bool = False


def contender(path: Path, asked: Asked, say: Callable[[str], None] = lambda _: None) -> Contender:
    """A network from a weights file, a run's folder or one of its checkpoints. Raises `FileError`."""
    weights = checked(read_weights(model_weights(path, say)))
    architecture = asked.architecture or provenance.recalled(weights.metadata, weights.file)
    if architecture is None:
        message, hint = "the file does not say which spec its weights are for", "give it: --spec SPEC"
        if provenance.DETECTOR in weights.metadata:
            message, hint = "these are a detector's weights", "archspec eval, predict and export take them"
        raise file_error(weights.file, "AS503", message, hint=hint)
    shape, said = architecture.input_shape, {} if asked.recipe else weights.metadata
    found = known(said, weights.file, shape, asked=asked.preprocessing, labels=None).preprocessing
    normaliser = None if asked.preprocessing else _normaliser(said, weights.file)
    return Contender(architecture, weights, asked.recipe or carried(weights), found, normaliser)


def _normaliser(said: Mapping[str, str], file: str) -> Normaliser | None:
    """How weights say that their images were normalised, to the bit."""
    text = said.get(NORMALISER)
    if text is None:
        return None
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return Normaliser.restored(load(base64.b64decode(text, validate=True)), file)
    except (ValueError, LookupError, SafetensorError) as error:
        message = f"what the file says of its images cannot be used: {error}"
        raise file_error(file, "AS507", message) from error


def carried(weights: Weights) -> LoadedRecipe | None:
    """The recipe that weights say they were trained by."""
    text = weights.metadata.get(RECIPE)
    if text is None:
        return None
    try:
        document = parse(text.encode()[: MAX_BYTES + 1], f"{weights.file} (its recipe)", None)
        if "extends" in document.data:
            raise file_error(weights.file, "AS507", "the recipe that the file carries leans on another file")
        return resolve_recipe(document)
    except SpecError as error:
        message = f"the recipe that the file carries cannot be used: {error}"
        raise file_error(weights.file, "AS507", message) from error


def data_name(each: Contender) -> str | None:
    """The set that a network was trained on, where that is known."""
    usual = each.recipe.recipe.data.name if each.recipe else None
    return each.weights.metadata.get(DATA) or usual


def parted(splits: Splits, each: Contender) -> Splits:
    """A set with those images held out that a network's recipe holds out. Raises `FileError`."""
    if each.recipe is None:
        return splits
    data = each.recipe.recipe.data
    return held_out(splits, data.split, data.which)


# views


def common_view(look: Look, contenders: Sequence[Contender]) -> tuple[View, bool]:
    """One view for all, since scores are averaged over all, and whether networks are made fully convolutional."""
    views = {each.file: _view(look, each) for each in contenders}
    first, *others = views.values()
    if any(other != first for other in others):
        shown = "; ".join(f"{file}: {view}" for file, (view, _) in views.items())
        hint = "say --crops, --crop and --sizes"
        raise Untestable(f"the networks look at images differently ({shown})", hint)
    return first


def _view(look: Look, each: Contender) -> tuple[View, bool]:
    """As asked, else as the recipe tests, else as the preprocessing says."""
    size = each.architecture.input_shape[1], each.architecture.input_shape[2]
    usual = _usual(each)
    crops = look.crops or usual.crops
    interpolation = each.preprocessing.interpolation if each.preprocessing else "bilinear"
    if crops == "full":
        # the paper's scales are for networks of its size
        scales = usual.sides if usual.crops == "full" else SCALES if size == (224, 224) else ()
        sides = look.sides or scales or ()
        return View(sides=sides, mirrored=look.mirrored, interpolation=interpolation), True
    crop, sides = look.crop or usual.crop, look.sides or usual.sides or ()
    if crops == "ten":
        return View(crop or size, sides, ten=True, interpolation=interpolation), False
    return View(crop, sides, mirrored=look.mirrored, interpolation=interpolation), False


def _usual(each: Contender) -> Look:
    if each.recipe is not None:
        test = each.recipe.recipe.test
        return Look(test.crops, (test.crop, test.crop) if test.crop else None, test.sizes)
    if each.preprocessing is not None:
        resize = each.preprocessing.resize
        return Look("single", each.preprocessing.size, (resize,) if resize else ())
    return Look("single")


# networks and sets


def check(each: Contender, part: Set, view: View, *, full: bool) -> None:
    """Whether a network and a set go together, as far as that is known. Raises `FileError` and `Untestable`."""
    shape, told = each.architecture.input_shape, classes(each.architecture)
    given = part.shape if isinstance(part, Images) else (part.channels,)
    if told != len(part.classes):
        message = f"the network tells {told:,} classes apart, but {part.name} has {len(part.classes):,}"
        raise file_error(each.file, "AS522", message)
    if shape[0] != given[0]:
        message = f"the network takes {shape[0]} channels, but {part.name} has {given[0]}"
        raise file_error(each.file, "AS522", message)
    said = each.weights.metadata.get(provenance.LABELS)
    labels = json_labels(said, each.file) if said else part.classes
    if labels != part.classes and sorted(labels) == sorted(part.classes):
        raise file_error(
            each.file, "AS522", f"the network numbers the classes of {part.name} in another order"
        )
    size = view.crop or (() if view.sides else given[1:])
    if size and not full:
        _check_size(each.architecture, size)


def _check_size(architecture: Architecture, size: tuple[int, ...]) -> None:
    try:
        count(architecture.graph, (architecture.input_shape[0], *size))
    except ProblemsFound as found:
        message = f"{architecture.name} takes no images of {size[0]}x{size[1]}: {found}"
        raise Untestable(message, "--crop N, --sizes N or --crops full") from found


def normalisation(each: Contender, splits: Splits) -> Normalise:
    """As trained; else the preprocessing's; else the recipe's, with statistics of the images trained on.

    Raises `FileError`.
    """
    if each.normaliser is not None:
        return normalised(each.normaliser)
    if each.preprocessing is not None:
        return prepared(each.preprocessing)
    if each.recipe is None:
        hint = "--preprocessing imagenet, cifar10, none or a JSON file; or --recipe, with the set trained on"
        raise file_error(each.file, "AS522", "the file does not say how pictures are prepared", hint=hint)
    feeds = fed(parted(splits, each), each.recipe.recipe, Plan(1), Placement())
    return normalised(feeds.normaliser)


def ready(each: Contender, normalise: Normalise, device: torch.device, *, full: bool) -> Network:
    """The network on a device, from bytes to scores. Raises `FileError` and `Untestable`."""
    network = live(each.architecture, matched(each.architecture, each.weights))
    there = placed(fully_convolutional(network, each.architecture) if full else network, device)
    return lambda images: there(normalise(images))
