"""Pictures in, classes out: from files of ours and of strangers, whatever the pictures are."""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from archspec_cli import output
from archspec_cli.commands import predict as command
from onnx import TensorProto, helper
from PIL import Image

import archspec
from archspec import provenance
from archspec.deploy.pictures import found, read_picture
from archspec.deploy.predict import Reading, asked_labels, predict, prepared, reading
from archspec.deploy.proof import initial
from archspec.deploy.runners import ModuleRunner, OnnxRunner, recalled
from archspec.errors import FileError
from archspec.preprocessing import MAX_PIXELS, PRESETS, Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = Preprocessing(size=(8, 8), resize=8, mean=(0.0,) * 3, std=(1.0,) * 3)
SAID = {
    provenance.PREPROCESSING: PLAIN.to_json(),
    provenance.LABELS: json.dumps(["red", "green", "blue"]),
}
RED, GREEN, BLUE = (255, 0, 0), (0, 200, 0), (0, 0, 255)
SMALL = """\
format = 1
name = "small"
[input]
size = [8, 8]
[stem]
layers = [{ conv = 3, out = 4 }]
[head]
layers = [{ pool = "average" }, { linear = 3 }]
"""


def model(
    path: Path,
    metadata: dict[str, str] | None = None,
    *,
    shape: tuple[object, ...] = ("batch", 3, 8, 8),
    dtype: int = TensorProto.FLOAT,
    output: str = "logits",
    softmax: bool = False,
    scale: float = 10.0,
) -> Path:
    """A file that scores a picture by how red, green and blue it is on average."""
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    nodes = [
        helper.make_node("Cast", ["picture"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["real", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "scale"], ["scores"]),
        helper.make_node("Softmax" if softmax else "Identity", ["scores"], [output]),
    ]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info("picture", dtype, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [shape[0], 3])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], axes),
            helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(made, metadata or {})
    onnx.checker.check_model(made)
    path.write_bytes(made.SerializeToString())
    return path


def paint(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (12, 9)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return str(path)


def png(width: int, height: int) -> bytes:
    """The head of a PNG of any size, with nothing in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*pictures: str, stdin: bytes = b"", **options: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(output.settings, "json", bool(options.get("as_json")))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = 0
        try:
            command.run(pictures, **options)
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def refused(*names: str, call: Callable[..., Any] = read_picture) -> str:
    with pytest.raises(FileError) as raised:
        call(*names)
    (only,) = raised.value.diagnostics
    assert only.code == "AS521"
    assert only.span.file == names[0] or names[0] == "-"
    return only.message


# pictures


def test_a_folder_gives_its_pictures_in_order_to_its_bottom(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.webp", ".hidden.png", "notes.txt", ".git/d.png", "a-sub/e.bmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    inside = [Path(name).relative_to(tmp_path).as_posix() for name in found([str(tmp_path)])]
    assert inside == ["a.JPG", "b.png", "a-sub/e.bmp", "sub/c.webp"]
    assert found(["-", "named.txt", "gone.png"]) == ["-", "named.txt", "gone.png"]


def test_a_folder_without_pictures_is_said_to_be_one(tmp_path: Path) -> None:
    assert "without pictures" in refused(str(tmp_path), call=lambda name: found([name]))


def test_of_an_animation_the_first_frame_is_seen(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in (RED, GREEN, BLUE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert read_picture(str(tmp_path / "moving.gif")).convert("RGB").getpixel((4, 4)) == RED


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp", "tiff", "webp", "jpeg2000", "ppm", "avif"])
def test_the_usual_kinds_are_read_whatever_their_name_says(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.txt"
    Image.new("RGB", (32, 24), GREEN).save(path, kind)
    pixel = np.array(read_picture(str(path)).convert("RGB").getpixel((10, 10)))
    assert np.abs(pixel - GREEN).max() < 12


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (bytes(1000), "not a picture"),
        (b"<html>no such page</html>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not a picture"),
        (png(30_000, 30_000), f"more than {MAX_PIXELS:,} pixels"),
        (png(10_000, 10_000), f"10000x10000 pixels are more than {MAX_PIXELS:,}"),
        (png(40, 40), "a damaged picture"),
        (png(0, 40), "damaged"),
        (png(40, 40)[:30], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, "damaged"),
    ],
    ids=["empty", "zeros", "html", "postscript", "bomb", "large", "no pixels", "no width", "cut", "garbage"],
)
def test_what_is_no_picture_is_refused_with_the_reason(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    assert said in refused(str(path))


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "tiff", "webp", "jpeg2000", "avif"])
def test_half_a_picture_is_never_a_traceback(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(path, kind)
    whole = path.read_bytes()
    outcomes = set()
    for length in range(1, len(whole), max(len(whole) // 23, 1)):
        path.write_bytes(whole[:length])
        try:
            read_picture(str(path))
        except FileError as error:
            outcomes.add(error.diagnostics[0].code)
    assert outcomes == {"AS521"}


@pytest.mark.parametrize("name", ["gone.png", "folder", "fifo", "a\0b"])
def test_only_regular_files_are_opened(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    refused(str(tmp_path / name))


def test_a_sliver_names_its_file(tmp_path: Path) -> None:
    Image.new("RGB", (20_000, 1)).save(tmp_path / "sliver.png")
    message = refused(str(tmp_path / "sliver.png"), call=lambda name: prepared(PRESETS["imagenet"], name))
    assert "too many" in message


# models


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 32])
def test_batches_do_not_change_what_is_seen(batch: int, tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID))
    colors = [RED, GREEN, BLUE, BLUE, GREEN]
    files = [paint(tmp_path / f"{place}.png", color) for place, color in enumerate(colors)]
    predictions = list(predict(runner, reading(runner), files, batch=batch, top=2))
    assert [each.file for each in predictions] == files
    assert [each.guesses[0].label for each in predictions] == ["red", "green", "blue", "blue", "green"]
    assert [each.guesses[0].index for each in predictions] == [0, 1, 2, 2, 1]
    assert all(len(each.guesses) == 2 for each in predictions)
    expected = np.exp([10.0, 0, 0]) / np.exp([10.0, 0, 0]).sum()
    assert predictions[0].guesses[0].probability == pytest.approx(expected[0], rel=1e-6)


@pytest.mark.parametrize("fixed", [1, 4])
def test_a_model_of_one_batch_size_gets_it(fixed: int, tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID, shape=(fixed, 3, 8, 8)))
    files = [paint(tmp_path / f"{place}.png", (RED, GREEN)[place % 2]) for place in range(7)]
    labels = [each.guesses[0].label for each in predict(runner, reading(runner), files)]
    assert labels == ["red", "green"] * 3 + ["red"]


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        (("n", 8, 8, 3), TensorProto.FLOAT),
        (("n", 8, 8, 3), TensorProto.UINT8),
        (("n", 3, 8, 8), TensorProto.UINT8),
        (("n", 3, 8, 8), TensorProto.FLOAT16),
        (("n", 3, "h", "w"), TensorProto.FLOAT),
        ((1, "h", "w", 3), TensorProto.UINT8),
    ],
)
def test_a_strangers_layout_and_type_are_seen_in_the_file(
    shape: tuple[object, ...], dtype: int, tmp_path: Path
) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", shape=shape, dtype=dtype))
    files = [paint(tmp_path / "r.png", RED), paint(tmp_path / "b.png", BLUE)]
    predictions = list(predict(runner, reading(runner, "none"), files))
    assert [each.guesses[0].label for each in predictions] == ["class 0", "class 2"]


@pytest.mark.parametrize(
    ("output", "softmax"),
    [("logits", False), ("probabilities", True), ("y", True), ("y", False)],
)
def test_softmax_is_taken_once(output: str, softmax: bool, tmp_path: Path) -> None:
    path = model(tmp_path / "m.onnx", SAID, output=output, softmax=softmax, scale=2.0)
    runner = OnnxRunner(path)
    (only,) = predict(runner, reading(runner), [paint(tmp_path / "r.png", RED)])
    assert only.guesses[0].probability == pytest.approx(np.exp(2) / (np.exp(2) + 2), rel=1e-6)


def test_scores_that_happen_to_sum_to_one_are_scores_where_the_name_says_so(tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID, scale=1.0))
    (only,) = predict(runner, reading(runner), [paint(tmp_path / "r.png", RED)])
    assert only.guesses[0].probability == pytest.approx(np.e / (np.e + 2), rel=1e-6)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_a_diagnostic(scale: float, tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID, scale=scale))
    with pytest.raises(FileError, match="AS523 it gives values that are not finite"):
        list(predict(runner, reading(runner), [paint(tmp_path / "r.png", RED)]))


def _foreign(path: Path, inputs: list[Any], nodes: list[Any], outputs: list[Any]) -> Path:
    made = helper.make_model(
        helper.make_graph(nodes, "foreign", inputs, outputs), opset_imports=[helper.make_opsetid("", 18)]
    )
    made.ir_version = 9
    path.write_bytes(made.SerializeToString())
    return path


def test_what_is_no_classifier_of_pictures_is_said_to_be_none(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    text = value("ids", TensorProto.INT64, ["n", 12])
    out = value("out", TensorProto.INT64, ["n", 12])
    path = _foreign(tmp_path / "text.onnx", [text], [helper.make_node("Identity", ["ids"], ["out"])], [out])
    with pytest.raises(FileError, match="AS511 its input is tensor"):
        OnnxRunner(path)
    one, two = (value(name, TensorProto.FLOAT, ["n", 3, 8, 8]) for name in "ab")
    out = value("out", TensorProto.FLOAT, ["n", 3, 8, 8])
    path = _foreign(tmp_path / "two.onnx", [one, two], [helper.make_node("Add", ["a", "b"], ["out"])], [out])
    with pytest.raises(FileError, match="AS511 it takes 2 inputs"):
        OnnxRunner(path)
    path = _foreign(tmp_path / "map.onnx", [one], [helper.make_node("Relu", ["a"], ["out"])], [out])
    runner = OnnxRunner(path)
    with pytest.raises(FileError, match="AS523 it gives"):
        list(predict(runner, Reading(PLAIN), [paint(tmp_path / "r.png", RED)]))


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(500), b"\x08\x09\x12\x03abc"])
def test_what_is_no_onnx_is_a_diagnostic(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(FileError, match="AS511"):
        OnnxRunner(tmp_path / "m.onnx")
    with pytest.raises(FileError, match="AS511"):
        OnnxRunner(tmp_path / "gone.onnx")


@pytest.fixture
def trained(tmp_path: Path) -> tuple[archspec.Architecture, Path]:
    """A spec, and weights that carry all that they should."""
    from archspec.weights.files import write_weights

    (tmp_path / "small.toml").write_text(SMALL)
    architecture = archspec.load(tmp_path / "small.toml")
    path = tmp_path / "small.safetensors"
    write_weights(path, initial(architecture), provenance.stamp(architecture) | SAID)
    return architecture, path


def test_a_spec_with_weights_sees_what_its_module_sees(
    trained: tuple[archspec.Architecture, Path], tmp_path: Path
) -> None:
    import torch

    architecture, path = trained
    runner = ModuleRunner(architecture, path)
    file = paint(tmp_path / "r.png", RED)
    (only,) = predict(runner, reading(runner), [file])
    torch.manual_seed(0)
    module = archspec.build(architecture).eval()
    with torch.inference_mode():
        wanted = module(torch.from_numpy(PLAIN.apply(read_picture(file)))[None]).softmax(1)[0]
    got = {guess.index: guess.probability for guess in only.guesses}
    assert [got[place] for place in range(3)] == pytest.approx(wanted.tolist(), rel=1e-5)
    assert {guess.label for guess in only.guesses} == {"red", "green", "blue"}


def test_weights_that_carry_their_spec_need_no_other(trained: tuple[archspec.Architecture, Path]) -> None:
    architecture, path = trained
    assert recalled(path).hash == architecture.hash


def test_our_own_exports_are_read_back(trained: tuple[archspec.Architecture, Path], tmp_path: Path) -> None:
    from archspec.deploy.export import Order, written

    architecture, path = trained
    file = paint(tmp_path / "r.png", GREEN)
    module = ModuleRunner(architecture, path)
    (wanted,) = predict(module, reading(module), [file])
    inside = PLAIN.model_copy(update={"layout": "NHWC", "in_graph": True})
    for by in (PLAIN, inside):
        order = Order(preprocessing=by, labels=("red", "green", "blue"))
        model = written(architecture, initial(architecture), order).model
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        runner = OnnxRunner(tmp_path / "m.onnx")
        read_as = reading(runner)
        (got,) = predict(runner, read_as, [file])
        assert read_as.preprocessing == by
        assert [guess.label for guess in got.guesses] == [guess.label for guess in wanted.guesses]
        ours, theirs = ([guess.probability for guess in each.guesses] for each in (got, wanted))
        assert ours == pytest.approx(theirs, rel=1e-4)


# labels and preprocessing


@pytest.mark.parametrize("text", ["red\ngreen\nblue\n", "red\r\n green \r\nblue", '["red", "green", "blue"]'])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_labels_come_one_a_line_or_as_json(text: str, mark: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(mark + text, newline="")
    assert asked_labels(tmp_path / "labels") == ("red", "green", "blue")


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"\xff\xfe", b"[1, 2]", b"[]", b"[", b"[" * 100_000, b"[[]]"],
)
def test_labels_that_make_no_sense_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(FileError, match="AS522"):
        asked_labels(tmp_path / "labels")


def test_too_few_labels_are_refused(tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID))
    (tmp_path / "labels").write_text("red\ngreen\n")
    with pytest.raises(FileError, match="AS522 there are 2 labels for 3 classes"):
        list(predict(runner, reading(runner, None, tmp_path / "labels"), [paint(tmp_path / "r.png", RED)]))


@pytest.mark.parametrize(
    ("metadata", "asked", "said"),
    [
        ({}, None, "does not say how pictures are prepared"),
        (SAID, "imagnet", "no preprocessing has this name"),
        (SAID, "gone.json", "no such file"),
        ({provenance.PREPROCESSING: "{}"}, None, "size: Field required"),
        ({provenance.PREPROCESSING: PRESETS["imagenet"].to_json()}, None, "gives 3 channels of 224x224"),
        ({**SAID, provenance.LABELS: "red"}, None, "labels that are no JSON"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(
    metadata: dict[str, str], asked: str | None, said: str, tmp_path: Path
) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", metadata))
    with pytest.raises(FileError) as raised:
        reading(runner, asked)
    (first, *_) = raised.value.diagnostics
    assert first.code == "AS522"
    assert said in first.message


def test_a_file_of_ones_own_overrules_the_models(tmp_path: Path) -> None:
    runner = OnnxRunner(model(tmp_path / "m.onnx", SAID))
    own = PLAIN.model_copy(update={"range": 255, "resize": 9})
    (tmp_path / "own.json").write_text(own.to_json())
    assert reading(runner, str(tmp_path / "own.json")).preprocessing == own


# the command


def test_one_picture_gets_a_block(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    paint(tmp_path / "r.png", RED)
    code, out, err = run("r.png", model=str(model(tmp_path / "m.onnx", SAID)), top=2)
    assert (code, err) == (0, "")
    assert out.splitlines() == ["r.png", "  red    100.0 %  ########################", "  green    0.0 %"]


def test_many_pictures_get_a_line_each(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for place in range(12):
        paint(tmp_path / "all" / f"{place:02}.png", BLUE)
    code, out, _ = run("all", model=str(model(tmp_path / "m.onnx", SAID)))
    assert code == 0
    assert out.splitlines()[2:] == [f"all/{place:02}.png  100.0 %  blue" for place in range(12)]


def test_standard_input_is_one_picture(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    content = Path(paint(tmp_path / "g.png", GREEN)).read_bytes()
    code, out, _ = run("-", model=str(model(tmp_path / "m.onnx", SAID)), stdin=content, as_json=True)
    (only,) = json.loads(out)["predictions"]
    assert (code, only["file"], only["top"][0]["label"]) == (0, "-", "green")
    assert run("-", "-", model="m.onnx")[0] == 2


def test_one_bad_picture_does_not_stop_the_others(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    for name, color in (("a.png", RED), ("c.png", BLUE)):
        paint(tmp_path / name, color)
    (tmp_path / "b.png").write_bytes(b"no")
    names = ("a.png", "b.png", "c.png")
    code, out, err = run(*names, model=str(model(tmp_path / "m.onnx", SAID)))
    assert code == 1
    assert "a.png" in out
    assert "c.png" in out
    assert "AS521" in err
    assert "b.png" in err
    code, out, _ = run(*names, model="m.onnx", as_json=True)
    document = json.loads(out)
    assert code == 1
    assert [each["file"] for each in document["predictions"]] == ["a.png", "c.png"]
    assert [(each["file"], each["code"]) for each in document["refused"]] == [("b.png", "AS521")]


def test_bad_pictures_alone_are_the_users_mistake(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    model(tmp_path / "m.onnx", SAID)
    with pytest.raises(FileError) as raised:
        run("x.png", "y.png", model="m.onnx")
    assert [each.span.file for each in raised.value.diagnostics] == ["x.png", "y.png"]


def test_json_is_one_document_of_finite_numbers(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    paint(tmp_path / "r.png", RED)
    model(tmp_path / "m.onnx", SAID, scale=3000.0)
    _, out, _ = run("r.png", model="m.onnx", as_json=True)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    document = json.loads(out, parse_constant=refuse)
    assert document["schema_version"] == 1
    assert document["preprocessing"]["size"] == [8, 8]
    assert [guess["index"] for guess in document["predictions"][0]["top"]] == [0, 1, 2]
    assert sum(guess["probability"] for guess in document["predictions"][0]["top"]) == pytest.approx(1)


def test_a_spec_needs_weights_and_a_model_takes_none(
    run: Callable[..., tuple[int, str, str]], trained: tuple[archspec.Architecture, Path], tmp_path: Path
) -> None:
    paint(tmp_path / "r.png", RED)
    model(tmp_path / "m.onnx", SAID)
    code, _, err = run("r.png", model="small.toml")
    assert code == 2
    assert "--weights" in err
    assert run("r.png", model="m.onnx", weights=Path("small.safetensors"))[0] == 2
    for options in (
        {"model": "small.toml", "weights": Path("small.safetensors")},
        {"model": "small.safetensors"},
    ):
        code, out, _ = run("r.png", **options)
        assert code == 0
        assert "red" in out


def test_hostile_labels_cannot_steer_a_terminal(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    labels = ["\x1b[31mred\x07", "a\nb", "\u202egreen" + "x" * 10**5]
    paint(tmp_path / "r.png", RED)
    model(tmp_path / "m.onnx", {**SAID, provenance.LABELS: json.dumps(labels)})
    _, out, _ = run("r.png", model="m.onnx")
    assert set(out) & {"\x1b", "\x07", "\u202e"} == set()
    assert len(out.splitlines()) == 4
    assert len(out) < 5000
