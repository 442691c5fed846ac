"""The tensors of a detector's `state_dict` by key, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.detection.build import REGION, SHARED
from archspec.detection.counts import features, predictor_graph, proposal_graph
from archspec.passes.flatten import state

if TYPE_CHECKING:
    from archspec.detection.load import LoadedDetector
    from archspec.ir.operation import Shape

PROPOSALS = "rpn.head"
PREDICTOR = "roi_heads.box_predictor"
"""Behind these prefixes keys are torchvision's."""


def shapes(loaded: LoadedDetector) -> dict[str, Shape]:
    """Every tensor's shape, in the module's order: trained ones and running statistics."""
    parts, told = loaded.parts, loaded.detector
    anchors = len(told.anchors.sizes) * len(told.anchors.ratios)
    graphs = {
        SHARED: parts.shared,
        PROPOSALS: proposal_graph(parts.channels, told.proposals.width, anchors),
        REGION: parts.region,
        PREDICTOR: predictor_graph(features(loaded), len(told.labels)),
    }
    return {
        f"{prefix}.{key}": shape for prefix, graph in graphs.items() for key, shape in state(graph).items()
    }
