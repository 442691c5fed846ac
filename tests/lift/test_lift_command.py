"""The command: the spec to stdout or to a file, the remarks to stderr, one JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from archspec_cli.commands.lift import run

import archspec
from archspec.errors import FileError
from archspec.passes.flatten import state
from archspec.provenance import stamp
from archspec.weights.files import write_weights
from tests.conftest import architecture
from tests.lift.graphs import SMALL, Graph, small

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    graph = Graph()
    return graph.save(tmp_path, graph.node("Softmax", small(graph)))


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    own = architecture("specs/akamaster/resnet20.toml")
    tensors = {key: np.zeros(shape, np.float32) for key, shape in state(own.graph).items()}
    path = tmp_path / "net.safetensors"
    write_weights(path, tensors, stamp(own))
    return path


def test_the_spec_goes_to_stdout_and_remarks_to_stderr(
    onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(onnx_file)
    said = capsys.readouterr()
    (tmp_path / "spec.toml").write_text(said.out)
    (tmp_path / "small.toml").write_text(SMALL)
    assert archspec.load(tmp_path / "spec.toml").hash == archspec.load(tmp_path / "small.toml").hash
    assert "no shipped spec computes the same" in said.err
    assert "Softmax on the output" in said.err


def test_a_file_is_written_whole(onnx_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out" / "spec.toml"
    run(onnx_file, output)
    assert capsys.readouterr().out == ""
    assert archspec.load(output).name == "net"
    assert list(output.parent.iterdir()) == [output]


def test_nothing_is_written_for_a_file_that_cannot_be_lifted(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"bad")
    with pytest.raises(FileError):
        run(tmp_path / "bad.onnx", tmp_path / "spec.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


def test_one_json_document(onnx_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(onnx_file, as_json=True)
    said = capsys.readouterr()
    document: dict[str, Any] = json.loads(said.out)
    assert said.err == ""
    assert document["schema_version"] == 1
    assert document["exact"] is True
    assert document["known_as"] == []
    assert document["carried"] == ""
    assert document["deviations"][0]["what"].startswith("Softmax")
    assert document["spec"].startswith("# ")
    assert len(document["hash"]) == 64


def test_weights_are_told_by_content_and_say_what_they_carry(
    weights_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    renamed = weights_file.rename(weights_file.with_suffix(".onnx"))
    run(renamed)
    said = capsys.readouterr()
    assert "warning: the spec that the file carries computes another function" in said.err
    assert "defaults.pad = end (or both)" in said.err
    assert 'shortcut = "A"' in said.out


def test_other_key_styles_are_renamed_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = state(architecture("specs/resnet18-b.toml").graph)
    theirs = {
        "module." + key.replace("downsample", "shortcut").replace("fc.", "linear."): np.zeros(
            shape, np.float32
        )
        for key, shape in own.items()
    }
    path = tmp_path / "net.safetensors"
    write_weights(path, theirs, {})
    run(path)
    said = capsys.readouterr()
    assert "akamaster/pytorch_resnet_cifar10's keys" in said.err
    assert "module." in said.err
    assert "computes the same as resnet18-b and torchvision/resnet18" in said.err


@pytest.mark.parametrize("arguments", [{"norm": "group"}, {"file": "-"}, {"output": "."}])
def test_usage_mistakes_end_with_2(onnx_file: Path, tmp_path: Path, arguments: dict[str, Any]) -> None:
    if "output" in arguments:
        arguments = {"output": tmp_path}
    with pytest.raises(SystemExit) as ended:
        run(**{"file": onnx_file, **arguments})
    assert ended.value.code == 2


def test_the_file_itself_is_not_overwritten(onnx_file: Path) -> None:
    content = onnx_file.read_bytes()
    with pytest.raises(SystemExit):
        run(onnx_file, onnx_file)
    assert onnx_file.read_bytes() == content


def test_norms_of_weights_are_not_assumed(weights_file: Path) -> None:
    with pytest.raises(FileError, match="say themselves"):
        run(weights_file, norm="batch")


def test_lifting_loads_no_torch(onnx_file: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from archspec.lift.files import lift_file; from pathlib import Path\n"
        f"lift_file(Path({str(onnx_file)!r}))\n"
        "assert not {'torch', 'torchvision', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
