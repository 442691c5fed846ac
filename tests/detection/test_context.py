"""Global context: the whole image beside each region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonschema
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from archspec.detection.build import detector
from archspec.detection.counts import counted
from archspec.detection.load import load_detector
from archspec.detection.modules import PerRegion, described
from archspec.detection.schema import json_schema
from archspec.detection.witness import hear
from tests.detection.test_detector_build import images, small, targets

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = "detector.regions.context=true"
TINY = (64, 96)
NAMES = ["faster-rcnn-resnet50", "faster-rcnn-resnet18-shapes", "faster-rcnn-vgg16"]


@pytest.mark.parametrize("name", NAMES)
def test_three_count_the_same(name: str) -> None:
    loaded = load_detector(name, [CONTEXT])
    assert hear(loaded, "torch") == hear(loaded, "graph")
    if name != "faster-rcnn-vgg16":  # 140 million parameters in memory
        assert hear(loaded, "fvcore", TINY) == hear(loaded, "graph", TINY)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_costs_a_region_more_and_the_predictor_doubles(name: str) -> None:
    plain, context = counted(load_detector(name)), counted(load_detector(name, [CONTEXT]))
    assert [part.name for part in context.parts] == ["shared", "proposals", "context", "region", "predictor"]
    region, predictor = plain.part("region").counts, plain.part("predictor").counts
    assert context.per_image == plain.per_image + region.macs
    assert context.per_region == plain.per_region + predictor.macs
    assert context.parameters == plain.parameters + predictor.macs
    assert context.part("context").counts.params == 0
    assert sum(row.counts.macs for row in context.part("context").rows) == region.macs


def test_what_runs_is_what_is_counted(tmp_path: Path) -> None:
    loaded = small(tmp_path, CONTEXT)
    made, counts = detector(loaded).eval(), counted(loaded)
    shared, box = torch.rand(2, 16, 4, 5), torch.tensor([[4.0, 4, 40, 30]])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made.roi_heads({"0": shared}, [box.repeat(3, 1), box], [(64, 80), (60, 70)])
    macs = 2 * counts.part("context").counts.macs + 4 * counts.per_region
    assert counter.get_total_flops() // 2 == macs


@pytest.mark.parametrize("kind", ["pool", "align"])
@pytest.mark.parametrize("norm", ["frozen", "trained"])
def test_it_learns_from_several_pictures_and_finds_in_them(tmp_path: Path, kind: str, norm: str) -> None:
    made = detector(small(tmp_path, CONTEXT, f"detector.regions.kind={kind}", f"detector.batch_norm={norm}"))
    losses = made(images((64, 80), (50, 40)), targets())
    assert sorted(losses) == ["loss_box_reg", "loss_classifier", "loss_objectness", "loss_rpn_box_reg"]
    sum(losses.values()).backward()
    trained = [each for each in made.parameters() if each.requires_grad]
    assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in trained)
    made(images((64, 80)), targets()[:1])  # an image alone, whose map comes down to one place
    for found in made.eval()(images((64, 80), (50, 40))):
        assert set(found) == {"boxes", "labels", "scores"}


def test_the_head_learns_through_the_context_alone(tmp_path: Path) -> None:
    made = detector(small(tmp_path, CONTEXT))
    predictor = made.roi_heads.box_predictor
    with torch.no_grad():
        for layer in (predictor.cls_score, predictor.bbox_pred):
            layer.weight[:, :24] = 0  # a region's own 24 values
    losses = made(images((64, 80), (50, 40)), targets())
    (losses["loss_classifier"] + losses["loss_box_reg"]).backward()
    assert made.roi_heads.box_head.layer4[0].conv1.weight.grad.abs().max() > 0
    assert made.backbone.layer3[0].conv1.weight.grad.abs().max() > 0


@pytest.mark.parametrize("kind", ["pool", "align"])
def test_beside_a_region_stands_its_own_image_without_what_fills_it_up(tmp_path: Path, kind: str) -> None:
    made = detector(small(tmp_path, CONTEXT, f"detector.regions.kind={kind}")).eval()
    heads, shared = made.roi_heads, {"0": torch.rand(2, 16, 4, 5)}
    boxes = [torch.tensor([[4.0, 4, 40, 30], [8, 0, 20, 60]]), torch.tensor([[0.0, 0, 33, 33]])]
    with torch.no_grad():
        found = described(heads, shared, boxes, [(64, 80), (48, 40)])
        regions = heads.box_head(heads.box_roi_pool(shared, boxes, []))
        whole = [torch.tensor([[0.0, 0, 80, 64]]), torch.tensor([[0.0, 0, 40, 48]])]
        beside = heads.box_head(heads.box_roi_pool(shared, whole, []))
        torch.testing.assert_close(found[:, :24], regions)
        torch.testing.assert_close(found[:, 24:], beside[[0, 0, 1]])
        assert not torch.allclose(beside[0], beside[1])
        pooled = heads.box_roi_pool(shared, [boxes[0], boxes[1][:0]], [])
        each = PerRegion(made)(pooled, beside[:1])
        torch.testing.assert_close(each[0], heads.box_predictor(found)[0][:2])


@pytest.mark.parametrize("count", [0, 1])
def test_an_image_without_regions_is_none_the_worse(tmp_path: Path, count: int) -> None:
    made = detector(small(tmp_path, CONTEXT)).eval()
    boxes = [torch.zeros(0, 4), torch.tensor([[4.0, 4, 40, 30]])[:count]]
    with torch.no_grad():
        found, losses = made.roi_heads({"0": torch.rand(2, 16, 4, 5)}, boxes, [(64, 80), (48, 40)])
    assert (len(found), losses) == (2, {})
    assert len(found[0]["boxes"]) == 0


def test_it_is_a_key_that_changes_the_digest_and_fits_the_schema(tmp_path: Path) -> None:
    plain, context = small(tmp_path), small(tmp_path, CONTEXT)
    assert plain.digest != context.digest
    assert not plain.detector.regions.context
    (tmp_path / "kept.toml").write_text(context.text(), encoding="utf-8")
    again = load_detector(tmp_path / "kept.toml")
    assert again.detector.regions.context
    assert again.digest == context.digest
    jsonschema.validate(again.resolved(), json_schema(), cls=jsonschema.Draft7Validator)


def test_without_it_torchvisions_own_heads_stand_there(tmp_path: Path) -> None:
    from torchvision.models.detection.roi_heads import RoIHeads

    plain, context = detector(small(tmp_path)), detector(small(tmp_path, CONTEXT))
    assert type(plain.roi_heads) is RoIHeads
    assert (plain.context, context.context) == (False, True)
    assert [*plain.state_dict()] == [*context.state_dict()]
    assert context.roi_heads.box_predictor.cls_score.in_features == 48
