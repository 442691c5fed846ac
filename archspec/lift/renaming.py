"""Other projects' keys under our names, without a spec: what a style calls our tensors, where the file has that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.weights.keys import STYLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.weights.keys import Style

_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_INNER = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "downsample.0", "downsample.1", "downsample.2")
_STEM = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "fc")
MAX_STAGES = 64


def recognised(
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[dict[str, tuple[int, ...]], Style | None]:
    """Shapes under our keys, and the style they came in; keys that the style has no name for stay as they are."""
    own = STYLES[0]
    if any(key.startswith("features.") for key in shapes):
        return dict(shapes), None
    found = [(style, dict(_names(style, shapes))) for style in STYLES]
    style, names = max(found, key=lambda pair: len(pair[1]))
    if style is own or not names:
        return dict(shapes), None
    theirs = set(names.values())
    rest = {key: tuple(shape) for key, shape in shapes.items() if key not in theirs}
    return {**{ours: tuple(shapes[key]) for ours, key in names.items()}, **rest}, style


def _names(style: Style, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str]]:
    """Our keys and the style's, for all the tensors that a file has by the style's names."""
    for module in _STEM:
        yield from _found(style, module, shapes)
    for stage in range(1, MAX_STAGES + 1):
        block = 0
        while next(_found(style, f"layer{stage}.{block}.conv1", shapes), None) is not None:
            for module in _INNER:
                yield from _found(style, f"layer{stage}.{block}.{module}", shapes)
            block += 1
        if block == 0:
            return


def _found(style: Style, module: str, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, str]]:
    for tensor in _TENSORS:
        key = f"{module}.{tensor}"
        name = next((name for name in style.names(key) if name in shapes), None)
        if name is not None:
            yield key, name
