"""What is printed is what runs: for every spec, live and printed module agree key by key and bit by bit."""

from __future__ import annotations

import pytest
import torch

import archspec
from tests.backends.conftest import gradients, images, printed
from tests.conftest import SPECS, architecture


@pytest.mark.parametrize("spec", SPECS)
def test_printed_and_live_networks_are_one_function(spec: str) -> None:
    declared = architecture(spec)
    torch.manual_seed(7)
    live = archspec.build(declared)
    after_live = torch.rand(1)
    torch.manual_seed(7)
    twin = printed(declared)
    after_twin = torch.rand(1)

    ours, theirs = live.state_dict(), twin.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours), "one seed gives one network"
    assert torch.equal(after_live, after_twin), "both leave the generator in one state"
    live.load_state_dict(theirs, strict=True)
    twin.load_state_dict(ours, strict=True)

    batch = images(declared)
    torch.manual_seed(3)
    one = live.train()(batch)
    torch.manual_seed(3)
    other = twin.train()(batch)
    assert torch.isfinite(one).all()
    assert _same_bits(one, other)
    pairs = zip(gradients(live, batch), gradients(twin, batch), strict=True)
    assert all(_same_bits(left, right) for left, right in pairs)


def _same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Equality of bits: the gradients of a plain net of 1202 layers are not numbers, and equal all the same."""
    return torch.equal(left.view(torch.int32), right.view(torch.int32))


@pytest.mark.parametrize("spec", SPECS)
def test_parameters_are_torchs_own_count(spec: str) -> None:
    declared = architecture(spec)
    with torch.device("meta"):
        module = archspec.build(declared)
    assert sum(parameter.numel() for parameter in module.parameters()) == declared.measure.total.params
    assert all(parameter.is_meta for parameter in module.parameters())
    buffers = sum(buffer.numel() for buffer in module.buffers() if buffer.dim())
    assert buffers == declared.measure.total.buffers
