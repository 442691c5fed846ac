"""BN over all processes is BN over the whole batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from archspec.train.parallel import synchronised
from tests.train.running import in_ranks

if TYPE_CHECKING:
    from archspec.train.topology import Topology

SHARES = {"even": (3, 3), "uneven": (4, 1), "nothing for the first": (0, 5), "nothing for the second": (2, 0)}


class Seen(NamedTuple):
    output: Tensor
    images: Tensor
    weight: Tensor
    bias: Tensor
    mean: Tensor
    variance: Tensor
    count: Tensor


def norm(dtype: torch.dtype, momentum: float | None) -> nn.Module:
    torch.manual_seed(0)
    made = nn.BatchNorm2d(4, momentum=momentum, dtype=dtype)
    nn.init.normal_(made.weight)
    nn.init.normal_(made.bias)
    return nn.Sequential(made)


def images(count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(count)
    shape = (count, 4, 3, 5)
    return torch.randn(shape, generator=draw, dtype=dtype) * 3 + 20, torch.randn(
        shape, generator=draw, dtype=dtype
    )


def passed(network: nn.Module, here: Tensor, towards: Tensor) -> Seen:
    """Two steps, since the second one's running statistics depend on the momentum."""
    network(here.detach() * 2)
    here = here.clone().requires_grad_()
    output = network(here)
    output.backward(towards)
    layer = network[0]
    assert here.grad is not None
    grads = layer.weight.grad, layer.bias.grad
    return Seen(
        output.detach(), here.grad, *grads, layer.running_mean, layer.running_var, layer.num_batches_tracked
    )


def in_parts(topology: Topology, dtype: torch.dtype, momentum: float | None) -> dict[str, Seen]:
    found = {}
    for name, shares in SHARES.items():
        network = synchronised(norm(dtype, momentum), torch.device("cpu"))
        assert type(network[0]) is not nn.BatchNorm2d
        parts = [each.split(shares)[topology.rank] for each in images(sum(shares), dtype)]
        found[name] = passed(network, *parts)
    return found


@pytest.mark.parametrize("momentum", [0.1, None])
def test_it_is_the_norm_of_the_whole_batch(momentum: float | None) -> None:
    ranks = in_ranks(2, in_parts, torch.float64, momentum)
    for name, shares in SHARES.items():
        whole = passed(norm(torch.float64, momentum), *images(sum(shares), torch.float64))
        first, second = (rank[name] for rank in ranks)
        joined = Seen(
            torch.cat([first.output, second.output]),
            torch.cat([first.images, second.images]),
            first.weight + second.weight,
            first.bias + second.bias,
            *first[4:],
        )
        for field, ours, theirs in zip(Seen._fields, joined, whole, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11, msg=f"{name}: {field}")
        assert torch.equal(first.mean, second.mean)
        assert torch.equal(first.variance, second.variance)


def in_half_precision(topology: Topology, dtype: torch.dtype) -> Tensor:
    """Of 70,000 pixels: more than fp16 counts, and no number that bf16 has."""
    network = synchronised(nn.Sequential(nn.BatchNorm2d(1)), torch.device("cpu"))
    here = torch.randn(1, 1, 350, 100 if topology.first else 101, generator=torch.Generator().manual_seed(3))
    out: Tensor = network(here.to(dtype))
    return torch.stack(
        [out.float().mean(), out.float().std(), network[0].running_mean[0] * 10, network[0].running_var[0]]
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_single(dtype: torch.dtype) -> None:
    for seen in in_ranks(2, in_half_precision, dtype):
        assert torch.allclose(seen, torch.tensor([0.0, 1.0, 0.0, 1.0]), atol=0.01)


def test_a_test_takes_the_running_statistics() -> None:
    plain, network = norm(torch.float64, 0.1), synchronised(norm(torch.float64, 0.1), torch.device("cpu"))
    here, _ = images(5, torch.float64)
    assert torch.equal(plain.eval()(here), network.eval()(here))
    assert list(plain.state_dict()) == list(network.state_dict())
