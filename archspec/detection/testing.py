"""Boxes in a picture, with the paper's improvements of a test (He et al. 2015, appendix B).

Everything is counted in the pixels of the first detector's own image, so that one detector without improvements
computes what its `forward` does, bit for bit. Its `[detector.detections]` is what boxes are kept by.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.detection.judging.average_precision import Detected
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from archspec.detection.modules import RegionDetector
    from archspec.detection.pyramid import Member, Size
    from archspec.detection.scenes.annotations import Bytes
    from archspec.detection.voting import Boxes


@dataclass(frozen=True, slots=True)
class Improvements:
    """What a test does beyond one look at each proposal. Raises `ValueError` for what makes no sense.

    `refine`: boxes are pooled and scored once more, then voted on by those that overlap by `vote`; None leaves voting
    out. `sides`: shorter sides in pixels at which regions are looked at, each at the two where it has most nearly
    `across` times `across` pixels.
    """

    refine: bool = False
    vote: float | None = 0.5
    sides: tuple[int, ...] = ()
    across: int = 224

    def __post_init__(self) -> None:
        if self.vote is not None and not 0 < self.vote <= 1:
            raise ValueError(f"an overlap is more than 0 and at most 1, and not {self.vote}")
        if any(side < 1 for side in (*self.sides, self.across)):
            raise ValueError("a side has at least one pixel")
        if len(set(self.sides)) < len(self.sides):
            raise ValueError("a side is given twice")


NONE = Improvements()


def detected(
    detectors: Sequence[RegionDetector], pixels: Bytes, improvements: Improvements = NONE
) -> Detected:
    """What detectors find together in a picture, uint8 (H, W, 3), in its pixels. They stay in the mode they were in.

    Several are an ensemble: the union of all proposals, and of each the mean of the scores and of the boxes. Raises
    `FileError`: AS522 where they have different classes.
    """
    import torch
    from torchvision.models.detection.transform import resize_boxes

    from archspec.detection.modules import real
    from archspec.detection.pyramid import Member

    _agree(detectors)
    image = real(torch.tensor(pixels))
    with torch.inference_mode(), _in_eval(detectors):
        members = [Member(each, image, improvements.sides, improvements.across) for each in detectors]
        size = members[0].own.size
        proposals = [resize_boxes(each.proposals(), each.own.size, size) for each in members]
        found = _found(members, torch.cat([each.to(proposals[0]) for each in proposals]), improvements)
        boxes = resize_boxes(found.boxes, size, image.shape[-2:])
    scores, labels = found.scores.cpu().double().numpy(), found.labels.cpu().numpy()
    return Detected(boxes.cpu().double().numpy(), scores, labels - 1)


def _found(members: Sequence[Member], proposals: Tensor, improvements: Improvements) -> Boxes:
    import torch
    from torchvision.ops import clip_boxes_to_image

    from archspec.detection.voting import candidates, kept, voted

    size, heads = members[0].own.size, members[0].detector.roi_heads
    scores, boxes = _together(members, proposals, size)
    if improvements.refine:
        # of a proposal's boxes the one of the class that scores best: 300 more predictions, as the paper has it
        best = scores[:, 1:].argmax(1) + 1
        again = clip_boxes_to_image(boxes[torch.arange(len(best), device=best.device), best], size)
        more = _together(members, again, size)
        scores, boxes = torch.cat([scores, more[0]]), torch.cat([boxes, more[1]])
    found = candidates(scores, boxes, size, heads.score_thresh)
    winners = kept(found, heads.nms_thresh, heads.detections_per_img)
    if not improvements.refine or improvements.vote is None:
        return winners
    return voted(winners, found, improvements.vote)


def _together(members: Sequence[Member], boxes: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """The means over all members of scores `(R, 1 + K)` and boxes `(R, 1 + K, 4)`."""
    import torch

    made = [member.predicted(boxes, size) for member in members]
    scores, moved = (
        torch.stack([each.to(boxes) for each in some]).mean(0) for some in zip(*made, strict=True)
    )
    return scores, moved


def _agree(detectors: Sequence[RegionDetector]) -> None:
    """Raises `FileError` where not all have the classes of the first."""
    if not detectors:
        raise ValueError("at least one detector is needed")
    first = detectors[0]
    for place, each in enumerate(detectors[1:], start=2):
        if each.labels != first.labels:
            message = f"detector {place} finds other classes than the first, or in another order"
            hint = f"the first: {_some(first.labels)}; detector {place}: {_some(each.labels)}"
            raise file_error("ensemble", "AS522", message, hint=hint)


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[1:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")


@contextmanager
def _in_eval(detectors: Sequence[RegionDetector]) -> Iterator[None]:
    """Every module afterwards in the mode it was in: what is fixed in training is fixed there too."""
    before = [(module, module.training) for each in detectors for module in each.modules()]
    for each in detectors:
        each.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
