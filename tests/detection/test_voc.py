"""PASCAL VOC as it lies on disk: read as it is meant, and refused with file and line where it is broken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.detection.scenes.gathering import MOST_PROBLEMS
from archspec.detection.scenes.markup import MOST_DEEP, MOST_ELEMENTS, Broken, parsed
from archspec.detection.scenes.voc import CLASSES, has, read, read_combination, read_unjudged
from archspec.errors import FileError, concise
from tests.detection.making import DOG, picture, voc, voc_xml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def one(root: Path, text: str | None) -> Path:
    """A split "test" of one picture; its annotations' file."""
    return voc(root, 2007, {"test": {"000005": text}}) / "Annotations" / "000005.xml"


def refused(act: Callable[[], Any]) -> list[str]:
    """What is said, a line each: file:line:column: AS532 message. Only the file's name is left of its path."""
    with pytest.raises(FileError) as caught:
        act()
    assert all(len(each.message) < 400 for each in caught.value.diagnostics)
    return [os.path.basename(concise(each)) for each in caught.value.diagnostics]


def test_boxes_run_from_edge_to_edge(tmp_path: Path) -> None:
    one(tmp_path, voc_xml([DOG, ("person", 1, (1, 1, 100, 80)), ("cat", 0, (7, 9, 7, 9))]))
    whole = read(tmp_path, 2007, "test")
    (annotated,) = whole
    assert annotated.boxes.tolist() == [[47, 29, 80, 60], [0, 0, 100, 80], [6, 8, 7, 9]]
    assert [CLASSES[label] for label in annotated.labels] == ["dog", "person", "cat"]
    assert annotated.objects.difficult.tolist() == [False, True, False]
    assert annotated.objects.area.tolist() == [33 * 31, 8000, 1]
    assert (annotated.image_id, annotated.size, whole.name) == ("000005", (80, 100), "VOC2007 test")
    assert annotated.decoded().size == (100, 80)
    assert whole.remarks == ()


def test_torchvision_reads_the_same(tmp_path: Path) -> None:
    from torchvision.datasets import VOCDetection

    boxes = [DOG, ("person", 1, (1, 1, 100, 80)), ("cat", 0, (7, 9, 7, 9))]
    voc(tmp_path, 2012, {"train": {"2008_000008": voc_xml(boxes[:2]), "2008_000015": voc_xml(boxes[2:])}})
    theirs = VOCDetection(str(tmp_path), year="2012", image_set="train")
    ours = read(tmp_path, 2012, "train")
    assert len(ours) == len(theirs) == 2
    for annotated, (decoded, told) in zip(ours, theirs, strict=True):
        objects = told["annotation"]["object"]
        corners = [
            [float(each["bndbox"][key]) for key in ("xmin", "ymin", "xmax", "ymax")] for each in objects
        ]
        assert (annotated.boxes + np.array([1, 1, 0, 0])).tolist() == corners
        assert [CLASSES[label] for label in annotated.labels] == [each["name"] for each in objects]
        assert np.array_equal(np.asarray(annotated.decoded()), np.asarray(decoded))


def test_parts_of_a_person_are_no_objects_and_fractions_are_numbers(tmp_path: Path) -> None:
    parts = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    text = voc_xml([("person", 0, (45.7, 10, 60.25, 20))]).replace("\t</object>", f"{parts}\n\t</object>")
    one(tmp_path, text.replace("<difficult>0</difficult>", ""))
    (annotated,) = read(tmp_path, 2007, "test")
    assert annotated.boxes.tolist() == [[44.7, 9, 60.25, 20]]
    assert not annotated.objects.difficult.any()


def test_a_picture_without_objects_is_kept_and_can_be_left_out(tmp_path: Path) -> None:
    voc(tmp_path, 2007, {"test": {"1": voc_xml([]), "2": voc_xml(), "3": voc_xml([])}})
    whole = read(tmp_path, 2007, "test")
    assert [len(each.objects) for each in whole] == [0, 1, 0]
    assert whole[0].boxes.shape == (0, 4)
    assert whole.to_learn().image_ids == ("2",)
    assert whole.to_learn()[0].boxes.tolist() == whole[1].boxes.tolist()


def test_difficult_objects_are_learnt_from_where_that_is_asked(tmp_path: Path) -> None:
    hard = ("cat", 1, (1, 1, 9, 9))
    voc(
        tmp_path, 2007, {"test": {"1": voc_xml([hard]), "2": voc_xml([hard, DOG, hard]), "3": voc_xml([DOG])}}
    )
    whole = read(tmp_path, 2007, "test")
    assert [(each.image_id, len(each.objects)) for each in whole.to_learn()] == [("2", 1), ("3", 1)]
    assert [CLASSES[each.labels[0]] for each in whole.to_learn()] == ["dog", "dog"]
    assert [len(each.objects) for each in whole.to_learn(difficult=True)] == [1, 3, 1]


def test_boxes_past_the_edge_are_cut_and_said(tmp_path: Path) -> None:
    one(tmp_path, voc_xml([("dog", 0, (0, -5, 120, 60)), ("cat", 0, (200, 1, 210, 9)), DOG]))
    whole = read(tmp_path, 2007, "test")
    assert whole[0].boxes.tolist() == [[0, 0, 100, 60], [47, 29, 80, 60]]
    assert [each.split(",")[0] for each in whole.remarks] == [
        "1 boxes reach past the edges of their pictures and are cut there",
        "1 boxes have no area within their pictures and are left out",
    ]


BROKEN = {
    "no xml": ("<annotation><size>", "000005.xml:1:1: AS532 this is not XML: no element found"),
    "not closed": (
        voc_xml().replace("</bndbox>", ""),
        "000005.xml:31:1: AS532 this is not XML: mismatched tag",
    ),
    "nothing": ("", "000005.xml:1:1: AS532 this is not XML: no element found"),
    "another root": ("<html/>", 'AS532 the outermost element is "html", not "annotation"'),
    "no size": (voc_xml(width="", height=""), "000005.xml:14:1: AS532 size: a height and a width"),
    "a size of 0": (voc_xml(width=0), "000005.xml:14:1: AS532 size: a height and a width"),
    "a vast size": (voc_xml(width=10**8, height=10**8), "000005.xml:14:1: AS532 size: a height and a width"),
    "an unknown class": (
        voc_xml([("dgo", 0, (1, 1, 2, 2))]),
        '000005.xml:21:1: AS532 "dgo" is none of the 20 classes',
    ),
    "a box backwards": (
        voc_xml([("dog", 0, (9, 1, 2, 2))]),
        "000005.xml:25:1: AS532 bndbox: 9 1 2 2 ends before",
    ),
    "no numbers": (voc_xml([("dog", 0, ("x", 1, 2, 2))]), "000005.xml:25:1: AS532 bndbox: xmin, ymin, xmax"),
    "nan": (voc_xml([("dog", 0, ("nan", 1, 2, 2))]), "000005.xml:25:1: AS532 bndbox: xmin, ymin, xmax"),
    "endless": (voc_xml([("dog", 0, (1, 1, "1e999", 2))]), "000005.xml:25:1: AS532 bndbox: xmin, ymin, xmax"),
    "difficult": (voc_xml([("dog", "yes", (1, 1, 2, 2))]), "000005.xml:24:1: AS532 difficult is 0 or 1"),
    "an encoding": (
        '<?xml version="1.0" encoding="cp037"?><annotation/>',
        "000005.xml:1:1: AS532 this is not XML",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_annotations_are_named_with_their_line(tmp_path: Path, what: str) -> None:
    text, said = BROKEN[what]
    one(tmp_path, text)
    (problem,) = refused(lambda: read(tmp_path, 2007, "test"))
    assert said in problem


LAUGHS = '<!DOCTYPE a [<!ENTITY l "ha">' + "".join(
    f'<!ENTITY l{n + 1} "{f"&l{n or str()};" * 10}">' for n in range(9)
)
HOSTILE = {
    "a billion laughs": (f"{LAUGHS}]><annotation>&l9;</annotation>", "a document type is declared"),
    "a file of the system": (
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        "a document type is declared",
    ),
    "an entity from nowhere": ("<annotation>&x;</annotation>", "undefined entity"),
    "a deep tree": ("<a>" * (MOST_DEEP + 1), "16 deep"),
    "a wide tree": (f"<a>{'<b/>' * MOST_ELEMENTS}</a>", "100,000 elements"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_xml_that_means_harm_is_refused(what: str) -> None:
    text, said = HOSTILE[what]
    with pytest.raises(Broken, match=said):
        parsed(text.encode())


@settings(max_examples=150)
@given(at=st.integers(0, 700), other=st.binary(max_size=4), cut=st.integers(0, 4))
def test_annotations_with_some_bytes_changed_are_read_or_refused(
    tmp_path: Path, at: int, other: bytes, cut: int
) -> None:
    file = one(tmp_path, voc_xml())
    sound = voc_xml().encode()
    file.write_bytes(sound[:at] + other + sound[at + cut :])
    try:
        (annotated,) = read(tmp_path, 2007, "test")
    except FileError as error:
        codes, boxes = {each.code for each in error.diagnostics}, np.zeros(4)
    else:
        codes, boxes = {"AS532"}, annotated.boxes
    assert codes == {"AS532"}
    assert np.isfinite(boxes).all()


def test_many_problems_are_told_at_once_and_no_more_than_many(tmp_path: Path) -> None:
    voc(
        tmp_path,
        2007,
        {"test": {f"{number:06}": voc_xml([("dgo", 0, (1, 1, 2, 2))]) for number in range(40)}},
    )
    with pytest.raises(FileError) as caught:
        read(tmp_path, 2007, "test")
    assert len(caught.value.diagnostics) == MOST_PROBLEMS
    assert caught.value.diagnostics[0].hint == 'did you mean "dog"?'
    assert "there are more" in caught.value.diagnostics[-1].hint


def test_missing_pictures_and_annotations_are_named(tmp_path: Path) -> None:
    folder = voc(tmp_path, 2007, {"test": {"000001": voc_xml(), "000002": None, "000003": voc_xml()}})
    (folder / "JPEGImages" / "000001.jpg").unlink()
    first, second = refused(lambda: read(tmp_path, 2007, "test"))
    assert first == "000001.jpg: AS532 the picture is not there, and test.txt lists it"
    assert second == "000002.xml: AS532 the file cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no pictures are listed"),
        ("../../etc/passwd\n", "line 1 names no picture"),
        ("000005\n/etc/passwd\n", "line 2 names no picture"),
        ("000005  1\n000005 -1\n", "line 2: 000005 is already in line 1"),
        ("\0\n", "line 1 names no picture"),
    ],
)
def test_a_bad_list_is_refused(tmp_path: Path, text: str, said: str) -> None:
    folder = voc(tmp_path, 2007, {"test": {"000005": voc_xml()}})
    (folder / "ImageSets" / "Main" / "test.txt").write_text(text)
    assert said in refused(lambda: read(tmp_path, 2007, "test"))[0]


def test_a_year_or_a_split_that_is_not_there_is_said(tmp_path: Path) -> None:
    one(tmp_path, voc_xml())
    assert all(map(has, (tmp_path, tmp_path / "VOCdevkit", tmp_path / "VOCdevkit" / "VOC2007")))
    assert not has(tmp_path, 2012)
    with pytest.raises(FileError, match="AS531 there is no VOC2012"):
        read(tmp_path, 2012, "trainval")
    with pytest.raises(FileError, match="AS531 there is no list of this split") as caught:
        read(tmp_path, 2007, "trainval")
    assert caught.value.diagnostics[0].hint == "there are test"


def named(*names: str) -> dict[str, str | None]:
    return {name: voc_xml() for name in names}


def test_combinations_join_years(tmp_path: Path) -> None:
    voc(tmp_path, 2007, {"trainval": named("000005", "000007"), "test": named("000001")})
    voc(tmp_path, 2012, {"trainval": named("2008_000002"), "test": {"2008_000001": None}})
    plain, more = read_combination(tmp_path, "07+12"), read_combination(tmp_path, "07++12")
    assert plain.train.image_ids == ("000005", "000007", "2008_000002")
    assert plain.test is not None
    assert plain.test.image_ids == ("000001",)
    assert more.train.image_ids == ("000005", "000007", "000001", "2008_000002")
    assert more.test is None
    for each in (*plain.train, *more.train):
        assert each.boxes.tolist() == [[47, 29, 80, 60]]
        assert each.decoded().size == (100, 80)
    chosen = more.train.part(np.array([3, 0]))
    assert [each.image_id for each in chosen] == ["2008_000002", "000005"]
    assert chosen[0].decoded().size == (100, 80)


def test_pictures_without_published_objects_have_the_sizes_of_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"2008_000001": None, "2008_000006": None}
    folder = voc(tmp_path, 2012, {each: named("2008_000002") for each in ("train", "val", "trainval")})
    voc(tmp_path, 2007, {"trainval": named("000005"), "test": named("000001")})
    assert read_combination(tmp_path, "07++12").unjudged is None, "its list is not there"
    voc(tmp_path, 2012, {"test": both})
    picture(folder / "JPEGImages" / "2008_000006.jpg", 31, 17)
    with monkeypatch.context() as patch:
        patch.setattr("PIL.ImageFile.ImageFile.load", None)  # only headers are read
        for name in ("07++12", "voc2012"):
            unjudged = read_combination(tmp_path, name).unjudged
            assert unjudged is not None
            assert unjudged.image_ids == tuple(both)
            assert unjudged.sizes.tolist() == [[80, 100], [17, 31]]
            assert (len(unjudged.objects), unjudged.classes) == (0, CLASSES)
    assert [each.decoded().size for each in unjudged] == [(100, 80), (31, 17)]
    assert read_combination(tmp_path, "07+12").unjudged is None
    for name in both:
        (folder / "Annotations" / f"{name}.xml").write_text(voc_xml())
    published = read_combination(tmp_path, "07++12")
    assert (published.test is not None, published.unjudged) == (True, None)


def test_broken_pictures_without_published_objects_are_named_at_once(tmp_path: Path) -> None:
    folder = voc(tmp_path, 2012, {"test": dict.fromkeys("12345")}) / "JPEGImages"
    (folder / "1.jpg").unlink()
    (folder / "2.jpg").write_bytes(b"no picture")
    (folder / "3.jpg").unlink()
    os.mkfifo(folder / "3.jpg")
    (folder / "4.jpg").write_bytes(b"P6 60000 60000 255\n")
    said = refused(lambda: read_unjudged(tmp_path, 2012))
    assert [each.split(": AS532 ")[0] for each in said] == ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    for each, what in zip(
        said, ("is not there", "not a picture", "not a regular file", "60000x60000 pixels"), strict=True
    ):
        assert what in each or "decompression bomb" in each
    for file in folder.iterdir():
        file.unlink()
    assert read_unjudged(tmp_path, 2012) is None, "only the lists were unpacked"


def test_a_picture_lies_as_its_boxes_say(tmp_path: Path) -> None:
    from PIL import Image

    folder = voc(tmp_path, 2007, {"test": named("000005")})
    turned = Image.Exif()
    turned[0x0112] = 6
    picture(folder / "JPEGImages" / "000005.jpg", exif=turned)
    (annotated,) = read(tmp_path, 2007, "test")
    assert annotated.decoded().size == (100, 80)
    (folder / "Annotations" / "000005.xml").write_text(
        voc_xml([("dog", 0, (1, 1, 9, 9))], width=80, height=100)
    )
    (annotated,) = read(tmp_path, 2007, "test")
    assert annotated.decoded().size == (80, 100)
    picture(folder / "JPEGImages" / "000005.jpg", 60, 50)
    assert refused(annotated.decoded) == [
        "000005.jpg: AS532 60x50 pixels, but its annotations are for 80x100"
    ]
    (folder / "JPEGImages" / "000005.jpg").write_bytes(b"\xff\xd8\xff")
    assert "AS532" in refused(annotated.decoded)[0]
