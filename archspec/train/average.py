"""The network as it is tested: an average of its weights over steps, true averages in place of BN's running ones."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archspec.train.parallel import put, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from archspec.recipes.models import Train
    from archspec.train.topology import Topology

    Images = Callable[[], Iterable[Tensor]]


class Averages:
    """Beside a network. Both averages are off in most recipes; then a network is tested as it is trained.

    With precise BN, statistics are those of some training images under fixed weights (He et al.'s release computes
    them so "after the training procedure"); fvcore's code, after Wu and Johnson 2021, section 3. `batches` are
    those that they are computed from.
    """

    def __init__(self, network: nn.Module, told: Train, topology: Topology, batches: int) -> None:
        self.network, self.told, self.topology, self.batches = network, told, topology, batches
        self.weights = [each.detach().clone() for each in network.parameters()] if told.ema else []
        self._precise: tuple[int, dict[str, Tensor]] | None = None

    @property
    def any(self) -> bool:
        """Whether the tested network is another than the trained one."""
        return bool(self.told.ema or self.told.precise_bn)

    @torch.no_grad()
    def update(self) -> None:
        """After a step."""
        if self.weights:
            torch._foreach_lerp_(self.weights, list(self.network.parameters()), 1 - self.told.ema)

    @contextmanager
    def shown(self, step: int, images: Images) -> Iterator[None]:
        """The network as it is tested, for a while. `images` gives batches (N, C, H, W) to measure."""
        if not self.any:
            yield
            return
        kept = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        try:
            self._show(step, images)
            yield
        finally:
            state = self.network.state_dict()
            with torch.no_grad():
                for name, value in kept.items():
                    state[name].copy_(value)

    @torch.no_grad()
    def _show(self, step: int, images: Images) -> None:
        for parameter, average in zip(self.network.parameters(), self.weights, strict=bool(self.weights)):
            parameter.copy_(average)
        if not self.told.precise_bn:
            return
        if self._precise is None or self._precise[0] != step:
            self._precise = step, self._measured(images)
        state = self.network.state_dict()
        for name, value in self._precise[1].items():
            state[name].copy_(value)

    def _measured(self, images: Images) -> dict[str, Tensor]:
        """The buffers, statistics among them, of the images of all ranks. All ranks have to ask."""
        self.network.eval()  # dropout drops nothing
        norms = [each for each in self.network.modules() if isinstance(each, nn.BatchNorm2d | nn.SyncBatchNorm)]
        sums = [_Moments(norm.num_features, norm.running_var) for norm in norms]
        hooks = [norm.register_forward_pre_hook(each) for norm, each in zip(norms, sums, strict=True)]
        for norm in norms:
            norm.train()
        for batch in islice(images(), self.batches):
            self.network(batch)
        for norm, each, hook in zip(norms, sums, hooks, strict=True):
            hook.remove()
            mean, variance = each.read(self.topology)
            norm.running_mean.copy_(mean)  # in place: others hold on to the buffers
            norm.running_var.copy_(variance)
        return {name: each.clone() for name, each in self.network.named_buffers()}

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint: what the tested network does not tell of the trained one. All ranks have to ask."""
        if not self.any:
            return {}
        trained = {f"trained.{name}": whole(each) for name, each in self.network.state_dict().items()}
        return {**trained, **{f"average.{place}": whole(each) for place, each in enumerate(self.weights)}}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """From a checkpoint."""
        if not self.any:
            return
        for name, target in self.network.state_dict().items():
            put(target, tensors[f"trained.{name}"])
        for place, average in enumerate(self.weights):
            put(average, tensors[f"average.{place}"])
