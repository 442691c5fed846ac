"""The modules of a detector that are neither the network's nor torchvision's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.ops import roi_align, roi_pool

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torchvision.models.detection.image_list import ImageList


LOSSES = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg")
"""What a detector learns from, by torchvision's names: of the proposals, then of the regions."""


def _wide(values: Tensor) -> Tensor:
    """At least float32: autocast's half precision cannot tell one pixel from the next where pictures are large."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def real(pixels: Tensor) -> Tensor:
    """Bytes `(H, W, C)` as detectors take a picture: `(C, H, W)` from 0 to 1.

    Laid out as torchvision lays pictures out: another order may be rounded otherwise.
    """
    return pixels.permute(2, 0, 1).contiguous().float().div(255)


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
        scores, offsets = (
            [_wide(part(each)) for each in hidden] for part in (self.cls_logits, self.bbox_pred)
        )
        return scores, offsets


class Anchors(AnchorGenerator):  # type: ignore[misc]
    """torchvision's, in the precision that boxes need whatever a map's is."""

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """The shapes of maps `(N, C, H, W)` to the anchors of N images, `(H * W * A, 4)` each."""
        # of a map's values none is read
        shapes = [_wide(each.new_empty(())).expand(each.shape) for each in feature_maps]
        anchors: list[Tensor] = super().forward(image_list, shapes)
        return anchors


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
        (shared,) = map(_wide, maps.values())
        if self.kind == "pool":
            pooled: Tensor = roi_pool(shared, boxes, self.size, 1 / self.stride)
            return pooled
        # half a pixel is taken off, so that the middle of a pixel is where it is
        aligned: Tensor = roi_align(shared, boxes, self.size, 1 / self.stride, self.points, aligned=True)
        return aligned

    def extra_repr(self) -> str:
        return f"{self.kind}, size={self.size}, stride={self.stride}"


class ContextHeads(RoIHeads):  # type: ignore[misc]
    """torchvision's, with the whole image beside each of its regions (He et al. 2015, appendix B).

    The image is pooled as one region more and goes through the same layers; `box_predictor` takes twice the values.
    """

    def forward(
        self,
        features: Mapping[str, Tensor],
        proposals: list[Tensor],
        image_shapes: Sequence[tuple[int, int]],
        targets: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Maps and N times `(R, 4)` boxes to what was found in N images and, in training, to losses."""
        if self.training:
            proposals, _, labels, moves = self.select_training_samples(proposals, targets)
        scores, offsets = self.box_predictor(described(self, features, proposals, image_shapes))
        if self.training:
            classes, boxes = fastrcnn_loss(scores, offsets, labels, moves)
            return [], {"loss_classifier": classes, "loss_box_reg": boxes}
        found = zip(*self.postprocess_detections(scores, offsets, proposals, image_shapes), strict=True)
        return [dict(zip(("boxes", "scores", "labels"), each, strict=True)) for each in found], {}


def described(
    heads: RoIHeads, maps: Mapping[str, Tensor], boxes: list[Tensor], sizes: Sequence[tuple[int, int]]
) -> Tensor:
    """What scores and offsets are made of: N times `(R, 4)` boxes to `(sum of R, F)`, or `2 F` with the context.

    `sizes` are the images' (height, width), without what a batch adds to them.
    """
    pooled = heads.box_roi_pool(maps, boxes, sizes)
    if not isinstance(heads, ContextHeads):
        values: Tensor = heads.box_head(pooled)
        return values
    whole = [
        each.new_tensor([[0, 0, width, height]]) for each, (height, width) in zip(boxes, sizes, strict=True)
    ]
    # together: batch normalisation in training could do nothing with an image alone
    values = heads.box_head(torch.cat([pooled, heads.box_roi_pool(maps, whole, sizes)]))
    regions, images = values[: len(pooled)], values[len(pooled) :]
    beside = torch.cat([image.expand(len(each), -1) for image, each in zip(images, boxes, strict=True)])
    return torch.cat([regions, beside], 1)


class RegionDetector(GeneralizedRCNN):  # type: ignore[misc]
    """torchvision's detector around our network: images and targets in, losses or detections out.

    Images are `(C, H, W)` from 0 to 1, of any size; targets have `boxes` (x1, y1, x2, y2 in pixels) and `labels`.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module], labels: tuple[str, ...], fixed: Iterable[nn.Module]
    ) -> None:
        super().__init__(**parts)
        self.labels = ("background", *labels)
        # by name: a run with BN over all ranks puts other modules into their places
        held = set(fixed)
        self._fixed = tuple(name for name, module in self.named_modules() if module in held)
        self.train()

    @property
    def context(self) -> bool:
        """Whether the whole image stands beside each region."""
        return isinstance(self.roi_heads, ContextHeads)

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """As torchvision's. Of no images the losses are 0, and so are all gradients: a rank may have none in a step."""
        if not images and not self.training:
            return []
        if not images:
            nothing = torch.stack([each.sum() * 0 for each in self.parameters()]).sum()
            return dict.fromkeys(LOSSES, nothing)
        found: dict[str, Tensor] | list[dict[str, Tensor]] = super().forward(images, targets)
        return found

    def train(self, mode: bool = True) -> Self:
        """As any module's, but statistics that are fixed stay so in training."""
        super().train(mode)
        for name in self._fixed:
            self.get_submodule(name).eval()
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
    """What a detector runs for each region: `(R, C, size, size)` to scores and offsets.

    With a context: and `(1, F)`, what `head` makes of the whole image pooled, once an image.
    """

    def __init__(self, detector: RegionDetector) -> None:
        super().__init__()
        self.head, self.predictor = detector.roi_heads.box_head, detector.roi_heads.box_predictor

    def forward(self, regions: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        values = self.head(regions)
        if context is not None:
            values = torch.cat([values, context.expand(len(values), -1)], 1)
        scores, offsets = self.predictor(values)
        return scores, offsets
