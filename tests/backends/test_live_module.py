"""A live module behaves as any other: compile, export, copy, pickle, data-parallel, meta."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import pytest
import torch
import torch.distributed as dist
from torch import nn

import archspec
from tests.backends.conftest import images
from tests.conftest import architecture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = [
    "specs/cifar/resnet20.toml",
    "specs/cifar/plain20.toml",
    "specs/resnet50.toml",
    "specs/beyond/se-resnet50.toml",
    "specs/beyond/mobilenetv2.toml",
]


@pytest.fixture(params=KINDS)
def spec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _module(spec: str) -> nn.Module:
    torch.manual_seed(0)
    return archspec.build(architecture(spec)).eval()


def test_compiles_as_one_graph(spec: str) -> None:
    module, batch = _module(spec), images(architecture(spec))
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(batch), module(batch))


def test_exports_with_a_dynamic_batch(spec: str) -> None:
    module, batch = _module(spec), images(architecture(spec))
    dynamic = ({0: torch.export.Dim("batch", min=2)},)
    exported = torch.export.export(module, (batch,), dynamic_shapes=dynamic).module()
    three = images(architecture(spec), 3)
    with torch.no_grad():
        assert torch.equal(exported(three), module(three))


def test_copies_and_pickles(spec: str) -> None:
    module, batch = _module(spec), images(architecture(spec))
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        with torch.no_grad():
            assert torch.equal(twin(batch), module(batch))
        assert repr(twin) == repr(module)


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_trains_data_parallel() -> None:
    module = archspec.build("specs/cifar/resnet20.toml")
    alone = copy.deepcopy(module)
    parallel = nn.parallel.DistributedDataParallel(module)
    batch = images(architecture("specs/cifar/resnet20.toml"))
    parallel(batch).square().sum().backward()
    alone(batch).square().sum().backward()
    for ours, theirs in zip(module.parameters(), alone.parameters(), strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert torch.equal(ours.grad, theirs.grad)


def test_a_meta_build_can_be_filled_later() -> None:
    with torch.device("meta"):
        module = archspec.build("specs/cifar/resnet20.toml")
    module.to_empty(device="cpu")
    torch.manual_seed(0)
    module.init_weights()  # type: ignore[operator]
    expected = _module("specs/cifar/resnet20.toml").state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in module.state_dict().items())


def test_zero_initialised_residuals_start_as_the_identity() -> None:
    declared = archspec.load("specs/cifar/resnet20.toml", settings=["init.zero_last_norm=true"])
    module = archspec.build(declared)
    assert torch.count_nonzero(module.get_parameter("layer1.0.bn2.weight")) == 0
    assert torch.count_nonzero(module.get_parameter("layer1.0.bn1.weight")) == 16
    x = torch.rand(2, 16, 8, 8)
    assert torch.equal(module.get_submodule("layer1.0")(x), x)


def test_representation_names_the_blocks() -> None:
    text = repr(archspec.build("specs/resnet18.toml"))
    assert text.startswith("resnet18(")
    assert "basic(" in text


def test_half_precision_and_channels_last_run() -> None:
    module = _module("specs/cifar/resnet20.toml").to(torch.bfloat16, memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = images(architecture("specs/cifar/resnet20.toml")).to(
        torch.bfloat16, memory_format=torch.channels_last
    )
    assert module(batch).dtype == torch.bfloat16
