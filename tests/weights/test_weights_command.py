"""`archspec weights`: what is said, and what is left where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from archspec_cli import output
from archspec_cli.commands.weights import run_import, run_inspect, run_verify

from archspec.errors import FileError
from archspec.weights.files import read_weights, write_weights
from tests.weights.making import LinearNet, small, state_of, trained, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec and a checkpoint for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output.settings, "quiet", False)
    written(tmp_path / "a.pth", state_of(small(tmp_path)))
    return tmp_path


def test_an_import_says_what_it_did_and_what_it_cannot_know(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_import(folder / "a.pth", "small.toml", folder / "b.safetensors")
    said = capsys.readouterr().out
    for part in (
        "read      a.pth (pth",
        "renamed   nothing",
        "all finite, to small",
        "nothing was run",
        "b.receipt.json",
    ):
        assert part in said
    for part in ("What weights alone cannot tell", "defaults.pad", "end", "both"):
        assert part in said
    run_import(folder / "b.safetensors", "small.toml", folder / "c.safetensors")
    said = capsys.readouterr().out
    assert "the file carries the hash of the spec's own function" in said
    assert "cannot tell" not in said


def test_an_import_is_one_json_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_import(folder / "a.pth", "small.toml", folder / "b.safetensors", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["spec"]["name"] == "small"
    assert json.loads((folder / "b.receipt.json").read_text()).items() <= document.items()
    assert document["matched"]["tensors"] == len(read_weights(folder / "b.safetensors").tensors)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"output": "a.pth"}, "is to be a .safetensors file"),
        ({"output": "folder.safetensors"}, "is a folder"),
        ({"file": "own.safetensors", "output": "own.safetensors"}, "would replace the file"),
        ({"style": "akamster"}, 'did you mean "akamaster"?'),
        ({"against": "torchvision:resnet5"}, 'did you mean "resnet50"?'),
        ({"against": "resnet50"}, "torchvision:NAME or timm:NAME"),
        ({"license_": "x" * 500}, "a line each"),
        ({"license_": "a\nb"}, "a line each"),
    ],
)
def test_slips_end_in_a_message_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], said: str
) -> None:
    (folder / "folder.safetensors").mkdir()
    write_weights(folder / "own.safetensors", {"a": np.ones(1, np.float32)}, {})
    before = {each: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    given = {"file": "a.pth", "output": "b.safetensors", **arguments}
    file, target = folder / given.pop("file"), folder / given.pop("output")
    with pytest.raises(SystemExit) as ended:
        run_import(file, "small.toml", target, **given)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert {each: each.read_bytes() for each in folder.iterdir() if each.is_file()} == before


def test_weights_that_do_not_fit_leave_nothing(folder: Path) -> None:
    with pytest.raises(FileError, match="AS504"):
        run_import(folder / "a.pth", "small.toml", folder / "b.safetensors", changes=["stage.a.width=5"])
    assert not list(folder.glob("b.*"))


def test_renamed_keys_are_counted_and_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder / "aka.th", {"state_dict": trained(LinearNet(3, "A")).state_dict()})
    run_import(folder / "aka.th", "akamaster/resnet20", folder / "b.safetensors")
    assert "2 keys: linear.weight to fc.weight, linear.bias to fc.bias" in capsys.readouterr().out


def test_labels_and_preprocessing_travel_with_the_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "labels.txt").write_text("cat\ndog\nfish\n")
    run_import(
        folder / "a.pth",
        "small.toml",
        folder / "b.safetensors",
        labels=folder / "labels.txt",
        preprocessing="imagenet",
        license_="MIT",
        origin="a friend",
    )
    capsys.readouterr()
    run_inspect(folder / "b.safetensors")
    said = capsys.readouterr().out
    for part in (
        "a friend",
        "MIT",
        "labels, preprocessing",
        "carries small",
        "layer1.0.conv1",
        "weight 4x3x3x3",
    ):
        assert part in said
    run_verify(folder / "b.safetensors")
    said = capsys.readouterr().out
    assert "All 7 checks hold." in said
    assert "3 labels for 3 classes" in said


def test_inspect_names_what_is_not_finite_and_bounds_the_table(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = {
        f"part{place}.weight": np.full(2, np.nan if place == 3 else 1, np.float32) for place in range(50)
    }
    tensors["evil\x1b[31m\u202e.weight"] = np.ones(1, np.float32)
    tensors["long" * 200] = np.ones(1, np.float32)
    write_weights(folder / "b.safetensors", tensors, {})
    run_inspect(folder / "b.safetensors")
    said = capsys.readouterr().out
    assert "no: part3.weight" in said
    assert "no known one" in said
    assert "more layers (--all shows them)" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert max(map(len, said.splitlines())) < 400
    run_inspect(folder / "b.safetensors", everything=True)
    said = capsys.readouterr().out
    assert said.index("part9") < said.index("part10")
    run_inspect(folder / "b.safetensors", as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["not_finite"] == {"part3.weight": 2}
    assert len(document["tensors"]) == 52


def test_inspect_of_a_file_whose_spec_is_broken_still_shows_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = {"archspec.spec": "nonsense [", "archspec.function_hash": "x" * 1000}
    write_weights(folder / "b.safetensors", {"a.weight": np.ones(1, np.float32)}, metadata)
    run_inspect(folder / "b.safetensors")
    assert "the spec that the file carries cannot be used" in capsys.readouterr().out


def test_inspect_says_which_style_fits_a_spec(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(folder / "aka.th", trained(LinearNet(3, "A")).state_dict())
    run_inspect(folder / "aka.th")
    assert "style     akamaster: the file has akamaster" in capsys.readouterr().out
    run_inspect(folder / "aka.th", "akamaster/resnet20")
    assert "akamaster: 97 of 97 tensors" in capsys.readouterr().out


def test_verify_ends_with_findings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_verify(folder / "a.pth", "small.toml", changes=["stage.a.width=5"])
    assert ended.value.code == 1
    assert "shapes  FAILS" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        run_verify(folder / "a.pth", as_json=True)
    assert ended.value.code == 1
    assert [each["ok"] for each in json.loads(capsys.readouterr().out)["checks"]] == [False] * 3
    run_verify(folder / "a.pth", "small.toml")
    assert "All 2 checks hold." in capsys.readouterr().out
    with pytest.raises(FileError):
        run_verify(folder / "missing")
