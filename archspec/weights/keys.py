"""Key styles: what other projects call the tensors that we call `layer1.0.conv1.weight`. Each is a table.

A style only says names. Which tensors there are is the spec's to say, so every style works in both directions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from archspec.passes.flatten import state
from archspec.weights.contents import Lazy
from archspec.weights.match import counts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from archspec.architecture import Architecture
    from archspec.weights.files import Weights

_IN_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.(.+)")


@dataclass(frozen=True, slots=True)
class Style:
    """How a project names modules. `first` is the number of its first stage, which we call 1.

    A module may have several names, of which a file uses one. With `rest`, names that no table holds are ours.
    """

    name: str
    about: str
    stem: Mapping[str, str] = field(default_factory=dict)
    block: str = "layer{stage}.{block}."
    first: int = 1
    inner: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    head: tuple[str, ...] = ("fc",)
    wrappers: tuple[str, ...] = ("",)
    rest: bool = False

    def names(self, key: str) -> tuple[str, ...]:
        """What a key of ours may be called there, the likeliest first; nothing where the style has no name for it."""
        module, _, tensor = key.rpartition(".")
        modules = self._modules(module)
        return tuple(f"{wrapper}{name}.{tensor}" for wrapper in self.wrappers for name in modules)

    def _modules(self, module: str) -> tuple[str, ...]:
        if module == "fc":
            return self.head
        found = _IN_BLOCK.fullmatch(module)
        if found is None:
            named = self.stem.get(module, module if self.rest else None)
            return (named,) if named is not None else ()
        stage, block, inner = int(found[1]) - 1 + self.first, found[2], found[3]
        names = self.inner.get(inner, (inner,) if self.rest else ())
        return tuple(self.block.format(stage=stage, block=block) + name for name in names)


_OWN = Style("torchvision", "torchvision's and timm's keys, which are ours", rest=True)

_TORCH7 = Style(
    "facebook",
    "the positions of fb.resnet.torch's nested containers, ImageNet",
    stem={"conv1": "0", "bn1": "1"},
    block="{stage}.{block}.",
    first=4,  # 0 to 3 are convolution, norm, activation, pool
    inner={
        "conv1": ("0.0.0",),
        "bn1": ("0.0.1",),
        "conv2": ("0.0.3",),
        "bn2": ("0.0.4",),
        "conv3": ("0.0.6",),
        "bn3": ("0.0.7", "2"),  # some of the released files normalise after the addition
        "downsample.0": ("0.1.0", "0.1"),
        "downsample.1": ("0.1.1",),
    },
    head=("10", "10.1"),
)

STYLES: tuple[Style, ...] = (
    _OWN,
    Style(
        "timm-deep-stem",
        "timm's keys of a stem of three convolutions",
        stem={"conv1": "conv1.0", "bn1": "conv1.1", "conv2": "conv1.3", "bn2": "conv1.4", "conv3": "conv1.6"}
        | {"bn3": "bn1"},
        rest=True,
    ),
    Style(
        "akamaster",
        "akamaster/pytorch_resnet_cifar10's keys: linear, shortcut",
        inner={"downsample.0": ("shortcut.0",), "downsample.1": ("shortcut.1",)},
        head=("linear",),
        rest=True,
    ),
    _TORCH7,
    replace(
        _TORCH7,
        name="facebook-cifar",
        about="the positions of fb.resnet.torch's nested containers, CIFAR",
        first=3,  # no pool
        head=("8", "8.1"),
    ),
    Style(
        "huggingface",
        "the keys of transformers' ResNet",
        stem={
            "conv1": "resnet.embedder.embedder.convolution",
            "bn1": "resnet.embedder.embedder.normalization",
        },
        block="resnet.encoder.stages.{stage}.layers.{block}.",
        first=0,
        inner={
            "conv1": ("layer.0.convolution",),
            "bn1": ("layer.0.normalization",),
            "conv2": ("layer.1.convolution",),
            "bn2": ("layer.1.normalization",),
            "conv3": ("layer.2.convolution",),
            "bn3": ("layer.2.normalization",),
            "downsample.0": ("shortcut.convolution",),
            "downsample.1": ("shortcut.normalization",),
        },
        head=("classifier.1",),
    ),
    Style(
        "detectron2",
        "detectron2's keys of a ResNet: res2, shortcut, norm",
        stem={"conv1": "stem.conv1", "bn1": "stem.conv1.norm"},
        block="res{stage}.{block}.",
        first=2,
        inner={
            "conv1": ("conv1",),
            "bn1": ("conv1.norm",),
            "conv2": ("conv2",),
            "bn2": ("conv2.norm",),
            "conv3": ("conv3",),
            "bn3": ("conv3.norm",),
            "downsample.0": ("shortcut",),
            "downsample.1": ("shortcut.norm",),
        },
        head=("linear",),
        wrappers=("", "backbone.", "backbone.bottom_up."),
    ),
)
NAMES = tuple(style.name for style in STYLES)

# what a ResNet has whatever its depth: enough to recognise a style without a spec
_TELLING = ("conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer2.0.bn1.weight", "fc.weight")
_TELLING_VGG = ("features.0.weight", "classifier.0.weight")


@dataclass(frozen=True, slots=True)
class Fit:
    """How many of a spec's tensors a file has under a style's names, and which name tells."""

    style: Style
    found: int
    wanted: int
    reason: str


@dataclass(frozen=True, slots=True)
class Renamed:
    """Weights under our keys. `names` are ours to theirs where they differ; `dropped` were biases of zeros."""

    weights: Weights
    fit: Fit
    names: Mapping[str, str]
    dropped: tuple[str, ...]


def style_of(keys: Collection[str]) -> Style | None:
    """The style whose names of a ResNet's own parts are all there, known without a spec."""
    if all(key in keys for key in _TELLING_VGG):
        return _OWN
    return next(
        (style for style in STYLES if all(_found(style, key, keys) for key in _TELLING)),
        None,
    )


def fits(architecture: Architecture, keys: Collection[str]) -> tuple[Fit, ...]:
    """Every style against a file's keys, the best first."""
    wanted = [key for key in state(architecture.graph) if not counts(key)]
    found = [_fit(style, wanted, keys) for style in STYLES]
    return tuple(sorted(found, key=lambda fit: -fit.found))


def renamed(architecture: Architecture, weights: Weights, style: str = "auto") -> Renamed:
    """Weights under our keys, by a style's name or by the one that fits best.

    Keys that the style cannot place stay as they are; convolutions' biases that the spec lacks go where all are zero.
    """
    if style not in ("auto", *NAMES):
        raise ValueError(f"no key style is named {style!r}")
    ranked = fits(architecture, weights.shapes)
    fit = next((fit for fit in ranked if fit.style.name == style), ranked[0])
    wanted = state(architecture.graph)
    places = {key: theirs for key in wanted if (theirs := _found(fit.style, key, weights.shapes))}
    taken = set(places.values())
    left = [key for key in weights.shapes if key not in taken]
    dropped = tuple(_zero_biases(left, places, wanted, weights))
    # what stands where another was put is no less in the file for it
    places |= {f"{key} (in the file)" if key in places else key: key for key in left if key not in dropped}
    ours = replace(
        weights,
        tensors=Lazy(places, lambda key: weights.tensors[places[key]]),
        shapes={new: weights.shapes[old] for new, old in places.items()},
        dtypes={new: weights.dtypes[old] for new, old in places.items()},
    )
    return Renamed(ours, fit, {new: old for new, old in places.items() if new != old}, dropped)


def _found(style: Style, key: str, keys: Collection[str]) -> str | None:
    return next((name for name in style.names(key) if name in keys), None)


def _fit(style: Style, wanted: list[str], keys: Collection[str]) -> Fit:
    pairs = [(key, name) for key in wanted if (name := _found(style, key, keys))]
    telling = next((f" ({key} is called {name})" for key, name in pairs if key != name), "")
    return Fit(
        style, len(pairs), len(wanted), f"{len(pairs)} of {len(wanted)} tensors have {style.about}{telling}"
    )


def _zero_biases(
    left: Iterable[str], places: Mapping[str, str], wanted: Collection[str], weights: Weights
) -> Iterable[str]:
    """Biases that add nothing to a layer which has none in the spec: old versions of cuDNN's binding wanted them."""
    owners = {
        theirs.removesuffix(".weight"): ours for ours, theirs in places.items() if theirs.endswith(".weight")
    }
    for key in left:
        owner = owners.get(key.removesuffix(".bias")) if key.endswith(".bias") else None
        if owner is not None and owner in wanted and not weights.tensors[key].any():
            yield key
