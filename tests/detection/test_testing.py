"""Tests of detectors with the paper's improvements, against loops over single regions."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from archspec.detection.build import detector
from archspec.detection.pyramid import Member, nearest
from archspec.detection.rows import rows
from archspec.detection.testing import Improvements, detected
from archspec.detection.voting import Boxes
from archspec.errors import FileError
from tests.detection.test_detector_build import small
from tests.detection.test_voting import slowly_kept, slowly_voted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.detection.judging.average_precision import Detected
    from archspec.detection.modules import RegionDetector

SIZES = [(64, 80), (50, 40), (33, 90), (130, 70)]
CONTEXT = "detector.regions.context=true"
ALIGN = "detector.regions.kind=align"
ALL = Improvements(refine=True, sides=(48, 64, 100), across=32)


def made(folder: Path, *settings: str, seed: int = 0) -> RegionDetector:
    """A small detector whose scores and offsets vary from region to region, about nothing."""
    torch.manual_seed(seed)
    found: RegionDetector = detector(small(folder, *settings)).eval()
    torch.nn.init.normal_(found.rpn.head.bbox_pred.weight, std=0.1)
    predictor, held = found.roi_heads.box_predictor, []
    hook = predictor.register_forward_pre_hook(lambda _, given: held.append(given[0]))
    with torch.no_grad():
        found([torch.rand(3, 70, 90)])
        for layer in (predictor.cls_score, predictor.bbox_pred):
            torch.nn.init.normal_(layer.weight)
            layer.weight.div_((held[0] @ layer.weight.T).std(0).max())
            layer.bias.copy_(-layer.weight @ held[0].mean(0))
    hook.remove()
    return found


def picture(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise with something large in it."""
    pixels = np.random.default_rng(height).integers(0, 120, (height, width, 3), dtype=np.uint8)
    pixels[height // 4 : height // 2, width // 3 :] += 130
    return pixels


def tensor(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    """As torchvision takes it."""
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255


def same(first: Detected, second: Detected) -> None:
    """Bit for bit."""
    assert np.array_equal(first.boxes, second.boxes)
    assert np.array_equal(first.scores, second.scores)
    assert np.array_equal(first.labels, second.labels)


def close(found: Detected, boxes: Any, scores: Any, labels: Any) -> None:
    """As far as float32 goes."""
    assert len(found) == len(scores) > 3
    assert found.labels.tolist() == list(labels)
    np.testing.assert_allclose(found.scores, scores, atol=1e-4)
    np.testing.assert_allclose(found.boxes, boxes, atol=2e-2)


# --- one region after the other, in the picture's own pixels ---------------------------------------------------------


def level(net: RegionDetector, image: torch.Tensor, side: int) -> tuple[Any, torch.Tensor]:
    """A picture at a shorter side: what the transform makes of it, and the map."""
    own = net.transform
    longest = round(own.max_size * side / own.min_size[-1])
    resize = GeneralizedRCNNTransform(side, longest, own.image_mean, own.image_std, own.size_divisible)
    images, _ = resize.eval()([image])
    return images, net.backbone(images.tensors)


def scaled(box: Sequence[float], old: Sequence[int], new: Sequence[int]) -> list[float]:
    """A box of an image of (height, width) in another."""
    down, right = new[0] / old[0], new[1] / old[1]
    return [box[0] * right, box[1] * down, box[2] * right, box[3] * down]


def looked(net: RegionDetector, image: torch.Tensor, box: list[float], told: Improvements) -> tuple[Any, Any]:
    """One region's scores and boxes."""
    heads, size = net.roi_heads, image.shape[-2:]
    sides = told.sides or (net.transform.min_size[-1],)
    views = []
    for side in sides:
        images, shared = level(net, image, side)
        there = scaled(box, size, images.image_sizes[0])
        area = (there[2] - there[0]) * (there[3] - there[1])
        views.append((abs(area - told.across**2), there, shared, images.image_sizes[0]))
    values = []
    for _, there, shared, (height, width) in sorted(views, key=lambda view: view[0])[:2]:
        both = [there, [0.0, 0.0, width, height]] if net.context else [there]
        pooled = [heads.box_roi_pool({"0": shared}, [torch.tensor([each])], []) for each in both]
        values.append(torch.cat([heads.box_head(each) for each in pooled], 1))
    best = values[0] if len(values) == 1 else torch.max(values[0], values[1])
    logits, offsets = heads.box_predictor(best)
    x, y, w, h = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]
    moved = []
    for dx, dy, dw, dh in offsets.reshape(-1, 4).tolist():
        across, down = w * exp(min(dw / 5, 4.135)), h * exp(min(dh / 5, 4.135))
        middle = x + dx / 10 * w, y + dy / 10 * h
        moved.append(
            [middle[0] - across / 2, middle[1] - down / 2, middle[0] + across / 2, middle[1] + down / 2]
        )
    return logits.softmax(1)[0], torch.tensor(moved)


def reference(nets: Sequence[RegionDetector], pixels: Any, told: Improvements) -> tuple[Any, Any, Any]:
    """All of it, slowly."""
    image = tensor(pixels)
    size = image.shape[-2:]
    edge = torch.tensor([size[1], size[0]] * 2)
    proposals = []
    for net in nets:
        net.eval()
        images, shared = level(net, image, net.transform.min_size[-1])
        (boxes,), _ = net.rpn(images, {"0": shared})
        proposals += [scaled(box, images.image_sizes[0], size) for box in boxes.tolist()]
    collected: list[tuple[Any, Any]] = []
    for box in proposals:
        for _ in range(2 if told.refine else 1):
            seen = [looked(net, image, box, told) for net in nets]
            scores, moved = (sum(each) / len(nets) for each in zip(*seen, strict=True))
            moved = moved.clamp(min=0).minimum(edge)
            collected.append((scores, moved))
            box = moved[1 + int(scores[1:].argmax())].tolist()
    singles = [
        (moved[label].tolist(), float(scores[label]), label)
        for scores, moved in collected
        for label in (1, 2)
        if scores[label] > 0.05
    ]
    found = Boxes(*(torch.tensor(each) for each in zip(*singles, strict=True)))
    winners = found.at(torch.tensor(slowly_kept(found, nets[0].roi_heads.nms_thresh, 100)))
    voting = told.refine and told.vote is not None
    boxes = slowly_voted(winners, found, told.vote or 1) if voting else winners.boxes.tolist()
    return boxes, winners.scores.tolist(), (winners.labels - 1).tolist()


# --- the tests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [(), (ALIGN,), (CONTEXT,), (ALIGN, CONTEXT)])
@pytest.mark.parametrize("size", SIZES)
def test_one_detector_finds_what_its_forward_finds(
    tmp_path: Path, settings: tuple[str, ...], size: tuple[int, int]
) -> None:
    net = made(tmp_path, *settings)
    found = detected([net], picture(*size))
    with torch.no_grad():
        (theirs,) = net.eval()([tensor(picture(*size))])
    assert len(found) > 3
    assert np.array_equal(found.boxes, theirs["boxes"].double().numpy())
    assert np.array_equal(found.scores, theirs["scores"].double().numpy())
    assert np.array_equal(found.labels, theirs["labels"].numpy() - 1)
    assert [str(each.dtype) for each in (found.boxes, found.scores, found.labels)] == [
        "float64",
        "float64",
        "int64",
    ]


@pytest.mark.parametrize("settings", [(), (ALIGN, CONTEXT)])
@pytest.mark.parametrize(
    "told",
    [
        Improvements(),
        Improvements(refine=True, vote=None),
        Improvements(refine=True),
        Improvements(refine=True, vote=0.2),
        Improvements(sides=(100,)),
        Improvements(sides=(100, 48), across=32),
        ALL,
    ],
)
def test_improvements_are_what_a_loop_over_regions_makes(
    tmp_path: Path, told: Improvements, settings: tuple[str, ...]
) -> None:
    net = made(tmp_path, *settings)
    pixels = picture(70, 90)
    with torch.no_grad():
        expected = reference([net], pixels, told)
    close(detected([net], pixels, told), *expected)


OTHER = (
    'detector.cut="conv3_x"',
    'detector.frozen=["conv1"]',
    "detector.image={ shorter = [80], longest = 96, mean = [0.1, 0.2, 0.3], std = [0.5, 0.6, 0.7] }",
    "detector.anchors.sizes=[24]",
)


@pytest.mark.parametrize("told", [Improvements(), ALL])
def test_an_ensemble_averages_over_the_union_of_proposals(tmp_path: Path, told: Improvements) -> None:
    # whole positions would tell boxes apart that differ in their last bit
    nets = [made(tmp_path, ALIGN), made(tmp_path, *OTHER, ALIGN, CONTEXT, seed=1)]
    assert nets[0].roi_heads.box_roi_pool.stride != nets[1].roi_heads.box_roi_pool.stride
    pixels = picture(70, 90)
    with torch.no_grad():
        expected = reference(nets, pixels, told)
    close(detected(nets, pixels, told), *expected)
    back = detected(nets[::-1], pixels, told)
    close(back, *expected)


@pytest.mark.parametrize("told", [Improvements(), Improvements(refine=True), ALL])
def test_two_equal_members_are_one(tmp_path: Path, told: Improvements) -> None:
    net = made(tmp_path)
    one = detected([net], picture(64, 80), told)
    two = detected([net, net], picture(64, 80), told)
    close(two, one.boxes, one.scores, one.labels)


def test_a_detectors_own_side_alone_changes_nothing_and_others_do(tmp_path: Path) -> None:
    net = made(tmp_path)
    plain = detected([net], picture(50, 60))
    same(plain, detected([net], picture(50, 60), Improvements(sides=(64,))))
    same(plain, detected([net], picture(50, 60), Improvements(vote=0.1)))
    assert not np.array_equal(
        plain.scores, detected([net], picture(50, 60), Improvements(sides=(80,))).scores
    )


def test_each_size_is_computed_once_and_a_region_without_an_area_is_looked_at_large(tmp_path: Path) -> None:
    net = made(tmp_path).eval()
    seen: list[int] = []
    net.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[2]))
    detected([net], picture(64, 80), Improvements(refine=True, sides=(96, 48, 64)))
    assert seen == [64, 96, 48]
    with torch.no_grad():
        member = Member(net, tensor(picture(64, 80)), (48, 64, 96), 224)
        assert [each.size[0] for each in member.levels] == [96, 64, 48]
        point = torch.tensor([[5.0, 5, 5, 5]])
        assert nearest(point, (64, 80), [each.size for each in member.levels], 224).T.tolist() == [[1, 1, 0]]


def test_modes_are_as_before_and_nothing_is_learned(tmp_path: Path) -> None:
    net = made(tmp_path, "detector.batch_norm=statistics").train()
    net.backbone.layer2.eval()
    modes = [each.training for each in net.modules()]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    detected([net, net], picture(50, 60), ALL)
    assert [each.training for each in net.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    net.rpn.forward = None
    with pytest.raises(TypeError):
        detected([net], picture(50, 60))
    assert [each.training for each in net.modules()] == modes


BOXES = {
    "none": [],
    "one pixel": [[3.0, 4, 4, 5], [63, 63, 64, 64]],
    "past the edge": [[-30.0, -30, 200, 200], [70, 70, 90, 90]],
    "no area": [[5.0, 5, 5, 5], [0, 0, 80, 0]],
    "all": [[0.0, 0, 80, 64], [0, 0, 80, 64]],
}


@pytest.mark.parametrize("told", [Improvements(), ALL])
@pytest.mark.parametrize("settings", [(CONTEXT,), (ALIGN,)])
@pytest.mark.parametrize("kind", BOXES)
def test_odd_proposals_work(tmp_path: Path, kind: str, settings: tuple[str, ...], told: Improvements) -> None:
    net = made(tmp_path, *settings)
    given = torch.tensor(BOXES[kind]).reshape(-1, 4)
    net.rpn.forward = lambda images, maps: ([given], {})
    for nets in ([net], [net, net]):
        found = detected(nets, picture(64, 80), told)
        assert found.boxes.shape == (len(found), 4)
        assert np.isfinite(found.boxes).all()
        assert np.isfinite(found.scores).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
        assert (found.boxes >= 0).all()
        assert (found.boxes <= [80.001, 64.001, 80.001, 64.001]).all()
        assert bool(len(found)) == (kind in {"one pixel", "past the edge", "all"})


@pytest.mark.parametrize("told", [Improvements(), ALL])
def test_a_picture_without_boxes_has_none(tmp_path: Path, told: Improvements) -> None:
    found = detected([made(tmp_path, "detector.detections.score=1.0")], picture(64, 80), told)
    assert (found.boxes.shape, found.scores.shape, found.labels.shape) == ((0, 4), (0,), (0,))


def test_pixels_that_may_not_be_written_to_are_read(tmp_path: Path) -> None:
    net, pixels = made(tmp_path), picture(64, 80)
    pixels.setflags(write=False)
    same(detected([net], pixels), detected([net], picture(64, 80)))


def test_other_classes_are_named(tmp_path: Path) -> None:
    nets = [made(tmp_path), made(tmp_path, 'detector.classes=["dog", "cat"]')]
    with pytest.raises(FileError, match="AS522") as caught:
        detected(nets, picture(64, 80))
    assert "dog, cat" in caught.value.diagnostics[0].hint
    with pytest.raises(ValueError, match="at least one"):
        detected([], picture(64, 80))


@pytest.mark.parametrize(
    "wrong",
    [{"vote": 0.0}, {"vote": 1.5}, {"vote": float("nan")}, {"sides": (0,)}, {"sides": (8, 8)}, {"across": 0}],
)
def test_improvements_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"overlap|side"):
        Improvements(**wrong)


def test_rows_are_those_of_table_9_and_add_up(tmp_path: Path) -> None:
    from archspec.detection.judging.paper import paper

    nets = [made(tmp_path), made(tmp_path, seed=1)]
    told = Improvements(refine=True, vote=0.4, sides=(48, 64))
    found = rows(nets, told)
    assert [row.name for row in found] == ["baseline", "+box refinement", "+multi-scale testing", "ensemble"]
    assert {row.name for row in found[1:]} <= {row.system for row in paper().tables["9"].rows}
    assert [len(row.detectors) for row in found] == [1, 1, 1, 2]
    assert [row.improvements.refine for row in found] == [False, True, True, True]
    assert [row.improvements.sides for row in found] == [(), (), (48, 64), (48, 64)]
    assert {row.improvements.vote for row in found} == {0.4}
    assert [row.name for row in rows(nets, Improvements())] == ["baseline", "ensemble"]
    context = rows([made(tmp_path, CONTEXT)], Improvements(sides=(48,)))
    assert [row.name for row in context] == ["baseline with context", "+multi-scale testing"]
