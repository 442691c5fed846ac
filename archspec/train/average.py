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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # fvcore leans on interfaces that torch deprecates
            from fvcore.nn.precise_bn import get_bn_modules, update_bn_stats

        self.network.eval()  # dropout drops nothing
        for norm in self.network.modules():
            norm.training = isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm)
        norms = get_bn_modules(self.network)
        kept = [(norm.running_mean, norm.running_var) for norm in norms]
        update_bn_stats(self.network, images(), self.batches)
        for norm, (mean, variance) in zip(norms, kept, strict=True):
            # in place: others hold on to the buffers
            total = self._over_ranks(norm.running_mean)
            square = self._over_ranks(norm.running_var + norm.running_mean**2)
            norm.running_mean, norm.running_var = mean.copy_(total), variance.copy_(square - total**2)
        return {name: each.clone() for name, each in self.network.named_buffers()}

    def _over_ranks(self, value: Tensor) -> Tensor:
        return self.topology.summed(value) / self.topology.ranks

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
