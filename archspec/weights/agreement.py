"""Two modules run on the same images, layer by layer: how far they are apart, and where they part."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

from archspec.ir.operation import dims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

TOLERANCE = 1e-5
"""Of the largest value of a layer's output, in float32."""
BATCH = 2
SEED = 0
OUTPUT = "the output"


@dataclass(frozen=True, slots=True)
class Layer:
    """One module of the source against ours of the same path."""

    path: str
    error: float
    remark: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.remark or f'relative error {self.error:.2g}'})"


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two modules are apart. Errors are the largest difference over the largest value of the source's."""

    images: tuple[int, ...]
    layers: tuple[Layer, ...]
    """In the order in which the source ran them."""
    same_top: bool
    """Whether the largest logit of every image is the same one."""

    @property
    def first(self) -> Layer | None:
        """The first layer that differs by more than the tolerance."""
        return next((layer for layer in self.layers if not layer.error <= TOLERANCE), None)

    @property
    def stages(self) -> dict[str, float]:
        """The worst error in every outermost module."""
        worst: dict[str, float] = {}
        for layer in self.layers:
            stage = layer.path.partition(".")[0]
            worst[stage] = max(worst.get(stage, 0.0), layer.error)
        return worst


def compared(
    ours: nn.Module, theirs: nn.Module, shape: tuple[int, ...], paths: Mapping[str, str] | None = None
) -> Agreement:
    """Runs both in evaluation on the same seeded images of shape `(C, H, W)`.

    Modules of one path are held against each other; `paths`, ours to theirs, says where paths differ.
    """
    import torch

    images = torch.randn((BATCH, *shape), generator=torch.Generator().manual_seed(SEED))
    expected: dict[str, Tensor] = {}
    found: dict[str, Layer] = {}

    def keep(path: str, value: Tensor) -> None:
        expected.setdefault(path, value.clone())  # an activation behind it may work in place

    def hold_against(path: str, value: Tensor) -> None:
        there = (paths or {}).get(path, path)
        if there in expected:
            found.setdefault(there, _layer(path, value, expected[there]))

    theirs_out, several = _run(theirs, images, keep)
    ours_out, repeated = _run(ours, images, hold_against)
    layers = [
        found[there]
        for there in expected
        if there in found and there not in several and found[there].path not in repeated
    ]
    output = _layer(OUTPUT, ours_out, theirs_out)
    same_top = ours_out.shape == theirs_out.shape and bool((ours_out.argmax(1) == theirs_out.argmax(1)).all())
    return Agreement(tuple(images.shape), (*layers, output), same_top)


def _run(module: nn.Module, images: Tensor, see: Callable[[str, Tensor], None]) -> tuple[Tensor, set[str]]:
    """Runs a module and shows the output of every submodule as it comes. Returns which ran several times."""
    import torch

    calls: Counter[str] = Counter()

    def hook(path: str) -> Callable[..., None]:
        def called(_module: Any, _inputs: Any, output: Any) -> None:
            calls[path] += 1
            if isinstance(output, torch.Tensor):
                see(path, output)

        return called

    handles = [part.register_forward_hook(hook(path)) for path, part in module.named_modules() if path]
    try:
        with torch.no_grad():
            result: Tensor = module.eval()(images)
    finally:
        for handle in handles:
            handle.remove()
    return result, {path for path, times in calls.items() if times > 1}


def _layer(path: str, ours: Tensor, theirs: Tensor) -> Layer:
    if ours.shape != theirs.shape:
        return Layer(path, inf, f"{dims(tuple(ours.shape))} here, {dims(tuple(theirs.shape))} there")
    largest = max(float(theirs.abs().max()), 1e-30) if theirs.numel() else 1.0
    apart = float((ours - theirs).abs().max()) if theirs.numel() else 0.0
    error = apart / largest
    return Layer(path, error if error == error else inf)  # noqa: PLR0124 - not a number is as far apart as can be
