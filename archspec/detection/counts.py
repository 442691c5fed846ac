"""What a detector costs, by the graph's integers: once an image, and once a region.

Multiply-adds are those of convolutions and linear layers, as everywhere in archspec. Sampling of regions, NMS and the
coding of boxes have none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from archspec.ir import ops
from archspec.ir.graph import INPUT, Graph, Node
from archspec.passes.measure import Counts, measure

if TYPE_CHECKING:
    from archspec.detection.load import LoadedDetector
    from archspec.ir.operation import Shape
    from archspec.passes.measure import Row

PartName = Literal["shared", "proposals", "context", "region", "predictor"]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the parts of a detector, its rows, and the shape of what is put into it."""

    name: PartName
    each: Literal["image", "region"]
    input: Shape
    output: Shape
    rows: tuple[Row, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class DetectorCounts:
    """The counts of a detector for an image of a size."""

    size: tuple[int, int]
    parts: tuple[Part, ...]

    def part(self, name: PartName) -> Part:
        """One part."""
        return next(part for part in self.parts if part.name == name)

    @property
    def parameters(self) -> int:
        """All weights, frozen ones too."""
        return sum(part.counts.params for part in self.parts)

    @property
    def per_image(self) -> int:
        """Multiply-adds of an image: the shared part, the proposals and, where there is one, the context."""
        return sum(part.counts.macs for part in self.parts if part.each == "image")

    @property
    def per_region(self) -> int:
        """Multiply-adds of each region."""
        return sum(part.counts.macs for part in self.parts if part.each == "region")

    def with_regions(self, regions: int) -> int:
        """Multiply-adds of an image and some regions of it."""
        return self.per_image + regions * self.per_region


def largest(loaded: LoadedDetector) -> tuple[int, int]:
    """Height and width of the largest picture that a test shows the network: 600x1000 for the paper's."""
    image = loaded.detector.image
    return image.shorter[-1], image.longest


def counted(loaded: LoadedDetector, size: tuple[int, int] | None = None) -> DetectorCounts:
    """The counts for an image of `(height, width)`, by default of the largest.

    A detector fills images up to whole multiples of its stride, at the right and below: 600x1000 becomes 608x1008 at
    stride 16. Counted is the size that is said.
    """
    size = size or largest(loaded)
    parts, detector = loaded.parts, loaded.detector
    anchors = len(detector.anchors.sizes) * len(detector.anchors.ratios)
    image = (parts.image_channels, *size)
    shared = _part("shared", "image", parts.shared, image)
    proposals = proposal_graph(parts.channels, detector.proposals.width, anchors)
    region = _part("region", "region", parts.region, parts.region_shape)
    width = features(loaded)
    predictor = predictor_graph(width, len(detector.labels))
    return DetectorCounts(
        size,
        (
            shared,
            _part("proposals", "image", proposals, shared.output),
            *([_context(region)] if detector.regions.context else []),
            region,
            _part("predictor", "region", predictor, (width,)),
        ),
    )


def features(loaded: LoadedDetector) -> int:
    """Values that scores and offsets are made of: a region's, and as many of the whole image where it is a context."""
    return loaded.parts.features * (2 if loaded.detector.regions.context else 1)


def _context(region: Part) -> Part:
    """The whole image as one region more. The layers are the region's own, so their weights are counted there."""
    rows = tuple(replace(row, counts=replace(row.counts, params=0, buffers=0)) for row in region.rows)
    return replace(
        region,
        name="context",
        each="image",
        rows=rows,
        counts=replace(region.counts, params=0, buffers=0),
    )


def _part(name: PartName, each: Literal["image", "region"], graph: Graph, shape: Shape) -> Part:
    measured = measure(graph, shape)
    return Part(name, each, shape, measured.output, measured.rows, measured.total)


def proposal_graph(channels: int, width: int, anchors: int) -> Graph:
    """The region proposal network: one score an anchor (of an object, by a logistic function), and four offsets."""
    return Graph(
        "proposals",
        "network",
        (
            Node("conv", ops.Conv2d(channels, width, 3, padding=1, bias=True), row="rpn_conv"),
            Node("relu", ops.Activation("relu"), ("conv",), row="rpn_conv"),
            Node("cls_logits", ops.Conv2d(width, anchors, 1, bias=True), ("relu",), row="rpn_score"),
            Node("bbox_pred", ops.Conv2d(width, 4 * anchors, 1, bias=True), ("relu",), row="rpn_box"),
        ),
    )


def predictor_graph(features: int, classes: int) -> Graph:
    """The two last layers: a score for each class and for background, and four offsets for each."""
    return Graph(
        "predictor",
        "network",
        (
            Node("cls_score", ops.Linear(features, classes + 1), (INPUT,), row="cls_score"),
            Node("bbox_pred", ops.Linear(features, 4 * (classes + 1)), (INPUT,), row="bbox_pred"),
        ),
    )
