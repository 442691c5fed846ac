"""What is kept of a picture's boxes in the end: as torchvision does it, and box voting."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image, remove_small_boxes

_LEAST_SIDE = 1e-2


class Boxes(NamedTuple):
    """`boxes` (n, 4), `scores` (n,) and `labels` (n,) from 1: label 0 is background."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def at(self, places: Tensor) -> Boxes:
        """Some of them."""
        return Boxes(self.boxes[places], self.scores[places], self.labels[places])


def candidates(scores: Tensor, boxes: Tensor, size: tuple[int, int], least: float) -> Boxes:
    """What NMS is given: boxes of classes that score more than `least`, within an image of (height, width).

    `scores` (R, 1 + K) begin with the background's; `boxes` are (R, 1 + K, 4). A side of less than a hundredth of a
    pixel is none, as with torchvision.
    """
    labels = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
    inside = clip_boxes_to_image(boxes, size)
    each = Boxes(inside[:, 1:].reshape(-1, 4), scores[:, 1:].reshape(-1), labels[:, 1:].reshape(-1))
    each = each.at(torch.where(each.scores > least)[0])
    return each.at(remove_small_boxes(each.boxes, min_size=_LEAST_SIDE))


def kept(found: Boxes, overlap: float, most: int) -> Boxes:
    """The best of each class that no better one overlaps by more than `overlap`, best first, `most` of all classes."""
    return found.at(batched_nms(*found, overlap)[:most])


def voted(winners: Boxes, found: Boxes, overlap: float) -> Boxes:
    """Each winner with the mean of all boxes of its class that overlap it by `overlap` or more, weighted by scores.

    The scores stay (Gidaris and Komodakis 2015, arXiv 1505.01749, section 3). A winner votes for itself.
    """
    near = box_iou(winners.boxes, found.boxes) >= overlap
    votes = (near & (winners.labels[:, None] == found.labels)) * found.scores
    return winners._replace(boxes=votes @ found.boxes / votes.sum(1, keepdim=True))
