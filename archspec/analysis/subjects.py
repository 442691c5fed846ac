"""The networks and the images that are looked at: weights and sets come as `archspec eval` has them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch

from archspec.analysis.layers import residual, responding
from archspec.analysis.responses import NotFinite, Responses, measured
from archspec.data import synthetic
from archspec.data.sets import Images
from archspec.data.statistics import measure, normaliser
from archspec.deploy.proof import initial, live
from archspec.errors import file_error
from archspec.recipes.models import Normalise
from archspec.runs.folder import RUN, read_run
from archspec.train.contenders import Look, check, common_view, normalisation
from archspec.train.evaluate import normalised, placed
from archspec.train.views import View
from archspec.weights.match import classes, matched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from torch import Tensor, nn

    from archspec.architecture import Architecture
    from archspec.data.sets import Set, Splits
    from archspec.train.contenders import Contender
    from archspec.train.evaluate import Normalise as Prepare

IMAGENET_RATIO = 256 / 224
"""Of the shorter side to the crop, where pictures of any size are looked at and nobody says how."""


class Sight(NamedTuple):
    """The images that a network looks at, and what it makes of their bytes."""

    part: Set
    view: View
    normalise: Prepare

    def batches(self, count: int, size: int) -> list[range]:
        """Places of `count` images, in batches that are as equal as can be, of at most `size`."""
        count = min(count, len(self.part))
        pieces = -(-count // size)
        ends = [count * place // pieces for place in range(pieces + 1)]
        return [range(start, end) for start, end in pairwise(ends)]

    def images(self, places: Iterable[int], count: int) -> tuple[Tensor, Tensor]:
        """Normalised images (N, C, H, W) and labels: of `count` that are spread evenly over the part."""
        chosen = [place * len(self.part) // min(count, len(self.part)) for place in places]
        if isinstance(self.part, Images):
            pixels = next(self.view.looks(self.part.pixels[chosen]))
        else:
            pixels = torch.cat([next(self.view.looks(self.part.decode(place)[None])) for place in chosen])
        return self.normalise(pixels), self.part.labels[chosen]


def trained_sight(each: Contender, splits: Splits, part: Set) -> Sight:
    """As a network is tested, but one look at an image. Raises `FileError` and `Untestable`."""
    view, _ = common_view(Look("single"), [each])
    _, height, width = each.architecture.input_shape
    whole = view.crop is None and not isinstance(part, Images)
    view = replace(view, crop=(height, width) if whole else view.crop, sides=view.sides[:1], mirrored=False)
    check(each, part, view, full=False)
    return Sight(part, view, normalisation(each, splits))


def fresh_sight(architecture: Architecture, part: Set, count: int) -> Sight:
    """Of a network that was never trained: by the mean and the deviation of the images' channels.

    Raises `FileError` and `Untestable`.
    """
    channels, height, width = architecture.input_shape
    told, name = classes(architecture), part.name
    if told != len(part.classes):
        message = f"the network tells {told:,} classes apart, and {name} has {len(part.classes):,}"
        raise file_error(architecture.name, "AS541", message)
    plain = isinstance(part, Images)
    sides = () if plain else (round(min(height, width) * IMAGENET_RATIO),)
    view = View(None if plain else (height, width), sides)
    raw, _ = Sight(part, view, lambda images: images).images(range(min(count, len(part))), count)
    statistics = measure([raw], name)
    return Sight(
        part, view, normalised(normaliser(Normalise(kind="per-channel-std"), statistics, channels, name))
    )


def made_up(architecture: Architecture, count: int) -> Set:
    """So many images of the synthetic set, for a network that no set is named for. Raises `FileError`."""
    channels, height, width = architecture.input_shape
    return synthetic.make((channels, height, width), classes(architecture), train=count, test=1).train


def trained(each: Contender, device: torch.device) -> nn.Module:
    """The network with its weights. Raises `FileError`."""
    return placed(live(each.architecture, matched(each.architecture, each.weights)), device)


def fresh(architecture: Architecture, seed: int, device: torch.device) -> nn.Module:
    """The network as a run of this seed starts with it."""
    values: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = initial(architecture, seed)
    return placed(live(architecture, values), device)


def seed_of(path: Path) -> int | None:
    """The seed of the run that a folder, or a checkpoint in it, is of."""
    folder = next((each for each in (path, *path.resolve().parents[:3]) if (each / RUN).is_file()), None)
    told = read_run(folder).told if folder is not None else None
    return None if told is None else told.seed


def labels(named: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Names that tell networks apart: of a spec's name and a file, the name, with more where names are alike."""
    names = [name for name, _ in named]
    folders = [f"{name}, {_folder(file)}" if names.count(name) > 1 else name for name, file in named]
    seen: Counter[str] = Counter()
    out = []
    for label in folders:
        seen[label] += 1
        out.append(f"{label} ({seen[label]})" if seen[label] > 1 else label)
    return tuple(out)


def _folder(file: str) -> str:
    """The run's folder of `RUN/checkpoints/step-1/model.safetensors`, else the file's own name."""
    path = Path(file)
    run = path.resolve().parents[2] if path.parent.parent.name == "checkpoints" else None
    return path.name if run is None else run.name


def responses(  # noqa: PLR0913 - a network, images, and how they are looked at
    each: Contender,
    sight: Sight,
    label: str,
    *,
    count: int,
    size: int,
    device: torch.device,
    every: bool = False,
    batch_statistics: bool = False,
    progress: Callable[[Sequence[range]], Iterable[range]] = iter,
) -> Responses:
    """What the layers of one network show on `count` images. Raises `FileError`: AS523 for what is not finite."""
    chosen = responding(each.architecture, every=every)

    def batches() -> Iterator[Tensor]:
        for places in progress(sight.batches(count, size)):
            yield sight.images(places, count)[0].to(device)

    try:
        found = measured(trained(each, device), chosen, batches(), batch_statistics=batch_statistics)
    except NotFinite as error:
        raise file_error(each.file, "AS523", str(error)) from error
    means, stds = (tuple(getattr(moments, name) for moments in found) for name in ("mean", "std"))
    return Responses(label, residual(each.architecture), chosen, means, stds)
