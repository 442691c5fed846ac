"""The ONNX backend: the nodes it writes compute what torch's module computes, and say what they are."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from archspec import SpecError
from archspec.backends.onnx.store import store
from archspec.backends.onnx.write import DEFAULT_OPSET, OPSETS, Form, Normalisation, write_model
from archspec.deploy.proof import Limit, Subject, compare, shaken
from archspec.errors import FileError
from archspec.ir import ops
from archspec.passes.flatten import flatten, state
from tests.conftest import SPECS, architecture
from tests.strategies import Table, load, specs

if TYPE_CHECKING:
    from archspec.architecture import Architecture

# a network that fails is shown as it is: shrinking one would build it for minutes
few = settings(
    max_examples=80,
    phases=[Phase.explicit, Phase.generate],
)
# writing a hundred megabytes of ones shows nothing that thirty do not
LIGHT = [spec for spec in SPECS if architecture(spec).measure.total.params < 3e7]
NET: Table = {
    "format": 1,
    "name": "net",
    "input": {"size": [11, 14]},
    "stem": {"layers": [{"conv": 3, "out": 8}]},
    "head": {"layers": [{"pool": "average"}, {"linear": 5}]},
}


def net(*layers: Table, **more: Any) -> Architecture:
    """A small network with some layers in the middle."""
    return load({**NET, "stem": {"layers": [{"conv": 3, "out": 8}, *layers]}, **more})


def worst(spec: Architecture, form: Form) -> float:
    """The largest relative error of a written file, over the batches of a proof, with random weights."""
    tensors = shaken(spec)
    made = write_model(spec, tensors, form, {})
    onnx.checker.check_model(made.model, full_check=True)
    cases = compare(Subject(spec, tensors, form), made.model.SerializeToString(), "random", Limit(1e-5))
    return max(0.0 if case.within(Limit(1e-5)) else case.relative for case in cases)


@cache
def written(spec: str, form: Form = Form()) -> onnx.ModelProto:  # noqa: B008 - frozen
    one = architecture(spec)
    zeros = {key: np.ones(shape, np.float32) for key, shape in state(one.graph).items()}
    return write_model(one, zeros, form, {}).model


@few
@given(specs(), st.sampled_from((OPSETS[0], 18, DEFAULT_OPSET, OPSETS[-1])), st.booleans())
def test_random_networks_compute_the_same_in_every_opset(spec: Table, opset: int, fold: bool) -> None:
    try:
        one = load(spec)
    except SpecError:
        assume(False)
        raise
    assert worst(one, Form(opset=opset, fold=fold)) < 1e-4


@pytest.mark.parametrize("rounding", ["floor", "ceil"])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize(("size", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_pools_round_as_torch_does(kind: str, size: int, stride: int, padding: int, rounding: str) -> None:
    pool = {"pool": kind, "size": size, "stride": stride, "padding": padding, "rounding": rounding}
    assert worst(net(pool), Form()) < 1e-5


@pytest.mark.parametrize("output", [1, 2, 3, 7, 11, 14])
def test_adaptive_pools_of_any_size(output: int) -> None:
    assert worst(net({"pool": "average", "output": output}), Form()) < 1e-5


@pytest.mark.parametrize("opset", [14, 18, 20])
@pytest.mark.parametrize("kind", ["batch", "layer", "group", "instance", "rms", "frn"])
def test_normalisations_at_any_size(kind: str, opset: int) -> None:
    one = net({"conv": 3, "out": 8}, norm={"kind": kind, "groups": 4})
    assert worst(one, Form(opset=opset, dynamic_size=True)) < 1e-5


@pytest.mark.parametrize("pad", ["end", "both"])
@pytest.mark.parametrize("subsample", ["stride", "average"])
def test_option_a_pads_and_halves(pad: str, subsample: str) -> None:
    defaults = {"block": "basic", "shortcut": "A", "pad": pad, "subsample": subsample}
    stages = [{"name": "a", "width": 8}, {"name": "b", "width": 20, "stride": 2}]
    one = load({**NET, "input": {"size": [12, 16]}, "defaults": defaults, "stages": stages})
    assert worst(one, Form(dynamic_size=True)) < 1e-5


def test_half_precision_is_near() -> None:
    assert worst(net({"conv": 3, "out": 8}), Form(precision="fp16")) < 2e-2


def test_half_precision_refuses_what_it_cannot_hold() -> None:
    one = net()
    tensors = shaken(one)
    tensors["conv1.weight"][0, 0, 0, 0] = 1e6
    with pytest.raises(FileError, match=r"AS514 conv1\.weight holds values that float16 cannot"):
        write_model(one, tensors, Form(precision="fp16"), {})


def test_softmax_and_normalisation_inside() -> None:
    by = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3), 1)
    assert worst(net(), Form(softmax=True, normalisation=by)) < 1e-5
    assert (
        worst(net(), Form(dynamic_size=True, normalisation=Normalisation((9, 8, 7), (60, 61, 62), 255)))
        < 1e-5
    )


@pytest.mark.parametrize(
    "spec", ["specs/vgg16.toml", "specs/torchvision/vgg16.toml", "specs/caffe/resnet50.toml"]
)
def test_a_head_of_one_size_refuses_a_dynamic_size(spec: str) -> None:
    with pytest.raises(FileError, match="AS514"):
        write_model(architecture(spec), {}, Form(dynamic_size=True), {})


@pytest.mark.parametrize("opset", [13, 26])
def test_an_unknown_opset_is_refused(opset: int) -> None:
    with pytest.raises(FileError, match="AS514 opset"):
        written("specs/cifar/resnet20.toml", Form(opset=opset))


@pytest.mark.parametrize("spec", LIGHT)
def test_tensors_carry_their_keys_and_nodes_their_paths(spec: str) -> None:
    one, model = architecture(spec), written(spec)
    paths = {step.path for step in flatten(one.graph)}
    keys = state(one.graph)
    sized = [each.name for each in model.graph.initializer if len(each.dims) in (2, 4)]
    assert sized
    for name in sized:
        assert name in keys or name.rpartition(".")[0] in paths
    for node in model.graph.node:
        assert node.name in paths or node.name.rpartition(".")[0] in paths
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


@pytest.mark.parametrize("spec", LIGHT)
def test_a_norm_after_a_convolution_is_folded_or_kept(spec: str) -> None:
    flat = flatten(architecture(spec).graph)
    batch = sum(isinstance(step.op, ops.BatchNorm2d) for step in flat)
    uses = Counter(place for step in flat for place in step.inputs)
    behind = sum(
        isinstance(step.op, ops.BatchNorm2d)
        and isinstance(flat[step.inputs[0]].op, ops.Conv2d)
        and uses[step.inputs[0]] == 1
        for step in flat
    )
    kinds = [node.op_type for node in written(spec).graph.node]
    kept = [node.op_type for node in written(spec, Form(fold=False)).graph.node]
    assert kinds.count("BatchNormalization") == batch - behind
    assert kept.count("BatchNormalization") == batch


def test_resnet50_has_122_nodes() -> None:
    assert len(written("specs/resnet50.toml").graph.node) == 122


def test_writing_needs_no_torch(tmp_path: Path) -> None:
    program = """
import sys
import numpy as np
import archspec
from pathlib import Path
from archspec.deploy.export import Order, export
from archspec.passes.flatten import state
from archspec.weights.files import read_weights, write_weights
from archspec.weights.match import matched
one = archspec.load("cifar/resnet20")
tensors = {key: np.ones(shape, np.float32) for key, shape in state(one.graph).items()}
write_weights(Path("w.safetensors"), tensors, {})
export(one, matched(one, read_weights(Path("w.safetensors"))), Path("m.onnx"), Order(prove=False))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert (tmp_path / "m.onnx").stat().st_size > 10**6


@pytest.mark.parametrize(
    "spec", ["specs/cifar/resnet20.toml", "specs/resnet50.toml", "specs/beyond/se-resnet50.toml"]
)
def test_what_is_stored_is_what_protobuf_would_write(spec: str) -> None:
    stream = io.BytesIO()
    store(written(spec), stream)
    assert stream.getvalue() == written(spec).SerializeToString(deterministic=True)


def test_any_model_is_stored_as_protobuf_would_write_it() -> None:
    model = onnx.load(Path(onnx.__file__).parent / "backend/test/data/light/light_resnet50.onnx")
    stream = io.BytesIO()
    store(model, stream)
    assert stream.getvalue() == model.SerializeToString(deterministic=True)
