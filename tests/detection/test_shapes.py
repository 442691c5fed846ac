"""Made-up pictures with shapes, and how pictures and boxes vary together."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from archspec.data.sets import labelling
from archspec.detection.scenes.annotations import Annotated, Objects
from archspec.detection.scenes.shapes import CLASSES, SEEN, make, painted, scenes
from archspec.detection.scenes.views import (
    Varying,
    drawn,
    fitted,
    mirrored_boxes,
    scaled_boxes,
    shown,
    streamed,
)
from archspec.errors import FileError

SIDES = (12, 60)


def test_a_picture_depends_on_the_seed_and_its_number_alone() -> None:
    pixels, objects = painted(7, classes=3, seed=5)
    whole = scenes(8, seed=5)
    assert np.array_equal(whole[7].picture, pixels)
    assert whole[7].boxes.tolist() == objects.boxes.tolist()
    assert not np.array_equal(whole[6].picture, pixels)
    some = whole.part(np.array([7, 2]))
    assert [each.image_id for each in some] == [7, 2]
    assert np.array_equal(some[0].picture, pixels)
    assert [each.boxes.tolist() for each in some] == [whole[7].boxes.tolist(), whole[2].boxes.tolist()]
    assert len(some.objects) == len(whole[7].objects) + len(whole[2].objects)
    assert not np.array_equal(painted(7, seed=6)[0], pixels)
    # equal on every machine, whatever the version of NumPy
    told = pixels.tobytes() + objects.boxes.tobytes() + objects.labels.tobytes() + objects.area.tobytes()
    assert hashlib.sha256(told).hexdigest()[:16] == "7945d77f324b2914"


def test_boxes_are_around_the_shapes_and_shapes_are_seen() -> None:
    whole = scenes(40, classes=len(CLASSES), seed=1)
    sides = whole.objects.boxes[:, 2:] - whole.objects.boxes[:, :2]
    assert sides.min() >= SIDES[0] - 1
    assert sides.max() <= SIDES[1] + 1
    assert whole.objects.boxes.min() >= 0
    assert whole.objects.boxes.max() <= 128
    assert set(whole.objects.labels.tolist()) == set(range(len(CLASSES)))
    counts = np.diff(whole.ends)
    assert (counts.min(), counts.max()) == (1, 5)
    full = {
        "square": 1.0,
        "circle": np.pi / 4,
        "triangle": 0.5,
        "cross": 5 / 9,
        "ring": 0.7 * np.pi / 4,
        "diamond": 0.5,
    }
    shares = whole.objects.area / sides.prod(axis=1)
    hidden = 0
    for label, share in zip(whole.objects.labels, shares, strict=True):
        whole_share = full[CLASSES[label]]
        assert 0.8 * SEEN * whole_share < share < 1.2 * whole_share
        hidden += share < 0.85 * whole_share
    assert hidden > 5


def test_a_shape_can_be_told_from_the_ground() -> None:
    pixels, objects = painted(3, most=1, seed=2)
    (x1, y1, x2, y2), values = objects.boxes[0].astype(int), pixels.astype(int)
    middle = values[(y1 + y2) // 2 - 1 : (y1 + y2) // 2 + 1, (x1 + x2) // 2 - 1 : (x1 + x2) // 2 + 1].mean(
        (0, 1)
    )
    assert abs(middle - np.median(values.reshape(-1, 3), axis=0)).max() > 60


def test_training_and_test_pictures_differ_and_their_numbers_are_as_asked() -> None:
    splits = make(train=5, test=3, size=(64, 96), sides=(10, 30))
    assert splits.test is not None
    assert (len(splits.train), len(splits.test), splits.train[0].size) == (5, 3, (64, 96))
    assert splits.train.classes == ("circle", "square", "triangle")
    assert set(splits.train.image_ids).isdisjoint(splits.test.image_ids)
    assert splits.train[0].decoded().size == (96, 64)


def test_sets_of_as_many_pictures_are_told_apart() -> None:
    one, same, other = (make(train=5, test=3, seed=seed).train for seed in (0, 0, 1))
    assert labelling(one) == labelling(same) != labelling(other)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"classes": 9}, "no set of 9 classes"),
        ({"classes": 0}, "no set of 0 classes"),
        ({"most": 0}, "1 to 100 shapes"),
        ({"sides": (12, 200)}, "do not fit pictures of 128x128"),
        ({"sides": (2, 20)}, "do not fit"),
        ({"train": 10**9}, "more than"),
        ({"test": 0}, "make no set"),
    ],
)
def test_what_makes_no_set_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(FileError, match=f"AS541.*{said}"):
        make(**asked)


BOXES = st.lists(
    st.tuples(*[st.floats(0, 50)] * 4).map(lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])),
    max_size=4,
)


def annotated(boxes: list[tuple[float, ...]], size: tuple[int, int] = (80, 100)) -> Annotated:
    height, width = size
    ramp = np.broadcast_to(np.arange(width)[None, :, None] * 2 % 256, (height, width, 3)).astype(np.uint8)
    rows = [(box, 0, False, False, (box[2] - box[0]) * (box[3] - box[1])) for box in boxes]
    return Annotated(np.ascontiguousarray(ramp), 1, size, Objects.of(rows))


@settings(max_examples=60)
@given(boxes=BOXES, side=st.integers(0, 200), longest=st.integers(10, 300), flip=st.booleans())
def test_boxes_follow_their_picture_and_come_back(
    boxes: list[tuple[float, ...]], side: int, longest: int, flip: bool
) -> None:
    before = annotated(boxes)
    after = shown(before, side, longest, flip=flip)
    assert after.restored(after.objects.boxes) == pytest.approx(before.boxes, abs=1e-6)
    height, width = after.pixels.shape[:2]
    assert max(height, width) <= (longest if side else 100)
    assert len(after.objects) == len(boxes)
    area = (after.objects.boxes[:, 2:] - after.objects.boxes[:, :2]).prod(axis=1)
    assert after.objects.area == pytest.approx(area, rel=1e-6, abs=1e-6)


def test_a_flip_takes_the_picture_and_its_boxes() -> None:
    before = annotated([(10, 5, 30, 25)])
    after = shown(before, 0, 1000, flip=True)
    assert after.objects.boxes.tolist() == [[70, 5, 90, 25]]
    assert isinstance(before.picture, np.ndarray)
    assert np.array_equal(after.pixels, before.picture[:, ::-1])
    boxes = np.array([[10, 5, 30, 25.0]])
    assert mirrored_boxes(mirrored_boxes(boxes, 100), 100).tolist() == boxes.tolist()


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((500, 375), (800, 600)), ((375, 500), (600, 800)), ((500, 250), (1000, 500)), ((600, 700), (600, 700))],
)
def test_the_shorter_side_is_600_unless_the_longer_would_pass_1000(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert fitted(Image.new("RGB", size), 600, 1000).size == wanted


def test_boxes_scale_by_each_axis() -> None:
    assert scaled_boxes(np.array([[1, 2, 3, 4.0]]), (10, 10), (20, 30)).tolist() == [[3, 4, 9, 8]]


def test_an_epoch_is_equal_for_any_ranks_and_may_be_entered_anywhere() -> None:
    whole = scenes(10, (32, 32), sides=(8, 16))
    varying = Varying(sides=(32, 48), longest=100)
    epoch = list(streamed(whole, varying, seed=3, epoch=2, batch=4))
    assert [len(batch) for batch in epoch] == [4, 4, 2]
    pieces = [list(streamed(whole, varying, seed=3, epoch=2, batch=4, rank=rank, ranks=2)) for rank in (0, 1)]
    for step, batch in enumerate(epoch):
        halves = [each for rank in (0, 1) for each in pieces[rank][step]]
        later = next(streamed(whole, varying, seed=3, epoch=2, batch=4, start=step))
        for others in (halves, later):
            assert [each.image_id for each in others] == [each.image_id for each in batch]
            assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(others, batch, strict=True))
    assert {each.image_id for batch in epoch for each in batch} == set(range(10))
    assert {each.pixels.shape[0] for batch in epoch for each in batch} == {32, 48}
    assert {each.flipped for batch in epoch for each in batch} == {True, False}


def test_what_is_drawn_changes_with_the_epoch_and_not_with_the_order() -> None:
    varying, indices = Varying(sides=(400, 600)), np.arange(50)
    first, second = drawn(varying, 0, 0, indices), drawn(varying, 0, 1, indices)
    assert (first.flip != second.flip).any()
    assert (first.side != second.side).any()
    assert drawn(varying, 0, 0, indices[::-1]).flip.tolist() == first.flip[::-1].tolist()
    assert not drawn(Varying(flip=False), 0, 0, indices).flip.any()
    assert set(drawn(Varying(sides=()), 0, 0, indices).side.tolist()) == {0}
