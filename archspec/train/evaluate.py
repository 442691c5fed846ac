"""Testing by a paper's protocol: looks at each image by each network, averaged, and what came out right."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax

from archspec.preprocessing import middle
from archspec.train.scores import Tally, Untestable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from archspec.data.statistics import Normaliser
    from archspec.preprocessing import Preprocessing
    from archspec.train.scores import Average, Scores
    from archspec.train.views import View

    Network = Callable[[Tensor], Tensor]
    Normalise = Callable[[Tensor], Tensor]
    Progress = Callable[[Sequence[range]], Iterable[range]]


class Pictures(Protocol):
    """Images of any sizes that are decoded when they are asked for."""

    def __len__(self) -> int: ...

    def decode(self, place: int) -> Tensor:
        """uint8 (C, H, W)."""


class Panel:
    """Networks that look at the same views of an image, and whose answers are averaged over networks and looks."""

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        view: View,
        normalise: Normalise,
        device: str | torch.device = "cpu",
        average: Average = "probabilities",
    ) -> None:
        if not networks:
            raise ValueError("there are no networks to test")
        self.networks, self.view, self.normalise = tuple(networks), view, normalise
        self.device, self.average = torch.device(device), average

    @torch.no_grad()
    def scores(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """float64 (N, classes) of bytes (N, C, H, W), or of pictures (C, H, W). Raises `Untestable`."""
        total: Tensor | None = None
        with _evaluating(self.networks):
            for rows, look in self._looks(images):
                pixels = self.normalise(look)
                for network in self.networks:
                    answer = self._answer(network(pixels))
                    if total is None:
                        total = answer.new_zeros((len(images), answer.shape[1]))
                    if answer.shape[1] != total.shape[1]:
                        both = f"{total.shape[1]} and {answer.shape[1]}"
                        raise Untestable(f"networks of {both} classes do not answer the same question")
                    total[rows] += answer
        if total is None:
            raise Untestable("there are no images to test on", code="AS531")
        return total / (len(self.networks) * len(self.view))

    def _answer(self, output: Tensor) -> Tensor:
        if output.dim() < 2 or output.flatten(1).shape[1:] != output.shape[1:2]:
            shape = tuple(output.shape[1:])
            raise Untestable(f"it gives {shape} for an image, not one row of scores", code="AS523")
        # float64 so that neither a batch's size nor an underflow makes ties; Apple's GPUs have none
        wide = (output.cpu() if output.device.type == "mps" else output).flatten(1).double()
        return softmax(wide, 1) if self.average == "probabilities" else wide

    def _looks(self, images: Tensor | Sequence[Tensor]) -> Iterator[tuple[slice | list[int], Tensor]]:
        """Each look at all images; at pictures, those of equal size together."""
        if isinstance(images, Tensor):
            for look in self.view.looks(images.to(self.device, non_blocking=True)):
                yield slice(None), look
            return
        each = [self.view.looks(picture.to(self.device)[None]) for picture in images]
        for looks in zip(*each, strict=True):
            alike: dict[torch.Size, list[int]] = {}
            for place, look in enumerate(looks):
                alike.setdefault(look.shape, []).append(place)
            for places in alike.values():
                yield places, torch.cat([looks[place] for place in places])


def evaluate(  # noqa: PLR0913 - a test is all of these
    networks: Sequence[Network],
    images: Tensor | Pictures,
    labels: Tensor,
    *,
    view: View,
    normalise: Normalise,
    batch: int = 256,
    device: str | torch.device = "cpu",
    ensemble: Average = "probabilities",
    progress: Progress = iter,
) -> Scores:
    """What networks, which are on the device, get right of uint8 images (N, C, H, W) or of pictures, labels (N,).

    `ensemble` says what is averaged over looks and networks. Modules are put into evaluation mode for a while.
    Raises `Untestable` where there are no images, and for labels or scores that make no sense.
    """
    if len(images) != len(labels):
        raise ValueError(f"{len(images):,} images have {len(labels):,} labels")
    if not len(labels):
        raise Untestable("there are no images to test on", code="AS531")
    panel = Panel(networks, view=view, normalise=normalise, device=device, average=ensemble)
    chunks = [range(start, min(start + batch, len(labels))) for start in range(0, len(labels), batch)]
    tally: Tally | None = None
    for chunk, part in _parts(images, progress(chunks)):
        scores = panel.scores(part)
        if tally is None:
            tally = Tally(scores.shape[1], scores.device)
            _check(labels, tally.classes)
        tally.add(scores, labels[chunk.start : chunk.stop].to(scores.device))
    assert tally is not None
    return tally.read()


def _parts(
    images: Tensor | Pictures, chunks: Iterable[range]
) -> Iterator[tuple[range, Tensor | list[Tensor]]]:
    """The images of each chunk. Pictures are decoded by threads while networks look at those before."""
    if isinstance(images, Tensor):
        for chunk in chunks:
            yield chunk, images[chunk.start : chunk.stop]
        return
    with ThreadPoolExecutor() as threads:
        started = ((chunk, [threads.submit(images.decode, place) for place in chunk]) for chunk in chunks)
        waiting = deque(islice(started, 1))
        while waiting:
            waiting.extend(islice(started, 1))
            chunk, decoding = waiting.popleft()
            yield chunk, [each.result() for each in decoding]


def _check(labels: Tensor, classes: int) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise Untestable(
            f"the labels go from {low} to {high}, but the network tells {classes:,} classes apart"
        )


@contextmanager
def _evaluating(networks: Iterable[Network]) -> Iterator[None]:
    """Modules in evaluation mode; each part of them goes back to its own afterwards."""
    modules = [part for network in networks if isinstance(network, nn.Module) for part in network.modules()]
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def prepared(preprocessing: Preprocessing) -> Normalise:
    """What a preprocessing does to pixels: bytes (N, C, H, W) to float32, in the same bits."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (preprocessing.mean, preprocessing.std))

    def normalise(images: Tensor) -> Tensor:
        values = (images.flip(1) if preprocessing.color == "BGR" else images).float()
        if preprocessing.range == 1:
            values = values / 255
        return (values - mean.to(values.device)) / std.to(values.device)

    return normalise


def normalised(normaliser: Normaliser) -> Normalise:
    """What a recipe's normalisation does to pixels: bytes (N, C, H, W) to float32.

    How a mean image fits images of another size the paper does not say. Here: smaller ones have its middle subtracted,
    others its mean by channel.
    """
    mean, factor = normaliser.mean, normaliser.factor
    flat = mean.mean((1, 2), keepdim=True)

    def normalise(images: Tensor) -> Tensor:
        (height, width), (h, w) = mean.shape[1:], images.shape[2:]
        top, left = middle(height, h), middle(width, w)
        fitting = flat if height < h or width < w else mean[:, top : top + h, left : left + w]
        return (images.float() - fitting.to(images.device)) * factor.to(images.device)

    return normalise


def device_named(name: str) -> torch.device:
    """A device by its name; "auto" is the fastest kind there is. Raises `ValueError` for one that is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    have = [kind for kind, present in there.items() if present]
    if name == "auto":
        return torch.device(have[0])
    if name.partition(":")[0] not in have:
        raise ValueError(f'there is no device "{name}" here, but {" and ".join(have)}')
    return torch.device(name)


def placed(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on a device, in evaluation mode and in the memory format in which convolutions are fast."""
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()
