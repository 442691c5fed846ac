"""From a detector's declaration to a module: our network in two parts, torchvision's detection around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.backends.plan import plan
from archspec.detection.counts import features
from archspec.detection.parts import keys, slice_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from archspec.detection.load import LoadedDetector
    from archspec.detection.modules import RegionDetector
    from archspec.ir.graph import Graph
    from archspec.weights.files import Weights

SHARED = "backbone"
REGION = "roi_heads.box_head"
"""Behind these prefixes keys are the network's own: `backbone.layer1.0.conv1.weight`."""


def detector(loaded: LoadedDetector, weights: Weights | None = None, *, init: bool = True) -> RegionDetector:
    """The detector as a module, as torchvision's are: `(images, targets)` in, losses or detections out.

    `weights` are the network's, of classification: all must fit, and the classifier is then left out. Raises
    `FileError` for weights that do not. The network is filled as its spec says, what is new as Fast R-CNN's is, from
    torch's global generator; `init=False` leaves all unfilled. Works under `with torch.device("meta"):`.
    """
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
    from torchvision.models.detection.roi_heads import RoIHeads
    from torchvision.models.detection.transform import GeneralizedRCNNTransform

    from archspec.api import build
    from archspec.detection.modules import ContextHeads, RegionDetector, RegionPool
    from archspec.weights.match import load_into, matched

    parts, told = loaded.parts, loaded.detector
    network = build(loaded.architecture, init=init and weights is None)
    if weights is not None:
        load_into(network, matched(loaded.architecture, weights))
    shared, region = (_part(network, loaded, graph) for graph in (parts.shared, parts.region))
    norms = _frozen(loaded, shared, region)
    predictor = FastRCNNPredictor(features(loaded), len(told.labels) + 1)
    if init:
        _drawn(predictor.cls_score, 0.01)
        _drawn(predictor.bbox_pred, 0.001)
    regions, image, detections = told.regions, told.image, told.detections
    heads = (ContextHeads if regions.context else RoIHeads)(
        RegionPool(regions.kind, regions.size, parts.stride, regions.points),
        region,
        predictor,
        regions.foreground,
        regions.background,
        regions.sampled,
        regions.positive,
        regions.weights,
        detections.score,
        detections.nms,
        detections.most,
    )
    # torchvision finds an anchor's place by dividing sizes: whole multiples make that exact
    transform = GeneralizedRCNNTransform(
        image.shorter, image.longest, list(image.mean), list(image.std), size_divisible=parts.stride
    )
    made: Mapping[str, nn.Module] = {
        "backbone": shared,
        "rpn": _proposals(loaded, init=init),
        "roi_heads": heads,
        "transform": transform,
    }
    return RegionDetector(made, told.labels, norms)


def _proposals(loaded: LoadedDetector, *, init: bool) -> nn.Module:
    from torchvision.models.detection.rpn import RegionProposalNetwork

    from archspec.detection.modules import Anchors, ProposalHead

    told, anchors = loaded.detector.proposals, loaded.detector.anchors
    generator = Anchors((anchors.sizes,), (anchors.ratios,))
    head = ProposalHead(loaded.parts.channels, told.width, len(anchors.sizes) * len(anchors.ratios))
    for layer in (head.conv, head.cls_logits, head.bbox_pred) if init else ():
        _drawn(layer, 0.01)
    proposals: nn.Module = RegionProposalNetwork(
        generator,
        head,
        told.foreground,
        told.background,
        told.sampled,
        told.positive,
        {"training": told.before_train, "testing": told.before_test},
        {"training": told.keep_train, "testing": told.keep_test},
        told.nms,
    )
    return proposals


def _drawn(layer: nn.Conv2d | nn.Linear, std: float) -> None:
    """Normal weights and no bias, as Fast R-CNN's new layers have them (Girshick 2015, 2.3; Ren et al. 2015, 3.1.3)."""
    from torch import nn

    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _part(network: nn.Module, loaded: LoadedDetector, graph: Graph) -> nn.Module:
    """A part of a live network: its own modules under their own keys."""
    from archspec.backends.torch.modules import Block

    # a module without weights may serve several places, and stands under the first one's name
    held = {step.node.name: step.action for step in plan(loaded.architecture.graph).steps}
    nodes = {node.name: node for node in graph.nodes}
    made = plan(graph)
    modules: dict[str, nn.Module | None] = {}
    for attribute in made.attributes:
        key = held[attribute.name]
        assert isinstance(key, str), "what is an attribute of a part is one of the whole"
        module, within = network.get_submodule(key), slice_of(nodes[attribute.name])
        # a slice of an nn.Sequential keeps its keys
        modules[attribute.name] = module if within is None else module[within]  # type: ignore[index]
    return Block(graph.name.capitalize(), made, modules)


def _frozen(loaded: LoadedDetector, shared: nn.Module, region: nn.Module) -> list[nn.Module]:
    """Takes what is frozen out of training. Gives back the normalisations whose statistics are fixed."""
    from torch import nn

    told, parts = loaded.detector, loaded.parts
    sides = ((shared, parts.shared), (region, parts.region))
    still = [
        side.get_submodule(key) for side, graph in sides for row in told.frozen for key in keys(graph, row)
    ]
    for module in still:
        module.requires_grad_(requires_grad=False)
    held = [shared, region] if told.batch_norm != "trained" else still
    modules = (each for module in held for each in module.modules())
    norms: list[nn.Module] = [each for each in modules if isinstance(each, nn.BatchNorm2d)]
    for norm in norms if told.batch_norm == "frozen" else ():
        norm.requires_grad_(requires_grad=False)
    return norms
