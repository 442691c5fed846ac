"""Testing networks: held against plain loops, in every form of view, batch and ensemble."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from archspec.data.statistics import Normaliser
from archspec.preprocessing import Preprocessing
from archspec.train.convolutional import fully_convolutional
from archspec.train.evaluate import Panel, device_named, evaluate, normalised, placed, prepared
from archspec.train.scores import Untestable
from archspec.train.views import View, resized, scales, single, ten
from tests.train.nets import Gallery, labels, net, normal, pixels

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.train.scores import Average


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("specs")


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
