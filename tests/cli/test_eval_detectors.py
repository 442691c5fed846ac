"""`archspec eval` with detectors: what is judged, beside the paper's, and the files for VOC's and COCO's servers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from archspec.detection.build import detector
from archspec.detection.judging.metrics import judged
from archspec.detection.scenes.sets import find
from archspec.detection.scenes.voc import CLASSES
from archspec.detection.stored import opened, restored, stamp
from archspec.detection.testing import detected
from archspec.recipes.load import load_recipe
from archspec.train.contenders import DATA, RECIPE
from archspec.weights.files import write_weights
from tests.cli.running import cli
from tests.cli.test_deploy_commands import listing, new, refused
from tests.detection.making import coco, coco_table, picture, voc, voc_xml
from tests.detection.test_detector_build import small

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cli.running import Result

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture
FEW = ("detector.detections.score=0.0", "detector.detections.most=200")
LARGE = {name: voc_xml([(name, 0, (1, 1, 100, 80))]) for name in ("dog", "cat", "person")}
"""Pictures by their objects, which fill them: what is found anywhere in them overlaps."""


def weights(folder: Path, name: str, classes: Sequence[str], **said: str) -> None:
    """A detector with random weights whose boxes are whole pictures, nearly."""
    loaded = small(folder, *FEW, f"detector.classes={list(classes)}", "detector.anchors.sizes=[64]")
    tensors = {key: each.numpy() for key, each in detector(loaded).state_dict().items()}
    write_weights(folder / f"{name}.safetensors", tensors, {**stamp(loaded), **said})


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three detectors with random weights, of VOC's classes and of COCO's; VOC's and COCO's folders."""
    torch.manual_seed(2)  # finds some of the objects
    folder = tmp_path_factory.mktemp("material")
    weights(folder, "a", CLASSES, **{DATA: "voc2007"})
    weights(folder, "b", CLASSES)
    weights(folder, "pets", ["cat", "dog"])
    table = coco_table()
    weights(
        folder, "coco", [each["name"] for each in sorted(table["categories"], key=lambda each: each["id"])]
    )
    both = voc(folder / "data", 2007, {"trainval": {"000005": voc_xml()}, "test": LARGE}) / "JPEGImages"
    unpublished = {"2008_000001": None, "2008_000006": None}
    voc(folder / "data", 2012, {"trainval": {"2008_000002": voc_xml()}, "test": unpublished})
    for name in LARGE:
        noise = np.random.default_rng(len(name)).integers(0, 255, (80, 100, 3), np.uint8)
        Image.fromarray(noise).save(both / f"{name}.jpg")
    coco(folder / "data" / "coco", part="train2017")
    images = [{"id": n, "file_name": f"{n:012}.jpg", "height": 80, "width": 100} for n in (581, 1)]
    for each in images:
        picture(folder / "data" / "coco" / "test2017" / str(each["file_name"]))
    told = {"images": images, "categories": table["categories"]}
    (folder / "data/coco/annotations/image_info_test-dev2017.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def typed(cli: Cli, material: Path) -> Cli:
    """The command line in a folder with the material; `eval` on the CPU."""
    shutil.copytree(material, ".", dirs_exist_ok=True)

    def run(*arguments: str) -> Result:
        return cli("eval", *arguments, "--data-root", "data", "--device", "cpu")

    return run


def test_the_papers_table_stands_beside(typed: Cli) -> None:
    before = listing()
    result = typed("a.safetensors").harmless()  # its weights say what they learned from
    assert (result.code, new(before)) == (0, set())
    head, *rest = result.out.splitlines()
    assert head == "small on voc2007, test: 3 pictures, mAP@.5 (VOC 2007)"
    rows = [line.split() for line in rest]
    assert ["row", "mAP"] in rows
    assert (
        "Table 7: PASCAL VOC 2007 and 2012 test sets, baseline Faster R-CNN (trained on 07+12, 07++12)"
        in rest
    )
    assert ["paper", "VGG-16", "73.2", "70.4"] in rows
    assert ["paper", "ResNet-101", "76.4", "73.8"] in rows
    (ours,) = (row for row in rows if row[:1] == ["here"])
    assert ours[1:] == ["baseline", next(row[1] for row in rows if row[:1] == ["baseline"])]
    assert next(row for row in rows if row[:1] == ["dog"])[1] == "1"


def test_json_has_what_the_library_finds(typed: Cli) -> None:
    said = typed("a.safetensors", "--json").json
    scenes = find("voc2007", Path("data")).read().test
    assert scenes is not None
    module = restored(*opened(Path("a.safetensors")))
    found = [detected([module], np.asarray(each.decoded())) for each in scenes]
    wanted = judged(scenes, found)
    assert wanted.value
    assert said["map"] == wanted.value
    (row,) = said["rows"]
    assert {**row, **wanted.as_json()} == row
    assert (row["row"], row["sides"], row["refine"], row["detectors"]) == ("baseline", [], False, 1)
    assert (said["written"], said["device"]) == (None, "cpu")
    assert said["data"] == {
        "name": "voc2007",
        "place": "data",
        "split": "test",
        "pictures": 3,
        "classes": list(CLASSES),
    }
    assert [each["from"] for each in said["paper"]] == ["paper", "paper", "here"]
    assert said["paper"][-1]["values"] == [100 * wanted.value, None]
    assert said["detectors"][0]["file"] == "a.safetensors"


def test_files_are_written_of_the_last_row(typed: Cli) -> None:
    before = listing()
    ask = ("a.safetensors", "b.safetensors", "--refine", "--sizes", "48,64", "--across", "32")
    result = typed(*ask, "--write", "out", "--json")
    said = result.json
    assert [row["row"] for row in said["rows"]] == [
        "baseline",
        "+box refinement",
        "+multi-scale testing",
        "ensemble",
    ]
    assert [row["detectors"] for row in said["rows"]] == [1, 1, 1, 2]
    assert said["map"] == said["rows"][-1]["map"]
    assert [each["system"] for each in said["paper"] if each["from"] == "here"] == [
        row["row"] for row in said["rows"]
    ]
    assert said["written"] == [f"out/comp4_det_test_{name}.txt" for name in CLASSES]
    assert new(before) == {"out", *said["written"]}
    assert "written: out/comp4_det_test_aeroplane.txt, " in result.err
    lines = [line.split() for file in said["written"] for line in Path(file).read_text().splitlines()]
    assert len(lines) == sum(each["detections"] for each in said["rows"][-1]["classes"])
    assert {line[0] for line in lines} == set(LARGE)
    before_files = [Path(file).read_text() for file in said["written"]]
    typed("a.safetensors", "--write", "out")
    assert [Path(file).read_text() for file in said["written"]] != before_files, "of another row"


def test_unpublished_pictures_are_looked_at_and_not_judged(typed: Cli) -> None:
    ask = ("b.safetensors", "a.safetensors", "--data", "07++12", "--refine", "--write", "out")
    said = typed(*ask, "--json").json
    assert (said["map"], said["paper"]) == (None, None)
    assert (said["data"]["name"], said["data"]["split"], said["data"]["pictures"]) == ("07++12", "test", 2)
    (row,) = said["rows"]
    assert row == {
        "row": "ensemble",
        "sides": [],
        "refine": True,
        "detectors": 2,
        "measure": "mAP@.5 (VOC 2012)",
        "map": None,
    }
    assert said["written"] == [f"out/comp4_det_test_{name}.txt" for name in CLASSES]
    lines = [line.split() for file in said["written"] for line in Path(file).read_text().splitlines()]
    assert {line[0] for line in lines} == {"2008_000001", "2008_000006"}
    assert all(1 <= float(x1) <= float(x2) <= 100 for _, _, x1, _, x2, _ in lines)
    told = typed(*ask).harmless()
    assert told.code == 0
    assert "07++12, test: 2 pictures, whose objects are not published: nothing was judged" in told.out
    assert f"{len(lines)} boxes (ensemble) are in out" in told.out
    assert "results/VOC2012/Main, to VOC's server" in told.out
    assert "mAP" not in told.out


@pytest.mark.parametrize(
    ("split", "pictures", "files"), [("train", 4, "train"), ("validation", 1, "val"), ("unjudged", 2, "test")]
)
def test_files_are_called_after_their_pictures(typed: Cli, split: str, pictures: int, files: str) -> None:
    """And what training held out is held out again."""
    recipe = load_recipe("voc0712plus-detection", ["data.split=1"]).text()
    weights(Path(), "c", CLASSES, **{DATA: "07++12", RECIPE: recipe})
    said = typed("c.safetensors", "--split", split, "--write", "out", "--json").json
    assert said["data"]["pictures"] == pictures
    assert said["written"] == [f"out/comp4_det_{files}_{name}.txt" for name in CLASSES]


@pytest.mark.parametrize(("split", "pictures"), [("train", 5), ("test", 2)])
def test_of_another_set_nothing_is_held_out(typed: Cli, split: str, pictures: int) -> None:
    recipe = load_recipe("voc0712-detection", ["data.split=1"]).text()
    weights(Path(), "c", CLASSES, **{DATA: "voc2007", RECIPE: recipe})
    ask = ("c.safetensors", "--data", "07++12", "--write", "out")
    assert typed(*ask, "--split", split, "--json").json["data"]["pictures"] == pictures
    refused(typed(*ask, "--split", "validation"), "07++12 has no pictures to take as validation")
    # of which training would have left nothing
    assert typed("c.safetensors", "--json").json["data"]["pictures"] == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folder", ("the detector was trained on a folder", "name it with --data")),
        ("data/coco", ('was trained on "data/coco", and no set is called that', "--data takes shapes, ")),
        ("/etc", ('was trained on "/etc"',)),
        ("x\x1b[31m" * 99, ("no set is called that",)),
    ],
)
def test_a_file_does_not_choose_the_folder_that_is_read(
    cli: Cli, material: Path, name: str, said: tuple[str, ...]
) -> None:
    shutil.copytree(material, ".", dirs_exist_ok=True)
    shutil.copytree("data/coco", "folder")
    weights(Path(), "c", ["person", "bottle", "toothbrush"], **{DATA: name})
    refused(cli("eval", "c.safetensors", "--device", "cpu"), *said)


def test_cocos_results_have_the_numbers_of_its_own_files(typed: Cli) -> None:
    said = typed("coco.safetensors", "--data", "coco", "--write", "out", "--json").json
    assert (said["map"], said["written"]) == (None, ["out/results.json"])
    results: list[dict[str, Any]] = json.loads(Path("out/results.json").read_text())
    assert {each["image_id"] for each in results} == {1, 581}
    assert {each["category_id"] for each in results} <= {1, 44, 90}
    assert "results.json goes, zipped" in typed("coco.safetensors", "--data", "coco", "--write", "out").out


def test_of_unpublished_pictures_nothing_else_can_be_asked(typed: Cli) -> None:
    before = listing()
    refused(
        typed("a.safetensors", "--data", "07++12"),
        "AS531",
        "the objects of the test pictures of 07++12 are not published",
        "--write FOLDER finds boxes",
    )
    assert typed("a.safetensors", "--data", "07++12", "--split", "train").code == 0
    validation = typed("a.safetensors", "--data", "07++12", "--split", "validation", "--write", "out")
    refused(validation, "07++12 has no pictures to take as validation")
    shutil.rmtree("data/VOCdevkit/VOC2012/JPEGImages")
    Path("data/VOCdevkit/VOC2012/JPEGImages").mkdir()
    picture(Path("data/VOCdevkit/VOC2012/JPEGImages/2008_000002.jpg"))
    refused(typed("a.safetensors", "--data", "07++12", "--write", "out"), "no pictures to take as test")
    assert new(before) == set()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--crops", "ten"], "--crops: not for detectors"),
        (["--crop", "32", "--flip", "--spec", "resnet50"], "--spec, --crop, --flip: not for detectors"),
        (["--recipe", "cifar10-paper"], "--recipe: not for detectors"),
        (["--preprocessing", "imagenet"], "--preprocessing: not for detectors"),
        (["--average", "scores"], "--average: not for detectors"),
        (["--sizes", "64,64"], "a side is given twice"),
        (["--sizes", "64,big"], '"64,big" are no sizes'),
        (["--data", "voc2017"], "AS531"),
        (["--data", "voc2012"], "AS531"),
        (["--write", "a.safetensors"], "a.safetensors is there and no folder"),
    ],
)
def test_mistakes(typed: Cli, asked: list[str], said: str) -> None:
    before = listing()
    refused(typed("a.safetensors", *asked), said)
    assert listing() == before


def test_data_that_are_not_named_or_not_there(typed: Cli) -> None:
    refused(typed("b.safetensors"), "no data set is named", "07++12")
    shutil.rmtree("data")
    refused(typed("a.safetensors"), "AS531", "the data set voc2007 is not in data")
    refused(typed("nowhere.safetensors"), "nowhere.safetensors")


def test_detectors_of_other_classes_are_refused(typed: Cli) -> None:
    said = "AS522", "the detector finds other classes than voc2007 shows"
    refused(typed("pets.safetensors", "--data", "voc2007"), "pets.safetensors", *said)
    refused(typed("a.safetensors", "pets.safetensors"), "pets.safetensors", *said)
    swapped = ["bicycle", "aeroplane", *CLASSES[2:]]
    weights(Path(), "swapped", swapped)
    refused(typed("swapped.safetensors", "--data", "voc2007"), *said)


def test_pictures_that_cannot_be_used_are_named(typed: Cli) -> None:
    folder = Path("data/VOCdevkit/VOC2007")
    Image.new("RGB", (81, 1)).save(folder / "JPEGImages" / "cat.jpg")
    (folder / "Annotations" / "cat.xml").write_text(voc_xml([], width=81, height=1))
    before = listing()
    refused(typed("a.safetensors", "--write", "out"), "cat.jpg", "AS521", "81x1 pixels is too flat")
    Image.new("RGB", (60, 1)).save(folder / "JPEGImages" / "cat.jpg")
    (folder / "Annotations" / "cat.xml").write_text(voc_xml([], width=60, height=1))
    assert typed("a.safetensors").code == 0
    refused(typed("a.safetensors", "--sizes", "32", "--write", "out"), "cat.jpg", "60x1 pixels is too flat")
    assert new(before) == set()
