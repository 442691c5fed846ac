"""The comparisons: what is run on either side, and the limit of each.

Preparing a case imports what it needs, so that `--help` and the start-up cases need no torch.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from deploy_cases import DEPLOY_CASES
from measure import Case, Contest, Side, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
SPECS = ROOT / "specs"
RESNET50 = SPECS / "torchvision" / "resnet50.toml"
RESNET152 = SPECS / "torchvision" / "resnet152.toml"
RESNET1202 = SPECS / "cifar" / "resnet1202.toml"
FORWARD_BATCH = 8
TRAINING_BATCH = 4
IMAGE = (3, 224, 224)
CLASSES = 1000


def _construct(*, loaded: bool) -> Callable[[], Contest]:
    """ResNet-152 with its weights filled, on both sides."""

    def prepare() -> Contest:
        from torchvision.models import resnet152

        import archspec

        spec = archspec.load(RESNET152) if loaded else RESNET152
        return Contest(Side(lambda: archspec.build(spec)), Side(resnet152))

    return prepare


def _live() -> nn.Module:
    import archspec

    return archspec.build(RESNET50)


def _printed() -> nn.Module:
    import archspec

    text = archspec.source(RESNET50)
    printed = ModuleType("printed")
    exec(compile(text, "printed.py", "exec"), vars(printed))
    network: nn.Module = printed.ResNet50()
    return network


@dataclass(frozen=True, slots=True)
class _Networks:
    """Ours and torchvision's ResNet-50 with the same weights: bit for bit the same outputs, or no contest."""

    ours: nn.Module
    peer: nn.Module

    @classmethod
    def equal(cls, make: Callable[[], nn.Module]) -> _Networks:
        import torch
        from torchvision.models import resnet50

        torch.manual_seed(0)
        pair = cls(make(), resnet50())
        pair.ours.load_state_dict(pair.peer.state_dict(), strict=True)
        image = torch.randn(1, *IMAGE)
        with torch.no_grad():
            same = torch.equal(pair.ours.eval()(image), pair.peer.eval()(image))
        if not same:
            sys.exit("the two networks give different outputs, so their times do not compare")
        return pair


def _forward(make: Callable[[], nn.Module]) -> Callable[[], Contest]:
    """A batch through the network in evaluation mode."""

    def prepare() -> Contest:
        import torch

        pair = _Networks.equal(make)
        images = torch.randn(FORWARD_BATCH, *IMAGE)

        def run(network: nn.Module) -> Callable[[], Tensor]:
            @torch.no_grad()
            def forward() -> Tensor:
                result: Tensor = network(images)
                return result

            return forward

        return Contest(Side(run(pair.ours)), Side(run(pair.peer)), warm_ups=2)

    return prepare


def _train(make: Callable[[], nn.Module]) -> Callable[[], Contest]:
    """Forward, cross-entropy, backward, one step of SGD."""

    def prepare() -> Contest:
        import torch
        from torch.nn.functional import cross_entropy

        pair = _Networks.equal(make)
        images = torch.randn(TRAINING_BATCH, *IMAGE)
        labels = torch.randint(CLASSES, (TRAINING_BATCH,))

        def run(network: nn.Module) -> Callable[[], None]:
            # a small rate: the weights stay sane over any number of repeats
            optimizer = torch.optim.SGD(network.train().parameters(), lr=1e-4)

            def step() -> None:
                optimizer.zero_grad()
                loss: Tensor = cross_entropy(network(images), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

            return step

        return Contest(Side(run(pair.ours)), Side(run(pair.peer)), warm_ups=2)

    return prepare


def _count(*, against_fvcore: bool) -> Callable[[], Contest]:
    """ResNet-1202's totals, from a graph that is at hand, as fvcore's are from a module that is at hand."""

    def prepare() -> Contest:
        import archspec
        from archspec.passes.measure import count

        architecture = archspec.load(RESNET1202)
        graph, shape = architecture.graph, architecture.input_shape
        ours = Side(lambda: count(graph, shape), loops=50)
        if not against_fvcore:
            return Contest(ours, budget=1e-3)

        import warnings

        import torch

        # fvcore leans on interfaces that torch deprecates, and its handlers warn at import
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        module = archspec.build(architecture, init=False).eval()
        image = torch.zeros(1, *shape)

        def fvcore() -> int:
            analysis = FlopCountAnalysis(module, image)
            analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
            operators = analysis.by_operator()
            return int(operators["conv"] + operators["linear"] + operators["addmm"])

        if fvcore() != count(graph, shape).macs:
            sys.exit("the two counters disagree, so their times do not compare")
        # that was the warm-up
        return Contest(ours, Side(fvcore), warm_ups=0)

    return prepare


def _program() -> list[str]:
    """The installed command, or the module where there is none."""
    installed = Path(sys.executable).parent / "archspec"
    return [str(installed)] if installed.is_file() else [sys.executable, "-m", "archspec"]


def _environment() -> dict[str, str]:
    """Bytecode is cached, as in an installed program, in a folder of this run's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ARCHSPEC"))}
    return {**kept, "PYTHONPYCACHEPREFIX": _bytecode().name}


@cache
def _bytecode() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="archspec-benchmarks-")


def _start(*arguments: str) -> Callable[[], Contest]:
    """A command from start to exit. The two warm-ups fill the caches of bytecode and of files."""

    def prepare() -> Contest:
        environment = _environment()
        ours = command([*_program(), *arguments], ROOT, environment)
        peer = command([sys.executable, "-c", "import typer, pydantic"], ROOT, environment)
        return Contest(Side(ours), Side(peer), warm_ups=2)

    return prepare


def _audit() -> Contest:
    """All networks of the paper's tables, heard by all three witnesses."""
    return Contest(
        Side(command([*_program(), "audit", "--table", "paper"], ROOT, _environment())),
        budget=60,
        warm_ups=0,
    )


_RESNET152 = "torchvision's resnet152()"
_RESNET50 = "torchvision's resnet50"
_IMPORTS = 'python -c "import typer, pydantic"'
_CHECK = ("check", "specs/resnet50.toml")
_SHOW = ("show", "specs/resnet50.toml")

CASES = [
    Case("construct-path", "build of a path", _RESNET152, 0.8, 11, _construct(loaded=False)),
    Case("construct-loaded", "build of a loaded spec", _RESNET152, 0.8, 11, _construct(loaded=True)),
    Case("forward-live", "forward, live", _RESNET50, 1.02, 15, _forward(_live)),
    Case("forward-printed", "forward, printed", _RESNET50, 1.02, 15, _forward(_printed)),
    Case("train-live", "training step, live", _RESNET50, 1.02, 15, _train(_live)),
    Case("train-printed", "training step, printed", _RESNET50, 1.02, 15, _train(_printed)),
    Case("count", "count of ResNet-1202", "fvcore's by_operator()", 1 / 50, 3, _count(against_fvcore=True)),
    Case("count-absolute", "count of ResNet-1202", "a budget of 1 ms", 1, 11, _count(against_fvcore=False)),
    Case("start-help", "archspec --help", _IMPORTS, 1.5, 15, _start("--help")),
    Case("start-check", "archspec check", _IMPORTS, 2, 15, _start(*_CHECK)),
    Case("start-show", "archspec show", _IMPORTS, 2, 15, _start(*_SHOW)),
    Case("audit-paper", "archspec audit --table paper", "a budget of 60 s", 1, 1, _audit),
    *DEPLOY_CASES,
]
"""Every case, in the order of the table. A limit of 1/50 says: at least 50 times as fast."""
