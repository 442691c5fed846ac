"""What drawings show, counted in the SVG itself."""

from __future__ import annotations

from itertools import pairwise

import pytest
from PIL import ImageFont

import archspec
from archspec.drawing.draw import Wanted, draw
from tests.conftest import SPECS, architecture
from tests.drawing.looking import SVG, box, of, repeats, seen, words
from tests.drawing.rewrite import FOLDER, PICTURES, picture

COLLAPSED = Wanted(collapse=True)


def _named(name: str) -> archspec.Architecture:
    return architecture(f"specs/{name}.toml")


@pytest.mark.parametrize(
    ("name", "weighted", "pools", "arcs", "dotted"),
    [
        # He et al. 2015, Fig. 3: 34 layers, 16 shortcuts, three of them dotted
        ("resnet34", 34, 2, 16, 3),
        ("plain34", 34, 2, 0, 0),
        ("vgg19", 19, 5, 0, 0),
        ("vgg16", 16, 5, 0, 0),
        ("resnet18", 18, 2, 8, 3),
        ("resnet50", 50, 2, 16, 4),
        ("resnet152", 152, 2, 50, 4),
        ("cifar/resnet20", 20, 1, 9, 2),
        ("cifar/resnet1202", 1202, 1, 600, 2),
        ("beyond/preact-resnet50", 50, 2, 16, 4),
        ("beyond/se-resnet50", 50, 2, 16, 4),
        ("beyond/mobilenetv2", 53, 1, 10, 0),
        ("figure5/bottleneck", 3, 0, 1, 0),
    ],
)
def test_a_drawing_has_the_papers_boxes_and_shortcuts(
    name: str, weighted: int, pools: int, arcs: int, dotted: int
) -> None:
    drawing = seen(_named(name))
    assert len(of(drawing, "box", "conv") + of(drawing, "box", "fc")) == weighted
    assert len(of(drawing, "box", "pool")) == pools
    assert len(of(drawing, "arc")) == arcs
    assert len(of(drawing, "arc", "dimensions")) == dotted
    assert all("stroke-dasharray" in arc.attrib for arc in of(drawing, "arc", "dimensions"))
    assert not any("stroke-dasharray" in arc.attrib for arc in of(drawing, "arc", "identity"))


@pytest.mark.parametrize(("letter", "projections", "dotted"), [("", 0, 3), ("-b", 0, 3), ("-c", 13, 3)])
def test_option_c_projects_where_dimensions_stay(letter: str, projections: int, dotted: int) -> None:
    drawing = seen(_named(f"resnet34{letter}"))
    assert len(of(drawing, "arc", "projection")) == projections
    assert len(of(drawing, "arc", "dimensions")) == dotted


@pytest.mark.parametrize("spec", SPECS)
def test_every_box_of_every_spec_is_there_and_in_order(spec: str) -> None:
    network = architecture(spec)
    drawing = seen(network)
    assert len(of(drawing, "box", "conv") + of(drawing, "box", "fc")) == network.measure.total.layers
    tops = [box(each)[1] for each in of(drawing, "box")]
    assert all(below >= above + 22 for above, below in pairwise(tops))


@pytest.mark.parametrize("spec", SPECS)
def test_every_spec_can_be_drawn_in_every_way(spec: str) -> None:
    network = architecture(spec)
    for wanted in (Wanted(), COLLAPSED, Wanted(collapse=True, everything=True)):
        for format in ("svg", "mermaid", "dot", "text"):
            assert draw([network], format, wanted)
    if network.declared.spec.keys == "resnet":
        assert of(seen(network, wanted=Wanted(blocks=True)), "block")


def test_boxes_of_one_output_size_begin_at_one_height() -> None:
    drawing = seen(_named("vgg19"), _named("plain34"), _named("resnet34"))
    first: list[dict[str, float]] = []
    for net in of(drawing, "net"):
        heights: dict[str, float] = {}
        for each in of(net, "box"):
            tip = each.findtext(f"{SVG}title") or ""
            heights.setdefault(tip.rpartition("x")[2].split()[-1], box(each)[1])
        first.append(heights)
    assert all(first[0][size] == first[1][size] == first[2][size] for size in ("112", "56", "28", "14", "7"))
    assert [each.text for each in of(drawing, "rail")[0] if each.get("class") == "size"] == [
        f"output size: {size}" for size in (224, 112, 56, 28, 14, 7, 1)
    ]


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("resnet152", [3, 8, 36, 3]),
        ("cifar/resnet1202", [200, 200, 200]),
        ("vgg19", [2, 2, 4, 4, 4, 2]),
        ("figure5/basic", []),
    ],
)
def test_repeats_are_drawn_once_where_asked(name: str, times: list[int]) -> None:
    assert repeats(seen(_named(name), wanted=COLLAPSED)) == times


def test_a_collapsed_stage_shows_what_its_first_block_does_otherwise() -> None:
    first, rest = _named("resnet50"), _named("torchvision/resnet50")
    assert "1x1 conv, 128, first /2" in words(seen(first, wanted=COLLAPSED))
    drawing = seen(rest, wanted=COLLAPSED)
    assert "3x3 conv, 128, first /2" in words(drawing)
    assert [len(of(drawing, "arc", kind)) for kind in ("identity", "dimensions")] == [4, 4]
    tips = [arc.findtext(f"{SVG}title") for arc in of(drawing, "arc", "dimensions")]
    assert tips[:2] == ["1x1 conv, 256", "1x1 conv, 512, /2"]


def test_a_first_block_without_a_shortcut_is_not_folded_into_those_that_have_one() -> None:
    drawing = seen(archspec.load("resnet18", settings=["defaults.shortcut=identity"]), wanted=COLLAPSED)
    assert repeats(drawing) == [2]
    assert len(of(drawing, "arc", "identity")) == 4
    assert not of(drawing, "arc", "dimensions")


def test_blocks_look_like_figure_5() -> None:
    drawing = seen(_named("figure5/bottleneck"), wanted=Wanted(blocks=True))
    assert [each.findtext(f"{SVG}text") for each in of(drawing, "box")] == ["1x1, 64", "3x3, 64", "1x1, 256"]
    assert [each.text for each in of(drawing, "act")] == ["relu"] * 3
    assert len(of(drawing, "plus")) == len(of(drawing, "arc", "identity")) == 1
    assert {"256-d", "identity", "F(x)", "F(x) + x"} <= {each.text for each in drawing.iter(f"{SVG}text")}


def test_a_network_has_each_kind_of_block_once() -> None:
    drawing = seen(_named("resnet50"), wanted=Wanted(blocks=True))
    assert [of(block, "summary")[0].text for block in of(drawing, "block")] == [
        "resnet50: 4 in conv2_x to conv5_x",
        "resnet50: 12 in conv2_x to conv5_x",
    ]


def test_norms_and_activations_have_boxes_only_where_asked() -> None:
    assert not of(seen(_named("resnet18")), "box", "norm")
    drawing = seen(_named("resnet18"), wanted=Wanted(everything=True))
    assert len(of(drawing, "box", "norm")) == 17
    assert len(of(drawing, "box", "act")) == 17


def _font(bold: bool) -> ImageFont.FreeTypeFont:
    import matplotlib as mpl

    name = f"fonts/ttf/DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(f"{mpl.get_data_path()}/{name}", 100)


@pytest.mark.parametrize("wanted", [Wanted(), COLLAPSED, Wanted(everything=True), Wanted(blocks=True)])
def test_no_word_is_cut_off_even_in_the_widest_font(wanted: Wanted) -> None:
    names = ("beyond/mobilenetv2", "beyond/se-resnet50", "resnet34")
    title = "A title that is as long as any can be: WWWWWWWWWWWWWWWWWWWWWWW"
    drawing = seen(*map(_named, names), wanted=wanted, titles=(title,))
    width, height = (float(drawing.attrib[name]) for name in ("width", "height"))
    fonts = {bold: _font(bold) for bold in (False, True)}
    boxes = {id(each.find(f"{SVG}text")): box(each) for each in of(drawing, "box")}
    for each in drawing.iter(f"{SVG}text"):
        size = float(each.get("font-size", 12))
        long = fonts[each.get("font-weight") == "bold"].getlength(each.text or "") * size / 100
        at = float(each.attrib["x"])
        left = at - long * {"middle": 0.5, "end": 1}.get(each.get("text-anchor", ""), 0)
        assert 0 <= left <= left + long <= width, each.text
        assert size <= float(each.attrib["y"]) <= height - 3
        if id(each) in boxes:
            x, _, room, _ = boxes[id(each)]
            assert x + 4 <= left <= left + long <= x + room - 4


def test_a_drawing_brings_its_own_paper_and_says_what_it_is() -> None:
    drawing = seen(_named("resnet18"))
    paper = of(drawing, "paper")[0]
    assert (paper.get("fill"), paper.get("width")) == ("#ffffff", drawing.get("width"))
    assert drawing.get("viewBox") == f"0 0 {drawing.get('width')} {drawing.get('height')}"
    assert drawing.findtext(f"{SVG}title") == "resnet18"
    assert "18 layers, 1.8 billion multiply-adds; shortcuts: 5 identity, 3 with a change" in (
        drawing.findtext(f"{SVG}desc") or ""
    )


@pytest.mark.parametrize("name", PICTURES)
def test_kept_pictures_are_drawn_as_they_are_kept(name: str) -> None:
    assert picture(name) == (FOLDER / name).read_text(encoding="utf-8"), "python -m tests.drawing.rewrite"


@pytest.mark.parametrize("wanted", [COLLAPSED, Wanted(blocks=True)])
def test_a_png_shows_ink_on_white_everywhere(wanted: Wanted) -> None:
    from io import BytesIO

    from PIL import Image

    content = draw([_named("resnet34-c")], "png", wanted)
    assert isinstance(content, bytes)
    picture = Image.open(BytesIO(content))
    svg = seen(_named("resnet34-c"), wanted=wanted)
    assert picture.size == tuple(round(2 * float(svg.attrib[name])) for name in ("width", "height"))
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    inked = picture.convert("L").point(lambda value: 255 * (value < 128)).getbbox()
    assert inked is not None
    assert inked[2] > picture.width * 0.7
    assert inked[3] > picture.height * 0.9
