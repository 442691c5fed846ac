"""A spec exported and lifted again is the spec; weights taken from a spec give one with the same tensors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from archspec.backends.onnx.write import Form, write_model
from archspec.lift.onnx_graph import lift_onnx
from archspec.lift.weights import lift_shapes
from archspec.passes.flatten import state
from archspec.provenance import stamp
from tests.conftest import SPECS, architecture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.lift.lifted import Lifted

COUNTER = "num_batches_tracked"
# large files, or networks of minutes: one of each family is enough
SMALL = [
    spec
    for spec in SPECS
    if not any(each in spec for each in ("vgg", "1202", "1001", "wrn", "wide", "152", "101", "resnext"))
]
# what an exported file does not say: momentum of the norms, dropout
EVALUATION = ("specs/beyond/mobilenetv2",)
FAMILIES = [
    spec
    for spec in SPECS
    if any(each in spec for each in ("torchvision/", "specs/resnet", "specs/plain", "specs/vgg", "cifar/"))
]


class _Tensors(dict[str, Any]):
    """Tensors of a spec that cost nothing until they are written."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = shapes

    def __getitem__(self, key: str) -> np.ndarray[Any, Any]:
        return np.full(self.shapes[key], 0.5, np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)


def exported(folder: Path, spec: Architecture, **form: Any) -> Lifted:
    model = write_model(spec, _Tensors(state(spec.graph)), Form(**form), stamp(spec)).model
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return lift_onnx(path)


def short(spec: str) -> str:
    return spec.removeprefix("specs/").removesuffix(".toml")


@pytest.mark.parametrize("spec", SMALL)
def test_an_exported_spec_comes_back(tmp_path: Path, spec: str) -> None:
    own = architecture(spec)
    found = exported(tmp_path, own, fold=False)
    if spec.startswith(EVALUATION):
        assert found.carried == "the same in evaluation"
    else:
        assert found.architecture.hash == own.hash
        assert found.carried == "the same function"
    assert short(spec) in found.known_as
    assert found.exact
    assert found.params == own.measure.total.params


@pytest.mark.parametrize(
    "spec",
    [
        "resnet18", "resnet18-b", "resnet18-c", "plain18", "resnet50", "akamaster/resnet20", "caffe/resnet50",
        "facebook/resnet50-pretrained", "beyond/preact-resnet50", "beyond/se-resnet50", "torchvision/resnet18",
    ],
)  # fmt: skip
def test_a_folded_export_is_known_and_unfolds(tmp_path: Path, spec: str) -> None:
    own = architecture(f"specs/{spec}.toml")
    found = exported(tmp_path, own)
    assert spec in found.known_as
    assert found.carried == "the same in evaluation"
    trained = lift_onnx(tmp_path / "net.onnx", "batch")
    if spec in ("facebook/resnet50-pretrained", "beyond/preact-resnet50"):
        assert trained.text == found.text  # a part of its norms could not be folded: they are there
    elif not spec.startswith("caffe/"):
        assert trained.architecture.hash == own.hash


@pytest.mark.parametrize("opset", [14, 18, 25])
def test_every_opset_of_the_exporter_comes_back(tmp_path: Path, opset: int) -> None:
    own = architecture("specs/akamaster/resnet20.toml")
    assert exported(tmp_path, own, fold=False, opset=opset).architecture.hash == own.hash


def test_what_the_exporter_puts_around_a_network_is_said(tmp_path: Path) -> None:
    from archspec.backends.onnx.write import Normalisation

    by = Normalisation((0.5, 0.5, 0.5), (0.2, 0.2, 0.2), 1)
    own = architecture("specs/cifar/resnet20.toml")
    found = exported(tmp_path, own, fold=False, normalisation=by, softmax=True)
    assert found.architecture.hash == own.hash
    assert [each.outside for each in found.deviations] == [True] * 4


def test_a_file_of_any_size_says_so(tmp_path: Path) -> None:
    own = architecture("specs/torchvision/resnet18.toml")
    found = exported(tmp_path, own, fold=False, dynamic_size=True)
    assert found.architecture.hash == own.hash
    assert [each.field for each in found.ambiguous] == ["input.size"]


def test_a_carried_spec_of_another_function_is_noticed(tmp_path: Path) -> None:
    own, other = architecture("specs/cifar/resnet20.toml"), architecture("specs/akamaster/resnet20.toml")
    model = write_model(own, _Tensors(state(own.graph)), Form(), stamp(other)).model
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert lift_onnx(path).carried == "another function"


def test_a_carried_spec_with_a_false_hash_cannot_be_read(tmp_path: Path) -> None:
    own = architecture("specs/cifar/resnet20.toml")
    said = {**stamp(own), "archspec.function_hash": "0" * 64}
    model = write_model(own, _Tensors(state(own.graph)), Form(), said).model
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    assert lift_onnx(path).carried == "unreadable"


def _told_apart(own: Architecture, found: Lifted) -> set[str]:
    """What a spec says otherwise than the one that was lifted, among what weights cannot tell."""
    from archspec.compare import function_fields

    changes = function_fields(own.declared.resolved(), found.architecture.declared.resolved())
    return {change.name for change in changes}


# a field that differs, and the ambiguity under which it is listed
LISTED = {
    "defaults.stride_on": "defaults.stride_on",
    "defaults.shortcut": "defaults.shortcut",
    "defaults.pad": "defaults.pad",
    "head.layers": "head.layers.0.pool",
    "stem.layers": "stem.layers",
}


@cache
def weights(spec: str) -> tuple[Architecture, Lifted]:
    own = architecture(spec)
    return own, lift_shapes(state(own.graph), f"{spec}.pth")


@pytest.mark.parametrize("spec", FAMILIES)
def test_weights_give_a_spec_of_the_same_tensors(spec: str) -> None:
    own, found = weights(spec)
    assert state(found.architecture.graph) == state(own.graph)
    assert found.params == own.measure.total.params


@pytest.mark.parametrize("spec", FAMILIES)
def test_where_weights_mislead_the_field_is_listed(spec: str) -> None:
    own, found = weights(spec)
    if found.architecture.hash == own.hash:
        assert short(spec) in found.known_as
        return
    fields = {each.field for each in found.ambiguous}
    told = {LISTED[name] for name in _told_apart(own, found) if name in LISTED}
    assert told, "the functions differ, but no field that weights cannot tell does"
    assert told <= fields


def test_what_is_usual_is_assumed() -> None:
    usual = [
        "torchvision/resnet18",
        "torchvision/resnet50",
        "torchvision/vgg16",
        "resnet18",
        "resnet34-c",
        "cifar/resnet56",
    ]
    for spec in usual:
        own, found = weights(f"specs/{spec}.toml")
        assert found.architecture.hash == own.hash, spec
