"""Three independent counters of one detector: the graph's integers, fvcore, and torch's own flop counter.

What fvcore and torch are told, and why, stands in `archspec/audit/witness.py`: convolutions and linear layers alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from archspec.detection.counts import counted, largest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from archspec.detection.load import LoadedDetector
    from archspec.detection.modules import RegionDetector
    from archspec.ir.operation import Shape

WitnessName = Literal["graph", "fvcore", "torch"]
WITNESSES: tuple[WitnessName, ...] = ("graph", "fvcore", "torch")


class Testimony(NamedTuple):
    """What one witness counted: all weights, and multiply-adds of an image and of a region."""

    parameters: int
    per_image: int
    per_region: int


def hear(loaded: LoadedDetector, witness: WitnessName, size: tuple[int, int] | None = None) -> Testimony:
    """One witness's counts of a detector, for an image of `(height, width)`. fvcore computes it on the CPU."""
    return {"graph": _graph, "fvcore": _fvcore, "torch": _torch}[witness](loaded, size or largest(loaded))


def _graph(loaded: LoadedDetector, size: tuple[int, int]) -> Testimony:
    counts = counted(loaded, size)
    return Testimony(counts.parameters, counts.per_image, counts.per_region)


def _fvcore(loaded: LoadedDetector, size: tuple[int, int]) -> Testimony:
    import warnings

    import torch

    from archspec.detection.build import detector

    module = detector(loaded, init=False).eval()
    with warnings.catch_warnings():
        # fvcore leans on interfaces that torch deprecates; that is fvcore's to mend
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis, parameter_count

        counts = []
        for run in _runs(module, loaded, size):
            analysis = FlopCountAnalysis(run.part, tuple(torch.zeros(1, *shape) for shape in run.shapes))
            analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
            operators = analysis.by_operator()
            counts.append(int(operators["conv"] + operators["linear"] + operators["addmm"]))
        return _testimony(parameter_count(module)[""], counts)


def _torch(loaded: LoadedDetector, size: tuple[int, int]) -> Testimony:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from archspec.detection.build import detector

    with torch.device("meta"):
        module = detector(loaded, init=False).eval()
    counts = []
    for run in _runs(module, loaded, size):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run.part(*(torch.empty(1, *shape, device="meta") for shape in run.shapes))
        counts.append(counter.get_total_flops() // 2)
    return _testimony(sum(each.numel() for each in module.parameters()), counts)


class _Run(NamedTuple):
    """A part that is run, and the shapes of its inputs, without the batch."""

    part: nn.Module
    shapes: tuple[Shape, ...]


def _runs(module: RegionDetector, loaded: LoadedDetector, size: tuple[int, int]) -> tuple[_Run, ...]:
    """What is run for a region, then all that is run for an image."""
    from archspec.detection.modules import PerImage, PerRegion

    parts = loaded.parts
    image = _Run(PerImage(module), ((parts.image_channels, *size),))
    if not module.context:
        return _Run(PerRegion(module), (parts.region_shape,)), image
    context = _Run(module.roi_heads.box_head, (parts.region_shape,))
    return _Run(PerRegion(module), (parts.region_shape, (parts.features,))), image, context


def _testimony(parameters: int, counts: Sequence[int]) -> Testimony:
    region, *image = counts
    return Testimony(parameters, sum(image), region)
