"""The modules of a detector that are neither the network's nor torchvision's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import roi_align, roi_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ProposalHead(nn.Module):
    """A 3x3 convolution, and for each anchor a score and four offsets; torchvision's keeps the map's channels."""

    def __init__(self, channels: int, width: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 3, padding=1)
        self.cls_logits = nn.Conv2d(width, anchors, 1)
        self.bbox_pred = nn.Conv2d(width, 4 * anchors, 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """`(N, C, H, W)` maps to `(N, A, H, W)` scores and `(N, 4 * A, H, W)` offsets."""
        hidden = [F.relu(self.conv(each)) for each in maps]
        return [self.cls_logits(each) for each in hidden], [self.bbox_pred(each) for each in hidden]


class RegionPool(nn.Module):
    """Regions of the one shared map, pooled to one size, with the network's own stride: nothing is guessed."""

    def __init__(self, kind: Literal["pool", "align"], size: int, stride: int, points: int) -> None:
        super().__init__()
        self.kind, self.size, self.stride, self.points = kind, size, stride, points

    def forward(
        self,
        maps: Mapping[str, Tensor],
        boxes: list[Tensor],
        image_shapes: Sequence[tuple[int, int]],  # noqa: ARG002 - torchvision's parts give it
    ) -> Tensor:
        """`(N, C, H, W)` and N times `(R, 4)` to `(sum of R, C, size, size)`."""
        (shared,) = maps.values()
        if self.kind == "pool":
            pooled: Tensor = roi_pool(shared, boxes, self.size, 1 / self.stride)
            return pooled
        # half a pixel is taken off, so that the middle of a pixel is where it is
        aligned: Tensor = roi_align(shared, boxes, self.size, 1 / self.stride, self.points, aligned=True)
        return aligned

    def extra_repr(self) -> str:
        return f"{self.kind}, size={self.size}, stride={self.stride}"


class RegionDetector(GeneralizedRCNN):  # type: ignore[misc]
    """torchvision's detector around our network: images and targets in, losses or detections out.

    Images are `(C, H, W)` from 0 to 1, of any size; targets have `boxes` (x1, y1, x2, y2 in pixels) and `labels`.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module], labels: tuple[str, ...], fixed: Iterable[nn.Module]
    ) -> None:
        super().__init__(**parts)
        self.labels = ("background", *labels)
        self._fixed = tuple(fixed)  # a tuple registers nothing: they are the network's own modules
        self.train()

    def train(self, mode: bool = True) -> Self:
        """As any module's, but statistics that are fixed stay so in training."""
        super().train(mode)
        for norm in self._fixed:
            norm.eval()
        return self


class PerImage(nn.Module):
    """What a detector runs once an image: `(N, C, H, W)` to the shared map, scores and offsets."""

    def __init__(self, detector: RegionDetector) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.rpn.head

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = self.backbone(images)
        (scores,), (offsets,) = self.head([shared])
        return shared, scores, offsets


class PerRegion(nn.Module):
    """What a detector runs for each region: `(R, C, size, size)` to scores and offsets."""

    def __init__(self, detector: RegionDetector) -> None:
        super().__init__()
        self.head, self.predictor = detector.roi_heads.box_head, detector.roi_heads.box_predictor

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        scores, offsets = self.predictor(self.head(regions))
        return scores, offsets
