"""Three independent counters of one network: the graph's integers, fvcore, and torch's own flop counter.

fvcore's default total also counts normalisation and pooling, and its documented switch for that has no effect
in the released version; so its convolution and linear operators are summed. It is run in evaluation mode on
the CPU, because it cannot trace meta tensors. torch's counter counts two operations a multiply-add; it runs
on the meta device and touches no memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from archspec.ir.graph import Call, Graph, Node
from archspec.ir.ops import Flatten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from archspec.architecture import Architecture

WitnessName = Literal["graph", "fvcore", "torch"]
WITNESSES: tuple[WitnessName, ...] = ("graph", "fvcore", "torch")
_OFF_THE_PATH = ("downsample", "gate")


@dataclass(frozen=True, slots=True)
class Testimony:
    """What one witness counted. `outputs` holds `(H, W)` by row where the witness sees shapes."""

    params: int
    macs: int
    conv_macs: int
    layers: int
    outputs: dict[str, tuple[int, int]] = field(default_factory=dict)


def hear(architecture: Architecture, witness: WitnessName) -> Testimony:
    """One witness's counts of an architecture."""
    return {"graph": _graph, "fvcore": _fvcore, "torch": _torch}[witness](architecture)


def _graph(architecture: Architecture) -> Testimony:
    measured = architecture.measure
    total = measured.total
    outputs = {row.name: (row.output[1], row.output[2]) for row in measured.rows if len(row.output) == 3}
    return Testimony(total.params, total.macs, total.conv_macs, total.layers, outputs)


def _fvcore(architecture: Architecture) -> Testimony:
    import warnings

    import torch

    from archspec.api import build

    module = build(architecture, init=False).eval()
    with warnings.catch_warnings():
        # fvcore leans on interfaces that torch deprecates; that is fvcore's to mend
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis, parameter_count

        analysis = FlopCountAnalysis(module, torch.zeros(1, *architecture.input_shape))
        analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
        operators = analysis.by_operator()
        counted = analysis.by_module_and_operator()
    leaves = [name for name, each in module.named_modules() if not any(True for _ in each.children())]
    layers = [
        name for name in leaves if counted[name]["conv"] + counted[name]["linear"] + counted[name]["addmm"]
    ]
    return Testimony(
        params=parameter_count(module)[""],
        macs=int(operators["conv"] + operators["linear"] + operators["addmm"]),
        conv_macs=int(operators["conv"]),
        layers=sum(on_the_path(name) for name in layers),
    )


def _torch(architecture: Architecture) -> Testimony:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from archspec.api import build

    with torch.device("meta"):
        module = build(architecture, init=False).eval()
        image = torch.empty(1, *architecture.input_shape)
    outputs: dict[str, tuple[int, int]] = {}
    for row, path in _row_modules(architecture.graph):
        _watch(module.get_submodule(path), row, outputs)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(image)
    # keyed by operator packet; `aten.convolution` covers grouped and depthwise convolutions too
    flops = {str(operator): count for operator, count in counter.get_flop_counts()["Global"].items()}
    weighted = (
        name for name, each in module.named_modules() if isinstance(each, (torch.nn.Conv2d, torch.nn.Linear))
    )
    return Testimony(
        params=sum(parameter.numel() for parameter in module.parameters()),
        macs=sum(flops.values()) // 2,
        conv_macs=sum(count for operator, count in flops.items() if "convolution" in operator) // 2,
        layers=sum(on_the_path(name) for name in weighted),
        outputs=outputs,
    )


def on_the_path(name: str) -> bool:
    """Whether a module lies on the main path, where the paper counts layers."""
    return not any(part.startswith(_OFF_THE_PATH) for part in name.split("."))


def _watch(module: nn.Module, row: str, outputs: dict[str, tuple[int, int]]) -> None:
    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        shape = tuple(getattr(output, "shape", ()))
        if len(shape) == 4:
            outputs[row] = (shape[2], shape[3])

    module.register_forward_hook(hook)


def _row_modules(graph: Graph) -> Iterator[tuple[str, str]]:
    """The module that puts out each row of the stage table."""
    last: dict[str, str] = {}
    for path, node in _network_nodes(graph, ""):
        if not isinstance(node.body, Flatten):
            # one `self.relu` serves several places; a row's own last weighted or pooling module names its size
            last[node.row] = (
                path if not path.rpartition(".")[2].startswith("relu") else last.get(node.row, path)
            )
    yield from last.items()


def _network_nodes(graph: Graph, prefix: str) -> Iterator[tuple[str, Node]]:
    for node in graph.nodes:
        if isinstance(node.body, Call) and node.body.graph.role == "network":
            yield from _network_nodes(node.body.graph, f"{prefix}{node.name}.")
        else:
            yield f"{prefix}{node.name}", node
