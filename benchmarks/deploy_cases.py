"""The comparisons about exported files: ResNet-50 written, and run, against torch's own exporter and torch itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import warnings
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import Case, Contest, Side

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import nn

    from archspec.architecture import Architecture

ROOT = Path(__file__).resolve().parent.parent
RESNET50 = ROOT / "specs" / "torchvision" / "resnet50.toml"
IMAGE = (3, 224, 224)


@cache
def folder() -> Path:
    """A folder of this run's own."""
    return Path(_kept().name)


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="archspec-benchmarks-")


@cache
def network() -> tuple[Architecture, dict[str, np.ndarray[Any, Any]], nn.Module]:
    """ResNet-50 with seeded random weights and random running statistics: spec, tensors, module."""
    import torch

    import archspec
    from archspec.deploy.proof import initial, live

    one = archspec.load(RESNET50)
    tensors = randomised(initial(one))
    torch.manual_seed(0)
    return one, tensors, live(one, tensors)


def randomised(tensors: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
    """The same with random running statistics."""
    import numpy as np

    generator = np.random.default_rng(0)
    made = dict(tensors)
    for key, values in tensors.items():
        if key.endswith("running_mean"):
            made[key] = generator.normal(0, 0.1, values.shape).astype(np.float32)
        elif key.endswith("running_var"):
            made[key] = generator.uniform(0.5, 1.5, values.shape).astype(np.float32)
    return made


def ours(target: Path, **order: Any) -> None:
    """Our export without its proof, as torch's exporter proves nothing."""
    from archspec.deploy.export import Order, export

    one, tensors, _ = network()
    export(one, tensors, target, Order(prove=False, **order))


def theirs(target: Path, *, dynamic: bool = False) -> None:
    """Torch's own exporter, one file, with a free batch or a fixed one."""
    import torch

    _, _, module = network()
    shapes = {"x": {0: torch.export.Dim("batch")}} if dynamic else None
    images = torch.zeros(2, *IMAGE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it deprecates itself
        program = torch.onnx.export(module, (images,), dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    program.save(str(target))


class Told(Side):
    """A side whose run says itself how long it took."""

    def sample(self) -> float:
        """Seconds, as the run tells them."""
        return float(str(self.run()))


EXPORTS = {"ours": ours, "theirs": theirs, "theirs-dynamic": partial(theirs, dynamic=True)}


def first(name: str) -> dict[str, float]:
    """The first export of a process, as people run it: its seconds, and by how many MiB its memory grew at most."""
    done = subprocess.run(
        [sys.executable, __file__, name], capture_output=True, text=True, check=True, cwd=ROOT / "benchmarks"
    )
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _tell_first(name: str) -> None:
    network()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before, start = _memory("VmRSS"), time.perf_counter()
    EXPORTS[name](folder() / "model.onnx")
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "mib": _memory("VmHWM") - before}))


def _memory(field: str) -> float:
    """A figure of this process in MiB, from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:"))


def _export(peer: str) -> Callable[[], Contest]:
    def prepare() -> Contest:
        return Contest(
            Told(lambda: first("ours")["seconds"]), Told(lambda: first(peer)["seconds"]), warm_ups=1
        )

    return prepare


def session(path: Path) -> Any:
    """A session on as many threads as torch has."""
    import torch

    from archspec.deploy.session import open_session

    return open_session(path, threads=torch.get_num_threads())


def calibration() -> tuple[np.ndarray[Any, Any], ...]:
    """Four batches of noise."""
    import numpy as np

    generator = np.random.default_rng(1)
    return tuple(generator.standard_normal((4, *IMAGE), np.float32) for _ in range(4))


def _runs(
    file: Callable[[Path], None], peer: Callable[[Path], None] | None, batch: int
) -> Callable[[], Contest]:
    """Our file in onnxruntime against another file in it, or against eager torch."""

    def prepare() -> Contest:
        import numpy as np
        import torch

        one, other = folder() / "a.onnx", folder() / "b.onnx"
        file(one)
        images = np.random.default_rng(2).standard_normal((batch, *IMAGE), np.float32)
        left = session(one)
        run = Side(lambda: left.run(None, {left.get_inputs()[0].name: images}))
        if peer is not None:
            peer(other)
            right = session(other)
            return Contest(
                run, Side(lambda: right.run(None, {right.get_inputs()[0].name: images})), warm_ups=3
            )
        _, _, module = network()

        def eager() -> None:
            with torch.inference_mode():
                module(torch.from_numpy(images))

        return Contest(run, Side(eager), warm_ups=3)

    return prepare


def _int8(target: Path) -> None:
    ours(target, precision="int8", calibration=calibration())


def _dynamic(target: Path) -> None:
    theirs(target, dynamic=True)


_EXPORTER = "torch.onnx.export(dynamo=True)"
DEPLOY_CASES = [
    Case("export", "first export of ResNet-50", _EXPORTER, 1 / 10, 3, _export("theirs")),
    Case(
        "export-dynamic",
        "first export of ResNet-50",
        f"{_EXPORTER}, free batch",
        1 / 30,
        3,
        _export("theirs-dynamic"),
    ),
    Case("run-file", "our file, batch 1", "the exporter's file", 1.02, 41, _runs(ours, _dynamic, 1)),
    Case("run-file-16", "our file, batch 16", "the exporter's file", 1.02, 9, _runs(ours, _dynamic, 16)),
    Case("run-fp32", "our file, batch 1", "eager torch", 1 / 1.4, 31, _runs(ours, None, 1)),
    Case("run-fp32-16", "our file, batch 16", "eager torch", 1 / 1.4, 9, _runs(ours, None, 16)),
    Case("run-int8", "our int8 file, batch 1", "eager torch", 1 / 3.5, 31, _runs(_int8, None, 1)),
    Case("run-int8-16", "our int8 file, batch 16", "eager torch", 1 / 3.5, 9, _runs(_int8, None, 16)),
]


if __name__ == "__main__":
    _tell_first(sys.argv[1])
