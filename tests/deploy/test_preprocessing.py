"""Pictures become numbers exactly as torchvision makes them, and what says how travels as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from archspec.errors import FileError
from archspec.preprocessing import MAX_PIXELS, PRESETS, Preprocessing, preset

IMAGENET = PRESETS["imagenet"]


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Noise with a slope in it: resizing makes neither all grey."""
    generator = np.random.default_rng([seed, width, height])
    noise = generator.integers(0, 128, (height, width, 3))
    slope = np.linspace(0, 127, width)[None, :, None]
    return Image.fromarray((noise + slope).astype(np.uint8)).convert(mode)


def by_torchvision(image: Image.Image, given: Preprocessing) -> np.ndarray:
    """The usual pipeline, in torchvision's own words."""
    steps: list[object] = []
    if given.resize is not None:
        steps.append(transforms.Resize(given.resize, InterpolationMode(given.interpolation)))
    steps += [transforms.CenterCrop(given.size), transforms.ToTensor()]
    if given.range == 255:
        steps[-1] = transforms.PILToTensor()
        steps.append(transforms.ConvertImageDtype(torch.uint8))
        steps.append(transforms.Lambda(lambda pixels: pixels.float()))
    steps.append(transforms.Normalize(given.mean, given.std))
    result: np.ndarray = transforms.Compose(steps)(image.convert("RGB")).numpy()
    return result


SIZES = [(1, 1), (3, 500), (500, 3), (224, 224), (225, 224), (256, 257), (33, 77), (640, 427), (301, 1003)]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("name", ["imagenet", "cifar10", "none"])
def test_equals_torchvision_bit_for_bit(name: str, width: int, height: int) -> None:
    image = picture(width, height)
    found = PRESETS[name].apply(image)
    assert found.dtype == np.float32
    assert found.shape == PRESETS[name].shape
    assert np.array_equal(found, by_torchvision(image, PRESETS[name]))


@settings(max_examples=80)
@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.none() | st.integers(1, 90),
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
    st.sampled_from(["bilinear", "bicubic", "nearest"]),
)
def test_every_size_crops_and_pads_as_torchvision_does(
    width: int, height: int, resize: int | None, size: tuple[int, int], interpolation: str
) -> None:
    asked = {"size": size, "resize": resize, "interpolation": interpolation}
    given = Preprocessing.model_validate({**dict(IMAGENET), **asked})
    image = picture(width, height)
    assert np.array_equal(given.apply(image), by_torchvision(image, given))


def test_a_camera_held_sideways_is_put_upright(tmp_path) -> None:
    image = picture(40, 30)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    small = Preprocessing(size=(30, 40), mean=(0.0,) * 3, std=(1.0,) * 3, range=255)
    with Image.open(tmp_path / "turned.png") as turned:
        assert turned.size == (30, 40)
        assert np.array_equal(small.apply(turned), small.apply(image))


def test_exif_that_cannot_be_read_turns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", broken)
    assert IMAGENET.apply(picture(40, 30)).shape == (3, 224, 224)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_every_color_mode_becomes_what_pil_says_it_is(mode: str) -> None:
    image = picture(30, 20).convert("LA").convert("PA") if mode == "PA" else picture(30, 20, mode)
    small = Preprocessing(size=(20, 30), mean=(0.0,) * 3, std=(1.0,) * 3, range=255)
    wanted = np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1)
    assert np.array_equal(small.apply(image), wanted)


def test_a_palette_with_transparency_makes_no_fuss(tmp_path) -> None:
    image = picture(16, 16, "P")
    image.info["transparency"] = bytes(range(256))
    small = Preprocessing(size=(16, 16), mean=(0.0,) * 3, std=(1.0,) * 3, range=255)
    wanted = np.asarray(picture(16, 16, "P").convert("RGB"), np.float32).transpose(2, 0, 1)
    assert np.array_equal(small.apply(image), wanted)


def test_sixteen_bits_keep_their_shades() -> None:
    values = np.array([[0, 255, 256, 1000, 40_000, 65_535]], np.uint16)
    grey = Preprocessing(size=(1, 6), color="L", mean=(0.0,), std=(1.0,), range=255)
    assert grey.apply(Image.fromarray(values)).ravel().tolist() == [0, 0, 1, 3, 156, 255]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_white_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match="no agreed white"):
        IMAGENET.apply(picture(30, 20).convert("L").convert(mode))


def test_a_sliver_is_not_blown_up() -> None:
    wide = Image.new("RGB", (20_000, 1))
    with pytest.raises(ValueError, match="too many"):
        IMAGENET.apply(wide)
    assert MAX_PIXELS < 256 * 256 * 20_000


def test_bgr_turns_the_channels_and_nothing_else() -> None:
    image = picture(50, 40)
    small = Preprocessing(size=(40, 50), mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0), range=255)
    turned = small.model_copy(update={"color": "BGR", "mean": (3.0, 2.0, 1.0), "std": (6.0, 5.0, 4.0)})
    assert np.array_equal(turned.apply(image), small.apply(image)[::-1])


def test_layouts_hold_the_same_numbers() -> None:
    image = picture(300, 260)
    last = IMAGENET.model_copy(update={"layout": "NHWC"})
    assert last.apply(image).shape == last.shape == (224, 224, 3)
    assert np.array_equal(last.apply(image).transpose(2, 0, 1), IMAGENET.apply(image))


def test_a_model_that_normalises_gets_bytes() -> None:
    image = picture(300, 260)
    inside = IMAGENET.model_copy(update={"layout": "NHWC", "in_graph": True})
    pixels = inside.apply(image)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (224, 224, 3)
    values = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (IMAGENET.mean, IMAGENET.std))
    assert np.array_equal((values - mean) / std, IMAGENET.apply(image))


@pytest.mark.parametrize("name", PRESETS)
def test_json_reads_back(name: str) -> None:
    text = PRESETS[name].to_json()
    assert "\n" not in text
    assert Preprocessing.from_json(text, "file") == PRESETS[name]
    assert text == PRESETS[name].to_json()


GOOD = json.loads(IMAGENET.to_json())
WRONG = [
    ({"mean": [0.5]}, "3 channels, but mean has 1"),
    ({"std": [0.2, 0.2, 0.0]}, "std.2"),
    ({"std": [0.2, 0.2, -1]}, "std.2"),
    ({"mean": [1e400, 0, 0]}, "mean.0"),
    ({"size": [0, 224]}, "size.0"),
    ({"size": [224, 224, 3]}, "size"),
    ({"size": [10**9, 1]}, "size.0"),
    ({"resize": 1.5}, "resize"),
    ({"range": 2}, "range"),
    ({"color": "rgb"}, "color"),
    ({"in_graph": True}, "in_graph goes with the layout NHWC"),
    ({"surprise": 1}, "surprise"),
    ({"interpolation": "lanczos"}, "interpolation"),
]


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_a_wrong_field_is_named(change: dict[str, object], said: str) -> None:
    with pytest.raises(FileError) as raised:
        Preprocessing.from_json(json.dumps({**GOOD, **change}), "pre.json")
    (first, *_) = raised.value.diagnostics
    assert (first.code, first.span.file) == ("AS522", "pre.json")
    assert said in first.message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 60_000, "\ud800", '{"a":' * 9000, "x" * 10**6])
def test_what_is_no_preprocessing_is_refused_in_a_few_words(text: str) -> None:
    with pytest.raises(FileError) as raised:
        Preprocessing.from_json(text, "pre.json")
    assert {each.code for each in raised.value.diagnostics} == {"AS522"}
    assert len(str(raised.value)) < 3000


def test_a_flood_of_mistakes_is_cut_short() -> None:
    text = json.dumps({f"field{place}": place for place in range(2000)})
    with pytest.raises(FileError) as raised:
        Preprocessing.from_json(text, "pre.json")
    assert len(raised.value.diagnostics) <= 8


@pytest.mark.parametrize(
    ("name", "shape", "size", "resize"),
    [
        ("imagenet", (3, 224, 224), (224, 224), 256),
        ("imagenet", (3, 448, 448), (448, 448), 512),
        ("imagenet", (3, 224, 160), (224, 160), 256),
        ("cifar10", (3, 32, 32), (32, 32), 32),
        ("none", (3, 64, 96), (64, 96), 96),
        ("none", (1, 28, 28), (28, 28), 28),
    ],
)
def test_presets_fit_the_network(
    name: str, shape: tuple[int, int, int], size: tuple[int, int], resize: int
) -> None:
    fitted = preset(name, shape)
    assert (fitted.size, fitted.resize, fitted.channels) == (size, resize, shape[0])


def test_a_preset_for_another_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="takes 1 channels"):
        preset("imagenet", (1, 224, 224))


def test_it_is_read_without_torch_or_numpy() -> None:
    import subprocess
    import sys

    code = "import sys, archspec.preprocessing; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
