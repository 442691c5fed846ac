"""Whether a detector's files compute what its module does: onnxruntime on the files against torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from archspec.deploy.proof import SEED, TOLERANCE, Limit, errors, shaken
from archspec.deploy.session import open_session
from archspec.detection import keys
from archspec.detection.build import REGION, SHARED, detector
from archspec.detection.modules import PerImage, PerRegion
from archspec.detection.onnx.parts import FileName, made
from archspec.detection.onnx.steps import OUTPUTS, Boxes, alike, boxes, compared, image, probed
from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from onnxruntime import InferenceSession
    from torch import Tensor, nn

    from archspec.detection.load import LoadedDetector
    from archspec.detection.modules import RegionDetector
    from archspec.detection.onnx.export import Order
    from archspec.detection.onnx.parts import Made
    from archspec.weights.contents import Array

BATCHES = (1, 2)
REGIONS = (1, 2, 7)
PICTURES = ((48, 64), (75, 50))
"""Height and width of the pictures that the whole detector is shown."""
PREPARED = 1e-3
"""Of a resized picture, as a share of its largest value: places between pixels are float32 numbers in both runtimes."""
SAME = 0.99
"""The share of boxes that have to be the same after a step."""
_SHARED, _CLASSES = ("shared", "objectness", "offsets"), ("class_scores", "class_offsets")


class Figures(NamedTuple):
    """One comparison. Errors are the worst of any output, as a share of that output's largest value."""

    number: int
    """Images, or regions; boxes, of the whole detector."""
    size: tuple[int, int]
    """Height and width of an image, or cells of a region."""
    relative: float
    """Of the networks."""
    rounding: float = 0.0
    """Torch's own error in fp32 against fp64, looked at where the networks are past the tolerance."""
    prepared: float = 0.0
    """Of the whole detector: of the resized picture."""
    pooled: float = 0.0
    """Of the whole detector: of the regions."""
    same: float = 1.0
    """Of the whole detector: the share of boxes that are the same, each step given the same."""
    alike: float = 1.0
    """Of the whole detector: the share that are the same from the picture on, within 1 pixel and 0.01. Not judged."""

    def faults(self, limit: Limit) -> list[str]:
        """What is not as near as it has to be, in words."""
        checks = {
            f"its networks are off by {self.relative:.1e} of the largest output": self.relative
            <= max(limit.tolerance, limit.rounding * self.rounding),
            f"the resized picture is off by {self.prepared:.1e} of its largest value": self.prepared
            <= PREPARED,
            f"regions are off by {self.pooled:.1e} of the largest value": self.pooled <= TOLERANCE["fp32"],
            f"{1 - self.same:.1%} of the boxes are not those of torchvision": self.same >= SAME,
        }
        return [words for words, fine in checks.items() if not fine]


class Case(NamedTuple):
    """The figures of one file with some weights: its own (`given`) or `random` ones."""

    file: FileName
    weights: str
    figures: Figures


class Proof(NamedTuple):
    """What was compared."""

    cases: tuple[Case, ...]
    limit: Limit


def proved(
    loaded: LoadedDetector,
    tensors: Mapping[str, Array],
    staged: Mapping[FileName, tuple[Path, Made]],
    order: Order,
    say: Callable[[str], None] = lambda _: None,
) -> Proof:
    """The proof of staged files. Raises `FileError` (AS513) where it does not hold."""
    limit = Limit(order.tolerance, 0) if order.tolerance is not None else Limit(TOLERANCE["fp32"])
    cases: list[Case] = []
    module = live(loaded, tensors)
    for name, (path, one) in staged.items():
        say(f"proving {path.name} with given weights")
        cases += _judged_all(name, "given", _LOOKED[name](loaded, module, path, one, limit), limit)
    # a network fresh from its initialisation hides what folding a normalisation may do wrong
    other = random(loaded)
    module = live(loaded, other)
    for name, (path, _) in staged.items():
        say(f"proving {path.name} with random weights")
        one = made(name, loaded, other, order.form)
        source = one.model.SerializeToString()
        cases += _judged_all(name, "random", _LOOKED[name](loaded, module, source, one, limit), limit)
    return Proof(tuple(cases), limit)


def _judged_all(name: FileName, weights: str, looked: Iterator[Figures], limit: Limit) -> Iterator[Case]:
    for figures in looked:
        if faults := figures.faults(limit):
            message = f"with {weights} weights {faults[0]}, past its limit"
            raise file_error(f"{name}.onnx", "AS513", message, hint="nothing was written")
        yield Case(name, weights, figures)


def live(loaded: LoadedDetector, tensors: Mapping[str, Array]) -> RegionDetector:
    """The module with its weights, for evaluation."""
    module = detector(loaded, init=False)
    # copied: torch would share arrays that may be read-only
    module.load_state_dict({key: torch.tensor(values) for key, values in tensors.items()})
    module.eval()
    return module


def initial(loaded: LoadedDetector, seed: int = SEED) -> dict[str, Array]:
    """The weights a detector starts training from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = detector(loaded)
    return {key: values.numpy() for key, values in module.state_dict().items()}


def random(loaded: LoadedDetector, seed: int = SEED) -> dict[str, Array]:
    """Random weights with statistics that fit, with which scores are far apart and boxes move a little."""
    network = shaken(loaded.architecture, seed)
    generator = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for key, shape in keys.shapes(loaded).items():
        prefix = next((each for each in (SHARED, REGION) if key.startswith(f"{each}.")), None)
        if prefix is not None:
            found[key] = network[key.removeprefix(f"{prefix}.")]
            continue
        drawn = generator.standard_normal(shape, np.float32)
        found[key] = drawn * np.float32((2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1)
    module = live(loaded, found)
    with torch.no_grad():
        _spread(module, loaded)
    return {key: values.numpy() for key, values in module.state_dict().items()}


def _spread(module: RegionDetector, loaded: LoadedDetector) -> None:
    """Scales the last layers for what a picture makes of the network: a residual one adds up without a bound.

    Scores that are all 1 would say nothing: among equals torch keeps whichever it comes upon.
    """
    listed, _ = module.transform([image(_pixels(PICTURES[0], loaded))])
    shared = module.backbone(listed.tensors)
    height, width = listed.image_sizes[0]
    corners = torch.from_numpy(np.random.default_rng(SEED).random((64, 2, 2), np.float32)).sort(1).values
    some = corners.reshape(-1, 4) * torch.tensor([width, height, width, height])
    heads, head = module.roi_heads, module.rpn.head
    hidden = head.conv(shared).relu()
    values = heads.box_head(heads.box_roi_pool({"0": shared}, [some], listed.image_sizes))
    for layer, given, wanted in (
        (head.cls_logits, hidden, 2.0),
        (head.bbox_pred, hidden, 0.2),
        (heads.box_predictor.cls_score, values, 3.0),
        (heads.box_predictor.bbox_pred, values, 1.0),
    ):
        found = layer(given).transpose(0, 1).flatten(1)
        by = wanted / max(float(found.std(1).mean()), 1e-6)
        layer.weight *= by
        layer.bias.sub_(found.mean(1)).mul_(by)


def _features(
    loaded: LoadedDetector, module: RegionDetector, source: Path | bytes, _: Made, limit: Limit
) -> Iterator[Figures]:
    session, stride = _opened(source), loaded.parts.stride
    for size in ((8 * stride, 10 * stride), (10 * stride - 3, 7 * stride + 1)):
        for batch in BATCHES:
            pictures = _noise(batch, loaded.parts.image_channels, *size) / np.float32(255)
            found = _ran(session, None, {"image": pictures})
            given = _prepared(module, pictures)
            yield Figures(batch, size, *_judged(module, PerImage(module), given, found, limit))


def _regions(
    loaded: LoadedDetector, module: RegionDetector, source: Path | bytes, _: Made, limit: Limit
) -> Iterator[Figures]:
    session, shape = _opened(source), loaded.parts.region_shape
    for count in REGIONS:
        values = np.random.default_rng([SEED, count]).standard_normal((count, *shape), np.float32)
        found = _ran(session, None, {"regions": values})
        yield Figures(count, (shape[1], shape[2]), *_judged(module, PerRegion(module), values, found, limit))


def _judged(
    module: RegionDetector, inner: nn.Module, given: Array, found: Sequence[Array], limit: Limit
) -> tuple[float, float]:
    """The worst error of any output and, past the tolerance, torch's own; both are then against fp64."""
    wanted = _outputs(inner, torch.from_numpy(given))
    relative = _worst(found, wanted)
    if relative <= limit.tolerance:
        return relative, 0.0
    module.double()
    exact = _outputs(inner, torch.from_numpy(given).double())
    module.float()
    return _worst(found, exact), _worst(wanted, exact)


def _outputs(inner: nn.Module, given: Tensor) -> list[Array]:
    with torch.inference_mode():
        return [each.numpy() for each in inner(given)]


def _worst(found: Sequence[Array], wanted: Sequence[Array]) -> float:
    return max(_off(one, other) for one, other in zip(found, wanted, strict=True))


def _off(found: Array, wanted: Array) -> float:
    """As a share of the largest value. Where torch's are not all numbers, the two only have to agree on where."""
    if np.isfinite(wanted).all():
        return errors(found, wanted)[1]
    return 0.0 if np.array_equal(np.isfinite(found), np.isfinite(wanted)) else float("inf")


def _ran(session: InferenceSession, names: Sequence[str] | None, image: Mapping[str, Array]) -> list[Array]:
    try:
        values: list[Array] = session.run(names, image)
    except Exception as error:  # onnxruntime has an exception class for every kind of failure
        message = f"onnxruntime cannot run it: {str(error).strip()[:300]}"
        raise file_error("the model", "AS513", message, hint="nothing was written") from error
    return values


def _prepared(module: RegionDetector, pictures: Array) -> Array:
    """Pictures `(N, C, H, W)` that are resized already, normalised and filled up as torchvision does it."""
    transform = module.transform
    images = [transform.normalize(each) for each in torch.from_numpy(pictures)]
    batch: Array = transform.batch_images(images, transform.size_divisible).numpy()
    return batch


def _whole(
    loaded: LoadedDetector, module: RegionDetector, source: Path | bytes, one: Made, limit: Limit
) -> Iterator[Figures]:
    """The whole detector, step by step, then from the picture on."""
    plain, probe = _opened(source), _opened(probed(one))
    for size in PICTURES:
        pixels = _pixels(size, loaded)
        values = _ran(probe, [*one.values.values(), *OUTPUTS], {"image": pixels})
        seen, found = dict(zip(one.values, values, strict=False)), Boxes(*values[-3:])
        steps = compared(module, pixels, seen, found)
        nets = [
            _judged(module, PerImage(module), seen["padded"], [seen[name] for name in _SHARED], limit),
            _judged(module, PerRegion(module), seen["regions"], [seen[name] for name in _CLASSES], limit),
        ]
        with torch.inference_mode():
            alone = boxes(module([image(pixels)])[0])
        yield Figures(
            len(alone.boxes),
            size,
            *max(nets, key=lambda each: each[0] - each[1]),
            prepared=steps.prepared,
            pooled=steps.pooled,
            same=min(steps.proposals, steps.detections),
            alike=alike(Boxes(*_ran(plain, OUTPUTS, {"image": pixels})), alone, 1, 0.01),
        )


def _opened(model: Path | bytes) -> InferenceSession:
    return open_session(model, threads=torch.get_num_threads())


def _pixels(size: tuple[int, int], loaded: LoadedDetector) -> Array:
    """Random bytes `(H, W, C)`."""
    (picture,) = _noise(1, loaded.parts.image_channels, *size)
    return np.ascontiguousarray(picture.transpose(1, 2, 0))


def _noise(count: int, channels: int, height: int, width: int) -> Array:
    """Random bytes `(N, C, H, W)`."""
    generator = np.random.default_rng([SEED, count, height, width])
    return generator.integers(0, 256, (count, channels, height, width), np.uint8)


_LOOKED: dict[FileName, Callable[..., Iterator[Figures]]] = {
    "features": _features,
    "regions": _regions,
    "detector": _whole,
}
