"""Pictures in, classes out: labels, preprocessing, and the command."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from archspec_cli import output
from archspec_cli.commands import predict as command

import archspec
from archspec import provenance
from archspec.deploy.predict import asked_labels, predict, reading
from archspec.deploy.runners import OnnxRunner
from archspec.errors import FileError
from archspec.preprocessing import PRESETS
from tests.cli.running import cli
from tests.cli.test_deploy_commands import LABELS, material, refused, typed
from tests.deploy.test_pictures import BLUE, GREEN, RED, paint
from tests.deploy.test_runners import PLAIN, SAID, model, trained

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.running import Result

    Cli = Callable[..., Result]

__all__ = ["cli", "material", "trained", "typed"]  # the fixtures


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


# the command line


def test_a_picture_a_folder_and_standard_input(typed: Cli) -> None:
    result = typed("predict", "pics/0.png", "-m", "net.onnx", "--top", "3")
    assert (result.code, result.err) == (0, "")
    name, *guesses = result.out.splitlines()
    assert name == "pics/0.png"
    assert len(guesses) == 3
    assert all(guess.split()[0] in LABELS for guess in guesses)
    told = typed("predict", "pics", "-m", "net.onnx", "--json").json
    assert [each["file"] for each in told["predictions"]] == [f"pics/{place}.png" for place in range(3)]
    assert told["predictions"][0]["top"][0]["label"] == guesses[0].split()[0]
    assert told["refused"] == []
    piped = typed("predict", "-", "-m", "net.onnx", "--json", stdin=Path("pics/0.png").read_bytes()).json
    assert piped["predictions"][0]["top"] == told["predictions"][0]["top"]


def test_a_file_weights_and_a_spec_see_the_same(typed: Cli) -> None:
    asked = ("predict", "pics", "--preprocessing", "cifar10", "--labels", "labels.txt", "--json")
    found = [
        typed(*asked, *model).json["predictions"]
        for model in (["-m", "net.onnx"], ["-m", "w.safetensors"], ["-m", "good.toml", "-w", "w.safetensors"])
    ]
    for other in found[1:]:
        for mine, theirs in zip(found[0], other, strict=True):
            assert [each["label"] for each in mine["top"]] == [each["label"] for each in theirs["top"]]
            ours, others = ([each["probability"] for each in top["top"]] for top in (mine, theirs))
            assert ours == pytest.approx(others, rel=1e-4)


def test_a_broken_picture_among_good_ones_is_a_finding(typed: Cli) -> None:
    result = typed("predict", "pics", "broken.png", "none.png", "-m", "net.onnx").harmless()
    assert result.code == 1
    assert all(f"pics/{place}.png\n" in result.out for place in range(3))
    assert result.err.startswith("error[AS521]")
    told = typed("predict", "pics", "broken.png", "none.png", "-m", "net.onnx", "--json")
    assert told.code == 1
    assert [each["file"] for each in told.json["refused"]] == ["broken.png", "none.png"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["broken.png", "-m", "net.onnx"], "AS521"),
        (["none.png", "-m", "net.onnx"], "AS521"),
        (["a\n\x1b[31m.png", "-m", "net.onnx"], "AS521"),
        (["empty", "-m", "net.onnx"], "without pictures"),
        (["", "-m", "net.onnx"], "no such file"),
        (["pics", "-m", "b\udcff.onnx"], "not UTF-8"),
        (["pics", "-m", "odd.onnx"], "not UTF-8"),
        (["-", "-m", "net.onnx"], "the file is empty"),
        (["-", "-", "-m", "net.onnx"], "once"),
        (["pics", "-m", "none.onnx"], "AS511"),
        (["pics", "-m", "good.toml"], "--weights"),
        (["pics", "-m", "good.toml", "-w", "w.safetensors"], "AS522"),
        (["pics", "-m", "good.toml", "-w", "other.safetensors", "--preprocessing", "none"], "AS506"),
        (["pics", "-m", "net.onnx", "-w", "w.safetensors"], "for a SPEC"),
        (["pics", "-m", "net.onnx", "--labels", "few.txt"], "2 labels for 10 classes"),
        (["pics", "-m", "net.onnx", "--preprocessing", "imagenet.json"], "AS522"),
    ],
    ids=lambda value: ascii(" ".join(value)) if isinstance(value, list) else "",
)
def test_what_cannot_be_predicted_is_a_mistake(typed: Cli, arguments: list[str], said: str) -> None:
    Path("odd.onnx").write_bytes(Path("net.onnx").read_bytes().replace(b'"bilinear"', b'"\xffilinear"'))
    refused(typed("predict", *arguments), said)
    told = typed("predict", *arguments, "--json").harmless()
    assert told.code == 2
    assert told.json["diagnostics"] if told.out else told.err.startswith("error")
