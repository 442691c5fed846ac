"""What is kept of boxes, against plain loops."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.detection.pyramid import nearest
from archspec.detection.voting import Boxes, candidates, kept, voted

Corners = tuple[int, int, int, int]
LABELS = 3


def overlap(first: list[float], second: list[float]) -> float:
    """Intersection over union of two boxes that have areas."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both)


def slowly_kept(found: Boxes, least: float, most: int) -> list[int]:
    """Greedy NMS of each class."""
    boxes, scores, labels = found.boxes.tolist(), found.scores.tolist(), found.labels.tolist()
    winners: list[int] = []
    for place in sorted(range(len(scores)), key=lambda each: -scores[each]):
        same = [each for each in winners if labels[each] == labels[place]]
        if all(overlap(boxes[each], boxes[place]) <= least for each in same):
            winners.append(place)
    return winners[:most]


def slowly_voted(winners: Boxes, found: Boxes, least: float) -> list[list[float]]:
    """Gidaris and Komodakis's mean, box by box."""
    made = []
    for box, label in zip(winners.boxes.tolist(), winners.labels.tolist(), strict=True):
        total, weights = [0.0] * 4, 0.0
        for other, score, kind in zip(*(each.tolist() for each in found), strict=True):
            if kind == label and overlap(box, other) >= least:
                total = [was + score * side for was, side in zip(total, other, strict=True)]
                weights += score
        made.append([each / weights for each in total])
    return made


@st.composite
def boxes(draw: st.DrawFn) -> Boxes:
    """Some boxes of whole pixels, of a few classes, no two with one score."""
    many = draw(st.integers(0, 12))
    side = st.integers(1, 12)
    corners = [(draw(side), draw(side), draw(side), draw(side)) for _ in range(many)]
    scores = draw(st.permutations(range(1, many + 1)))
    labels = [draw(st.integers(1, LABELS)) for _ in range(many)]
    made = torch.tensor([(x, y, x + w, y + h) for x, y, w, h in corners], dtype=torch.float32)
    return Boxes(made.reshape(-1, 4), torch.tensor(scores) / 20, torch.tensor(labels, dtype=torch.int64))


@settings(max_examples=100)
# no overlap of boxes of whole pixels comes near these: 0.3 is 21/70, which float32 rounds otherwise than float64
@given(found=boxes(), nms=st.sampled_from([0.3001, 0.7001]), vote=st.sampled_from([0.0101, 0.5101, 1.0]))
def test_boxes_are_kept_and_voted_on_as_plain_loops_do_it(found: Boxes, nms: float, vote: float) -> None:
    winners = kept(found, nms, 5)
    places = slowly_kept(found, nms, 5)
    assert winners.boxes.tolist() == found.boxes[places].tolist()
    assert winners.labels.tolist() == found.labels[places].tolist()
    after = voted(winners, found, vote)
    expected = torch.tensor(slowly_voted(winners, found, vote)).reshape(-1, 4)
    torch.testing.assert_close(after.boxes, expected)
    assert torch.equal(after.scores, winners.scores)


def test_a_box_is_moved_by_those_of_its_class_that_overlap_it_by_half() -> None:
    found = Boxes(
        torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.9], [0, 0, 10, 9]]),
        torch.tensor([0.6, 0.2, 0.9, 0.9]),
        torch.tensor([1, 1, 1, 2]),
    )
    # an overlap of exactly a half counts; 0.49 does not, and neither does another class
    assert voted(found.at(torch.tensor([0])), found, 0.5).boxes.tolist() == [[0, 0, 10, 8.75]]


def test_nms_is_given_what_scores_more_than_the_least_and_has_sides() -> None:
    scores = torch.tensor([[0.9, 0.05, 0.06], [0.1, 0.5, 0.5]])
    moved = torch.tensor([[[0.0, 0, 9, 9]] * 3, [[0, 0, 9, 9], [-5, -5, 30, 2], [3, 3, 3, 9]]])
    found = candidates(scores, moved, (8, 20), 0.05)
    assert found.boxes.tolist() == [[0, 0, 9, 8], [0, 0, 20, 2]]
    assert found.labels.tolist() == [2, 1]


@settings(max_examples=100)
@given(
    width=st.integers(0, 600),
    height=st.integers(0, 600),
    sides=st.lists(st.integers(10, 1000), min_size=1, max_size=5, unique=True),
)
def test_a_region_is_looked_at_where_it_is_nearest_to_224_pixels_and_beside_it(
    width: int, height: int, sides: list[int]
) -> None:
    sides = sorted(sides, reverse=True)
    sizes = [(side, 2 * side) for side in sides]
    box = torch.tensor([[7.0, 8, 7 + width, 8 + height]], dtype=torch.float64)
    (found,) = nearest(box, (600, 1200), sizes, 224).T.tolist()
    off = [abs(width * height * (side / 600) ** 2 - 224**2) for side in sides]
    chosen = [place for place, each in enumerate(found) if each]
    assert len(chosen) == min(2, len(sides))
    assert chosen[-1] - chosen[0] == len(chosen) - 1
    others = [each for place, each in enumerate(off) if place not in chosen]
    assert not others or max(off[place] for place in chosen) <= min(others) + 1e-6


@pytest.mark.parametrize(
    ("side", "chosen"),
    [(0, (800, 1000)), (60, (800, 1000)), (200, (600, 800)), (330, (200, 400)), (900, (200, 400))],
)
def test_of_the_papers_sides_these_are_taken(side: int, chosen: tuple[int, ...]) -> None:
    sides = (1000, 800, 600, 400, 200)
    box = torch.tensor([[0.0, 0, side, side]])
    found = nearest(box, (600, 1000), [(each, each * 5 // 3) for each in sides], 224)[:, 0].tolist()
    assert (
        tuple(each for each, taken in zip(sides, found, strict=True) if taken) == tuple(sorted(chosen))[::-1]
    )
