"""A run's records for TensorBoard, which is an extra: `pip install archspec-nn[tensorboard]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TOLD = {
    "train": ("loss", "train_error", "lr"),
    "epoch": ("train_error", "validation_error"),
    "test": ("test_error",),
}


class Board:
    """Writes what it is told to `tensorboard/` in a run's folder. Raises `ImportError` where there is none."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder / "tensorboard"
        self.writer: Any = None
        self._make: Any = SummaryWriter

    def __call__(self, record: Mapping[str, Any]) -> None:
        """One record of the run."""
        kind, step = record["kind"], record["step"]
        if self.writer is None:  # steps that a run repeats after it was resumed are not shown twice
            self.writer = self._make(str(self.folder), purge_step=step + 1)
        for name in _TOLD.get(kind, ()):
            if record.get(name) is not None:
                self.writer.add_scalar(f"{kind}/{name}", record[name], step)
        for name, value in record.get("losses", {}).items():
            self.writer.add_scalar(f"{kind}/{name}", value, step)
        if kind == "train" and record["seconds"]:
            self.writer.add_scalar("train/images_per_second", record["images"] / record["seconds"], step)
        self.writer.flush()  # a run may stop at any time
        if kind == "test":
            self.writer.close()
