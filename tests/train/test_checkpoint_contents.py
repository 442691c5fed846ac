"""What a checkpoint holds comes back, to the bit."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import archspec
from archspec.provenance import stamp
from archspec.train.checkpoint import Snapshot, newest, save
from archspec.train.stored import FILES, MANIFEST, MODEL, STATE
from archspec.weights.files import read_weights
from archspec.weights.match import matched
from archspec.weights.verify import verify_weights
from tests.train.checkpoints import FEW, assert_same, loaded, same, snapshot, steps
from tests.weights.making import small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1), nn.Flatten(), nn.Linear(5 * 16, 2))
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def trained(module: nn.Module, optimizer: torch.optim.Optimizer, count: int = 3) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        images = torch.randn(2, 3, 6, 6).to(memory_format=torch.channels_last)
        module(images).square().mean().backward()
        optimizer.step()


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, weight_decay=1e-4),
    "fused": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, fused=True),
    "nesterov": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, 1e-3, amsgrad=True),
    "tensor-lr": lambda parameters: torch.optim.Adam(parameters, torch.tensor(1e-3)),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, 1e-3, fused=True),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, 1e-3, momentum=0.9, centered=True),
    "lbfgs": torch.optim.LBFGS,
}


@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize("kind", [each for each in OPTIMIZERS if each != "lbfgs"])
def test_training_goes_on_to_the_same_bits(tmp_path: Path, kind: str, count: int) -> None:
    first = network()
    optimizer = OPTIMIZERS[kind](first.parameters())
    trained(first, optimizer, count)
    extra = {"rng": torch.get_rng_state(), "ema.0.weight": first[0].weight.detach() * 0.9}
    before = Snapshot(count, first.state_dict(), optimizer.state_dict(), extra, {})
    save(tmp_path, before, {})
    after = loaded(tmp_path)
    assert_same(before, after)

    second = network()
    other = OPTIMIZERS[kind](second.parameters())
    second.load_state_dict(after.model)
    other.load_state_dict(after.optimizer)
    torch.set_rng_state(extra["rng"])
    trained(first, optimizer)
    torch.set_rng_state(after.extra["rng"])
    trained(second, other)
    assert same(first.state_dict(), second.state_dict())
    assert same(optimizer.state_dict(), other.state_dict())


def test_an_optimizer_that_keeps_lists_and_nothing_comes_back(tmp_path: Path) -> None:
    module = network().to(memory_format=torch.contiguous_format)
    optimizer = OPTIMIZERS["lbfgs"](module.parameters())
    torch.manual_seed(0)
    images = torch.randn(2, 3, 6, 6)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = module(images).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    before = Snapshot(1, {}, optimizer.state_dict(), {}, {})
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3, 4, 5)])
def test_tensors_of_every_type_and_shape_come_back(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    tensor = (torch.randn(shape) * 3).to(getattr(torch, dtype))
    before = Snapshot(0, {"a": tensor}, {"state": {0: {"x": tensor}}}, {"a": tensor}, {})
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


def odd_layouts() -> Iterator[tuple[str, Tensor]]:
    base = torch.randn(2, 3, 4, 5)
    yield "channels last", base.to(memory_format=torch.channels_last)
    yield "turned", base.permute(3, 0, 2, 1)
    yield "a column", torch.randn(4, 1, 3, 1).to(memory_format=torch.channels_last)
    yield "bfloat16", base.bfloat16().to(memory_format=torch.channels_last)
    yield "1x1", torch.randn(4, 3, 1, 1).to(memory_format=torch.channels_last)
    yield "three dimensions", torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("tensor", [pytest.param(each, id=name) for name, each in odd_layouts()])
def test_tensors_lie_in_memory_as_they_did(tmp_path: Path, tensor: Tensor) -> None:
    before = Snapshot(0, {"a": tensor}, {"x": [tensor]}, {"a": tensor}, {"y": tensor})
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


def test_views_with_holes_and_repeats_come_back_by_their_values(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    model = {"part": base[:, 1:3], "again": base[:1].expand(5, 6), "grad": base.clone().requires_grad_()}
    save(tmp_path, Snapshot(0, model, {}, {}, {}), {})
    after = loaded(tmp_path).model
    assert all(torch.equal(model[key], after[key]) for key in model)


def test_bits_that_are_no_numbers_stay(tmp_path: Path) -> None:
    bits = torch.tensor([0x7FC00001, 0x7F800001, -0x80000000, -0x800000, 1], dtype=torch.int32)
    before = Snapshot(0, {"a": bits.view(torch.float32)}, {}, {"a": bits.view(torch.float32)}, {})
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


KEYS = st.text(max_size=4) | st.sampled_from(
    ["$tensor", "$tuple", "$dict", "$float", "$", "a.b", "a", "__metadata__"]
)
TENSORS = st.sampled_from([torch.tensor(1.5), torch.zeros(0), torch.ones(2, 3).t(), torch.arange(3)])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            KEYS | st.integers() | st.none() | st.tuples(st.integers(), st.booleans()), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@FEW
@given(optimizer=st.dictionaries(KEYS, VALUES, max_size=4), state=st.dictionaries(KEYS, VALUES, max_size=4))
def test_whatever_is_nested_comes_back(
    tmp_path: Path, optimizer: dict[str, Any], state: dict[str, Any]
) -> None:
    shutil.rmtree(tmp_path)
    before = Snapshot(7, {"a": torch.ones(1)}, optimizer, {}, state)
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


def test_paths_that_read_alike_do_not_collide(tmp_path: Path) -> None:
    state = {"a.b": torch.tensor(1), "a": {"b": torch.tensor(2)}}
    before = Snapshot(0, {}, {}, {"a.b": torch.tensor(3)}, state)
    save(tmp_path, before, {})
    assert_same(before, loaded(tmp_path))


@pytest.mark.parametrize(
    "state", [{"a": {1, 2}}, {"a": [object()]}, {"a": torch.zeros(1, dtype=torch.complex64)}]
)
def test_what_cannot_be_stored_is_named_and_nothing_is_left(tmp_path: Path, state: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"state\.a"):
        save(tmp_path, Snapshot(0, {}, {}, {}, state), {})
    assert steps(tmp_path) == []


def test_state_is_readable_and_strict_json(tmp_path: Path) -> None:
    path = save(tmp_path, snapshot(5, best=-math.inf, drops=(1, 2)), {})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    tree = json.loads((path / STATE).read_text(), parse_constant=refuse)
    assert tree["state"] == {"seed": 3, "best": {"$float": "-inf"}, "drops": {"$tuple": [1, 2]}}
    assert loaded(tmp_path).state == {"seed": 3, "best": -math.inf, "drops": (1, 2)}


def test_no_pickle_is_written(tmp_path: Path) -> None:
    path = save(tmp_path, snapshot(5), {})
    assert steps(path) == sorted([*FILES, MANIFEST])
    assert all((path / name).read_bytes()[:2] not in (b"PK", b"\x80\x02") for name in FILES)


def test_the_model_is_a_weights_file_like_any_other(tmp_path: Path) -> None:
    architecture = small(tmp_path)
    module = archspec.build(architecture)
    path = save(tmp_path / "run", Snapshot(1, module.state_dict(), {}, {}, {}), stamp(architecture))
    assert all(check.ok for check in verify_weights(path / MODEL))
    assert set(matched(architecture, read_weights(path / MODEL))) == set(module.state_dict())
    found = newest(tmp_path / "run")
    assert found is not None
    assert found[1].stamp.items() >= stamp(architecture).items()
