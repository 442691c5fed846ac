"""A detector as ONNX graphs, written like a network's: no tracing, no torch, the same bytes every time.

`features.onnx` is what is run once an image, `regions.onnx` what is run for each region, `detector.onnx` all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, helper

from archspec.backends.onnx.graph import GraphWriter
from archspec.backends.onnx.nodes import Nodes
from archspec.backends.onnx.write import OPSETS, check_sizes
from archspec.detection.build import REGION, SHARED
from archspec.detection.counts import predictor_graph, proposal_graph
from archspec.detection.keys import PREDICTOR, PROPOSALS
from archspec.detection.onnx.boxes import detections, pooled, proposals, resized, with_one_more
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archspec.backends.onnx.write import Form
    from archspec.detection.load import LoadedDetector
    from archspec.ir.graph import Graph
    from archspec.ir.operation import Shape
    from archspec.weights.contents import Array

FileName = Literal["features", "regions", "detector"]
LEAST_FOR_ALIGN = 16
"""The opset whose RoiAlign can take half a pixel off, as torchvision's does with `aligned`."""
MOST_FOR_POOLING = 21
"""RoiAlign and MaxRoiPool have new versions in opset 22, and onnxruntime 1.31.1 has neither."""
_SIZE = 1024


class Made(NamedTuple):
    """A model, and the names of values in it that a proof looks at."""

    model: ModelProto
    values: dict[str, str]


def made(name: FileName, loaded: LoadedDetector, tensors: Mapping[str, Array], form: Form) -> Made:
    """One of the three models. `tensors` is the detector's `state_dict` as float arrays. Raises `FileError` (AS514)."""
    check_exportable(loaded, form, whole=name == "detector")
    builder = _Builder(name, loaded, tensors, form)
    return {"features": builder.features, "regions": builder.regions, "detector": builder.detector}[name]()


def check_exportable(loaded: LoadedDetector, form: Form, *, whole: bool) -> None:
    """Refuses what these graphs cannot say. Raises `FileError` (AS514)."""
    if form.opset not in OPSETS:
        raise file_error(loaded.name, "AS514", f"opset {form.opset} is not {OPSETS[0]} to {OPSETS[-1]}")
    if loaded.detector.regions.context:
        message = "regions.context puts the whole picture's values beside each region's; these files hold no such step"
        raise file_error(
            loaded.name, "AS514", message, hint="--set detector.regions.context=false, and weights of that"
        )
    parts = loaded.parts
    check_sizes(parts.shared, (parts.image_channels, _SIZE, _SIZE), loaded.name)
    if whole:
        _check_pooling(loaded, form.opset)


def _check_pooling(loaded: LoadedDetector, opset: int) -> None:
    """Refuses an opset whose pooling of regions onnxruntime has not, or has otherwise."""
    kind = loaded.detector.regions.kind
    operator = {"align": "RoiAlign", "pool": "MaxRoiPool"}[kind]
    if kind == "align" and opset < LEAST_FOR_ALIGN:
        message = f"{operator} of opset {opset} cannot take half a pixel off, as this detector does"
    elif opset > MOST_FOR_POOLING:
        message = (
            f"onnxruntime (tried: 1.31.1) has no {operator} of opset {opset}, which the whole detector needs"
        )
    else:
        return
    hint = f"--opset {LEAST_FOR_ALIGN} to {MOST_FOR_POOLING}, or without --whole"
    raise file_error(loaded.name, "AS514", message, hint=hint)


class _Builder:
    def __init__(
        self, name: FileName, loaded: LoadedDetector, tensors: Mapping[str, Array], form: Form
    ) -> None:
        self.name, self.loaded, self.tensors, self.form = name, loaded, tensors, form
        self.parts, self.told = loaded.parts, loaded.detector
        self.model = ModelProto(producer_name="archspec")
        self.model.opset_import.append(helper.make_opsetid("", form.opset))
        self.model.ir_version = helper.find_min_ir_version_for(list(self.model.opset_import))
        self.model.graph.name = f"{loaded.name}.{name}"
        self.nodes = Nodes(self.model.graph, form.opset, np.dtype(np.float32))

    def features(self) -> Made:
        """A batch of resized pictures to the shared map, and a score and four offsets for each anchor."""
        image, anchors = self.told.image, self._anchors
        self.model.doc_string = (
            f"{self.loaded.name}: what is run once an image. Pictures are RGB from 0 to 1, resized before: shorter "
            f"side {image.shorter[-1]}, longer side at most {image.longest}. They are normalised and filled up to "
            f"multiples of {self.parts.stride} inside."
        )
        self._input("image", TensorProto.FLOAT, ("batch", self.parts.image_channels, "height", "width"))
        padded = self._padded(self._normalised("image"))
        shared, objectness, offsets = self._per_image(padded)
        map_ = ("rows", "columns")
        self._output(shared, "shared", ("batch", self.parts.channels, *map_))
        self._output(objectness, "objectness", ("batch", anchors, *map_))
        self._output(offsets, "offsets", ("batch", 4 * anchors, *map_))
        return Made(self.model, {"padded": padded})

    def regions(self) -> Made:
        """Regions of the shared map to scores and offsets for each class; class 0 is background."""
        size, count = self.parts.cells, len(self.told.labels) + 1
        self.model.doc_string = (
            f"{self.loaded.name}: what is run for each region. Regions are pooled from the shared map to "
            f"{size}x{size} before. Class 0 is background; softmax is not taken, offsets are not decoded."
        )
        self._input("regions", TensorProto.FLOAT, ("regions", *self.parts.region_shape))
        scores, offsets = self._per_region("regions")
        self._output(scores, "scores", ("regions", count))
        self._output(offsets, "offsets", ("regions", 4 * count))
        return Made(self.model, {})

    def detector(self) -> Made:
        """One picture of bytes, of any size, to boxes in its own pixels."""
        self.model.doc_string = (
            f"{self.loaded.name}: RGB bytes of one picture of any size to boxes (x1, y1, x2, y2 in its pixels), scores "
            "and labels from 0, without background. It is resized, normalised and filled up inside."
        )
        self._input("image", TensorProto.UINT8, ("height", "width", self.parts.image_channels))
        nodes = self.nodes
        real = nodes.add("Cast", ["image"], "image.real", to=TensorProto.FLOAT)
        unit = nodes.add("Div", [real, nodes.number("image.full", 255)], "image.unit")
        planes = nodes.add("Transpose", [unit], "image.planes", perm=[2, 0, 1])
        batch = nodes.add("Unsqueeze", [planes, nodes.integers("axis_0", 0)], "image.batch")
        picture = resized(self._normalised(batch), self.told.image, nodes)
        padded = self._padded(picture.value)
        shared, objectness, offsets = self._per_image(padded)
        boxes, images = proposals(objectness, offsets, picture, self.loaded, nodes)
        more, images = with_one_more(boxes, images, nodes)
        regions = pooled(shared, more, images, self.loaded, nodes)
        scores, shifts = self._per_region(regions)
        found = detections(scores, shifts, more, picture, self.loaded, nodes)
        self._output(found[0], "boxes", ("detections", 4))
        self._output(found[1], "scores", ("detections",))
        self._output(found[2], "labels", ("detections",), TensorProto.INT64)
        values = (padded, shared, objectness, offsets, boxes, regions, scores, shifts)
        names = (
            "padded",
            "shared",
            "objectness",
            "offsets",
            "proposals",
            "regions",
            "class_scores",
            "class_offsets",
        )
        return Made(self.model, dict(zip(names, values, strict=True)))

    @property
    def _anchors(self) -> int:
        return len(self.told.anchors.sizes) * len(self.told.anchors.ratios)

    def _per_image(self, image: str) -> tuple[str, str, str]:
        parts, shape = self.parts, (self.parts.image_channels, _SIZE, _SIZE)
        shared = self._graph(parts.shared, shape, SHARED, dynamic=True).run(image)
        side = _SIZE // parts.stride
        graph = proposal_graph(parts.channels, self.told.proposals.width, self._anchors)
        writer = self._graph(graph, (parts.channels, side, side), PROPOSALS, dynamic=True)
        writer.run(shared)
        return shared, writer.values[f"{PROPOSALS}.cls_logits"], writer.values[f"{PROPOSALS}.bbox_pred"]

    def _per_region(self, regions: str) -> tuple[str, str]:
        values = self._graph(self.parts.region, self.parts.region_shape, REGION).run(regions)
        graph = predictor_graph(self.parts.features, len(self.told.labels))
        writer = self._graph(graph, (self.parts.features,), PREDICTOR)
        writer.run(values)
        return writer.values[f"{PREDICTOR}.cls_score"], writer.values[f"{PREDICTOR}.bbox_pred"]

    def _graph(self, graph: Graph, shape: Shape, prefix: str, *, dynamic: bool = False) -> GraphWriter:
        self.nodes.dynamic_size = dynamic
        return GraphWriter(graph, shape, self.tensors, self.nodes, fold=self.form.fold, prefix=f"{prefix}.")

    def _normalised(self, value: str) -> str:
        """As torchvision does it: the mean is taken off, then the rest is divided."""
        image = self.told.image
        mean = self.nodes.hold("image.mean", np.array(image.mean).reshape(-1, 1, 1))
        std = self.nodes.hold("image.std", np.array(image.std).reshape(-1, 1, 1))
        centred = self.nodes.add("Sub", [value, mean], "image.centred")
        return self.nodes.add("Div", [centred, std], "image.normalised")

    def _padded(self, value: str) -> str:
        """Filled up with zeros at the right and below, to whole multiples of the stride."""
        nodes, stride = self.nodes, self.parts.stride
        if stride == 1:
            return value
        shape = nodes.add("Shape", [value], "image.shape")
        sides = nodes.add("Gather", [shape, nodes.integers("last_two", 2, 3)], "image.sides")
        less = nodes.add("Neg", [sides], "image.sides_less")
        missing = nodes.add("Mod", [less, nodes.integers("image.stride", stride)], "image.missing")
        pads = nodes.add(
            "Concat", [nodes.integers("image.unpadded", *[0] * 6), missing], "image.pads", axis=0
        )
        return nodes.add("Pad", [value, pads], "image.padded")

    def _input(self, name: str, kind: int, shape: Sequence[str | int]) -> None:
        self.model.graph.input.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def _output(
        self, value: str, name: str, shape: Sequence[str | int], kind: int = TensorProto.FLOAT
    ) -> None:
        """An output under its own name; values keep theirs, which are the module's."""
        self.nodes.add("Identity", [value], f"out.{name}", name)
        self.model.graph.output.append(helper.make_tensor_value_info(name, kind, list(shape)))
