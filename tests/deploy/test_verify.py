"""Whether a file is still what it says it is: what was changed is found, what was not is recognised."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

import archspec
from archspec import provenance
from archspec.backends.onnx.write import Form
from archspec.deploy.export import FORM, GRAPH, PRECISION, Order, export, graph_digest
from archspec.deploy.proof import initial
from archspec.deploy.verify import verify_model
from archspec.errors import FileError
from archspec.preprocessing import PRESETS
from archspec.weights.files import read_weights, write_weights
from tests.cli.running import GOOD, cli
from tests.cli.test_deploy_commands import material, refused, typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.architecture import Architecture
    from archspec.weights.verify import Check
    from tests.cli.running import Result

    Cli = Callable[..., Result]

__all__ = ["cli", "material", "typed"]  # the fixtures


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Architecture:
    path = tmp_path_factory.mktemp("spec") / "good.toml"
    path.write_text(GOOD)
    return archspec.load(path)


@pytest.fixture
def model(material: Path, tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    path.write_bytes((material / "net.onnx").read_bytes())
    return path


def failing(checks: list[Check]) -> list[str]:
    assert checks
    assert all(check.detail for check in checks)
    return [check.name for check in checks if not check.ok]


@pytest.mark.parametrize(
    "order",
    [
        Order(),
        Order(form=Form(opset=14, fold=False)),
        Order(form=Form(softmax=True, dynamic_size=True)),
        Order(precision="fp16"),
        Order(external=True),
        Order(preprocessing=PRESETS["cifar10"].model_copy(update={"layout": "NHWC", "in_graph": True})),
        Order(precision="int8", calibration=(np.ones((2, 3, 32, 32), np.float32),)),
    ],
    ids=["plain", "unfolded", "dynamic", "half", "external", "bytes", "int8"],
)
def test_every_form_is_recognised_with_its_weights(order: Order, good: Architecture, tmp_path: Path) -> None:
    tensors = initial(good)
    sha256 = write_weights(tmp_path / "w.safetensors", tensors, {})
    export(good, tensors, tmp_path / "m.onnx", replace(order, prove=False, weights_sha256=sha256))
    checks = verify_model(tmp_path / "m.onnx", read_weights(tmp_path / "w.safetensors"))
    assert failing(checks) == []
    assert [check.name for check in checks][:4] == ["spec", "digest", "graph", "weights"]


def changed(path: Path, change: Callable[[onnx.ModelProto], object], *, sign: bool = False) -> Path:
    """A file with a change, and with a new digest if the one who made it was careful."""
    sound = onnx.load(path)
    change(sound)
    if sign:
        _say(sound, GRAPH, graph_digest(sound))
    path.write_bytes(sound.SerializeToString())
    return path


def _say(sound: onnx.ModelProto, key: str, value: str) -> None:
    for each in sound.metadata_props:
        if each.key == key:
            each.value = value
            return
    sound.metadata_props.add(key=key, value=value)


def _relu(sound: onnx.ModelProto) -> None:
    node = next(each for each in sound.graph.node if each.op_type == "Relu")
    node.op_type = "Sigmoid"


def _pads(sound: onnx.ModelProto) -> None:
    node = next(each for each in sound.graph.node if each.op_type == "Conv")
    pads = next(each for each in node.attribute if each.name == "pads")
    pads.ints[:] = [0, 0, 2, 2]


def _named(sound: onnx.ModelProto) -> None:
    sound.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"


def _wider(sound: onnx.ModelProto) -> None:
    sound.graph.initializer.add(name="extra", data_type=1, dims=[1], raw_data=bytes(4))


def _opset(sound: onnx.ModelProto) -> None:
    sound.opset_import[0].version = 19


def _function(sound: onnx.ModelProto) -> None:
    node = onnx.helper.make_node("Sigmoid", ["x"], ["y"])
    sound.functions.append(
        onnx.helper.make_function("other", "Relu", ["x"], ["y"], [node], [onnx.helper.make_opsetid("", 20)])
    )
    sound.opset_import.append(onnx.helper.make_opsetid("other", 1))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (_opset, "operator sets"),
        (_function, "operator sets"),
        (_relu, "nodes"),
        (_pads, "nodes"),
        (_named, "outputs"),
        (_wider, "tensors"),
    ],
)
def test_a_graph_is_held_against_its_spec_whatever_its_digest_says(
    change: Callable[[onnx.ModelProto], None], part: str, model: Path
) -> None:
    checks = verify_model(changed(model, change, sign=True))
    assert failing(checks) == ["graph"]
    assert f"its {part} are not those" in checks[-1].detail
    if change in (_opset, _function):
        return
    assert failing(verify_model(changed(model, lambda sound: _say(sound, GRAPH, "0" * 64)))) == [
        "digest",
        "graph",
    ]


def test_a_careful_change_of_a_tensor_is_found_with_the_weights(model: Path, material: Path) -> None:
    def shifted(sound: onnx.ModelProto) -> None:
        tensor = next(each for each in sound.graph.initializer if each.name == "fc.bias")
        tensor.raw_data = (np.frombuffer(tensor.raw_data, np.float32) + np.float32(1)).tobytes()

    changed(model, shifted, sign=True)
    assert failing(verify_model(model)) == []
    assert failing(verify_model(model, read_weights(material / "w.safetensors"))) == ["tensors"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (provenance.FUNCTION, "0" * 64),
        (provenance.SPEC, "format = 1\n"),
        (provenance.SPEC, 'extends = "resnet50"\n'),
        (provenance.SPEC, "[" * 50_000),
        (provenance.SPEC, "x" * 10**6),
    ],
)
def test_a_spec_of_another_function_is_found(key: str, value: str, model: Path) -> None:
    checks = verify_model(changed(model, lambda sound: _say(sound, key, value[:])))
    assert failing(checks) == ["spec"]
    assert len(checks[0].detail) < 1000


@pytest.mark.parametrize(
    "form",
    [
        "",
        "{",
        "[]",
        '{"opset": 1000000}',
        '{"opset": "20"}',
        '{"softmax": true}',
        '{"surprise": 1}',
        '{"opset": 15}',
        '{"normalisation": {"a": 1}}',
        '{"normalisation": [[1], [2]]}',
        "null",
        "5",
        "[" * 50_000,
    ],
)
def test_a_form_that_was_not_written_is_found(form: str, model: Path, material: Path) -> None:
    checks = verify_model(changed(model, lambda sound: _say(sound, FORM, form)))
    assert failing(checks) == ["graph"]
    assert failing(verify_model(model, read_weights(material / "w.safetensors"))) == ["graph"]


@pytest.mark.parametrize("word", [b"archspec.labels", b'"bilinear"', b"basic"])
def test_metadata_that_is_no_text_is_refused(word: bytes, model: Path) -> None:
    content = model.read_bytes()
    assert word in content
    model.write_bytes(content.replace(word, b"\xff" + word[1:], 1))
    with pytest.raises(FileError, match="AS511"):
        verify_model(model)


def test_int8_says_that_its_nodes_were_not_compared(model: Path) -> None:
    checks = verify_model(changed(model, lambda sound: _say(sound, PRECISION, "int8")))
    assert "not compared" in {check.name: check.detail for check in checks}["graph"]


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.9, 0.999])
def test_a_cut_file_is_refused(share: float, model: Path) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileError, match="AS5"):
        verify_model(model)


def test_a_file_whose_second_file_is_gone_or_elsewhere_is_refused(good: Architecture, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "m.onnx"
    export(good, initial(good), path, Order(external=True, prove=False))
    data = path.with_name("m.onnx.data")
    data.rename(tmp_path / "m.onnx.data")
    with pytest.raises(FileError, match="AS511"):
        verify_model(path)
    sound = onnx.load(path, load_external_data=False)
    for tensor in sound.graph.initializer:
        for each in tensor.external_data:
            each.value = "../m.onnx.data" if each.key == "location" else each.value
    path.write_bytes(sound.SerializeToString())
    with pytest.raises(FileError, match="AS511"):
        verify_model(path)


def test_a_second_file_is_replaced_with_the_first(
    good: Architecture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # onnx looks for it in the folder that the program runs in
    for _ in range(2):
        export(good, initial(good), Path("m.onnx"), Order(external=True, prove=False))
    assert failing(verify_model(Path("m.onnx"))) == []


def test_foreign_files_are_sent_to_lift(model: Path) -> None:
    def bare(sound: onnx.ModelProto) -> None:
        del sound.metadata_props[:]

    with pytest.raises(FileError, match=r"AS507 .*carries no spec") as raised:
        verify_model(changed(model, bare))
    assert "archspec lift" in raised.value.diagnostics[0].hint


# the command line


def test_all_three_kinds_are_verified_together(typed: Cli) -> None:
    typed("build", "good.toml", "-o", "good.py")
    files = ["net.onnx", "w.safetensors", "good.py"]
    result = typed("verify", *files)
    assert (result.code, result.err) == (0, "")
    assert all(f"{file}\n" in result.out for file in files)
    assert "FAILS" not in result.out
    told = typed("verify", *files, "--json").json["files"]
    assert [(each["file"], each["ok"]) for each in told] == [(file, True) for file in files]
    assert {check["name"] for each in told for check in each["checks"]} >= {
        "spec",
        "digest",
        "graph",
        "source",
    }


def test_an_onnx_file_is_held_against_its_weights(typed: Cli) -> None:
    assert typed("verify", "net.onnx", "-w", "w.safetensors").code == 0
    good = archspec.load("good.toml")
    write_weights(Path("newer.safetensors"), initial(good, 1), provenance.stamp(good))
    found = typed("verify", "net.onnx", "-w", "newer.safetensors", "--json")
    assert found.code == 1
    failed = [check["name"] for check in found.json["files"][0]["checks"] if not check["ok"]]
    assert failed == ["weights", "tensors"]
    refused(typed("verify", "net.onnx", "-w", "other.safetensors"), "AS506")


def _tensor(path: Path) -> None:
    model = onnx.load(path)
    raw = bytearray(model.graph.initializer[0].raw_data)
    raw[0] ^= 1
    model.graph.initializer[0].raw_data = bytes(raw)
    path.write_bytes(model.SerializeToString())


def _last(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def _word(path: Path) -> None:
    path.write_text(path.read_text().replace("self.relu", "self.rely"))


@pytest.mark.parametrize(
    ("file", "change", "check"),
    [("net.onnx", _tensor, "digest"), ("w.safetensors", _last, "digest"), ("good.py", _word, "source")],
)
def test_what_was_changed_is_a_finding(
    typed: Cli, file: str, change: Callable[[Path], None], check: str
) -> None:
    typed("build", "good.toml", "-o", "good.py")
    change(Path(file))
    result = typed("verify", "other.safetensors", file)
    assert (result.code, result.err) == (1, "")
    assert "FAILS" in result.out
    sound, changed = typed("verify", "other.safetensors", file, "--json").json["files"]
    assert (sound["ok"], changed["ok"]) == (True, False)
    assert [each["name"] for each in changed["checks"] if not each["ok"]] == [check]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("none.onnx", "is not a file"),
        ("pics", "is not a file"),
        ("good.toml", "archspec check good.toml"),
        ("broken.png", "AS511"),
        ("half.safetensors", "AS501"),
        ("a\n\x1b[31m", "is not a file"),
    ],
    ids=ascii,
)
def test_what_cannot_be_verified_is_a_mistake(typed: Cli, file: str, said: str) -> None:
    refused(typed("verify", file), said)
    told = typed("verify", file, "--json").harmless()
    assert told.code == 2
    assert told.json["diagnostics"] if told.out else told.err.startswith("error")
