"""Files that nobody vouches for: each ends in a spec or in a diagnostic, and opens nothing but itself."""

from __future__ import annotations

import builtins
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from archspec.errors import FileError
from archspec.lift.files import lift_file
from archspec.lift.onnx_graph import lift_onnx
from tests.lift.graphs import Graph, small

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnx import ModelProto


def outcome(path: Path) -> tuple[str, str]:
    """A diagnostic's code and message; "fine" for a spec."""
    try:
        lift_onnx(path)
    except FileError as error:
        (found,) = error.diagnostics
        assert len(found.message) < 1000
        return found.code, found.message
    return "fine", ""


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(content)
    return path


def model() -> ModelProto:
    graph = Graph()
    return graph.model(small(graph))


SMALL = Graph(shape=(1, 3, 8, 8))
BYTES = SMALL.model(small(SMALL)).SerializeToString()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 64,
        b"<!doctype html>",
        b"format = 1\nname = 'net'\n",
        b"\x08\x08",
        b"\x80\x02}q\x00.",
        b"PK\x03\x04",
    ],
)
def test_what_is_no_model_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    assert outcome(saved(tmp_path, content))[0] == "AS511"


def test_folders_pipes_and_files_that_are_not_there(tmp_path: Path) -> None:
    assert outcome(tmp_path)[0] == "AS511"
    assert outcome(tmp_path / "none.onnx") == ("AS511", "the file cannot be read: No such file or directory")
    os.mkfifo(tmp_path / "pipe")
    assert outcome(tmp_path / "pipe") == ("AS511", "this is not a regular file")


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_short(tmp_path: Path, share: float) -> None:
    assert outcome(saved(tmp_path, BYTES[: int(len(BYTES) * share)]))[0] in ("AS511", "AS512")


def _cycle(found: ModelProto) -> None:
    found.graph.node[1].input[0] = found.graph.node[5].output[0]


def _missing(found: ModelProto) -> None:
    found.graph.node[4].input[0] = "nowhere"


def _twice(found: ModelProto) -> None:
    found.graph.node[3].output[0] = found.graph.node[2].output[0]


def _giant(found: ModelProto) -> None:
    tensor = found.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.dims[:] = [2**40, 2**40, 3, 3]


def _negative(found: ModelProto) -> None:
    found.graph.initializer[0].dims[0] = -16


def _large(found: ModelProto) -> None:
    tensor = found.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.dims[:] = [2**30, 3, 3, 3]


def _image(found: ModelProto) -> None:
    found.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**40


def _flat_image(found: ModelProto) -> None:
    del found.graph.input[0].type.tensor_type.shape.dim[2:]


def _no_input(found: ModelProto) -> None:
    del found.graph.input[:]


def _branches(found: ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    found.graph.node[1].CopyFrom(
        helper.make_node(
            "If", ["x"], [found.graph.node[1].output[0]], "if", then_branch=inner, else_branch=inner
        )
    )


def _foreign(found: ModelProto) -> None:
    found.graph.node[2].domain = "com.microsoft"


def _functions(found: ModelProto) -> None:
    found.functions.add(name="Relu", domain="")


def _old(found: ModelProto) -> None:
    found.opset_import[0].version = 6


def _new(found: ModelProto) -> None:
    found.opset_import[0].version = 2**40


def _ancient(found: ModelProto) -> None:
    found.ir_version = 2


def _sparse(found: ModelProto) -> None:
    found.graph.sparse_initializer.add()


def _attribute(found: ModelProto) -> None:
    found.graph.node[0].attribute[0].CopyFrom(helper.make_attribute("strides", "two"))


def _window(found: ModelProto) -> None:
    for each in found.graph.node[0].attribute:
        if each.name == "strides":
            each.ints[:] = [0, 0]


def _pads(found: ModelProto) -> None:
    for each in found.graph.node[0].attribute:
        if each.name == "pads":
            each.ints[:] = [2**62] * 4


def _nan(found: ModelProto) -> None:
    found.graph.node[1].attribute.append(helper.make_attribute("epsilon", float("nan")))


def _training(found: ModelProto) -> None:
    found.graph.node[1].attribute.append(helper.make_attribute("training_mode", 1))


BROKEN: dict[str, tuple[Callable[[ModelProto], None], str]] = {
    "a node that takes what comes later": (_cycle, "which nothing before it gives"),
    "an input from nowhere": (_missing, '"nowhere"'),
    "a value given twice": (_twice, "there already"),
    "a tensor past all memory": (_giant, "shape"),
    "a tensor of negative sides": (_negative, "shape"),
    "more channels than a spec has": (_large, "out of range"),
    "an image of a trillion rows": (_image, "shape"),
    "an image of two dimensions": (_flat_image, "2 dimensions"),
    "no image": (_no_input, "0 inputs"),
    "branches": (_branches, "kind that is not read"),
    "an operator of another domain": (_foreign, "com.microsoft"),
    "operators of its own": (_functions, "Relu"),
    "an old opset": (_old, "opset 6"),
    "an opset of the far future": (_new, "are known"),
    "an ancient IR": (_ancient, "IR version 2"),
    "sparse tensors": (_sparse, "sparse"),
    "an attribute of another kind": (_attribute, "strides"),
    "a stride of nothing": (_window, "stride of [0, 0]"),
    "pads past all memory": (_pads, "out of range"),
    "eps that is no number": (_nan, "out of range"),
    "normalisation in training": (_training, "by the batch"),
}


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_graph_is_refused_by_name(tmp_path: Path, way: str) -> None:
    breaks, says = BROKEN[way]
    found = model()
    breaks(found)
    code, message = outcome(saved(tmp_path, found.SerializeToString()))
    assert code == "AS512"
    assert says in message


@pytest.mark.parametrize("place", ["../../etc/passwd", "/etc/passwd", "weights.bin"])
def test_tensors_in_other_files_stay_there(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shapes are enough for a lift; numbers that decide something are refused, and nothing is opened."""
    found = model()
    for tensor in found.graph.initializer:
        if len(tensor.dims) == 4:
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=place)
    path = saved(tmp_path, found.SerializeToString())
    lift_onnx(path)
    opened: list[str] = []
    real_open, real_os_open = builtins.open, os.open

    def watched(file: Any, *arguments: Any, **said: Any) -> Any:
        opened.append(str(file))
        return real_open(file, *arguments, **said)

    def os_watched(file: Any, *arguments: Any, **said: Any) -> Any:
        opened.append(str(file))
        return real_os_open(file, *arguments, **said)

    monkeypatch.setattr(builtins, "open", watched)
    monkeypatch.setattr(os, "open", os_watched)
    assert outcome(path)[0] == "fine"
    monkeypatch.undo()
    assert not [each for each in opened if "passwd" in each or "weights.bin" in each]


def test_pads_in_another_file_are_refused(tmp_path: Path) -> None:
    graph = Graph()
    pads = graph.ints(0, 0, 1, 1, 0, 0, 1, 1)
    x = graph.node("Conv", graph.node("Pad", "x", pads), graph.tensor(16, 3, 3, 3))
    found = graph.model(graph.head(graph.node("Relu", x), 16))
    tensor = next(each for each in found.graph.initializer if each.name == pads)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    code, message = outcome(saved(tmp_path, found.SerializeToString()))
    assert (code, "is not opened" in message) == ("AS512", True)


def test_a_fork_in_a_fork_in_a_fork_ends(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.unit("x", 3, 16)
    values = [x]
    for _ in range(2000):
        values.append(graph.conv(values[-1], 16, 16))
    total = values.pop()
    while values:
        total = graph.node("Add", total, values.pop())
    assert outcome(graph.save(tmp_path, graph.head(total, 16)))[0] == "AS512"


def test_a_chain_of_thousands_ends(tmp_path: Path) -> None:
    graph = Graph(shape=("batch", 3, 8, 8))
    x = "x"
    for place in range(3000):
        x = graph.node("Relu", graph.conv(x, 16 if place else 3, 16, 1, bias=True))
    assert outcome(graph.save(tmp_path, graph.head(x, 16)))[0] in ("fine", "AS512")


def test_names_cannot_steer_a_terminal_or_write_a_spec(tmp_path: Path) -> None:
    graph = Graph()
    output = small(graph)
    graph.nodes[2].name = '\x1b[31m"\nname = "evil'
    x = graph.node("Softmax", output)
    graph.nodes[-1].name = '\x1b[31m"\n[head]\n'
    path = tmp_path / 'ev"il\n[x].onnx'
    path.write_bytes(graph.model(x).SerializeToString())
    found = lift_onnx(path)
    assert set(found.text) <= {chr(code) for code in range(32, 127)} | {"\n"}
    assert found.architecture.name == "ev-il-x"


def test_metadata_is_only_compared(tmp_path: Path) -> None:
    graph = Graph()
    graph.metadata = {"archspec.spec": 'extends = "/etc/passwd"'}
    assert lift_onnx(graph.save(tmp_path, small(graph))).carried == "unreadable"


def test_weights_are_not_read_as_a_model(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"PK\x03\x04" + b"\x00" * 60)
    with pytest.raises(FileError) as error:
        lift_file(tmp_path / "net.onnx")
    assert error.value.diagnostics[0].code.startswith("AS50")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flipped")


@settings(max_examples=250)
@given(flips=st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), min_size=1, max_size=6))
@example(flips=[(0, 255)])
def test_flipped_bytes_end_in_a_spec_or_a_diagnostic(folder: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray(BYTES)
    for place, value in flips:
        content[place] = value
    assert outcome(saved(folder, bytes(content)))[0] in ("fine", "AS511", "AS512")


# most of a file is weights: here nearly every byte says what the graph is
_LEAN = Graph(shape=(1, 3, 8, 8))


def _lean() -> bytes:
    graph = _LEAN
    graph.tensor = lambda *shape, fill=0.0: graph.node(  # type: ignore[method-assign]
        "ConstantOfShape", graph.ints(*shape), value=helper.make_tensor("v", 1, [1], [fill])
    )
    x = graph.block(graph.unit("x", 3, 4), 4, 4)
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    x = graph.block(x, 4, 8, 2, graph.padded(graph.halved(x), 0, 4))
    x = graph.node("Clip", x, graph.hold(0.0, np.float32), graph.hold(6.0, np.float32))
    flat = graph.node("Reshape", graph.node("ReduceMean", x, axes=[2, 3]), graph.ints(0, -1))
    return graph.model(graph.node("Gemm", flat, graph.tensor(10, 8), transB=1)).SerializeToString()


LEAN = _lean()


def test_the_lean_graph_is_fine(tmp_path: Path) -> None:
    assert outcome(saved(tmp_path, LEAN)) == ("fine", "")


@settings(max_examples=600)
@given(flips=st.lists(st.tuples(st.integers(0, len(LEAN) - 1), st.integers(0, 255)), min_size=1, max_size=3))
def test_flipped_bytes_of_a_lean_graph(folder: Path, flips: list[tuple[int, int]]) -> None:
    content = bytearray(LEAN)
    for place, value in flips:
        content[place] = value
    assert outcome(saved(folder, bytes(content)))[0] in ("fine", "AS511", "AS512")


_NUMBERS = st.sampled_from([-(2**63), -(2**31), -4, -1, 0, 1, 2, 3, 5, 32, 2**31, 2**63 - 1])


@settings(max_examples=300)
@given(st.data())
def test_changed_settings_of_a_lean_graph(folder: Path, data: st.DataObject) -> None:
    """Files that are well-formed, but say nonsense: lists of any length, sizes of any sign, edges that go anywhere."""
    found = onnx.ModelProto.FromString(LEAN)
    names = [name for node in found.graph.node for name in node.output] + ["", "x"]
    for _ in range(data.draw(st.integers(1, 3))):
        node = data.draw(st.sampled_from(list(found.graph.node)))
        attributes = [each for each in node.attribute if each.ints or each.HasField("i")]
        if attributes and data.draw(st.booleans()):
            each = data.draw(st.sampled_from(attributes))
            each.i = data.draw(_NUMBERS)
            if each.ints:
                each.ints[:] = data.draw(st.lists(_NUMBERS, max_size=5))
        elif data.draw(st.booleans()):
            tensor = data.draw(st.sampled_from(list(found.graph.initializer)))
            count = len(tensor.raw_data) // 8
            numbers = data.draw(st.lists(_NUMBERS, min_size=count, max_size=count))
            tensor.raw_data = np.array(numbers, np.int64).tobytes()[: len(tensor.raw_data)]
        elif node.input:
            place = data.draw(st.integers(0, len(node.input) - 1))
            node.input[place] = data.draw(st.sampled_from(names))
    assert outcome(saved(folder, found.SerializeToString()))[0] in ("fine", "AS511", "AS512")
