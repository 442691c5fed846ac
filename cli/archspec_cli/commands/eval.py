"""`archspec eval`: what trained networks get right, by the paper's protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from archspec import provenance
from archspec.errors import file_error
from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, progress, say, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import device as Device  # noqa: N812 - a class, though torch writes it small

    from archspec.architecture import Architecture
    from archspec.data.find import Source
    from archspec.data.sets import Set, Splits
    from archspec.preprocessing import Preprocessing
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.evaluate import Network, Normalise
    from archspec.train.scores import Average, Row, Scores
    from archspec.train.views import View
    from archspec.weights.files import Weights

RECIPE = "archspec.recipe"
"""The metadata key of the resolved recipe that weights were trained by."""
DATA = "archspec.data"
"""That of the data set they were trained on."""
TOP = 5
MOST_CLASSES = 20
"""More have a table of the worst ones."""
WORST = 10
MOST_SIDES = 16
MAX_SIDE = 16_384

Crops = Literal["single", "ten", "full"]
Split = Literal["test", "validation", "train"]


@dataclass(frozen=True, slots=True)
class Look:
    """What of the images the user asks to be looked at; None where nothing is said."""

    crops: Crops | None = None
    crop: int | None = None
    sides: tuple[int, ...] | None = None
    flip: bool = False


class Contender(NamedTuple):
    """A network that takes part: its weights, and how it wants its pictures."""

    architecture: Architecture
    weights: Weights
    recipe: LoadedRecipe | None
    preprocessing: Preprocessing | None


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
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    look = Look(crops, crop, _sides(sizes), flip)
    if crops == "full" and crop is not None:
        fail("--crops full looks at whole images", "--sizes says their shorter sides")
    architecture = load(spec, allow_outside=allow_outside) if spec else None
    protocol = _recipe(recipe, allow_outside=allow_outside)
    contenders = [_contender(path, architecture, protocol, preprocessing) for path in checkpoints]
    source = _source(data, data_root, contenders[0])
    whole = source.read()
    part = _part(_held_out(whole, contenders[0], source), split, source)
    view, full = _view(look, contenders)
    for each in contenders:
        _check(each, part)
        _check_size(each, part, view, full=full)
    place = _device(device)
    normalisers = [_normalise(each, whole, source) for each in contenders]
    networks = [
        _live(each, normalise, place, full=full)
        for each, normalise in zip(contenders, normalisers, strict=True)
    ]
    scores = _tested(networks, part, view, (contenders[0].weights.file, place, average), batch)
    if as_json:
        record = {
            "networks": [_said(each) for each in contenders],
            "data": {"name": part.name, "place": source.place, "split": split, "classes": list(part.classes)},
            "view": {**asdict(view), "fully_convolutional": full, "looks": len(view)},
            "average": average,
            "device": str(place),
        }
        emit_json({**record, **scores.as_json()})
    else:
        tell(_human(contenders, f"{part.name}, {split}", view, part.classes, scores))


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


# who takes part


def _contender(
    path: Path, architecture: Architecture | None, recipe: LoadedRecipe | None, preprocessing: str | None
) -> Contender:
    from archspec.deploy.known import known
    from archspec.train.checkpoint import model_weights
    from archspec.weights.files import checked, read_weights

    weights = checked(read_weights(model_weights(path, say)))
    own = architecture or provenance.recalled(weights.metadata, weights.file)
    if own is None:
        message = "the file does not say which spec its weights are for"
        raise file_error(weights.file, "AS503", message, hint="give it: --spec SPEC")
    # an option stands above what a file carries
    said = {} if recipe else weights.metadata
    found = known(said, weights.file, own.input_shape, asked=preprocessing, labels=None).preprocessing
    return Contender(own, weights, recipe or _carried(weights), found)


def _recipe(name: str | None, *, allow_outside: bool) -> LoadedRecipe | None:
    from archspec.recipes.load import load_recipe

    return load_recipe(name, allow_outside=allow_outside) if name else None


def _carried(weights: Weights) -> LoadedRecipe | None:
    """The recipe that weights say they were trained by."""
    from archspec.errors import SpecError
    from archspec.recipes.load import resolve_recipe
    from archspec.spec.documents import MAX_BYTES, parse

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


def _check(each: Contender, part: Set) -> None:
    """Whether a network and a set go together."""
    from archspec.deploy.predict import json_labels
    from archspec.weights.match import classes

    file, told = each.weights.file, classes(each.architecture)
    if told != len(part.classes):
        message = f"the network tells {told:,} classes apart, but {part.name} has {len(part.classes):,}"
        raise file_error(file, "AS522", message)
    taken, given = each.architecture.input_shape[0], _shape(part)[0]
    if taken != given:
        raise file_error(file, "AS522", f"the network takes {taken} channels, but {part.name} has {given}")
    said = each.weights.metadata.get(provenance.LABELS)
    labels = json_labels(said, file) if said else part.classes
    if labels != part.classes and sorted(labels) == sorted(part.classes):
        raise file_error(file, "AS522", f"the network numbers the classes of {part.name} in another order")


def _check_size(each: Contender, part: Set, view: View, *, full: bool) -> None:
    """Whether a network takes what it is to look at, as far as that is known."""
    from archspec.errors import ProblemsFound
    from archspec.passes.measure import count

    channels, *whole = _shape(part)
    size = view.crop or (() if view.sides else tuple(whole))
    if full or not size:
        return
    try:
        count(each.architecture.graph, (channels, *size))
    except ProblemsFound as found:
        message = f"{each.architecture.name} takes no images of {size[0]}x{size[1]}: {found}"
        fail(message, "--crop N, or --crops full")


def _shape(part: Set) -> tuple[int, ...]:
    """(C, H, W); of pictures of many sizes (C,)."""
    from archspec.data.sets import Images

    return part.shape if isinstance(part, Images) else (part.channels,)


# what is tested, and on what of it


def _source(name: str | None, root: Path | None, first: Contender) -> Source:
    from archspec.data.find import NAMES, find
    from archspec.weights.match import classes

    usual = first.recipe.recipe.data.name if first.recipe else None
    chosen = name or first.weights.metadata.get(DATA) or usual
    if chosen is None:
        fail("no data set is named", f"--data takes {', '.join(NAMES)}")
    channels, height, width = first.architecture.input_shape
    return find(chosen, root, shape=(channels, height, width), classes=classes(first.architecture))


def _held_out(splits: Splits, each: Contender, source: Source) -> Splits:
    """The set, with those images held out that the recipe holds out."""
    from archspec.data.sets import held_out

    if each.recipe is None:
        return splits
    held = each.recipe.recipe.data
    try:
        return held_out(splits, held.split, held.which)
    except ValueError as error:
        raise file_error(source.place, "AS541", str(error)) from error


def _part(splits: Splits, split: Split, source: Source) -> Set:
    part: Set | None = getattr(splits, split)
    if part is not None and len(part):
        return part
    hint = "--recipe RECIPE says which are held out" if split == "validation" else ""
    raise file_error(source.place, "AS531", f"{source.name} has no images for {split}", hint=hint)


def _view(look: Look, contenders: Sequence[Contender]) -> tuple[View, bool]:
    """One view for all, since scores are averaged over all, and whether networks are fully convolutional."""
    views = {each.weights.file: _own_view(look, each) for each in contenders}
    first, *others = views.values()
    if any(other != first for other in others):
        shown = "; ".join(f"{file}: {view}" for file, (view, _) in views.items())
        fail(f"the networks look at images differently ({shown})", "say --crops, --crop and --sizes")
    return first


def _own_view(look: Look, each: Contender) -> tuple[View, bool]:
    """As asked, else as the recipe tests, else as the preprocessing says."""
    from archspec.train.views import SCALES, View

    size = each.architecture.input_shape[1], each.architecture.input_shape[2]
    usual = _usual(each)
    crops = look.crops or usual.crops
    interpolation = each.preprocessing.interpolation if each.preprocessing else "bilinear"
    if crops == "full":
        # the paper's scales are for networks of its size
        scales = usual.sides if usual.crops == "full" else SCALES if size == (224, 224) else ()
        return View(None, look.sides or scales, mirrored=look.flip, interpolation=interpolation), True
    crop = usual.crop if look.crop is None else (look.crop, look.crop)
    if crops == "ten":
        return View(crop or size, look.sides or usual.sides, ten=True, interpolation=interpolation), False
    return View(crop, look.sides or usual.sides, mirrored=look.flip, interpolation=interpolation), False


class _Usual(NamedTuple):
    """How a network is tested where nothing else is asked."""

    crops: Crops = "single"
    crop: tuple[int, int] | None = None
    sides: tuple[int, ...] = ()


def _usual(each: Contender) -> _Usual:
    if each.recipe is not None:
        test = each.recipe.recipe.test
        return _Usual(test.crops, (test.crop, test.crop) if test.crop else None, test.sizes)
    if each.preprocessing is not None:
        resize = each.preprocessing.resize
        return _Usual("single", each.preprocessing.size, (resize,) if resize else ())
    return _Usual()


# networks at work


def _device(name: str) -> Device:
    from archspec.train.evaluate import device_named

    try:
        return device_named(name)
    except ValueError as error:
        fail(str(error))


def _normalise(each: Contender, splits: Splits, source: Source) -> Normalise:
    """What is done to pixels: the preprocessing, or the recipe with the statistics of what it trains on."""
    from archspec.train.evaluate import normalised, prepared

    if each.preprocessing is not None:
        return prepared(each.preprocessing)
    if each.recipe is None:
        hint = "--preprocessing imagenet, cifar10, none or a JSON file; or --recipe, with the set trained on"
        raise file_error(
            each.weights.file, "AS522", "the file does not say how pictures are prepared", hint=hint
        )
    from archspec.data.order import Plan
    from archspec.data.prepare import Placement
    from archspec.data.prepare import prepared as fed

    try:
        feeds = fed(_held_out(splits, each, source), each.recipe.recipe, Plan(1), Placement())
    except ValueError as error:
        raise file_error(source.place, "AS541", str(error)) from error
    return normalised(feeds.normaliser)


def _live(each: Contender, normalise: Normalise, device: Device, *, full: bool) -> Network:
    """A network on a device, from bytes to scores."""
    from archspec.deploy.proof import live
    from archspec.train.convolutional import fully_convolutional
    from archspec.train.evaluate import placed
    from archspec.train.scores import Untestable
    from archspec.weights.match import matched

    network = live(each.architecture, matched(each.architecture, each.weights))
    try:
        there = placed(fully_convolutional(network, each.architecture) if full else network, device)
    except Untestable as error:
        fail(str(error), error.hint)
    return lambda images: there(normalise(images))


def _tested(
    networks: Sequence[Network], part: Set, view: View, how: tuple[str, Device, Average], batch: int
) -> Scores:
    from archspec.data.sets import Images
    from archspec.train.evaluate import evaluate
    from archspec.train.scores import Untestable

    file, device, average = how
    try:
        return evaluate(
            networks,
            part.pixels if isinstance(part, Images) else part,
            part.labels,
            view=view,
            normalise=lambda images: images,  # each network has its own
            batch=batch,
            device=device,
            ensemble=average,
            progress=lambda chunks: progress(chunks, "testing"),
        )
    except Untestable as error:
        if not error.code:
            fail(str(error), error.hint)
        raise file_error(file, error.code, str(error), hint=error.hint) from error


# what is said


def _said(each: Contender) -> dict[str, Any]:
    return {
        "file": each.weights.file,
        "sha256": each.weights.sha256,
        "name": each.architecture.name,
        "function_hash": each.architecture.hash,
        "recipe": each.recipe.name if each.recipe else None,
        "preprocessing": each.preprocessing.model_dump() if each.preprocessing else None,
    }


def _human(
    contenders: Sequence[Contender], what: str, view: View, names: Sequence[str], scores: Scores
) -> str:
    who = contenders[0].architecture.name if len(contenders) == 1 else f"{len(contenders)} networks"
    errors = [
        [f"top-{top}", f"{scores.right(top):,}", _percent(scores.error(top)), _percent(scores.accuracy(top))]
        for top in (1, 5)
        if top == 1 or scores.classes > TOP
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
    few = len(shown) == len(rows)
    header = [
        "class" if few else f"worst {len(shown)} of {len(rows):,} classes",
        "images",
        "right",
        "accuracy",
    ]
    cells = [
        [names[row.number], f"{row.images:,}", f"{row.right:,}", _percent(_accuracy(row))] for row in shown
    ]
    confused = [f"{names[true]} for {names[told]} ({count:,})" for true, told, count in scores.confused()[:5]]
    said = [f"Most often taken for another: {', '.join(map(sanitize, confused))}."] if confused else []
    return [table(header, cells), *said]


def _accuracy(row: Row) -> float:
    return row.right / row.images


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
