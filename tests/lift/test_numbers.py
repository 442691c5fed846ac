"""The last witness: a lifted spec with the file's own weights gives what onnxruntime gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import archspec
from archspec.lift.canonical import Numbered, canonical
from archspec.lift.onnx_file import checked
from archspec.lift.onnx_graph import _image, _whole, lift_onnx
from archspec.lift.onnx_nodes import Reader
from archspec.lift.onnx_rules import RULES
from archspec.lift.onnx_values import Value
from archspec.passes.flatten import flatten
from tests.lift.graphs import Graph, keras
from tests.lift.test_foreign_models import nsfw

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture

__all__ = ["nsfw"]


def places(path: Path, architecture: Architecture) -> dict[str, str]:
    """The path in the spec of every node of the file, by what both compute."""
    model = onnx.load(path)
    image = _image(model)
    reader = Reader(model, image.shape, checked(model))
    reader.values[image.name] = Value(-1, image.shape, "last" if image.last else "first")
    reader.run(RULES)
    register = Numbered()
    file = canonical(_whole(reader), image.shape)
    own = canonical(flatten(architecture.graph), architecture.input_shape)
    known = dict(zip(register.numbers(own), (step.path for step in own.steps), strict=True))
    assert len(known) == len(own.steps)
    return {step.path: known[number] for number, step in zip(register.numbers(file), file.steps, strict=True)}


def weights(path: Path, architecture: Architecture) -> dict[str, torch.Tensor]:
    """The file's tensors by the spec's keys: convolutions and a MatMul with the Add behind it."""
    graph = onnx.load(path).graph
    held: dict[str, Any] = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    biases = {
        node.input[0]: held[node.input[1]]
        for node in graph.node
        if node.op_type == "Add" and node.input[1] in held
    }
    found: dict[str, torch.Tensor] = {}
    for name, at in places(path, architecture).items():
        node = next(each for each in graph.node if each.name == name)
        if node.op_type not in ("Conv", "MatMul"):
            continue
        weight = held[node.input[1]]
        bias = held[node.input[2]] if len(node.input) > 2 else biases[node.output[0]]
        found[f"{at}.weight"] = torch.tensor(weight.T if node.op_type == "MatMul" else weight)
        found[f"{at}.bias"] = torch.tensor(bias.reshape(-1))
    return found


def agree(path: Path, shape: tuple[int, ...]) -> float:
    """The largest difference between onnxruntime and the lifted spec, which ends before the file's softmax."""
    architecture = lift_onnx(path).architecture
    module = archspec.build(architecture, init=False).eval()
    module.load_state_dict(weights(path, architecture), strict=True)
    image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: image})
    with torch.inference_mode():
        logits = module(torch.tensor(image.transpose(0, 3, 1, 2)))
    return float(np.abs(logits.softmax(1).numpy() - expected).max())


def test_open_nsfw_and_its_lifted_spec_give_the_same(nsfw: Path) -> None:
    assert agree(nsfw, (2, 224, 224, 3)) < 1e-5


def test_a_graph_of_keras_and_its_lifted_spec_give_the_same(tmp_path: Path) -> None:
    graph = Graph(shape=("batch", 64, 64, 3))
    random = np.random.default_rng(1)
    graph.tensor = lambda *shape, fill=0.1: graph.hold(  # type: ignore[method-assign]
        random.standard_normal(shape, dtype=np.float32) * 0.2
    )
    path = graph.save(tmp_path, keras(graph))
    assert agree(path, (3, 64, 64, 3)) < 1e-5


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "spec", ["akamaster/resnet20", "torchvision/resnet18", "facebook/resnet18-pretrained"]
)
def test_what_torchs_own_tracing_writes_is_known(tmp_path: Path, spec: str) -> None:
    architecture = archspec.load(spec)
    module = archspec.build(architecture).eval()
    path = tmp_path / "traced.onnx"
    image = torch.zeros(1, *architecture.input_shape)
    torch.onnx.export(
        module, (image,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}}
    )
    assert spec in lift_onnx(path).known_as


@pytest.mark.parametrize("opset", [7, 21])
def test_graphs_by_hand_are_valid_onnx(tmp_path: Path, opset: int) -> None:
    """What the other tests lift has to be what a runtime would take."""
    from tests.lift.graphs import small

    graph = Graph(opset)
    onnx.checker.check_model(graph.model(small(graph)), full_check=True)
