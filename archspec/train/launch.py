"""A command line in several processes, started and watched by torchrun's own agent."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from archspec.runs.exits import STOPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LINES = 20


def launch(processes: int, command: Sequence[str], say: Callable[[str], None]) -> int:
    """Runs `python -m archspec COMMAND` in so many processes. Returns the exit code of the first that failed.

    The first process talks; what another one says is told where it fails.
    """
    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)  # its words are for developers
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    with tempfile.TemporaryDirectory(prefix="archspec-") as folder:
        others: dict[int, Std] = dict.fromkeys(range(1, processes), Std.ALL)
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            run_id=uuid4().hex,
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(folder, redirects=others),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "archspec", *command)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if rank:
                say(_last_words(Path(folder), rank))
            return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
        except SignalException:
            return STOPPED
    return 0


def _last_words(folder: Path, rank: int) -> str:
    """What a process said that writes to files."""
    found = sorted(folder.glob(f"*/attempt_*/{rank}/stderr.log"))
    lines = found[-1].read_text(errors="replace").splitlines() if found else []
    return "\n".join([f"process {rank} failed:", *lines[-_LINES:]])
