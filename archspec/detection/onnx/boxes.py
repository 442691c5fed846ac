"""What stands between a detector's networks, as ONNX nodes: resizing, anchors, proposals, pooling, detections.

It is torchvision's arithmetic, operation by operation and in float32, so that boxes are the same and not only near.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from onnx import TensorProto

if TYPE_CHECKING:
    from archspec.backends.onnx.nodes import Nodes
    from archspec.detection.load import LoadedDetector
    from archspec.detection.models import Anchors, Image
    from archspec.weights.contents import Array

LEAST_PROPOSAL, LEAST_DETECTION = 1e-3, 1e-2
"""Sides in pixels below which torchvision drops a proposal and a detection."""
MOST_STRETCH = log(1000 / 16)
"""Of a logarithm of a side, before the exponential."""


class Picture(NamedTuple):
    """A resized picture: the value, its sides (height, width), and the sides that it had."""

    value: str
    sides: str
    was: str


def resized(value: str, image: Image, nodes: Nodes) -> Picture:
    """One image `(1, C, H, W)`, its shorter side as said, or less where the longer one would pass its limit."""
    shape = nodes.add("Shape", [value], "resize.shape")
    was = nodes.add("Gather", [shape, nodes.integers("last_two", 2, 3)], "resize.was")
    # in double precision, as Python counts: a side may be a whole number less an ulp
    exact = nodes.add("Cast", [was], "resize.exact", to=TensorProto.DOUBLE)
    first, last = (
        nodes.add("Gather", [exact, nodes.integers(f"index_{place}", place)], f"resize.side_{place}")
        for place in (0, 1)
    )
    shorter = nodes.add("Min", [first, last], "resize.shorter")
    longer = nodes.add("Max", [first, last], "resize.longer")
    by_shorter = nodes.add(
        "Div", [_double("resize.to", image.shorter[-1], nodes), shorter], "resize.by_shorter"
    )
    by_longer = nodes.add("Div", [_double("resize.most", image.longest, nodes), longer], "resize.by_longer")
    scale = nodes.add("Min", [by_shorter, by_longer], "resize.scale")
    larger = nodes.add("Mul", [exact, scale], "resize.larger")
    whole = nodes.add("Floor", [larger], "resize.whole")
    sides = nodes.add("Cast", [whole], "resize.sides", to=TensorProto.INT64)
    kept = nodes.add("Gather", [shape, nodes.integers("first_two", 0, 1)], "resize.kept")
    sizes = nodes.add("Concat", [kept, sides], "resize.sizes", axis=0)
    bilinear: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    out = nodes.add("Resize", [value, "", "", sizes], "resize.picture", **bilinear)
    return Picture(out, sides, was)


def proposals(
    objectness: str, offsets: str, picture: Picture, loaded: LoadedDetector, nodes: Nodes
) -> tuple[str, str]:
    """The boxes `(R, 4)` to look at, best first, in the resized picture, and R zeros: all are of image 0."""
    told = loaded.detector.proposals
    places = _anchors(objectness, loaded.detector.anchors, loaded.parts.stride, nodes)
    scores = _by_place(objectness, "proposals.scores", (-1,), nodes)
    shifts = _by_place(offsets, "proposals.offsets", (-1, 4), nodes)
    best, which = _top(scores, told.before_test, "proposals.before", nodes)
    boxes = _decoded(
        nodes.add("Gather", [shifts, which], "proposals.best_offsets"),
        nodes.add("Gather", [places, which], "proposals.best_anchors"),
        None,
        "proposals.boxes",
        nodes,
    )
    boxes = _clipped(boxes, picture, "proposals.clipped", nodes)
    # of scores before the logistic function: it keeps their order, but for what it rounds together
    lowest = float(np.finfo(np.float32).min)
    scores = _unless_small(best, boxes, LEAST_PROPOSAL, lowest, "proposals.sized", nodes)
    kept = nodes.add(
        "NonMaxSuppression",
        [
            nodes.add("Unsqueeze", [boxes, nodes.integers("axis_0", 0)], "proposals.nms_boxes"),
            nodes.add("Unsqueeze", [scores, nodes.integers("axes_0_1", 0, 1)], "proposals.nms_scores"),
            nodes.integers("proposals.keep", told.keep_test),
            _just_below("proposals.overlap", told.nms, nodes),
            nodes.hold("proposals.lowest", np.array([lowest], np.float32)),
        ],
        "proposals.nms",
    )
    rows = _column(kept, 2, "proposals.rows", nodes)
    images = _column(kept, 0, "proposals.images", nodes)
    return nodes.add("Gather", [boxes, rows], "proposals"), images


def with_one_more(boxes: str, images: str, nodes: Nodes) -> tuple[str, str]:
    """The same with a box of no size behind them, of which nothing is left in the end.

    onnxruntime (1.31) fails where there are no regions at all: its layout for convolutions reshapes to -1.
    """
    none = nodes.hold("proposals.none", np.zeros((1, 4)))
    more = nodes.add("Concat", [boxes, none], "proposals.one_more", axis=0)
    return more, nodes.add(
        "Concat", [images, nodes.integers("axis_0", 0)], "proposals.one_more_image", axis=0
    )


def pooled(shared: str, boxes: str, images: str, loaded: LoadedDetector, nodes: Nodes) -> str:
    """Regions `(R, C, size, size)` of the shared map `(1, C, H, W)`."""
    told, scale = loaded.detector.regions, 1 / loaded.parts.stride
    if told.kind == "align":
        aligned: dict[str, Any] = {
            "output_height": told.size,
            "output_width": told.size,
            "mode": "avg",
            "sampling_ratio": told.points,
            "coordinate_transformation_mode": "half_pixel",
        }
        return nodes.add("RoiAlign", [shared, boxes, images], "regions", spatial_scale=scale, **aligned)
    # each box with the number of its image in front
    numbered = nodes.add("Pad", [boxes, nodes.integers("regions.pads", 0, 1, 0, 0)], "regions.numbered")
    return nodes.add(
        "MaxRoiPool", [shared, numbered], "regions", pooled_shape=[told.size, told.size], spatial_scale=scale
    )


def detections(
    scores: str, offsets: str, boxes: str, picture: Picture, loaded: LoadedDetector, nodes: Nodes
) -> tuple[str, str, str]:
    """Boxes in the picture's own pixels, scores and labels from 0, best first."""
    told, classes = loaded.detector.detections, len(loaded.detector.labels) + 1
    shape = nodes.integers("detections.by_class", 0, classes, 4)
    shifts = nodes.add("Reshape", [offsets, shape], "detections.offsets")
    whole = nodes.add("Unsqueeze", [boxes, nodes.integers("axis_1", 1)], "detections.proposals")
    found = _decoded(shifts, whole, loaded.detector.regions.weights, "detections.boxes", nodes)
    found = _clipped(found, picture, "detections.clipped", nodes)
    chances = nodes.add("Softmax", [scores], "detections.chances", axis=1)
    found, chances = (_without_background(each, nodes) for each in (found, chances))
    chances = _unless_small(chances, found, LEAST_DETECTION, -1.0, "detections.sized", nodes)
    # each class is an image of its own to NonMaxSuppression: so each has its own boxes
    by_class = nodes.add("Transpose", [found], "detections.class_boxes", perm=[1, 0, 2])
    class_scores = nodes.add("Transpose", [chances], "detections.class_scores", perm=[1, 0])
    kept = nodes.add(
        "NonMaxSuppression",
        [
            by_class,
            nodes.add("Unsqueeze", [class_scores, nodes.integers("axis_1", 1)], "detections.nms_scores"),
            nodes.integers("detections.most", told.most),
            _just_below("detections.overlap", told.nms, nodes),
            nodes.hold("detections.least", np.array([told.score], np.float32)),
        ],
        "detections.nms",
    )
    places = nodes.add("Gather", [kept, nodes.integers("class_and_box", 0, 2)], "detections.places", axis=1)
    every = nodes.add("GatherND", [class_scores, places], "detections.every_score")
    best, which = _top(every, told.most, "detections.best", nodes)
    places = nodes.add("Gather", [places, which], "detections.own_places")
    own = nodes.add("GatherND", [by_class, places], "detections.own_boxes")
    return _in_own_pixels(own, picture, nodes), best, _column(places, 0, "detections.labels", nodes)


def _in_own_pixels(boxes: str, picture: Picture, nodes: Nodes) -> str:
    was, now = (
        nodes.add("Cast", [each], f"detections.{name}", to=TensorProto.FLOAT)
        for each, name in ((picture.was, "was"), (picture.sides, "now"))
    )
    ratio = nodes.add("Div", [was, now], "detections.ratio")
    ratios = nodes.add("Gather", [ratio, nodes.integers("x_y_x_y", 1, 0, 1, 0)], "detections.ratios")
    return nodes.add("Mul", [boxes, ratios], "detections")


def _anchors(objectness: str, told: Anchors, stride: int, nodes: Nodes) -> str:
    """Every anchor `(H W A, 4)` of a map `(1, A, H, W)`: places from left to right, then down, sizes fastest."""
    shape = nodes.add("Shape", [objectness], "anchors.shape")
    moved = []
    for axis, (name, aim) in enumerate({"rows": (0, 1, 0, 1), "columns": (1, 0, 1, 0)}.items()):
        ends = [
            nodes.hold("zero", np.array(0)),
            nodes.add(
                "Gather", [shape, nodes.hold(f"axis_of_{name}", np.array(2 + axis))], f"anchors.{name}"
            ),
            nodes.hold("one", np.array(1)),
        ]
        count = nodes.add("Range", ends, f"anchors.{name}_count")
        real = nodes.add("Cast", [count], f"anchors.{name}_real", to=TensorProto.FLOAT)
        lengthened = nodes.integers(f"anchors.{name}_shape", *[(-1, 1, 1, 1), (1, -1, 1, 1)][axis])
        spread = nodes.add("Reshape", [real, lengthened], f"anchors.{name}_spread")
        step = nodes.hold(f"anchors.{name}_step", stride * np.array(aim, np.float32))
        moved.append(nodes.add("Mul", [spread, step], f"anchors.{name}_moved"))
    grid = nodes.add("Add", moved, "anchors.grid")
    every = nodes.add("Add", [grid, nodes.hold("anchors.cell", cell(told))], "anchors.every")
    return nodes.add("Reshape", [every, nodes.integers("in_fours", -1, 4)], "anchors")


def cell(told: Anchors) -> Array:
    """The anchors of one place `(A, 4)` around 0, in whole pixels, as torchvision rounds them."""
    heights = np.sqrt(np.array(told.ratios, np.float32))
    widths = np.float32(1) / heights
    sizes = np.array(told.sizes, np.float32)
    across, down = ((each[:, None] * sizes).reshape(-1) for each in (widths, heights))
    boxes: Array = np.stack([-across, -down, across, down], axis=1)
    return (boxes / np.float32(2)).round()


def _by_place(value: str, name: str, shape: tuple[int, ...], nodes: Nodes) -> str:
    """`(1, A X, H, W)` as `(H W A, X)`."""
    last = nodes.add("Transpose", [value], f"{name}_last", perm=[0, 2, 3, 1])
    return nodes.add("Reshape", [last, nodes.integers(f"{name}_shape", *shape)], name)


def _top(scores: str, most: int, name: str, nodes: Nodes) -> tuple[str, str]:
    """The highest scores in order, and their places; all where there are fewer."""
    count = nodes.add("Shape", [scores], f"{name}_count")
    number = nodes.add("Min", [count, nodes.integers(f"{name}_most", most)], f"{name}_number")
    values, places = f"{name}_scores", f"{name}_places"
    nodes.add_several("TopK", [scores, number], f"{name}_top", [values, places], axis=0)
    return values, places


def _decoded(offsets: str, boxes: str, weights: tuple[float, ...] | None, name: str, nodes: Nodes) -> str:
    """Offsets `(.., 4)` from boxes `(.., 4)` as boxes: torchvision's `BoxCoder.decode`."""
    low, high = _halves(boxes, f"{name}_from", nodes)
    sides = nodes.add("Sub", [high, low], f"{name}_sides")
    half = nodes.number("half", 0.5)
    middle = nodes.add("Add", [low, nodes.add("Mul", [half, sides], f"{name}_half")], f"{name}_middle")
    if weights is not None:
        by = nodes.hold(f"{name}_weights", np.array(weights))
        offsets = nodes.add("Div", [offsets, by], f"{name}_unweighted")
    shift, stretch = _halves(offsets, f"{name}_by", nodes)
    limit = nodes.number("most_stretch", MOST_STRETCH)
    times = nodes.add("Exp", [nodes.add("Min", [stretch, limit], f"{name}_limited")], f"{name}_times")
    moved = nodes.add("Mul", [shift, sides], f"{name}_moved")
    centre = nodes.add("Add", [moved, middle], f"{name}_centre")
    reach = nodes.add("Mul", [half, nodes.add("Mul", [times, sides], f"{name}_sized")], f"{name}_reach")
    corners = [nodes.add(kind, [centre, reach], f"{name}_{kind.lower()}") for kind in ("Sub", "Add")]
    return nodes.add("Concat", corners, name, axis=-1)


def _halves(value: str, name: str, nodes: Nodes) -> tuple[str, str]:
    """`(.., 4)` as twice `(.., 2)`."""
    halves = (f"{name}_xy", f"{name}_wh")
    nodes.add_several("Split", [value, nodes.integers("in_twos", 2, 2)], f"{name}_split", [*halves], axis=-1)
    return halves


def _clipped(boxes: str, picture: Picture, name: str, nodes: Nodes) -> str:
    """Boxes within the resized picture."""
    ends = nodes.add("Gather", [picture.sides, nodes.integers("x_y_x_y", 1, 0, 1, 0)], f"{name}_ends")
    real = nodes.add("Cast", [ends], f"{name}_real", to=TensorProto.FLOAT)
    above = nodes.add("Max", [boxes, nodes.number("nothing", 0)], f"{name}_above")
    return nodes.add("Min", [above, real], name)


def _unless_small(scores: str, boxes: str, least: float, instead: float, name: str, nodes: Nodes) -> str:
    """The scores, but another one for boxes with a side that is less."""
    low, high = _halves(boxes, f"{name}_corners", nodes)
    sides = nodes.add("Sub", [high, low], f"{name}_sides")
    if nodes.opset < 18:
        shorter = nodes.add("ReduceMin", [sides], f"{name}_shorter", axes=[-1], keepdims=0)
    else:
        axis = nodes.integers("last_axis", -1)
        shorter = nodes.add("ReduceMin", [sides, axis], f"{name}_shorter", keepdims=0)
    large = nodes.add("GreaterOrEqual", [shorter, nodes.number(f"{name}_least", least)], f"{name}_large")
    return nodes.add("Where", [large, scores, nodes.number(f"{name}_instead", instead)], name)


def _without_background(value: str, nodes: Nodes) -> str:
    spans = [
        nodes.integers(f"from_{name}", number)
        for name, number in (("one", 1), ("end", np.iinfo(np.int64).max), ("axis", 1))
    ]
    return nodes.add("Slice", [value, *spans], f"{value}_of_objects")


def _column(rows: str, place: int, name: str, nodes: Nodes) -> str:
    """One column of some rows."""
    return nodes.add("Gather", [rows, nodes.hold(f"column_{place}", np.array(place))], name, axis=1)


def _just_below(name: str, threshold: float, nodes: Nodes) -> str:
    """A float32 that is passed by the same float32s as a double is: torch compares overlaps with that."""
    near = np.float32(threshold)
    below = near if float(near) <= threshold else np.nextafter(near, np.float32(0))
    return nodes.hold(name, np.array([below], np.float32))


def _double(name: str, value: float, nodes: Nodes) -> str:
    return nodes.hold_exactly(name, np.array([value], np.float64))
