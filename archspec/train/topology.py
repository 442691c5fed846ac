"""Which of how many processes this is, and what they tell each other. All of it is torch's: torchrun, gloo, NCCL."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

T = TypeVar("T")
_PATIENCE = timedelta(hours=12)
"""How long ranks wait for each other: the first one tests alone, before a run of the next seed begins."""


@dataclass(frozen=True, slots=True)
class Topology:
    """One of `ranks` processes on `nodes` machines; the first of all writes, and speaks for all."""

    rank: int = 0
    ranks: int = 1
    nodes: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over all ranks, on each. All ranks have to ask."""
        if self.ranks == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def agreed(self, value: T) -> T:
        """What the first rank says, on each. All ranks have to ask."""
        if self.ranks == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def gathered(self, values: list[T]) -> list[T]:
        """The values of all ranks, one rank's after another's, on each. All ranks have to ask."""
        if self.ranks == 1:
            return values
        boxes: list[list[T]] = [[] for _ in range(self.ranks)]
        dist.all_gather_object(boxes, values)
        return [value for box in boxes for value in box]

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether a rank says so. All ranks have to ask."""
        return bool(self.summed(torch.tensor(int(flag), device=device)))

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Writes the first rank's values into those of all. All ranks have to ask."""
        if self.ranks > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.ranks > 1:
            dist.barrier()


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Topology, torch.device]]:
    """A process among those that torchrun started, and its own device; or alone."""
    ranks = int(os.environ.get("WORLD_SIZE", "1")) if launched() else 1
    if ranks == 1:
        yield Topology(), device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    own = device if device.type == "cuda" else None
    dist.init_process_group(backend, timeout=_PATIENCE, device_id=own)
    try:
        nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
        yield Topology(dist.get_rank(), dist.get_world_size(), nodes), device
    finally:
        dist.destroy_process_group()
