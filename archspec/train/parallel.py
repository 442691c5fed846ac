"""One network on several devices: DDP, or FSDP2, which keeps a part of each tensor on each; and BN over all of them.

Checkpoints hold whole tensors, so that one written by any number of processes is read by any other.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

Parallel = Literal["ddp", "fsdp"]


class _Summed(torch.autograd.Function):
    """A sum over all processes, through which gradients flow back, summed too."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _summed(value: Tensor) -> Tensor:
    return cast("Tensor", _Summed.apply(value))


class SynchronisedNorm(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes, on devices that torch's SyncBatchNorm does not know.

    (N, C, H, W); N may differ between processes.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Statistics of all images in training, the running ones in a test."""
        if not self.training:
            return super().forward(input)
        # half precision has room for the values, and none for their sums
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        sums = _summed(torch.cat([wide.sum((0, 2, 3)), wide.new_tensor([input.numel() // input.shape[1]])]))
        n = sums[-1].detach()
        mean = sums[:-1] / n
        centred = wide - mean[:, None, None]
        variance = _summed(centred.square().sum((0, 2, 3))) / n
        self._remember(mean.detach(), variance.detach() * n / (n - 1))
        scaled: Tensor = centred * (variance + self.eps).rsqrt()[:, None, None]
        if self.affine:
            scaled = scaled * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """The running statistics, as `BatchNorm2d` keeps them."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / int(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with statistics over all processes: torch's own layer on a GPU. Keys stay what they were."""
    if device.type == "cuda":
        return cast("nn.Module", nn.SyncBatchNorm.convert_sync_batchnorm(network))  # type: ignore[no-untyped-call]
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _synchronised(child))
    return network


def _synchronised(norm: nn.BatchNorm2d) -> SynchronisedNorm:
    made = SynchronisedNorm(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats, device="meta"
    )
    made._parameters, made._buffers = norm._parameters, norm._buffers
    return made


def sharded(network: nn.Module, device: torch.device, ranks: int) -> nn.Module:
    """The network with a part of each of its tensors here, gathered stage by stage when it computes (FSDP2)."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (ranks,))
    for stage in network.children():
        if any(True for _ in stage.parameters()):
            fully_shard(stage, mesh=mesh)
    fully_shard(network, mesh=mesh)
    return network


def replicated(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy of the network on each device, gradients averaged (DDP). All go on from the first one's statistics."""
    from torch.nn.parallel import DistributedDataParallel

    own = [device] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=own, gradient_as_bucket_view=True)


def unsummed(forward: Callable[[Tensor], Tensor]) -> AbstractContextManager[Any]:
    """In which gradients are not exchanged: all parts of a batch but the last have no need of it."""
    return cast("AbstractContextManager[Any]", getattr(forward, "no_sync", nullcontext)())


def whole(value: Any) -> Any:
    """A tree with each tensor whole, wherever its parts are. All ranks have to ask."""
    if isinstance(value, DTensor):
        return value.full_tensor()
    if isinstance(value, dict):
        return {key: whole(each) for key, each in value.items()}
    return [whole(each) for each in value] if isinstance(value, list) else value


@torch.no_grad()
def put(target: Tensor, value: Tensor) -> None:
    """Writes a whole tensor to where its parts are."""
    if isinstance(target, DTensor):
        value = distribute_tensor(value.to(target.device), target.device_mesh, target.placements)
    target.copy_(value)


@torch.no_grad()
def load_state(optimiser: torch.optim.Optimizer, told: dict[str, Any]) -> None:
    """Gives an optimiser the whole tensors of a checkpoint, laid as its parameters lie, in parts or not.

    Fused optimisers go through both side by side and look at no stride, and FSDP's lie row by row. Whether this one
    is fused is its own affair: torch would take over what the checkpoint's was.
    """
    groups = [{**group, "fused": optimiser.defaults["fused"]} for group in told["param_groups"]]
    optimiser.load_state_dict({**told, "param_groups": groups})
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype)
                put(state[name], value)
