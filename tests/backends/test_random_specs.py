"""Random specs, built: torch's own shapes and counts are the graph's, and what is printed is what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import Phase, assume, given, settings
from torch import Tensor, nn

import archspec
from archspec import SpecError
from archspec.ir import ops
from archspec.passes.flatten import flatten, parameters
from tests.backends.conftest import printed
from tests.strategies import Table, load, specs

if TYPE_CHECKING:
    from collections.abc import Callable

# a network that fails is shown as it is: shrinking one would build it for minutes
few = settings(
    max_examples=60,
    phases=[Phase.explicit, Phase.generate],
)


def loaded(spec: Table) -> archspec.Architecture:
    """The architecture of a spec that makes sense; others are tried no further."""
    try:
        return load(spec)
    except SpecError:
        assume(False)
        raise


def images(architecture: archspec.Architecture) -> Tensor:
    return torch.randn(3, *architecture.input_shape, generator=torch.Generator().manual_seed(0))


def seeded(module: nn.Module, batch: Tensor) -> Tensor:
    """The output in training, dropout seeded."""
    torch.manual_seed(3)
    made: Tensor = module.train()(batch)
    return made


@few
@given(specs())
def test_the_module_has_the_graphs_shapes_and_parameters(spec: Table) -> None:
    architecture = loaded(spec)
    module = archspec.build(architecture)
    trained = {name: tuple(value.shape) for name, value in module.named_parameters()}
    assert trained == parameters(architecture.graph)
    assert list(trained) == list(parameters(architecture.graph)), "in the order of the graph"
    total = architecture.measure.total
    assert sum(value.numel() for value in module.parameters()) == total.params
    assert sum(value.numel() for value in module.buffers() if value.dim()) == total.buffers
    batch = images(architecture)
    for mode in (True, False):
        assert module.train(mode)(batch).shape == (3, *architecture.measure.output)
    assert executed(module, batch) == drawn(architecture)


def executed(module: nn.Module, batch: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """The layers with weights that really run, in order, with the shapes that come out."""
    found: list[tuple[str, tuple[int, ...]]] = []

    def hook(layer: nn.Module, _: Any, made: Tensor) -> None:
        found.append((type(layer).__name__, tuple(made.shape[1:])))

    layers = [each for each in module.modules() if isinstance(each, (nn.Conv2d, nn.Linear))]
    handles = [each.register_forward_hook(hook) for each in layers]
    module(batch)
    for handle in handles:
        handle.remove()
    return found


def drawn(architecture: archspec.Architecture) -> list[tuple[str, tuple[int, ...]]]:
    """The layers with weights of the graph, in order, with the shapes that it says."""
    shapes: list[tuple[int, ...]] = []
    found = []
    for each in flatten(architecture.graph):
        inputs = [architecture.input_shape if place < 0 else shapes[place] for place in each.inputs]
        shapes.append(each.op.shape(*inputs))
        if isinstance(each.op, (ops.Conv2d, ops.Linear)):
            found.append((type(each.op).__name__, shapes[-1]))
    return found


@few
@given(specs())
def test_printed_and_live_networks_are_one_function(spec: Table) -> None:
    architecture = loaded(spec)
    torch.manual_seed(7)
    live = archspec.build(architecture)
    after_live = torch.rand(1)
    torch.manual_seed(7)
    twin = printed(architecture)
    after_twin = torch.rand(1)
    ours, theirs = live.state_dict(), twin.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours), "one seed gives one network"
    assert torch.equal(after_live, after_twin)
    batch = images(architecture)
    one, other = seeded(live, batch), seeded(twin, batch)
    assert same_bits(one, other)
    assert same_bits(live.eval()(batch), twin.eval()(batch))
    for module in (live, twin):
        module.zero_grad()
        if one.requires_grad:
            seeded(module, batch).square().sum().backward()
    pairs = zip(live.named_parameters(), twin.named_parameters(), strict=True)
    for (name, left), (_, right) in pairs:
        assert (left.grad is None) == (right.grad is None), name
        assert left.grad is None or right.grad is None or same_bits(left.grad, right.grad), name


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Equality of bits, so that what is no number is equal, too."""
    return torch.equal(left.detach().view(torch.int32), right.detach().view(torch.int32))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky-relu": lambda x: F.leaky_relu(x, 0.01),
    "elu": F.elu,
    "silu": F.silu,
    "gelu": F.gelu,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def by_hand(architecture: archspec.Architecture, state: dict[str, Tensor], batch: Tensor) -> Tensor:
    """The network in evaluation, one function of torch after the other: no modules, no names, nothing in place."""
    values: list[Tensor] = []
    for each in flatten(architecture.graph):
        x, *others = [batch if place < 0 else values[place] for place in each.inputs]
        kept = {
            key.rpartition(".")[2]: value for key, value in state.items() if key.startswith(f"{each.path}.")
        }
        values.append(applied(each.op, x, others, kept))
    return values[-1] if values else batch


def applied(op: ops.Op, x: Tensor, others: list[Tensor], kept: dict[str, Tensor]) -> Tensor:
    """One operation, from its definition."""
    weight, bias = kept.get("weight"), kept.get("bias")
    match op:
        case ops.StandardisedConv2d():
            filters = kept["weight"].flatten(1)
            even = [(each - each.mean()) / (each.var(correction=0) + 1e-5).sqrt() for each in filters]
            made = torch.stack(even).view_as(kept["weight"])
            return F.conv2d(x, made, bias, op.stride, op.padding, op.dilation, op.groups)
        case ops.Conv2d():
            return F.conv2d(x, kept["weight"], bias, op.stride, op.padding, op.dilation, op.groups)
        case ops.Linear():
            return F.linear(x, kept["weight"], bias)
        case ops.BatchNorm2d():
            return F.batch_norm(x, kept["running_mean"], kept["running_var"], weight, bias, eps=op.eps)
        case ops.GroupNorm():
            return F.group_norm(x, op.groups, weight, bias, op.eps)
        case ops.InstanceNorm2d():
            return F.instance_norm(x, weight=weight, bias=bias, eps=op.eps)
        case ops.RMSNorm2d():
            return (
                x / (x.square().mean((1, 2, 3), keepdim=True) + op.eps).sqrt() * kept["weight"][:, None, None]
            )
        case ops.FilterResponseNorm2d():
            mean_square = (x**2).sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
            return (
                kept["weight"][:, None, None] * x / (mean_square + op.eps).sqrt()
                + kept["bias"][:, None, None]
            )
        case ops.ThresholdedLinearUnit():
            tau = kept["tau"].reshape(-1, *[1] * (x.dim() - 2)).expand_as(x)
            return torch.where(x > tau, x, tau)
        case ops.Activation():
            return ACTIVATIONS[op.kind](x)
        case ops.MaxPool2d():
            return F.max_pool2d(x, op.kernel_size, op.stride, op.padding, ceil_mode=op.ceil)
        case ops.AvgPool2d():
            return F.avg_pool2d(x, op.kernel_size, op.stride, op.padding, op.ceil)
        case ops.AdaptiveAvgPool2d():
            return F.adaptive_avg_pool2d(x, op.output_size)
        case ops.Flatten():
            return x.reshape(len(x), -1)
        case ops.Add():
            return x + others[0]
        case ops.Multiply():
            return x * others[0]
        case ops.Subsample():
            return x[:, :, :: op.stride, :: op.stride]
        case ops.PadChannels():
            zeros = x.new_zeros(len(x), op.before + op.after, *x.shape[2:])
            return torch.cat([zeros[:, : op.before], x, zeros[:, op.before :]], 1)
    return x  # dropout, in evaluation


def check_by_hand(architecture: archspec.Architecture) -> None:
    torch.manual_seed(7)
    module = archspec.build(architecture).double()
    batch = images(architecture).double()
    with torch.no_grad():
        for value in module.parameters():
            value += 0.1 * torch.randn_like(value)  # so that no norm is without effect
        module.train()(batch)
        made = module.eval()(batch)
        expected = by_hand(architecture, dict(module.state_dict()), batch)
    torch.testing.assert_close(made, expected, equal_nan=True)


@few
@given(specs())
def test_the_module_computes_what_the_graph_says(spec: Table) -> None:
    check_by_hand(loaded(spec))


CONV = {"conv": 3, "out": "width", "stride": "stride"}
BRANCHES: list[list[Table]] = [
    [{"norm": True}, {"act": True}, CONV],
    [{"act": True}, {"norm": True, "act": True}, {"act": True}, CONV],
    [{"conv": 1, "out": "in", "act": False}, {"act": "leaky-relu"}, CONV],
    [{"conv": 1, "out": "in", "norm": False, "act": False}, {"gate": [{"act": True}]}, {"act": True}, CONV],
    [{"gate": [{"act": True}, {"act": "relu6"}]}, {"act": True}, CONV],
    [{"dropout": 0.5}, {"act": True}, {"conv": 1, "out": "in", "order": "pre"}, {**CONV, "order": "pre"}],
]


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("shortcut", ["none", "identity", "A", "B", "C"])
@pytest.mark.parametrize("branch", BRANCHES)
def test_nothing_is_overwritten_that_is_used_again(branch: list[Table], shortcut: str, after: int) -> None:
    """Activations work in place where they may: not where a projection, a gate or a shortcut still looks."""
    spec = {
        "format": 1,
        "name": "net",
        "input": {"channels": 4, "size": [6, 6]},
        "defaults": {"block": "own", "shortcut": shortcut},
        "blocks": {"own": {"layers": branch, "project_after": after}},
        "stages": [{"name": "a", "width": 4, "depth": 2}, {"name": "b", "width": 8, "stride": 2}],
        "head": {"layers": [{"act": True}, {"pool": "average"}, {"linear": 3, "act": True}]},
    }
    check_by_hand(load(spec))


@few
@given(specs())
def test_equal_hashes_compute_equal_numbers(spec: Table) -> None:
    """The resolved spec, whose hash is the same, loads the weights in their order and gives the same bits."""
    architecture = loaded(spec)
    again = load({**architecture.declared.resolved(), "keys": "resnet"})
    if again.hash != architecture.hash:  # sequential keys never hold a gate, and nothing else may differ
        assert spec["keys"] == "sequential"
        return
    one, other = archspec.build(architecture), archspec.build(again)
    with torch.no_grad():
        for mine, yours in zip(one.parameters(), other.parameters(), strict=True):
            yours.copy_(mine)
    batch = images(architecture)
    assert same_bits(seeded(one, batch), seeded(other, batch))
