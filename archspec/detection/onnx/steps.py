"""The whole detector in onnxruntime against torchvision's, step by step.

Which boxes survive hangs on the order of scores, and the last bit of two runtimes can turn that order around. So each
step of torchvision's is given what onnxruntime made of the step before.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from onnx import ModelProto, TensorProto, helper
from torch import Tensor, nn

from archspec.deploy.proof import errors
from archspec.detection.modules import real

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.detection.modules import RegionDetector
    from archspec.detection.onnx.parts import Made
    from archspec.weights.contents import Array

OUTPUTS = ("boxes", "scores", "labels")
PIXELS, SCORE = 1e-3, 1e-4
"""How far apart a box and its score may be and still be the same."""


class Boxes(NamedTuple):
    """Boxes `(n, 4)`, scores `(n,)` and labels `(n,)` from 0."""

    boxes: Array
    scores: Array
    labels: Array


class Steps(NamedTuple):
    """How far each step is off, as a share of the largest value; for boxes the share that are the same."""

    prepared: float
    pooled: float
    proposals: float
    detections: float


def probed(one: Made) -> bytes:
    """The model with what its steps hand on as outputs too."""
    model = ModelProto()
    model.CopyFrom(one.model)
    for value in one.values.values():
        model.graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))
    return bytes(model.SerializeToString())


def compared(module: RegionDetector, pixels: Array, seen: Mapping[str, Array], found: Boxes) -> Steps:
    """Torchvision's steps on what onnxruntime saw (values by their names in `Made`), against its next values."""
    steps = _Steps(module, {key: torch.from_numpy(value) for key, value in seen.items()})
    with steps.replayed(), torch.inference_mode():
        wanted = boxes(module([image(pixels)])[0])
    one, other = (
        Boxes(each, *np.zeros((2, len(each)))) for each in (seen["proposals"], steps.saw["proposals"])
    )
    return Steps(
        errors(seen["padded"], steps.saw["padded"])[1],
        errors(steps.seen["regions"].numpy(), steps.saw["regions"])[1],
        alike(one, other, PIXELS, SCORE),
        alike(found, wanted, PIXELS, SCORE),
    )


def image(pixels: Array) -> Tensor:
    """Bytes `(H, W, C)` as the module takes a picture."""
    return real(torch.tensor(pixels))


def boxes(found: Mapping[str, Tensor]) -> Boxes:
    """What the module found in a picture."""
    own, scores, labels = (found[name].numpy() for name in OUTPUTS)
    return Boxes(own, scores, labels - 1)


def alike(one: Boxes, other: Boxes, pixels: float, score: float) -> float:
    """The share of boxes that have an equal, to so many pixels and so much of a score, on the other side."""
    most = max(len(one.boxes), len(other.boxes))
    if not most:
        return 1.0
    near = np.abs(one.boxes[:, None] - other.boxes[None]).max(2, initial=0) <= pixels
    near &= np.abs(one.scores[:, None] - other.scores[None]) <= score
    near &= one.labels[:, None] == other.labels[None]
    return float(min(near.any(1).sum(), near.any(0).sum()) / most)


class _Steps:
    """A detector whose networks are onnxruntime's: each gives what is said, and keeps what it was given."""

    def __init__(self, module: RegionDetector, seen: Mapping[str, Tensor]) -> None:
        self.module, regions = module, len(seen["proposals"])
        # the file looks at a region of no size more
        of_regions = {name: seen[name][:regions] for name in ("regions", "class_scores", "class_offsets")}
        self.seen = {**seen, **of_regions}
        self.saw: dict[str, Array] = {}

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """The networks are others for a while."""
        module, seen = self.module, self.seen
        real = module.rpn
        stand_ins: list[tuple[Any, str, nn.Module]] = [
            (module, "backbone", _Given(lambda given: self._keep("padded", given, seen["shared"]))),
            (real, "head", _Given(lambda _: ([seen["objectness"]], [seen["offsets"]]))),
            (module, "rpn", _Given(lambda *given: self._proposed(real(*given)[0][0]))),
            (module.roi_heads, "box_head", _Given(lambda given: self._keep("regions", given, given))),
            (
                module.roi_heads,
                "box_predictor",
                _Given(lambda _: (seen["class_scores"], seen["class_offsets"])),
            ),
        ]
        held = [(owner, name, getattr(owner, name)) for owner, name, _ in stand_ins]
        try:
            for owner, name, stand_in in stand_ins:
                setattr(owner, name, stand_in)
            yield
        finally:
            for owner, name, own in held:
                setattr(owner, name, own)

    def _keep(self, name: str, given: Tensor, gives: Tensor) -> Tensor:
        self.saw[name] = given.numpy()
        return gives

    def _proposed(self, proposals: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
        return [self._keep("proposals", proposals, self.seen["proposals"])], {}


class _Given(nn.Module):
    def __init__(self, gives: Any) -> None:
        super().__init__()
        self.gives = gives

    def forward(self, *given: Any) -> Any:
        return self.gives(*given)
