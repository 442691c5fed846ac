"""The figure: what is in it, byte by byte the same, and harmless whatever runs are called."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.runs.canvas import COLOURS
from archspec.runs.curves import read_curves
from archspec.runs.figure import _LINE, MOST_CURVES, MOST_POINTS, Look, _spread, _thinned, draw, top
from tests.runs import synthetic

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.runs.curves import Curve

SVG = "{http://www.w3.org/2000/svg}"
SHORT = [synthetic.train(10, 0.5), *synthetic.epochs((0.4, 0.5), (0.2, 0.3))]


@pytest.fixture
def paper(tmp_path: Path) -> tuple[Curve, ...]:
    names = ("plain-20", "resnet-56")
    return read_curves([synthetic.folder(tmp_path / name, synthetic.paper(name), name) for name in names])


def curves(path: Path, *runs: list[Any], **changes: Any) -> tuple[Curve, ...]:
    return read_curves(
        [synthetic.folder(path / f"run{place}", records, **changes) for place, records in enumerate(runs)]
    )


def drawn(path: Path, several: tuple[Curve, ...], look: Look | None = None) -> ElementTree.Element:
    draw(several, look or Look(), path / "figure.svg")
    return ElementTree.parse(path / "figure.svg").getroot()


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in root.iter(f"{SVG}text")]


def styles(root: ElementTree.Element) -> list[str]:
    return [each.get("style", "") for each in root.iter()]


def lines(root: ElementTree.Element, colour: str) -> list[tuple[float, bool, int]]:
    """Width, dashes and number of points of the lines of a colour."""
    out = []
    for path in root.iter(f"{SVG}path"):
        style = dict(each.split(": ") for each in path.get("style", "").split("; ") if each)
        if style.get("stroke") == colour and style.get("fill") == "none":
            dashed = "stroke-dasharray" in style
            out.append((float(style.get("stroke-width", 1)), dashed, path.get("d", "").count("L") + 1))
    return sorted(out)


def test_the_papers_manner(tmp_path: Path, paper: tuple[Curve, ...]) -> None:
    root = drawn(tmp_path, paper, Look(title="Figure 6"))
    said = texts(root)
    for text in ("training error", "validation error", "error (%)", "iter. (1e4)", "Figure 6", "0", "3", "6"):
        assert text in said
    assert said.count("lr / 10") == 2
    ends = [text for text in said if text.endswith(" %")]
    assert [text.split()[0] for text in ends] == ["plain-20", "resnet-56"]
    for colour in COLOURS[:2]:
        (thin, bold) = [line for line in lines(root, colour) if not line[1]]
        assert (thin[0], bold[0]) == (0.9, 2.0)
        assert min(thin[2], bold[2]) > 130  # of 181 epochs: what lies above is left out


def test_epochs_and_what_is_above(tmp_path: Path, paper: tuple[Curve, ...]) -> None:
    said = texts(drawn(tmp_path, paper, Look(unit="epoch", y_max=8)))
    assert "epoch" in said
    assert "150" in said
    assert any(text.startswith("plain-20\N{EN SPACE}↑ 9") for text in said)


def test_logarithmic_errors(tmp_path: Path) -> None:
    records = synthetic.epochs(*[(0.0, 0.5)] * 6, *[(0.01, 0.1)] * 6)
    assert {"1", "10", "100"} <= set(texts(drawn(tmp_path, curves(tmp_path, records), Look(log=True))))
    nothing = synthetic.epochs(*[(0.0, 0.0)] * 12)
    assert "error (%)" in texts(drawn(tmp_path, curves(tmp_path, nothing), Look(log=True)))


def test_where_nothing_is_held_out_training_is_bold(tmp_path: Path) -> None:
    root = drawn(
        tmp_path, curves(tmp_path, [synthetic.train(10, 0.5), synthetic.train(20, 0.4)], validation=None)
    )
    assert "validation error" not in texts(root)
    assert lines(root, COLOURS[0]) == [(2.0, False, 2)]


def test_one_bold_line_means_one_thing(tmp_path: Path) -> None:
    paths = [
        synthetic.folder(tmp_path / "a", SHORT, "a"),
        synthetic.folder(
            tmp_path / "b", [synthetic.train(10, 0.5), synthetic.train(200, 0.4)], "b", validation=None
        ),
    ]
    root = drawn(tmp_path, read_curves(paths))
    assert [line for line in lines(root, COLOURS[1]) if not line[1]] == [(0.9, False, 2)]


def test_drops_of_runs_that_differ_have_their_colours(tmp_path: Path) -> None:
    rates = (0.1, 0.01)
    root = drawn(
        tmp_path,
        curves(tmp_path, synthetic.staircase(rates, 9), synthetic.staircase(rates, 5, 25), validation=None),
    )
    styles = [text.get("style", "") for text in root.iter(f"{SVG}text") if text.text == "lr / 10"]
    assert [next(c for c in COLOURS if c in style) for style in styles] == list(COLOURS[:2])


def test_a_run_that_ended_early_disagrees_with_nothing(tmp_path: Path) -> None:
    short, long = synthetic.staircase((0.1,), 4), synthetic.staircase((0.1, 0.02), 9)
    root = drawn(tmp_path, curves(tmp_path, short, long, validation=None))
    (style,) = [text.get("style", "") for text in root.iter(f"{SVG}text") if text.text == "lr / 5"]
    assert not any(colour in style for colour in COLOURS)


def test_the_range_of_seeds_is_a_band(tmp_path: Path) -> None:
    for seed, errors in enumerate([(0.5, 0.25), (0.75, 0.5)]):
        synthetic.folder(tmp_path / "runs" / f"seed-{seed}", synthetic.epochs(*[errors] * 12), seed=seed)
    root = drawn(tmp_path, read_curves([tmp_path / "runs"]))
    assert "lowest to highest of the seeds" in texts(root)
    assert [style for style in styles(root) if f"fill: {COLOURS[0]}; fill-opacity" in style]


@pytest.mark.parametrize("suffix", [".svg", ".png", ".PNG"])
def test_one_record_is_a_dot(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"dot{suffix}"
    draw(curves(tmp_path, [synthetic.train(1, 0.5)]), Look(), path)
    assert path.read_bytes().startswith(b"<?xml" if suffix == ".svg" else b"\x89PNG")


HOSTILE = [
    "$x^2$",
    "$\\frac{$",
    "<script>alert(1)</script>&amp;",
    "]]> --> \" '",
    "\x00\x1b[2J\ud800\u202e\r\n",
    "中文 \U0001f600",
    "%s {0} \\n",
    "   ",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_text_and_nothing_else(tmp_path: Path, name: str) -> None:
    several = curves(tmp_path, SHORT, name=name.replace("\ud800", ""))
    root = drawn(tmp_path, several, Look(title=name))
    assert not {each.tag for each in root.iter()} & {f"{SVG}script", f"{SVG}foreignObject", f"{SVG}image"}
    assert not [key for each in root.iter() for key in each.attrib if key.lower().startswith("on")]
    assert any(several[0].label.strip() in text for text in texts(root))
    draw(several, Look(title=name), tmp_path / "figure.png")


def test_what_is_too_long_is_cut_in_its_middle(tmp_path: Path) -> None:
    long = "W" * 400
    root = drawn(tmp_path, curves(tmp_path, SHORT, name=f"{long[:150]}end"), Look(title=long))
    label, title = [text for text in texts(root) if "…" in text]
    assert label.endswith("WWend\N{EN SPACE}30.0 %")
    assert 30 < len(title) < 50


def test_the_same_curves_make_the_same_bytes(tmp_path: Path, paper: tuple[Curve, ...]) -> None:
    several = {}
    for suffix in (".svg", ".png"):
        for place in range(2):
            with mpl.rc_context(
                {"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": str(place)} if place else {}
            ):
                draw(paper, Look(), tmp_path / f"{place}{suffix}")
        several[suffix] = {(tmp_path / f"{place}{suffix}").read_bytes() for place in range(2)}
        assert len(several[suffix]) == 1
    (text,) = several[".svg"]
    assert b"Matplotlib v" not in text
    assert b"dc:date" not in text
    assert len(text) < 100_000
    assert mpl.rcParams["font.size"] == mpl.rcParamsDefault["font.size"]


def test_another_process_makes_the_same_bytes(tmp_path: Path, paper: tuple[Curve, ...]) -> None:
    draw(paper, Look(), tmp_path / "here.svg")
    code = (
        "import sys; from pathlib import Path; from archspec.runs.curves import read_curves; "
        "from archspec.runs.figure import Look, draw; "
        "draw(read_curves([Path(each) for each in sys.argv[2:]]), Look(), Path(sys.argv[1]))"
    )
    there = tmp_path / "there.svg"
    command = [sys.executable, "-c", code, str(there), *(str(curve.path) for curve in paper)]
    subprocess.run(
        command, check=True, env={**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    )
    assert there.read_bytes() == (tmp_path / "here.svg").read_bytes()


def test_what_goes_wrong_leaves_the_old_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "figure.svg"
    path.write_text("old")
    several = curves(tmp_path, SHORT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        draw(several, Look(), path)
    assert path.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["figure.svg", "run0"]


def test_thousands_of_points_are_thinned(tmp_path: Path) -> None:
    (curve,) = curves(tmp_path, synthetic.epochs(*[(0.5, 0.5)] * 5000))
    shown = _thinned(curve.validation)
    assert (len(shown), shown[0], shown[-1]) == (MOST_POINTS, curve.validation[0], curve.validation[-1])
    assert len(drawn(tmp_path, (curve,)).findall(".//*")) < 500
    assert (tmp_path / "figure.svg").stat().st_size < 100_000


@pytest.mark.parametrize(
    ("ends", "highest"),
    [((0.07, 0.05), 20), ((0.5, 0.01), 100), ((0.001, 0.002), 1), ((0.0, 0.0), 1), ((0.9, 1.0), 100)],
)
def test_ends_are_well_inside(tmp_path: Path, ends: tuple[float, float], highest: float) -> None:
    assert top(curves(tmp_path, synthetic.epochs((0.9, 0.9), *[ends] * 50))) == highest


def test_colours_and_dashes_tell_all_curves_apart(tmp_path: Path) -> None:
    root = drawn(tmp_path, curves(tmp_path, *[SHORT] * MOST_CURVES))
    for colour in COLOURS:
        bold = [line for line in lines(root, colour) if line[0] == 2.0]
        assert [dashed for _, dashed, _ in bold] == [False, True]


@given(st.lists(st.floats(0.5, 3.5), max_size=15).map(sorted))
def test_labels_never_touch(heights: list[float]) -> None:
    places = _spread(heights, 0.5, 3.5)
    assert len(places) == len(heights)
    assert all(above - below >= _LINE - 1e-9 for below, above in pairwise(places))
    assert all(0.5 - 1e-9 <= place <= 3.5 + 1e-9 for place in places)
    if all(above - below > _LINE for below, above in pairwise(heights)):
        assert places == pytest.approx(heights)
