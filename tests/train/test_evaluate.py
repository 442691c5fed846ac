"""Testing networks: held against plain loops, in every form of view, batch, ensemble and head."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from archspec_cli import output
from archspec_cli.commands import eval as command
from PIL import Image
from torch import Tensor, nn

import archspec
from archspec import provenance
from archspec.data import synthetic
from archspec.data.sets import held_out
from archspec.data.statistics import Normaliser
from archspec.errors import FileError
from archspec.preprocessing import Preprocessing
from archspec.recipes.load import load_recipe
from archspec.train.checkpoint import Snapshot, save
from archspec.train.contenders import DATA, RECIPE
from archspec.train.convolutional import fully_convolutional
from archspec.train.evaluate import Panel, device_named, evaluate, normalised, placed, prepared
from archspec.train.scores import Untestable
from archspec.train.views import View, resized, scales, single, ten
from archspec.weights.files import write_weights
from tests.weights.making import trained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.train.scores import Average

TOP = """\
format = 1
name = "net"
[input]
size = [16, 16]
[stem]
layers = [{ conv = 3, out = 6 }]
[defaults]
block = "basic"
shortcut = "A"
[[stages]]
name = "a"
width = 6
[[stages]]
name = "b"
width = 12
stride = 2
"""
VGG = """\
format = 1
name = "net"
keys = "sequential"
[input]
size = [16, 16]
[defaults]
block = "conv"
[norm]
kind = "none"
[[stages]]
name = "a"
depth = 2
width = 6
after = [{ pool = "max", size = 2 }]
[[stages]]
name = "b"
width = 8
after = [{ pool = "max", size = 2 }]
"""
DEEP = "{ linear = 20, act = true, dropout = 0.5 }, { linear = 9, act = true }, { linear = 7 }]\n"
POOLED = '[head]\nlayers = [{ pool = "average" }, { linear = 7 }]\n'
HEADS = {
    "global": TOP + POOLED,
    "dropout": TOP + '[head]\nlayers = [{ pool = "average" }, { dropout = 0.2 }, { linear = 7 }]\n',
    "two linear": TOP + '[head]\nlayers = [{ pool = "average" }, { linear = 9 }, { linear = 7 }]\n',
    "curved": TOP + '[head]\nlayers = [{ pool = "average" }, ' + DEEP,
    "window": TOP
    + '[head]\nlayers = [{ pool = "average", size = 8, stride = 1, padding = 0 }, { linear = 7 }]\n',
    "no pool": TOP + "[head]\nlayers = [{ linear = 7 }]\n",
    "oblong": TOP.replace("[16, 16]", "[16, 12]") + "[head]\nlayers = [{ linear = 7 }]\n",
    "pre": TOP
    + '[head]\nlayers = [{ norm = true, act = true }, { pool = "average" }, { act = true }, { linear = 7 }]\n',
    "one pixel": TOP.replace("[16, 16]", "[1, 1]") + POOLED,
    "vgg": VGG + "[head]\nlayers = [" + DEEP,
    "torchvision's vgg": VGG + '[head]\nlayers = [{ pool = "average", output = 4 }, ' + DEEP,
    "vgg, global": VGG + POOLED,
}
REFUSED = {
    "fixed pool": (VGG + '[head]\nlayers = [{ pool = "average", output = 3 }, { linear = 7 }]\n', "one size"),
    "no linear layer": (
        TOP + '[head]\nlayers = [{ conv = 1, out = 7 }, { pool = "average" }]\n',
        "no linear",
    ),
    "fixed pool inside": (
        TOP + '[head]\nlayers = [{ pool = "average", output = 4 }, { conv = 1, out = 6 }, { linear = 7 }]\n',
        "one size",
    ),
}


@dataclass(frozen=True)
class Net:
    architecture: Architecture
    module: nn.Module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("specs")


def load(folder: Path, text: str) -> Architecture:
    path = folder / "net.toml"
    path.write_text(text)
    return archspec.load(path)


def net(folder: Path, head: str = "global", seed: int = 0) -> Net:
    architecture = load(folder, HEADS[head])
    return Net(architecture, trained(archspec.build(architecture, init=False), seed))


@cache
def pixels(height: int = 20, width: int = 24, count: int = 13) -> Tensor:
    draw = torch.Generator().manual_seed(height * width + count)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=draw)


def labels(count: int = 13) -> Tensor:
    return torch.randint(0, 7, (count,), generator=torch.Generator().manual_seed(count))


def normal(images: Tensor) -> Tensor:
    return images.float() / 128 - 1


class Gallery:
    """Pictures of three sizes, decoded one by one."""

    def __init__(self, count: int = 13) -> None:
        sizes = [(20, 24), (24, 20), (33, 17)]
        self.pictures = [pixels(*sizes[place % 3])[place] for place in range(count)]

    def __len__(self) -> int:
        return len(self.pictures)

    def decode(self, place: int) -> Tensor:
        return self.pictures[place]


# fully convolutional


@pytest.mark.parametrize("head", HEADS)
def test_at_its_own_size_the_fully_convolutional_form_computes_the_same(folder: Path, head: str) -> None:
    made = net(folder, head)
    images = torch.randn(3, *made.architecture.input_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, found = made.module(images), fully_convolutional(made.module, made.architecture)(images)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("head", ["no pool", "vgg", "torchvision's vgg", "oblong"])
def test_a_head_without_a_pool_slides_over_the_map(folder: Path, head: str) -> None:
    made = net(folder, head)
    dense = fully_convolutional(made.module, made.architecture)
    images = normal(pixels(24, 28))
    with torch.no_grad():
        maps = dense.body(images)
        h, w = dense.window
        layers = [each for each in made.module.modules() if isinstance(each, nn.Linear)]
        scores = []
        for top in range(maps.shape[2] - h + 1):
            for left in range(maps.shape[3] - w + 1):
                values = maps[:, :, top : top + h, left : left + w].flatten(1)
                for place, layer in enumerate(layers):
                    values = layer(values)
                    values = F.relu(values) if place < len(layers) - 1 else values
                scores.append(values)
        found = dense(images)
    assert len(scores) > 4
    torch.testing.assert_close(found, torch.stack(scores).mean(0), atol=1e-5, rtol=1e-4)


def test_a_linear_head_behind_a_global_pool_scores_every_position(folder: Path) -> None:
    made = net(folder)
    dense = fully_convolutional(made.module, made.architecture)
    images = normal(pixels(24, 28))
    with torch.no_grad():
        positions = dense.body(images).flatten(2).permute(0, 2, 1)  # (N, positions, C)
        wanted = made.module.get_submodule("fc")(positions).mean(1)
        torch.testing.assert_close(dense(images), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(dense(images), made.module(images), atol=1e-5, rtol=1e-4)


def test_weights_are_shared_and_follow_the_network(folder: Path) -> None:
    made = net(folder, "vgg")
    dense = fully_convolutional(made.module, made.architecture)
    mine = {each.data_ptr() for each in made.module.parameters()}
    assert {each.data_ptr() for each in dense.parameters()} == mine
    images = normal(pixels())
    with torch.no_grad():
        before = dense(images)
        made.module.get_submodule("classifier.5").bias.add_(1)  # type: ignore[operator]
        torch.testing.assert_close(dense(images), before + 1)


@pytest.mark.parametrize("case", REFUSED)
def test_other_heads_are_refused_with_the_reason(folder: Path, case: str) -> None:
    text, reason = REFUSED[case]
    architecture = load(folder, text)
    with pytest.raises(Untestable, match=reason) as caught:
        fully_convolutional(archspec.build(architecture), architecture)
    assert "single and ten crops" in caught.value.hint


def test_an_image_that_is_too_small_for_the_head_is_refused(folder: Path) -> None:
    made = net(folder, "vgg")
    with pytest.raises(Untestable, match="14x20 makes a map of 3x5, and the head needs at least 4x4"):
        fully_convolutional(made.module, made.architecture)(torch.zeros(1, 3, 14, 20))


def test_a_network_of_another_spec_is_refused(folder: Path) -> None:
    with pytest.raises(Untestable, match="not of this spec"):
        fully_convolutional(net(folder).module, net(folder, "vgg").architecture)


@pytest.mark.parametrize(
    "spec", ["resnet50", "caffe/resnet50", "vgg16", "torchvision/vgg16", "beyond/mobilenetv2"]
)
def test_shipped_networks_have_a_fully_convolutional_form(spec: str) -> None:
    architecture = archspec.load(spec)
    with torch.device("meta"):
        dense = fully_convolutional(archspec.build(architecture, init=False), architecture).eval()
        assert dense(torch.empty(2, 3, 256, 320)).shape == (2, 1000)


# views


def loop(networks: list[nn.Module], images: list[Tensor], average: Average, side: int | None) -> Tensor:
    """Ten crops, or the whole at a scale, as one would write it by hand: image by image, look by look."""
    rows = []
    for image in images:
        looks = []
        if side is None:
            height, width = image.shape[1:]
            middle = (round((height - 16) / 2), round((width - 16) / 2))
            for top, left in [(0, 0), (0, width - 16), (height - 16, 0), (height - 16, width - 16), middle]:
                crop = image[:, top : top + 16, left : left + 16]
                looks += [crop, crop.flip(2)]
        else:
            looks += [resized(image[None], each)[0] for each in (side, side + 7)]
        outputs = [network(normal(look[None]))[0].double() for look in looks for network in networks]
        answers = [F.softmax(each, 0) if average == "probabilities" else each for each in outputs]
        rows.append(torch.stack(answers).mean(0))
    return torch.stack(rows)


@pytest.mark.parametrize("average", ["probabilities", "scores"])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["ten", "scales"])
@pytest.mark.parametrize("streamed", [False, True])
def test_views_and_ensembles_equal_a_loop_by_hand(
    folder: Path, kind: str, members: int, average: Average, streamed: bool
) -> None:
    made = [net(folder, "vgg" if kind == "scales" else "global", seed) for seed in range(members)]
    networks = [
        fully_convolutional(each.module, each.architecture) if kind == "scales" else each.module
        for each in made
    ]
    view, side = (ten(16), None) if kind == "ten" else (scales((18, 25)), 18)
    gallery = Gallery(5)
    images = gallery.pictures if streamed else list(pixels()[:5])
    with torch.no_grad():
        wanted = loop(networks, images, average, side)
    panel = Panel(networks, view=view, normalise=normal, average=average)
    torch.testing.assert_close(
        panel.scores(images if streamed else pixels()[:5]), wanted, atol=1e-6, rtol=1e-5
    )
    for batch in (1, 3, 5):
        scores = evaluate(
            networks,
            gallery if streamed else pixels()[:5],
            labels(5),
            view=view,
            normalise=normal,
            batch=batch,
            ensemble=average,
        )
        assert scores.right() == int((wanted.argmax(1) == labels(5)).sum())
        best = wanted.topk(5).indices
        assert scores.right(5) == int((best == labels(5)[:, None]).sum())
        assert scores.images == 5


def test_an_ensemble_of_one_is_the_model_to_the_bit(folder: Path) -> None:
    made, images = net(folder), pixels(16, 16)
    with torch.no_grad():
        output = made.module(normal(images))
    for average, wanted in (("probabilities", output.double().softmax(1)), ("scores", output.double())):
        panel = Panel([made.module], view=single(16), normalise=normal, average=average)  # type: ignore[arg-type]
        assert torch.equal(panel.scores(images), wanted)
        assert torch.equal(panel.scores([*images]), panel.scores(images))


def test_an_ensemble_of_the_same_model_twice_is_the_model(folder: Path) -> None:
    made = net(folder)
    one, two = (Panel([made.module] * n, view=single(16), normalise=normal).scores(pixels()) for n in (1, 2))
    assert torch.equal(one, two)


def test_networks_are_put_into_evaluation_and_left_as_they_were(folder: Path) -> None:
    made = net(folder, "vgg")
    made.module.train()
    made.module.get_submodule("features").eval()
    before = [module.training for module in made.module.modules()]
    seen: list[bool] = []
    made.module.register_forward_hook(
        lambda module, *_: seen.append(any(m.training for m in module.modules()))
    )
    evaluate([made.module], pixels(16, 16), labels(), view=View(), normalise=normal)
    assert seen == [False]
    assert [module.training for module in made.module.modules()] == before


def test_plain_functions_are_networks_too_and_chunks_are_shown(folder: Path) -> None:
    def brightness(images: Tensor) -> Tensor:
        return torch.stack([images.mean((1, 2, 3)), -images.mean((1, 2, 3))], 1)

    images = torch.cat([torch.full((3, 3, 4, 4), 250), torch.full((2, 3, 4, 4), 5)]).to(torch.uint8)
    shown: list[range] = []

    def progress(chunks: object) -> list[range]:
        shown.extend(chunks)  # type: ignore[call-overload]
        return shown

    true = torch.tensor([0, 0, 1, 1, 1])
    found = evaluate([brightness], images, true, view=View(), normalise=normal, batch=2, progress=progress)
    assert shown == [range(2), range(2, 4), range(4, 5)]
    assert found.confusion.tolist() == [[2, 0], [1, 2]]


@pytest.mark.parametrize("streamed", [False, True])
def test_no_images_are_said(folder: Path, streamed: bool) -> None:
    images = Gallery(0) if streamed else pixels()[:0]
    with pytest.raises(Untestable, match="no images") as caught:
        evaluate([net(folder).module], images, labels()[:0], view=View(), normalise=normal)
    assert caught.value.code == "AS531"


def test_labels_that_the_network_does_not_know_are_refused(folder: Path) -> None:
    with pytest.raises(Untestable, match="from 0 to 7, but the network tells 7 classes apart"):
        evaluate([net(folder).module], pixels()[:2], torch.tensor([0, 7]), view=View(), normalise=normal)


def test_labels_are_as_many_as_images(folder: Path) -> None:
    with pytest.raises(ValueError, match="13 images have 12 labels"):
        evaluate([net(folder).module], pixels(), labels()[:12], view=View(), normalise=normal)


def test_networks_of_other_classes_are_no_ensemble(folder: Path) -> None:
    two = [net(folder).module, lambda images: images.mean((2, 3))]
    with pytest.raises(Untestable, match="7 and 3 classes"):
        evaluate(two, pixels(), labels(), view=View(), normalise=normal)


def test_what_gives_no_row_of_scores_is_refused() -> None:
    with pytest.raises(Untestable, match=r"\(3, 20, 24\) for an image") as caught:
        evaluate([lambda images: images], pixels(), labels(), view=View(), normalise=normal)
    assert caught.value.code == "AS523"


def test_a_picture_that_cannot_be_read_ends_the_test() -> None:
    class Torn(Gallery):
        def decode(self, place: int) -> Tensor:
            if place == 9:
                raise OSError("torn")
            return super().decode(place)

    with pytest.raises(OSError, match="torn"):
        evaluate([lambda x: x.mean((2, 3))], Torn(), labels() % 3, view=View(), normalise=normal, batch=2)


# normalisation and devices


@pytest.mark.parametrize("color", ["RGB", "BGR", "L"])
@pytest.mark.parametrize("full", [1, 255])
def test_pixels_are_prepared_as_for_deployed_models(color: str, full: int) -> None:
    count = 1 if color == "L" else 3
    preprocessing = Preprocessing(
        size=(20, 24),
        color=color,  # type: ignore[arg-type]
        range=full,  # type: ignore[arg-type]
        mean=(0.485, 0.456, 0.406)[:count],
        std=(0.229, 0.224, 0.225)[:count],
    )
    images = pixels()[:1, :count]
    picture = Image.fromarray(images[0, 0].numpy() if count == 1 else images[0].permute(1, 2, 0).numpy())
    assert torch.equal(prepared(preprocessing)(images)[0], torch.from_numpy(preprocessing.apply(picture)))


def test_a_mean_image_meets_images_of_its_size_smaller_and_larger_ones() -> None:
    mean = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    normalise = normalised(Normaliser(mean, torch.full((3, 1, 1), 0.5)))
    images = pixels(8, 8)
    assert torch.equal(normalise(images), (images.float() - mean) * 0.5)
    smaller = pixels(8, 8)[:, :, 1:7, 1:7]
    assert torch.equal(normalise(smaller), (smaller.float() - mean[:, 1:7, 1:7]) * 0.5)
    larger = pixels(8, 12)
    assert torch.equal(normalise(larger), (larger.float() - mean.mean((1, 2), keepdim=True)) * 0.5)


def test_a_mean_by_channel_fits_every_size() -> None:
    normalise = normalised(Normaliser(torch.tensor([1.0, 2, 3]).view(3, 1, 1), torch.ones(3, 1, 1)))
    assert torch.equal(normalise(pixels())[:, 2], pixels()[:, 2].float() - 3)


def test_devices_are_found_by_name() -> None:
    assert device_named("cpu") == torch.device("cpu")
    assert device_named("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match='no device "abacus" here'):
        device_named("abacus")


def test_a_placed_network_lies_as_convolutions_like_it(folder: Path) -> None:
    made = net(folder)
    network = placed(made.module.train(), torch.device("cpu"))
    weight = network.get_submodule("layer1.0.conv1").weight
    assert weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]
    assert not network.training


# the command

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
