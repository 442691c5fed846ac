"""Weights against a spec: what fits, what does not, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import archspec
from archspec.errors import FileError
from archspec.passes.flatten import state
from archspec.provenance import FUNCTION, SPEC, stamp
from archspec.weights.files import read_weights, write_weights
from archspec.weights.match import casts, classes, matched
from tests.weights.making import read, small, state_of

if TYPE_CHECKING:
    from pathlib import Path


def said(tmp_path: Path, change: dict[str, Any], *gone: str) -> list[tuple[str, str]]:
    """What is said of a small network's weights with some of them changed."""
    architecture = small(tmp_path)
    content = {key: each for key, each in {**state_of(architecture), **change}.items() if key not in gone}
    with pytest.raises(FileError) as caught:
        matched(architecture, read(tmp_path / "a.pth", content))
    return [(each.code, each.message) for each in caught.value.diagnostics]


def test_a_networks_own_weights_fit_in_the_order_of_its_state(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    content = state_of(architecture)
    tensors = matched(architecture, read(tmp_path / "a.pth", dict(reversed(content.items()))))
    assert list(tensors) == list(state(architecture.graph)) == list(content)
    archspec.build(architecture).load_state_dict({key: torch.tensor(each) for key, each in tensors.items()})
    for key, tensor in content.items():
        assert np.array_equal(tensors[key], tensor.numpy())


def test_counters_of_steps_may_be_missing(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    content = {key: each for key, each in state_of(architecture).items() if "num_batches" not in key}
    tensors = matched(architecture, read(tmp_path / "a.pth", content))
    assert tensors["bn1.num_batches_tracked"] == 0
    assert tensors["bn1.num_batches_tracked"].dtype == np.int64
    assert list(tensors) == list(state(architecture.graph))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_floating_point_types_become_float32(tmp_path: Path, dtype: str) -> None:
    architecture = small(tmp_path)
    content = {
        key: each.to(getattr(torch, dtype)) if each.is_floating_point() else each
        for key, each in state_of(architecture).items()
    }
    weights = read(tmp_path / "a.pth", content)
    tensors = matched(architecture, weights)
    assert {tensors[key].dtype.name for key in tensors if "num_b" not in key} == {"float32"}
    assert np.array_equal(tensors["fc.weight"], content["fc.weight"].float().numpy())
    assert casts(weights) == {dtype: len([key for key in tensors if "num_b" not in key])}


def test_everything_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    found = said(
        tmp_path,
        {"fc.weight": torch.ones(4, 8), "fc.bias": torch.ones(3, dtype=torch.int64), "extra": torch.ones(1)},
        "conv1.weight",
    )
    assert found == [
        ("AS503", "1 tensor is missing: conv1.weight"),
        ("AS503", "1 tensor is not in the spec: extra"),
        ("AS504", "fc.weight is 4x8, the spec says 3x8"),
        ("AS505", "fc.bias is int64, not a floating-point type"),
    ]


@pytest.mark.parametrize(
    ("key", "tensor", "why"),
    [
        ("fc.bias", torch.tensor([1.0, float("nan"), float("inf")]), "2 of 3 values that are not finite"),
        (
            "fc.bias",
            torch.tensor([1.0, 1e300, 0.0], dtype=torch.float64),
            "1 of 3 values that are not finite",
        ),
        ("bn1.running_var", torch.tensor([1.0, -1.0, 1.0, 1.0]), "negative variances"),
        ("fc.bias", torch.ones(3, dtype=torch.complex64), "complex64, not a floating-point type"),
        ("fc.bias", torch.ones(3).to(torch.float8_e5m2), "float8_e5m2, not a floating-point type"),
    ],
)
def test_values_that_no_network_can_use_are_refused(
    tmp_path: Path, key: str, tensor: torch.Tensor, why: str
) -> None:
    found = said(tmp_path, {key: tensor})
    assert [code for code, _ in found] == ["AS505"]
    assert key in found[0][1]
    assert why in found[0][1]


def test_what_is_said_is_bounded(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    content = {f"{key}{'x' * 1000}": torch.ones(1) for key in state_of(architecture)} | {
        key: torch.ones(1, 2, 3) for key in state(architecture.graph)
    }
    with pytest.raises(FileError) as caught:
        matched(architecture, read(tmp_path / "a.pth", content))
    assert len(caught.value.diagnostics) < 40
    assert all(len(each.message) < 1500 for each in caught.value.diagnostics)


def test_weights_of_another_function_are_refused_though_they_load(tmp_path: Path) -> None:
    ours, theirs = small(tmp_path, "defaults.pad=both"), small(tmp_path)
    tensors = matched(theirs, read(tmp_path / "a.pth", state_of(theirs)))
    write_weights(tmp_path / "a.safetensors", tensors, stamp(theirs))
    weights = read_weights(tmp_path / "a.safetensors")
    assert len(matched(theirs, weights)) == len(tensors)
    with pytest.raises(FileError) as caught:
        matched(ours, weights)
    assert [each.code for each in caught.value.diagnostics] == ["AS506", "AS506"]
    assert 'defaults.pad: the file says "end", the spec "both"' in str(caught.value)


def test_weights_that_say_their_function_but_not_their_spec_are_refused_too(tmp_path: Path) -> None:
    ours, theirs = small(tmp_path, "defaults.pad=both"), small(tmp_path)
    tensors = matched(theirs, read(tmp_path / "a.pth", state_of(theirs)))
    write_weights(tmp_path / "a.safetensors", tensors, {FUNCTION: theirs.hash})
    with pytest.raises(FileError, match="AS506") as caught:
        matched(ours, read_weights(tmp_path / "a.safetensors"))
    assert "does not carry its spec" in caught.value.diagnostics[0].hint


def test_a_parameter_alone_tells_two_networks_apart(tmp_path: Path) -> None:
    ours, theirs = (archspec.load("cifar/resnet20", {"n": n}) for n in (1, 2))
    tensors = {key: np.ones(shape, np.float32) for key, shape in state(theirs.graph).items()}
    write_weights(tmp_path / "a.safetensors", tensors, stamp(theirs))
    with pytest.raises(FileError, match=r"AS506 parameters\.n: the file says 2, the spec 1"):
        matched(ours, read_weights(tmp_path / "a.safetensors"))


def test_a_spec_that_does_not_go_with_its_hash_is_refused(tmp_path: Path) -> None:
    ours, theirs = small(tmp_path, "defaults.pad=both"), small(tmp_path)
    tensors = matched(theirs, read(tmp_path / "a.pth", state_of(theirs)))
    write_weights(tmp_path / "a.safetensors", tensors, {**stamp(theirs), SPEC: stamp(ours)[SPEC]})
    with pytest.raises(FileError, match="AS507"):
        matched(ours, read_weights(tmp_path / "a.safetensors"))


@pytest.mark.parametrize(("spec", "number"), [("resnet50", 1000), ("cifar/resnet20", 10), ("vgg16", 1000)])
def test_classes_are_the_outputs_of_the_last_layer(spec: str, number: int) -> None:
    assert classes(archspec.load(spec)) == number
