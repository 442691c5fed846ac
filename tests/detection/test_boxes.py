"""Boxes on pictures: where ink lies, in which colours, and that no name and no box does harm."""

from __future__ import annotations

import io
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from archspec.detection import boxes
from archspec.detection.boxes import Captioned, Place, colour, drawn, encoded, sheet
from tests.detection.making import detected

if TYPE_CHECKING:
    from archspec.detection.judging.average_precision import Detected

NAMES = ("cat", "dog", "bird")
GREY = (119, 119, 119)
WHOLE = (400, 300)
# what is seen without the cones for red, green and blue (Machado et al. 2009, severity 1), of linear light
BLIND = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def ground(size: tuple[int, int] = WHOLE, ink: Any = GREY) -> Image.Image:
    return Image.new("RGB", size, ink)


def pixels(picture: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(picture)


def inked(picture: Image.Image, ink: Any) -> np.ndarray[Any, Any]:
    """(H, W): where a picture has exactly a colour."""
    found: np.ndarray[Any, Any] = (pixels(picture) == np.array(ink)).all(axis=2)
    return found


def linear(ink: Any) -> np.ndarray[Any, Any]:
    share = np.asarray(ink) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """CIE Lab of linear light, for white at D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    root = np.cbrt(np.array(to_xyz) @ light.clip(0, 1) / [0.9505, 1, 1.089])
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def test_a_box_has_its_classs_colour_on_its_own_edge() -> None:
    picture = drawn(ground(), detected(((100, 80, 200, 160), 0.9, 1)), NAMES)
    assert picture.size == WHOLE
    lines = inked(picture, colour(1))
    assert lines[120, 100]
    assert lines[120, 199]
    assert lines[159, 150]
    rows, columns = np.nonzero(lines[90:])
    assert (columns.min(), columns.max(), rows.max()) == (100, 199, 69)
    assert (pixels(picture)[100:140, 110:190] == GREY).all()  # what is in the box is seen
    assert not inked(picture, colour(0)).any()


def test_a_line_is_seen_on_a_ground_of_its_own_colour() -> None:
    for label in range(7):
        picture = drawn(ground(ink=colour(label)), detected(((100, 80, 200, 160), 0.9, label)), "abcdefg")
        assert not inked(picture, colour(label))[120, 101 - 5 : 101].all()


def test_the_picture_that_is_given_stays_as_it_is() -> None:
    given = ground()
    drawn(given, detected(((100, 80, 200, 160), 0.9, 1)), NAMES)
    assert (pixels(given) == GREY).all()


def test_truth_is_dashed_black_and_white_and_thinner_than_what_was_found() -> None:
    truth = np.array([[100.0, 80, 200, 160]])
    alone = drawn(ground(), detected(), NAMES, truth)
    for ink in ("white", "black"):
        share = inked(alone, (255,) * 3 if ink == "white" else (0,) * 3)[80, 100:200].mean()
        assert 0.3 < share < 0.7
    both = drawn(ground(), detected(((100, 80, 200, 160), 0.9, 1)), NAMES, truth)
    assert inked(both, (255, 255, 255))[159, 100:200].any()
    assert inked(both, colour(1))[150:160, 150].any()


def test_a_small_picture_is_enlarged_by_a_whole_factor_and_its_boxes_with_it() -> None:
    picture = drawn(ground((60, 40)), detected(((10, 20, 30, 35), 0.9, 1)), NAMES)
    assert picture.size == (360, 240)
    lines = inked(picture, colour(1))
    assert lines[180, 60]
    assert lines[180, 179]
    assert not lines[:, 180:].any()
    dashes = drawn(ground((60, 40)), detected(), NAMES, np.array([[10.0, 20, 30, 35]]))
    rows, columns = np.nonzero(inked(dashes, (255, 255, 255)))
    assert (columns.min(), rows.min(), rows.max()) == (60, 120, 209)
    assert drawn(ground((320, 2)), detected(), NAMES).size == (320, 2)


@pytest.mark.parametrize("scale", [1, 4])
def test_lines_and_words_grow_with_the_picture(scale: int) -> None:
    size = 400 * scale, 300 * scale
    picture = drawn(
        ground(size), detected(((100 * scale, 100 * scale, 300 * scale, 250 * scale), 0.9, 0)), NAMES
    )
    middle = inked(picture, colour(0))[:, 290 * scale]
    top, bottom = np.split(middle, 2)
    assert bottom.sum() == pytest.approx(346 * scale / 170, abs=1 + scale)
    label = inked(picture, colour(0))[: 100 * scale].any(axis=1).sum()
    assert label == pytest.approx(16 * scale, rel=0.5)
    assert top.sum() == bottom.sum()


@pytest.mark.parametrize(
    "box",
    [
        (-50, -50, 60, 40),
        (350, 250, 500, 400),
        (0, 0, 400, 300),
        (399, 0, 400, 1),
        (0, 299, 1, 300),
        (900, 900, 950, 950),
    ],
)
def test_a_label_stays_inside_the_picture(box: Any) -> None:
    far = drawn(ground(), detected(((150, 150, 250, 200), 0.9, 2)), NAMES)
    plate = inked(far, colour(2))[:148].sum()
    assert plate > 300
    here = drawn(ground(), detected((box, 0.9, 2)), NAMES)
    assert inked(here, colour(2)).sum() >= plate


def test_labels_do_not_cover_each_other() -> None:
    same = (100, 80, 200, 160)
    picture = drawn(ground(), detected((same, 0.9, 0), (same, 0.8, 1), (same, 0.7, 2)), NAMES)
    sizes = [
        inked(drawn(ground(), detected((same, 0.9, each)), NAMES), colour(each))[:78].sum()
        for each in range(3)
    ]
    best = inked(picture, colour(0))
    # the best score has its label where it would be alone, and the others have theirs, too
    assert best[:78].sum() == sizes[0]
    assert all(inked(picture, colour(each)).sum() > 0.7 * sizes[each] for each in (1, 2))


def test_where_no_place_is_free_the_best_labels_stand() -> None:
    random = np.random.default_rng(0)
    rows = [((40, 40, 90, 70), float(score), 0) for score in random.random(300)]
    best = ((40, 40, 90, 70), 1.0, 1)
    picture = drawn(ground(), detected(*rows, best), NAMES)
    alone = drawn(ground(), detected(best), NAMES)
    label = inked(alone, colour(1))[:37]
    assert label.sum() > 300
    assert (inked(picture, colour(1))[:37] == label).all()


def test_classes_have_colours_of_their_own_whatever_else_is_there() -> None:
    assert len({colour(each) for each in range(84)}) == 84
    assert not {colour(each) for each in range(200)} & {(0, 0, 0), (255, 255, 255)}
    assert colour(3) == colour(3 + 84)


@pytest.mark.parametrize("kind", [None, *BLIND])
def test_the_first_colours_are_told_apart(kind: str | None) -> None:
    matrix = np.array(BLIND[kind]) if kind else np.eye(3)
    seen = [lab(matrix @ linear(colour(each))) for each in range(7)]
    # 2.3 is what is just noticed
    assert min(np.linalg.norm(first - second) for first, second in combinations(seen, 2)) > 10


def test_words_are_legible_on_every_colour() -> None:
    for each in range(84):
        light, ink = linear(colour(each)) @ [0.2126, 0.7152, 0.0722], boxes._ink(colour(each))
        contrast = (max(light, linear(ink)[0]) + 0.05) / (min(light, linear(ink)[0]) + 0.05)
        assert contrast >= 4.5


@pytest.mark.parametrize(
    "name",
    [
        "",
        "\n",
        "a\x1b[31m\r\nb\x00",
        "a" + "\u0301" * 500,
        "W" * 10_000,
        "\u202egnp.exe",
        "\ud800",
        "собака",
        "犬",
        "{}%s",
    ],
)
@pytest.mark.parametrize("size", [(400, 300), (20, 330), (330, 3)])
def test_no_name_does_harm(name: str, size: tuple[int, int]) -> None:
    picture = drawn(ground(size), detected(((0, 0, 15, 2), 0.9, 0), ((5, 100, 15, 120), 0.2, 0)), [name])
    assert picture.size == size
    if size == WHOLE:  # what is outside the label and the box is untouched
        assert (pixels(picture)[150:] == GREY).all()


def test_a_long_name_keeps_its_score() -> None:
    short, long = (
        drawn(ground(), detected(((10, 100, 390, 200), 0.37, 0)), [name])
        for name in ("W" * 200, "W" * 10_000)
    )
    assert (pixels(short) == pixels(long)).all()
    other = drawn(ground(), detected(((10, 100, 390, 200), 0.38, 0)), ["W" * 200])
    assert not (pixels(short) == pixels(other)).all()


sides = st.floats(-1e6, 1e6) | st.floats(-5, 60)


@settings(max_examples=60)
@given(
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.lists(
        st.tuples(st.tuples(sides, sides, sides, sides), st.floats(0, 1), st.integers(0, 2)), max_size=4
    ),
)
def test_any_boxes_can_be_drawn(size: tuple[int, int], rows: Any) -> None:
    found: Detected = detected(*rows)
    found.boxes[:] = np.concatenate(
        [
            np.minimum(found.boxes[:, :2], found.boxes[:, 2:]),
            np.maximum(found.boxes[:, :2], found.boxes[:, 2:]),
        ],
        1,
    )
    picture = drawn(ground(size), found, NAMES, found.boxes)
    assert max(picture.size) >= 320
    assert picture.width * size[1] == picture.height * size[0]


def test_places_meet_where_they_share_a_pixel() -> None:
    here = Place(10, 10, 20, 20)
    assert here.meets(Place(19, 19, 30, 30))
    assert not here.meets(Place(20, 10, 30, 20))
    assert not here.meets(Place(10, 0, 20, 10))


def test_a_sheet_has_cells_of_one_size_row_by_row() -> None:
    inks = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    pictures = [Captioned(ground((200, 150), ink), f"number {place}") for place, ink in enumerate(inks)]
    whole = sheet(pictures, 2)
    corners = [np.argwhere(inked(whole, ink))[0].tolist() for ink in inks]
    assert corners[0][0] == corners[1][0] < corners[2][0]
    assert corners[0][1] == corners[2][1] < corners[1][1]
    assert all(inked(whole, ink).sum() == 200 * 150 for ink in inks)
    assert inked(whole, (255, 255, 255)).any(axis=1).all()  # nothing reaches from edge to edge
    below = pixels(whole)[corners[0][0] + 150 : corners[2][0], : corners[1][1]]
    assert (below < 128).any()  # a caption
    assert sheet(pictures[:1], 5).width < 230


def test_a_caption_is_cut_to_its_cell() -> None:
    two = [Captioned(ground((200, 150)), text) for text in ("long " * 100 + "\n\x1b", "")]
    whole = sheet(two, 2)
    first = np.argwhere(inked(whole, GREY))[0]
    assert not (pixels(whole)[first[0] + 150 :, first[1] + 200 :] < 255).any()


@pytest.mark.parametrize(("pictures", "columns"), [(0, 1), (1, 0)])
def test_an_empty_sheet_is_none(pictures: int, columns: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        sheet([Captioned(ground(), "")] * pictures, columns)


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "PNG"), (".JPG", "JPEG"), (".jpeg", "JPEG")])
def test_a_picture_is_encoded_by_its_ending(suffix: str, kind: str) -> None:
    content = encoded(ground(), suffix)
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == kind
        assert np.abs(pixels(picture).astype(int) - 119).max() < 3
    assert content == encoded(ground(), suffix)


def test_a_thin_line_keeps_its_colour_in_a_jpeg() -> None:
    line = ground()
    line.paste(colour(4), (100, 0, 103, 300))
    with Image.open(io.BytesIO(encoded(line, ".jpg"))) as picture:
        assert np.abs(pixels(picture)[150, 100:103].astype(int) - colour(4)).max() < 12
