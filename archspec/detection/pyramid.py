"""One detector and one picture at the sizes that a test takes: maps, proposals, and what regions come to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

from archspec.detection.modules import described
from archspec.detection.scenes.flat import refuse_flat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torchvision.models.detection.image_list import ImageList

    from archspec.detection.modules import RegionDetector

Size = tuple[int, int]


class Level(NamedTuple):
    """A picture at one size: the image, and its shared map."""

    images: ImageList
    maps: dict[str, Tensor]

    @property
    def size(self) -> Size:
        """Height and width, without what is added to fit the stride."""
        height, width = self.images.image_sizes[0]
        return height, width


class Member:
    """A detector in eval mode and a picture `(C, H, W)` from 0 to 1.

    Proposals are found at the detector's own size. Regions are pooled there, or at `sides`: each at the two of them at
    which it has most nearly `across` times `across` pixels.
    """

    def __init__(self, detector: RegionDetector, image: Tensor, sides: Sequence[int], across: int) -> None:
        self.detector, self.across = detector, across
        transform = detector.transform
        shown = image.to(self._device)
        self.own = _level(detector, transform, shown)
        # from the largest on: a region without an area goes there
        self.levels = [
            self.own if side == transform.min_size[-1] else _level(detector, _at(transform, side), shown)
            for side in sorted(sides, reverse=True)
        ] or [self.own]

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.detector.parameters()).device
        return device

    def proposals(self) -> Tensor:
        """`(R, 4)`, in the pixels of the detector's own image."""
        (boxes,), _ = self.detector.rpn(self.own.images, self.own.maps)
        found: Tensor = boxes
        return found

    def predicted(self, boxes: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        """Boxes `(R, 4)` of an image of a size to scores `(R, 1 + K)` and boxes `(R, 1 + K, 4)` of the same image."""
        heads = self.detector.roi_heads
        here = boxes.to(self._device)
        logits, offsets = heads.box_predictor(self._values(here, size))
        # offsets are in widths and heights of a box, so any image's pixels will do
        moved: Tensor = heads.box_coder.decode(offsets, [here])
        return F.softmax(logits, -1), moved.reshape(*logits.shape, 4)

    def _values(self, boxes: Tensor, size: Size) -> Tensor:
        """`(R, F)`: the maximum over the sizes at which a region is looked at (maxout)."""
        heads = self.detector.roi_heads
        best = boxes.new_full((len(boxes), heads.box_predictor.cls_score.in_features), -torch.inf)
        chosen = nearest(boxes, size, [level.size for level in self.levels], self.across)
        for level, rows in zip(self.levels, chosen, strict=True):
            if rows.any():
                there = resize_boxes(boxes[rows], size, level.size)
                best[rows] = torch.maximum(best[rows], described(heads, level.maps, [there], [level.size]))
        return best


def nearest(boxes: Tensor, size: Size, sizes: Sequence[Size], across: int) -> Tensor:
    """`(sizes, R)`: whether a size is one of the two at which a box `(R, 4)` has most nearly `across ** 2` pixels.

    The number of pixels grows with the size, so the two are next to each other.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    times = boxes.new_tensor([height * width / (size[0] * size[1]) for height, width in sizes])
    off = (times[:, None] * areas - across**2).abs()
    ranks: Tensor = off.argsort(stable=True, dim=0).argsort(dim=0)
    return ranks < 2


def bounds(detector: RegionDetector, sides: Sequence[int]) -> list[tuple[int, int]]:
    """The shorter side and the most of the longer one, of each image at which a test looks."""
    own = detector.transform
    return [(own.min_size[-1], own.max_size), *((side, _longest(own, side)) for side in sides)]


def _level(detector: RegionDetector, transform: GeneralizedRCNNTransform, image: Tensor) -> Level:
    refuse_flat("the picture", image.shape[-2:], transform.min_size[-1], transform.max_size)
    images, _ = transform([image])
    return Level(images, {"0": detector.backbone(images.tensors)})


def _at(own: GeneralizedRCNNTransform, side: int) -> GeneralizedRCNNTransform:
    """A transform to another shorter side; the bound of the longer one grows and shrinks with it."""
    return GeneralizedRCNNTransform(
        side, _longest(own, side), own.image_mean, own.image_std, size_divisible=own.size_divisible
    ).eval()


def _longest(own: GeneralizedRCNNTransform, side: int) -> int:
    longest: int = round(own.max_size * side / own.min_size[-1])
    return longest
