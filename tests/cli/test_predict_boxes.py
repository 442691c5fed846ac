"""`archspec predict` with a detector: what it says and draws, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import archspec
from archspec import provenance
from archspec.deploy.proof import initial
from archspec.detection.boxes import LEGIBLE
from archspec.detection.build import detector
from archspec.detection.judging.average_precision import Detected
from archspec.detection.stored import stamp
from archspec.train.checkpoint import CHECKPOINTS, Snapshot, save
from archspec.weights.files import write_weights
from tests.cli.running import GOOD, cli
from tests.cli.test_deploy_commands import listing, new, refused
from tests.detection.test_detector_build import SMALL, small

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.running import Result

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture
DETECTOR = ("--model", "d.safetensors", "--score", "0.1")
FEW = ("detector.detections.score=0.1", "detector.detections.most=5")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector with random weights, and its run; a network's; and pictures; made once."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("material")
    loaded = small(folder, *FEW)
    tensors = detector(loaded).state_dict()
    write_weights(
        folder / "d.safetensors", {key: each.numpy() for key, each in tensors.items()}, stamp(loaded)
    )
    save(folder / "run" / CHECKPOINTS, Snapshot(3, tensors, {}, {}, {}), stamp(loaded))
    (folder / "good.toml").write_text(GOOD)
    (folder / "detector.toml").write_text(SMALL)
    good = archspec.load(folder / "good.toml")
    write_weights(folder / "w.safetensors", initial(good), provenance.stamp(good))
    network = {key: torch.from_numpy(np.asarray(each)) for key, each in initial(good).items()}
    save(folder / "net" / CHECKPOINTS, Snapshot(3, network, {}, {}, {}), provenance.stamp(good))
    (folder / "broken.png").write_bytes(b"no picture")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))
    (folder / "pics" / "deep").mkdir(parents=True)
    noise.save(folder / "pics" / "0.png")
    noise.save(folder / "pics" / "1.jpg")
    noise.save(folder / "pics" / "deep" / "0.png")
    return folder


@pytest.fixture
def typed(cli: Cli, material: Path) -> Cli:
    """The command line in a folder with the material."""
    shutil.copytree(material, ".", dirs_exist_ok=True)
    return cli


def test_boxes_are_told_and_how_to_draw_them(typed: Cli) -> None:
    before = listing()
    result = typed("predict", "pics/0.png", *DETECTOR).harmless()
    head, _, *rows = result.out.splitlines()
    assert (result.code, len(rows)) == (0, 5)
    assert head.split() == ["picture", "class", "score", "x1", "y1", "x2", "y2"]
    assert all(row.startswith("pics/0.png  ") for row in rows)
    assert result.err == "-o found.png draws them\n" or result.err.endswith("\n-o found.png draws them\n")
    assert new(before) == set()
    assert typed("-q", "predict", "pics/0.png", *DETECTOR).err == ""


def test_boxes_in_json(typed: Cli) -> None:
    said = typed("predict", "pics", *DETECTOR, "--json", "-o", "out").json
    assert (said["model"], said["detector"], said["score"]) == ("d.safetensors", "small", 0.1)
    assert said["classes"] == ["cat", "dog"]
    assert said["refused"] == []
    first, *others = said["predictions"]
    assert [each["file"] for each in (first, *others)] == ["pics/0.png", "pics/1.jpg", "pics/deep/0.png"]
    assert (first["width"], first["height"], first["drawn"]) == (60, 40, "out/0.png")
    scores = [each["score"] for each in first["boxes"]]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.1
    for each in first["boxes"]:
        x1, y1, x2, y2 = each["box"]
        assert 0 <= x1 < x2 <= 60
        assert 0 <= y1 < y2 <= 40
        assert said["classes"][each["index"]] == each["class"]
    assert others[1]["boxes"] == first["boxes"]  # the same picture


def test_the_score_is_what_is_asked_for(typed: Cli) -> None:
    boxes = typed("predict", "pics/0.png", *DETECTOR, "--json").json["predictions"][0]["boxes"]
    third = boxes[2]["score"]
    ask = ("predict", "pics/0.png", "--model", "d.safetensors", "--json", "--score")
    assert typed(*ask, repr(third)).json["predictions"][0]["boxes"] == boxes[:3]
    # less than the detector's own threshold, and still no more than its most
    assert typed(*ask, "0.01").json["predictions"][0]["boxes"] == boxes
    none = typed("predict", "pics/0.png", "-m", "d.safetensors", "--score", "1", "-o", "none.png")
    assert none.code == 0
    assert none.out.splitlines()[2].split() == ["pics/0.png", *"------"]
    assert "no box has a score of 1 or more" in none.err
    assert np.array_equal(pixels("none.png")[::6, ::6], pixels("pics/0.png"))


def test_a_lower_score_than_the_detectors_own_shows_more(typed: Cli, material: Path) -> None:
    from archspec.weights.files import read_weights

    loaded = small(Path(), "detector.detections.score=0.9")
    write_weights(Path("strict.safetensors"), read_weights(material / "d.safetensors").tensors, stamp(loaded))
    ask = ("predict", "pics/0.png", "--model", "strict.safetensors", "--json")
    assert typed(*ask).json["predictions"][0]["boxes"] == []
    assert len(typed(*ask, "--score", "0.1").json["predictions"][0]["boxes"]) > 5


@pytest.mark.parametrize("model", ["run", "run/checkpoints", "run/checkpoints/step-00000003"])
def test_a_run_is_a_model(typed: Cli, model: str) -> None:
    ask = ("predict", "pics/0.png", "--score", "0.1", "--device", "cpu", "--threads", "1", "--json", "-m")
    mine = typed(*ask, model).json
    assert mine["model"] == "run/checkpoints/step-00000003/model.safetensors"
    assert mine["predictions"] == typed(*ask, "d.safetensors").json["predictions"]


@pytest.mark.parametrize(("name", "kind"), [("found.png", "PNG"), ("new/found.JPG", "JPEG")])
def test_a_picture_is_drawn_whole(typed: Cli, name: str, kind: str) -> None:
    before = listing()
    result = typed("predict", "pics/0.png", *DETECTOR, "-o", name)
    assert result.code == 0
    assert result.err.endswith(f"drawn to {name}\n")
    assert new(before) - {"new"} == {name}
    with Image.open(name) as picture:
        assert (picture.format, picture.mode) == (kind, "RGB")
        assert picture.size == (60 * 6, 40 * 6)  # LEGIBLE
    assert LEGIBLE == 320
    first = Path(name).read_bytes()
    assert typed("predict", "pics/0.png", *DETECTOR, "-o", name).code == 0
    assert Path(name).read_bytes() == first


def test_several_pictures_are_drawn_into_a_folder(typed: Cli) -> None:
    before = listing()
    result = typed("predict", "pics", "-", *DETECTOR, "-o", "out", stdin=Path("pics/0.png").read_bytes())
    assert result.code == 0
    assert new(before) == {"out", "out/0.png", "out/1.jpg", "out/0-2.png", "out/stdin.png"}
    assert result.err.endswith("drawn to out\n")


def test_names_that_differ_in_capitals_or_endings_stay_apart(typed: Cli) -> None:
    for name in ("A.png", "a.bmp", "a.JPG", "a.jpeg"):
        Image.new("RGB", (8, 8)).save(name)
    assert typed("predict", "A.png", "a.bmp", "a.JPG", "a.jpeg", *DETECTOR, "-o", "o").code == 0
    assert {each.name for each in Path("o").iterdir()} == {"A.png", "a-2.png", "a.jpg", "a.jpeg"}


def pixels(file: str) -> np.ndarray[Any, Any]:
    """(H, W, 3)."""
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))


def linked() -> None:
    Path("link.png").symlink_to("pics/0.png")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["pics/0.png", "-o", "pics/0.png"], "pics/0.png would be drawn over"),
        (["pics/0.png", "-o", "pics"], "pics/0.png would be drawn over"),
        (["pics/0.png", "-o", "link.png"], "link.png would be drawn over"),
        (["pics", "-o", "one.png"], "3 pictures do not fit into one file"),
        (["pics/0.png", "-o", "one.gif"], "one.gif is no picture: .gif is not written"),
        (["pics/0.png", "-o", "d.safetensors"], "d.safetensors is there and no folder"),
        (["pics/0.png", "-o", "-"], "not written to standard output"),
        (["pics/0.png", "-o", "/dev/null"], "/dev/null is there and no folder"),
        (["pics/0.png", "--top", "2"], "--top is for networks, and d.safetensors is a detector"),
        (
            [
                "pics/0.png",
                "--preprocessing",
                "imagenet",
                "--labels",
                "x",
                "--batch",
                "2",
                "-w",
                "x",
                "--set",
                "n=2",
            ],
            "--weights, --labels, --preprocessing, --batch, --set are for networks",
        ),
        (["pics/0.png", "--device", "abacus"], 'there is no device "abacus"'),
        (["nowhere.png"], "nowhere.png"),
        (["-", "-"], "standard input can be read once"),
    ],
)
def test_mistakes_with_a_detector(typed: Cli, asked: list[str], said: str) -> None:
    linked()
    before = listing()
    refused(typed("predict", *asked, *DETECTOR), said)
    assert listing() == before


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            ["-m", "w.safetensors", "--score", "0.5"],
            "--score is for detectors, and w.safetensors is a network",
        ),
        (["-m", "good.toml", "-o", "x.png"], "--output is for detectors"),
        (["-m", "resnet50", "--device", "cpu"], "--device is for detectors"),
        (["-m", "net"], "net holds a network, not a detector"),
        (["-m", "net", "--top", "1"], "--model net/checkpoints/step-00000003/model.safetensors"),
        (["-m", "detector.toml"], "detector.toml declares a detector and has no weights of its own"),
        (["-m", "faster-rcnn-resnet101", "-w", "d.safetensors"], "declares a detector"),
        (["-m", "pics"], "pics"),
        (["-m", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_mistakes_with_a_model(typed: Cli, asked: list[str], said: str) -> None:
    before = listing()
    refused(typed("predict", "pics/0.png", *asked), said)
    assert listing() == before


def test_a_network_is_asked_as_before(typed: Cli) -> None:
    said = typed("predict", "pics", "-m", "w.safetensors", "--preprocessing", "cifar10", "--json").json
    assert [len(each["top"]) for each in said["predictions"]] == [5, 5, 5]


def test_a_broken_picture_among_others_is_told_and_the_others_go_on(typed: Cli) -> None:
    result = typed("predict", "pics/0.png", "broken.png", "pics/1.jpg", *DETECTOR, "-o", "out").harmless()
    assert result.code == 1
    assert "error[AS521]: not a picture" in result.err
    assert {line.split()[0] for line in result.out.splitlines()[2:]} == {"pics/0.png", "pics/1.jpg"}
    assert {each.name for each in Path("out").iterdir()} == {"0.png", "1.jpg"}
    said = typed("predict", "pics/0.png", "broken.png", *DETECTOR, "--json").json
    assert [each["file"] for each in said["refused"]] == ["broken.png"]
    before = listing()
    refused(typed("predict", "broken.png", *DETECTOR, "-o", "x.png"), "AS521")
    assert listing() == before


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_pictures_of_all_modes(typed: Cli, mode: str) -> None:
    file = "x.tif" if mode in ("CMYK", "I;16") else "x.png"
    Image.new(mode, (30, 20)).save(file)
    assert typed("predict", file, *DETECTOR, "-o", "found.png").code == 0
    assert pixels("found.png").shape == (220, 330, 3)


def test_a_picture_is_turned_as_its_camera_was_held(typed: Cli) -> None:
    noted = Image.Exif()
    noted[0x0112] = 6
    Image.fromarray(pixels("pics/0.png")).save("turned.png", exif=noted)
    result = typed("predict", "turned.png", *DETECTOR, "-o", "found.png", "--json")
    (seen,) = result.json["predictions"]
    assert (seen["width"], seen["height"]) == (40, 60)
    assert all(each["box"][2] <= 40 for each in seen["boxes"])
    with Image.open("found.png") as picture:
        assert picture.size == (240, 360)
        assert not picture.getexif()


def test_the_smallest_picture_and_one_that_is_too_flat(typed: Cli) -> None:
    Image.new("RGB", (1, 1)).save("dot.png")
    assert typed("predict", "dot.png", *DETECTOR, "-o", "found.png").code == 0
    assert pixels("found.png").shape == (320, 320, 3)
    Image.new("RGB", (81, 1)).save("flat.png")  # its longer side is shrunk to 80
    refused(typed("predict", "flat.png", *DETECTOR), "81x1 pixels", "nothing is left of the other")
    Image.new("RGB", (80, 1)).save("flat.png")
    assert typed("predict", "flat.png", *DETECTOR).code == 0


def test_values_that_are_no_numbers_are_not_drawn(typed: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = Detected(np.array([[0, 0, np.nan, 9]]), np.array([0.9]), np.array([0]))
    monkeypatch.setattr("archspec.detection.testing.detected", lambda *_: odd)
    before = listing()
    refused(typed("predict", "pics/0.png", *DETECTOR, "-o", "x.png"), "AS523", "not finite numbers")
    assert listing() == before
