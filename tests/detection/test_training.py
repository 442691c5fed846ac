"""A detector trained by the one loop: the same bits whoever decodes and however often it stops; alone, and in ranks."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch

import archspec
from archspec.data.order import Plan
from archspec.detection.judging.metrics import judged
from archspec.detection.load import load_detector
from archspec.detection.scenes import shapes
from archspec.detection.scenes.feed import PLACE, Pictures
from archspec.detection.stored import opened, restored
from archspec.detection.testing import detected
from archspec.detection.training import Detection, fitted
from archspec.errors import FileError
from archspec.recipes.load import load_recipe
from archspec.runs.metrics import read
from archspec.train.loop import Terms, Trainer
from archspec.train.run import Job, run
from archspec.train.scores import Untestable
from archspec.train.topology import Topology
from archspec.weights.files import read_weights, write_weights
from tests.train.running import as_rank, at, in_ranks, stop_at, weights

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.detection.load import LoadedDetector
    from archspec.detection.scenes.annotations import Splits
    from archspec.recipes.load import LoadedRecipe

SETTINGS = (
    "detector.set=['stem.layers=[{ conv = 3, out = 8, stride = 2 }]', 'stage.conv2_x.width=8', "
    "'stage.conv3_x.width=8', 'stage.conv4_x.width=8', 'stage.conv5_x.width=8']",
    "detector.image.shorter=[48]",
    "detector.image.longest=48",
    "detector.proposals.width=8",
    "detector.proposals.keep_train=16",
    "detector.proposals.keep_test=16",
    "detector.detections.score=0.0",
)
RECIPE = ("data.batch=4", "data.split=4", "schedule.unit=epoch", "schedule.total=2", "optimiser.lr=0.01")
STEPS = 10
"""20 pictures to learn from, 4 at a time, twice."""


@cache
def small(*settings: str) -> LoadedDetector:
    return load_detector("faster-rcnn-resnet18-shapes", [*SETTINGS, *settings])


@cache
def splits() -> Splits:
    return shapes.make(train=24, test=5, size=(48, 48), sides=(10, 24), most=3)


def job_recipe(*recipe: str) -> LoadedRecipe:
    return load_recipe("shapes-detection", [*RECIPE, *recipe])


def job(folder: Path, *recipe: str, loaded: LoadedDetector | None = None, **more: Any) -> Job:
    task = Detection(loaded or small(), job_recipe(*recipe), splits(), weights=more.pop("weights", None))
    return Job(task, folder, **more)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one go."""
    folder = tmp_path_factory.mktemp("run")
    run(job(folder))
    return folder


def test_a_run_leaves_what_its_reports_are_made_of(whole: Path) -> None:
    records = read(whole / "metrics.jsonl")
    train = next(record for record in records if record["kind"] == "train")
    assert list(train["losses"]) == ["objectness", "proposal_boxes", "classes", "boxes"]
    assert sum(train["losses"].values()) == pytest.approx(train["loss"])
    epochs = [record for record in records if record["kind"] == "epoch"]
    assert [record["epoch"] for record in epochs] == [1, 2]
    assert all(0 <= record["validation_error"] <= 1 for record in epochs)
    told = json.loads((whole / "run.json").read_text())
    assert told["spec"]["kind"] == "detector"
    assert told["spec"]["backbone"]["hash"] == small().architecture.hash
    assert (told["data"]["train"], told["data"]["validation"], told["data"]["test"]) == (20, 4, 5)
    result = json.loads((whole / "result.json").read_text())
    assert result["measure"] == "map"
    assert result["test_map"] == result["test"]["map"] == 1 - records[-1]["test_error"]


def test_what_is_stored_is_all_that_a_test_needs(whole: Path) -> None:
    """Its detector, its network's spec and its tensors: the test at the end is repeated from the folder alone."""
    loaded, tensors = opened(whole)
    assert (loaded.digest, loaded.architecture.hash) == (small().digest, small().architecture.hash)
    assert "archspec.spec" not in tensors.metadata
    module = restored(loaded, tensors)
    test = splits().test
    assert test is not None
    found = judged(test, [detected([module], each.picture) for each in test])
    assert found.value == json.loads((whole / "result.json").read_text())["test_map"]


@pytest.mark.parametrize("step", [3, 5, 7])
def test_a_stopped_run_ends_with_the_same_bits(whole: Path, tmp_path: Path, step: int) -> None:
    stop_at(step, job(tmp_path))
    run(job(tmp_path))
    assert at(tmp_path, STEPS) == at(whole, STEPS)


def test_workers_change_no_bit(whole: Path, tmp_path: Path) -> None:
    run(job(tmp_path, workers=2))
    assert at(tmp_path, STEPS) == at(whole, STEPS)


def test_pictures_and_their_order_are_a_function_of_seed_epoch_and_index() -> None:
    train = splits().train.to_learn()
    feed = Pictures(train, Plan(4, seed=3), flip=True)
    batches = list(feed.training(1))
    pieces = [list(feed.training(1, rank=rank, ranks=2, start=1)) for rank in range(2)]
    for place, batch in enumerate(batches[1:]):
        together = [image for piece in pieces for image in piece[place].images]
        assert all(torch.equal(one, other) for one, other in zip(together, batch.images, strict=True))
    flipped = 0
    for image, target in zip(batches[0].images, batches[0].labels, strict=True):
        plain = train[int(target[PLACE])]
        as_it_is = torch.tensor(plain.picture).permute(2, 0, 1) / 255
        boxes = torch.tensor(plain.boxes, dtype=torch.float32)
        if not torch.equal(image, as_it_is):
            flipped += 1
            assert torch.equal(image, as_it_is.flip(2))
            boxes = torch.stack([48 - boxes[:, 2], boxes[:, 1], 48 - boxes[:, 0], boxes[:, 3]], 1)
        assert torch.equal(target["boxes"], boxes)
        assert torch.equal(target["labels"], torch.tensor(plain.labels) + 1)
    assert 0 < flipped < 4 or len(batches[0].images) < 4


def ranked(topology: Topology, of: Job) -> None:
    torch.manual_seed(0)
    run(as_rank(topology, of))


def test_two_ranks_take_the_same_pictures_and_validate_them_all(tmp_path: Path, whole: Path) -> None:
    """What is sampled of each differs, so weights do; a validation is of all pictures, whoever looked at them."""
    in_ranks(2, ranked, job(tmp_path, "data.batch=6"))
    records = read(tmp_path / "metrics.jsonl")
    assert sum(record["images"] for record in records if record["kind"] == "train") == 40
    stored, result = weights(tmp_path, 8), json.loads((tmp_path / "result.json").read_text())
    assert all(value.isfinite().all() for value in stored.values())
    best = min(record["validation_error"] for record in records if record["kind"] == "epoch")
    assert result["best_val_map"] == 1 - best


def test_training_starts_from_a_networks_weights(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = archspec.build(small().architecture)
    tensors = {key: value.numpy() for key, value in network.state_dict().items()}
    write_weights(tmp_path / "net.safetensors", tensors, {})
    given = read_weights(tmp_path / "net.safetensors")
    of = job(tmp_path / "run", weights=given)
    made = Trainer(of.task, Terms(), 20).network.state_dict()
    own = network.state_dict()
    assert torch.equal(made["backbone.conv1.weight"], own["conv1.weight"])
    of_region = {key: key.replace("roi_heads.box_head.", "") for key in made if ".box_head." in key}
    assert len(of_region) > 20
    assert all(torch.equal(made[key], own[there]) for key, there in of_region.items())
    run(replace(of, task=of.task))
    told = json.loads((tmp_path / "run" / "run.json").read_text())["initial"]
    assert told == {"from": str(tmp_path / "net.safetensors"), "sha256": given.sha256}
    with pytest.raises(FileError, match=r"AS554.*weights"):
        run(job(tmp_path / "run"))


def test_training_goes_on_from_another_detectors_weights(whole: Path, tmp_path: Path) -> None:
    """For other classes the predictor is new; all else is the other's."""
    loaded, tensors = opened(whole)
    same = Detection(small(), job_recipe(), splits(), weights=tensors).network().state_dict()
    assert all(torch.equal(same[key], torch.tensor(tensors.tensors[key])) for key in same)
    more = small('detector.classes=["circle", "square", "triangle", "cross"]')
    other = Detection(more, job_recipe(), splits(), weights=tensors).network().state_dict()
    assert other["roi_heads.box_predictor.cls_score.weight"].shape[0] == 5
    assert torch.equal(other["rpn.head.conv.weight"], same["rpn.head.conv.weight"])
    assert loaded.name == small().name


def test_a_set_gives_its_names_to_a_detector_that_says_how_many() -> None:
    counted = small("detector.classes=3")
    assert fitted(counted, splits().train).detector.labels == ("circle", "square", "triangle")
    with pytest.raises(FileError, match=r"AS541.*finds 4 classes"):
        fitted(small("detector.classes=4"), splits().train)
    with pytest.raises(FileError, match="AS541"):
        fitted(small('detector.classes=["square", "circle", "triangle"]'), splits().train)


def test_a_file_whose_detector_was_changed_is_refused(whole: Path, tmp_path: Path) -> None:
    _, tensors = opened(whole)
    text = tensors.metadata["archspec.detector"].replace("keep_test = 16", "keep_test = 17")
    for key, value in (("archspec.detector", text), ("archspec.detector_hash", "0")):
        file = tmp_path / "changed.safetensors"
        write_weights(file, dict(tensors.tensors), {**tensors.metadata, key: value})
        with pytest.raises(FileError, match=r"AS507.*another hash"):
            opened(file)


def test_a_rank_without_pictures_takes_the_step_with_the_others() -> None:
    module = Detection(small(), job_recipe(), splits()).network()
    losses = module([], [])
    sum(losses.values()).backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in module.parameters())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_boxes_stay_in_single_precision_whatever_the_network_computes_in(precision: str) -> None:
    """Half a pixel and more is what bf16 cannot tell apart in a picture of 600 pixels."""
    module = Detection(small(), job_recipe(), splits()).network()
    seen: list[torch.dtype] = []
    module.rpn.register_forward_hook(lambda _, __, out: seen.extend(each.dtype for each in out[0]))
    module.roi_heads.box_roi_pool.register_forward_hook(lambda _, given, out: seen.append(out.dtype))
    boxes = torch.tensor([[3.0, 3.0, 40.0, 40.0]])
    with torch.autocast("cpu", torch.bfloat16 if precision == "bf16" else torch.float16):
        losses = module([torch.rand(3, 48, 48)], [{"boxes": boxes, "labels": torch.tensor([1])}])
    assert set(seen) == {torch.float32}
    assert all(bool(each.isfinite()) for each in losses.values())


def test_weights_that_are_no_numbers_are_seen_in_a_validation() -> None:
    """torchvision drops their boxes, so that a mean average precision of 0 would be all that tells of them."""
    task = Detection(small(), job_recipe(), splits())
    module = task.network().eval()
    next(iter(module.parameters())).data.fill_(torch.nan)
    feed = Pictures(splits().train.part(slice(20, 24)), Plan(4), flip=False)
    tally = task.tally(feed, torch.device("cpu"))
    with torch.no_grad():
        for batch in feed.testing():
            tally.add(module, batch)
    with pytest.raises(Untestable):
        tally.error(Topology())


def test_no_pictures_are_no_detections() -> None:
    assert Detection(small(), job_recipe(), splits()).network().eval()([]) == []


def test_a_validation_without_objects_is_refused_before_training(tmp_path: Path) -> None:
    whole = splits()
    crowd = whole.train.objects.crowd.copy()
    crowd[int(whole.train.ends[20]) :] = True  # of the four that are held out
    hidden = replace(whole, train=replace(whole.train, objects=replace(whole.train.objects, crowd=crowd)))
    with pytest.raises(FileError, match=r"AS531.*held out show no object"):
        run(Job(Detection(small(), job_recipe(), hidden), tmp_path))


def test_a_set_whose_names_no_detector_can_hold_is_refused() -> None:
    odd = replace(splits().train, classes=("circle", "s" * 65, "triangle"))
    with pytest.raises(FileError, match=r"AS541.*names of classes"):
        fitted(small("detector.classes=3"), odd)


def test_boxes_that_vanish_in_single_precision_are_not_learned_from() -> None:
    train = splits().train
    boxes = train.objects.boxes.copy()
    boxes[0, 2] = boxes[0, 0] + 1e-6
    thin = replace(train, objects=replace(train.objects, boxes=boxes))
    assert len(thin.to_learn().objects) == len(train.to_learn().objects) - 1


def test_weights_of_a_detector_with_another_network_are_refused(whole: Path) -> None:
    _, tensors = opened(whole)
    other = small("detector.set=['norm.eps=0.001']")
    with pytest.raises(FileError, match=r"AS506.*another network"):
        Detection(other, job_recipe(), splits(), weights=tensors).network()
