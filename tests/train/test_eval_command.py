"""`archspec eval`: what it tests, what it says, what it refuses."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from archspec_cli import output
from archspec_cli.commands import eval as command
from PIL import Image
from torch import Tensor

import archspec
from archspec import provenance
from archspec.data import synthetic
from archspec.data.sets import held_out
from archspec.errors import FileError
from archspec.preprocessing import Preprocessing
from archspec.recipes.load import load_recipe
from archspec.train.checkpoint import Snapshot, save
from archspec.train.contenders import DATA, RECIPE, Asked, contender, normalisation
from archspec.train.evaluate import Panel, prepared
from archspec.train.views import View, scales, single, ten
from archspec.weights.files import write_weights
from tests.train.nets import HEADS, Gallery, Net, load, net
from tests.weights.making import trained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


PREPARED = Preprocessing(size=(16, 16), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
BY_PIXEL = """\
format = 1
name = "by-pixel"
[data]
name = "synthetic"
split = 500
[normalise]
kind = "per-pixel-mean"
[schedule]
total = 10
[test]
crops = "ten"
crop = 16
sizes = [18]
"""


@cache
def made_up() -> Any:
    return synthetic.make((3, 16, 16), 7)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*checkpoints: Path, **options: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(output.settings, "json", bool(options.get("as_json")))
        code = 0
        try:
            command.run(checkpoints, **options)
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


SAID = {provenance.PREPROCESSING: PREPARED.to_json()}


def stored(made: Net, path: Path, said: dict[str, str] = SAID) -> Path:
    tensors = {key: value.numpy() for key, value in made.module.state_dict().items()}
    write_weights(path, tensors, {**provenance.stamp(made.architecture), **said})
    return path


def answers(made: list[Net], images: Tensor, normalise: Any, view: View) -> Tensor:
    return Panel([each.module for each in made], view=view, normalise=normalise).scores(images)


def test_weights_that_say_how_they_want_their_pictures_are_tested(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    made, test = net(tmp_path), made_up().test
    path = stored(made, tmp_path / "net.safetensors", {**SAID, DATA: "synthetic"})
    code, out, _ = run(path, as_json=True, batch=300)
    assert code == 0
    table = json.loads(out)
    wanted = answers([made], test.pixels, prepared(PREPARED), single(16))
    assert table["top1"]["right"] == int((wanted.argmax(1) == test.labels).sum())
    assert table["top1"]["error"] == 1 - table["top1"]["right"] / 1000
    assert table["images"] == 1000
    assert table["data"]["name"] == "synthetic"
    assert table["view"]["crop"] == [16, 16]
    assert table["networks"][0]["function_hash"] == made.architecture.hash
    assert sum(row["right"] for row in table["per_class"]) == table["top1"]["right"]
    assert len(table["data"]["classes"]) == 7


def test_people_read_a_table(tmp_path: Path, run: Callable[..., tuple[int, str, str]]) -> None:
    path = stored(net(tmp_path), tmp_path / "net.safetensors")
    code, out, _ = run(path, data="synthetic")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "net on synthetic, test: 1,000 images, the middle of 16x16"
    assert lines[2].split() == ["right", "error", "accuracy"]
    assert [line.split()[0] for line in lines[4:6]] == ["top-1", "top-5"]
    assert "Most often taken for another: " in out


def test_several_networks_are_averaged_and_a_run_folder_is_one(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    made = [net(tmp_path, seed=seed) for seed in range(2)]
    path = stored(made[0], tmp_path / "net.safetensors")
    stamp = {**provenance.stamp(made[1].architecture), **SAID}
    save(tmp_path / "run" / "checkpoints", Snapshot(3, dict(made[1].module.state_dict()), {}, {}, {}), stamp)
    code, out, _ = run(path, tmp_path / "run", data="synthetic", as_json=True)
    assert code == 0
    test = made_up().test
    wanted = answers(made, test.pixels, prepared(PREPARED), single(16))
    assert json.loads(out)["top1"]["right"] == int((wanted.argmax(1) == test.labels).sum())


def test_a_recipe_says_how_images_are_normalised_seen_and_held_out(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    made = net(tmp_path)
    (tmp_path / "by-pixel.toml").write_text(BY_PIXEL)
    text = load_recipe(tmp_path / "by-pixel.toml").text()
    carrying = stored(made, tmp_path / "a.safetensors", {RECIPE: text})
    silent = stored(made, tmp_path / "b.safetensors", {})
    splits = held_out(made_up(), 500)
    mean = splits.train.pixels.double().mean(0).float()
    view = ten(16, (18,))
    assert splits.validation is not None
    wanted = answers(
        [made],
        splits.validation.pixels,
        lambda images: (images.float() - mean) / 255,
        view,
    )
    right = int((wanted.argmax(1) == splits.validation.labels).sum())
    for path, options in ((carrying, {}), (silent, {"recipe": str(tmp_path / "by-pixel.toml")})):
        code, out, err = run(path, split="validation", as_json=True, **options)
        assert code == 0, err
        table = json.loads(out)
        assert (table["images"], table["view"]["looks"]) == (500, 10)
        assert table["top1"]["right"] == right


def test_statistics_are_of_the_images_that_are_trained_on(tmp_path: Path) -> None:
    path = stored(net(tmp_path), tmp_path / "net.safetensors", {RECIPE: BY_PIXEL})
    normalise = normalisation(contender(path, Asked()), made_up())
    mean = made_up().train.pixels[:4500].double().mean(0).float()
    images = made_up().test.pixels[:5]
    assert torch.equal(normalise(images), (images.float() - mean) * torch.tensor(1 / 255))


def test_pictures_in_folders_are_tested_where_they_lie(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    architecture = load(tmp_path, HEADS["global"].replace("linear = 7", "linear = 2"))
    made = Net(architecture, trained(archspec.build(architecture, init=False)))
    gallery, part, label = Gallery(), tmp_path / "pictures" / "test", [0, 1, 1, 0, 1, 0]
    for place, true in enumerate(label):
        (part / "ab"[true]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "pictures" / "train" / "ab"[true]).mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(gallery.decode(place).permute(1, 2, 0).numpy())
        picture.save(part / "ab"[true] / f"{place}.png")
        picture.save(tmp_path / "pictures" / "train" / "ab"[true] / f"{place}.png")
    view = ten(16, (18,))
    panel = Panel([made.module], view=view, normalise=prepared(PREPARED))
    told = panel.scores(gallery.pictures[:6]).argmax(1)
    path = stored(made, tmp_path / "net.safetensors")
    options = {"data": "folder", "data_root": tmp_path / "pictures", "crops": "ten", "sizes": "18"}
    code, out, err = run(path, **options, batch=4, as_json=True)
    assert code == 0, err
    assert json.loads(out)["top1"]["right"] == int((told == torch.tensor(label)).sum())


@pytest.mark.parametrize(
    ("options", "view"),
    [
        ({"crops": "ten", "crop": 12}, ten(12)),
        ({"crops": "ten", "sizes": "18, 20"}, ten(16, (18, 20))),
        ({"crops": "full", "sizes": "16,24", "flip": True}, scales((16, 24), mirrored=True)),
        ({"crops": "full"}, View()),
        ({"flip": True}, View((16, 16), mirrored=True)),
    ],
)
def test_options_say_what_is_looked_at(
    options: dict[str, Any], view: View, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    made = net(tmp_path)
    test = made_up().test
    path = stored(made, tmp_path / "net.safetensors")
    code, out, err = run(path, data="synthetic", as_json=True, **options)
    assert code == 0, err
    wanted = answers([made], test.pixels, prepared(PREPARED), view)
    assert json.loads(out)["top1"]["right"] == int((wanted.argmax(1) == test.labels).sum())
    assert json.loads(out)["view"]["looks"] == len(view)


@pytest.mark.parametrize(
    ("head", "options", "message"),
    [
        ("global", {}, "no data set is named"),
        ("global", {"data": "synthetic", "sizes": "16,x"}, "are no sizes"),
        ("global", {"data": "synthetic", "sizes": "0"}, "are no sizes"),
        ("global", {"data": "synthetic", "device": "abacus"}, 'no device "abacus"'),
        ("global", {"data": "synthetic", "crops": "full", "crop": 8}, "looks at whole images"),
        ("global", {"data": "synthetic", "crop": 17}, "smaller than a crop of 17x17"),
        ("vgg", {"data": "synthetic", "crop": 12}, "takes no images of 12x12"),
        ("vgg", {"data": "synthetic", "crops": "full", "sizes": "12"}, "the head needs at least 4x4"),
    ],
)
def test_what_cannot_be_asked_is_said(
    head: str,
    options: dict[str, Any],
    message: str,
    tmp_path: Path,
    run: Callable[..., tuple[int, str, str]],
) -> None:
    path = stored(net(tmp_path, head), tmp_path / "net.safetensors")
    code, out, err = run(path, **options)
    assert code == 2
    assert out == ""
    assert message in err


def diagnosed(run: Callable[..., tuple[int, str, str]], *paths: Path, **options: Any) -> list[str]:
    with pytest.raises(FileError) as caught:
        run(*paths, **options)
    return [f"{each.code} {each.message}" for each in caught.value.diagnostics]


def test_files_that_do_not_say_enough_or_do_not_fit_are_diagnosed(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    made, other = net(tmp_path), net(tmp_path, "vgg")
    good, silent = stored(made, tmp_path / "good"), stored(made, tmp_path / "silent", {})
    assert diagnosed(run, silent, data="synthetic") == [
        "AS522 the file does not say how pictures are prepared"
    ]
    assert diagnosed(run, good, data="synthetic", split="validation") == [
        "AS531 synthetic has no images for validation"
    ]
    assert diagnosed(run, good, data="moon")[0].startswith("AS531")
    (digits,) = diagnosed(run, good, data="digits")
    assert digits == "AS522 the network tells 7 classes apart, but digits has 10"
    (function,) = diagnosed(run, good, data="synthetic", spec=str(spec_of(other, tmp_path)))[:1]
    assert function.startswith("AS506")
    nameless = tmp_path / "nameless"
    write_weights(nameless, {"a": torch.zeros(1).numpy()}, {})
    assert diagnosed(run, nameless) == ["AS503 the file does not say which spec its weights are for"]
    torn = stored(made, tmp_path / "torn", {RECIPE: "format = 2"})
    assert diagnosed(run, torn)[0].startswith("AS507 the recipe that the file carries cannot be used")
    leaning = stored(made, tmp_path / "leaning", {RECIPE: 'extends = "a.toml"'})
    assert diagnosed(run, leaning) == ["AS507 the recipe that the file carries leans on another file"]
    names = [*made_up().test.classes]
    turned = stored(made, tmp_path / "turned", {**SAID, provenance.LABELS: json.dumps(names[::-1])})
    (order,) = diagnosed(run, turned, data="synthetic")
    assert order == "AS522 the network numbers the classes of synthetic in another order"
    with torch.no_grad():
        for each in made.module.parameters():
            each.mul_(1e30)
    wild = stored(made, tmp_path / "wild")
    assert diagnosed(run, wild, data="synthetic") == [
        "AS523 scores of 1,000 of 1,000 images are not finite numbers"
    ]


def spec_of(made: Net, folder: Path) -> Path:
    path = folder / "spec.toml"
    path.write_text(provenance.spec_text(made.architecture))
    return path


def test_networks_that_look_differently_need_a_view_in_common(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    made = net(tmp_path)
    one = stored(made, tmp_path / "one")
    smaller = PREPARED.model_copy(update={"resize": 18})
    two = stored(made, tmp_path / "two", {provenance.PREPROCESSING: smaller.to_json()})
    code, _, err = run(one, two, data="synthetic")
    assert code == 2
    assert "look at images differently" in err
    assert "say --crops, --crop and --sizes" in err
    assert run(one, two, data="synthetic", sizes="17")[0] == 0


def test_many_classes_are_shown_by_the_worst(
    tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    architecture = load(tmp_path, HEADS["global"].replace("linear = 7", "linear = 30"))
    made = Net(architecture, trained(archspec.build(architecture, init=False)))
    code, out, _ = run(stored(made, tmp_path / "net.safetensors"), data="synthetic")
    assert code == 0
    assert "worst 10 of 30 classes" in out
