"""The network as it is tested: an average of its weights over steps, true averages in place of BN's running ones."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archspec.train.parallel import put, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from archspec.recipes.models import Train
    from archspec.train.topology import Topology

    Images = Callable[[], Iterable[Tensor]]


class Averages:
    """Beside a network. Both averages are off in most recipes; then a network is tested as it is trained.

    With precise BN, statistics are those of some training images under fixed weights (He et al.'s release computes
    them so "after the training procedure"), all images together, as in Wu and Johnson 2021, appendix. `batches` are
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
        """The network as it is tested, for a while: the same on all ranks, and all have to ask.

        `images` gives a rank's batches (N, C, H, W) to measure.
        """
        # without averages too: each rank's running statistics are of its own images
        self.topology.spread(self.network.buffers())
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
        """The buffers, with statistics over the images of all ranks."""
        self.network.eval()  # dropout drops nothing
        norms = [
            each for each in self.network.modules() if isinstance(each, nn.BatchNorm2d | nn.SyncBatchNorm)
        ]
        moments = [_Moments(norm.train()) for norm in norms]
        for batch in islice(images(), self.batches):
            self.network(batch)
        for norm, each in zip(norms, moments, strict=True):
            each.hook.remove()
            mean, variance = each.read(self.topology)
            norm.get_buffer("running_mean").copy_(mean)  # in place: others hold on to the buffers
            norm.get_buffer("running_var").copy_(variance)
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


class _Moments:
    """Sums over all pixels that a layer is given, by channel: of values, of squares, and how many there are."""

    def __init__(self, norm: nn.Module) -> None:
        first = next(norm.buffers())
        kind = (
            torch.float32 if first.device.type == "mps" else torch.float64
        )  # Apple's GPUs have no wider one
        self.sums = torch.zeros(2 * len(first) + 1, dtype=kind, device=first.device)
        self.hook = norm.register_forward_pre_hook(self._add)

    def _add(self, _norm: nn.Module, given: Sequence[Tensor]) -> None:
        count = given[0].numel() // given[0].shape[1]
        if not count:  # the last batch of an epoch left nothing to this rank
            return
        variance, mean = (each.to(self.sums) for each in torch.var_mean(given[0], (0, 2, 3), correction=0))
        self.sums += torch.cat([mean, variance + mean.square(), mean.new_ones(1)]) * count

    def read(self, topology: Topology) -> tuple[Tensor, Tensor]:
        """Mean and variance over the pixels of all ranks. All ranks have to ask."""
        total = topology.summed(self.sums)
        mean, square = (total[:-1] / total[-1]).chunk(2)
        return mean, square - mean.square()
