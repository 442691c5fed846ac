"""Whether a file computes what its spec says: onnxruntime on the file against torch on the module.

Two sets of weights are tried: the file's own, and random ones with random running statistics, because a network
fresh from its initialisation hides what folding a normalisation may do wrong.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archspec.deploy.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor, nn

    from archspec.architecture import Architecture
    from archspec.backends.onnx.write import Form, Normalisation

BATCHES = (1, 2, 7)
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-2, "int8": 2e-1}
"""Of the largest absolute error, as a share of the largest absolute output, by precision."""
SEED = 0


class Limit(NamedTuple):
    """How far off a file may be: a share of the largest output, or so many times torch's own rounding error."""

    tolerance: float
    rounding: float = 4


class Case(NamedTuple):
    """One comparison. Errors are the worst over all outputs; `relative` is a share of the largest output."""

    weights: str
    batch: int
    size: tuple[int, int]
    absolute: float
    relative: float
    agreement: float
    """The share of images for which both name the same class."""
    finite: bool
    """Whether torch's outputs are numbers at all. Where they are not, the two only have to agree on where."""
    rounding: float = 0.0
    """Torch's own error in fp32 against fp64, looked at where the file is past the tolerance.

    A deep plain net multiplies the last bit until no two orders of summation agree; then errors are against fp64.
    """

    def within(self, limit: Limit) -> bool:
        """Whether the file is as near as it has to be."""
        return self.relative <= max(limit.tolerance, limit.rounding * self.rounding)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was compared, and whether every error stays within the tolerance."""

    cases: tuple[Case, ...]
    limit: Limit

    @property
    def holds(self) -> bool:
        """Whether every case lies within the tolerance, and at least one compared numbers."""
        fine = all(case.within(self.limit) for case in self.cases)
        return fine and any(case.finite for case in self.cases)

    @property
    def worst(self) -> Case:
        """The case with the largest relative error."""
        return max(self.cases, key=lambda case: case.relative)

    @property
    def agreement(self) -> float:
        """The share of all images on which the two name the same class."""
        images = sum(case.batch for case in self.cases if case.finite)
        return sum(case.agreement * case.batch for case in self.cases if case.finite) / max(images, 1)


class Subject:
    """A torch module with the weights that a file was made from."""

    def __init__(
        self,
        architecture: Architecture,
        tensors: Mapping[str, np.ndarray[Any, Any]],
        form: Form,
        pictures: np.ndarray[Any, Any] | None = None,
        prepared: Normalisation | None = None,
    ) -> None:
        self.architecture = architecture
        self.form = form
        self.pictures = pictures
        self.prepared = prepared
        self.module = live(architecture, tensors)

    def images(self, batch: int, size: tuple[int, int]) -> np.ndarray[Any, Any]:
        """Random pictures as the file takes them: bytes where it normalises itself, bytes normalised as its
        pictures are where that is known, else normal values.

        Those that an int8 file was calibrated with, where there are any: its scales fit no others.
        """
        if self.pictures is not None:
            return self.pictures[np.arange(batch) % len(self.pictures)]
        channels = self.architecture.input_shape[0]
        generator = np.random.default_rng([SEED, batch, *size])
        if self.form.normalisation is None and self.prepared is None:
            return generator.standard_normal((batch, channels, *size), np.float32)
        pixels = generator.integers(0, 256, (batch, *size, channels), np.uint8)
        return pixels if self.form.normalisation is not None else _normalised(pixels, self.prepared)

    @contextmanager
    def exactly(self) -> Iterator[None]:
        """Computes in fp64 for a while."""
        self.module.double()
        try:
            yield
        finally:
            self.module.float()

    def outputs(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """What torch makes of them."""
        import torch

        with torch.inference_mode():
            logits = self.module(self.taken(images))
            outputs = logits.softmax(1) if self.form.softmax else logits
        result: np.ndarray[Any, Any] = outputs.numpy()
        return result

    def taken(self, images: np.ndarray[Any, Any]) -> Tensor:
        """Pictures as the module takes them: `(N, C, H, W)`, normalised, of its type."""
        import torch

        kind = next(self.module.parameters()).dtype
        return torch.from_numpy(_normalised(images, self.form.normalisation)).to(kind)


def _normalised(pixels: np.ndarray[Any, Any], by: Normalisation | None) -> np.ndarray[Any, Any]:
    """`(N, H, W, C)` bytes as `(N, C, H, W)`, normalised."""
    if by is None:
        return pixels
    values = pixels.transpose(0, 3, 1, 2).astype(np.float64) * (by.range / 255)
    mean, std = (np.array(each).reshape(-1, 1, 1) for each in (by.mean, by.std))
    return np.ascontiguousarray(((values - mean) / std).astype(np.float32))


def live(architecture: Architecture, tensors: Mapping[str, np.ndarray[Any, Any]]) -> nn.Module:
    """The module of an architecture with its weights, for evaluation."""
    from archspec.api import build
    from archspec.weights.match import load_into

    module = build(architecture, init=False)
    load_into(module, tensors, strict=False)
    return module.eval()


def initial(architecture: Architecture, seed: int = SEED) -> dict[str, np.ndarray[Any, Any]]:
    """The weights a network starts training from, as its `[init]` says."""
    import torch

    from archspec.api import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(architecture)
    return {key: values.numpy() for key, values in module.state_dict().items()}


def shaken(architecture: Architecture, seed: int = SEED) -> dict[str, np.ndarray[Any, Any]]:
    """Random weights with running statistics that fit a batch of noise, then shaken: no layer can hide."""
    import torch

    from archspec.api import build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = build(architecture)
        norms = [each for each in module.modules() if isinstance(each, torch.nn.BatchNorm2d)]
        with torch.no_grad():
            _spread(module)
            for norm in norms:
                norm.momentum = None  # a plain average: of the one batch
            if norms:
                module.train()(torch.randn(_calibrating(architecture), *architecture.input_shape))
            for norm in norms:
                assert norm.running_mean is not None
                assert norm.running_var is not None
                norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn(norm.num_features)
                norm.running_var *= 0.8 + 0.4 * torch.rand(norm.num_features)
    return {key: values.numpy() for key, values in module.state_dict().items()}


def _calibrating(architecture: Architecture) -> int:
    """How many images give every channel a variance worth the name: many, where they cost little."""
    return max(4, min(32, 4 * 10**9 // architecture.measure.total.macs))


def _spread(module: nn.Module) -> None:
    """He's weights where a spec starts with others, and scales and shifts that are not all one and zero."""
    import torch

    for name, values in module.named_parameters():
        if values.dim() > 1:
            torch.nn.init.kaiming_normal_(values)
        elif name.endswith("weight"):
            values.copy_(0.8 + 0.4 * torch.rand(values.shape))
        else:
            values.copy_(0.1 * torch.randn(values.shape))


def compare(
    subject: Subject,
    model: Path | bytes,
    weights: str,
    limit: Limit,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Case]:
    """The file against its subject, at every batch size, and at a second image size where it takes one."""
    import torch

    session = open_session(model, threads=torch.get_num_threads())
    _, *size = subject.architecture.input_shape
    sizes = [(size[0], size[1])]
    if subject.form.dynamic_size and subject.pictures is None:
        sizes.append((size[0] * 3 // 2, size[1] * 5 // 4))
    for place in sizes:
        for batch in BATCHES:
            say(f"proving with {weights} weights at batch {batch}, {place[0]}x{place[1]}")
            images = subject.images(batch, place)
            (found,) = session.run(None, {session.get_inputs()[0].name: images})
            case = _case((weights, batch, place), found, subject.outputs(images))
            yield case if case.relative <= limit.tolerance else _judged(case, subject, images, found)


def _judged(case: Case, subject: Subject, images: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> Case:
    """A case past the tolerance, held against fp64, with torch's own error beside it."""
    with subject.exactly():
        exact = subject.outputs(images)
    _, own = errors(subject.outputs(images), exact)
    absolute, relative = errors(found, exact)
    return case._replace(absolute=absolute, relative=relative, rounding=own)


def _case(
    key: tuple[str, int, tuple[int, int]], found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]
) -> Case:
    finite = bool(np.isfinite(wanted).all())
    if not finite:
        alike = np.array_equal(np.isfinite(found), np.isfinite(wanted))
        return Case(*key, 0.0, 0.0 if alike else float("inf"), float(alike), finite=False)
    absolute, relative = errors(found, wanted)
    same = (found.argmax(1) == wanted.argmax(1)).reshape(len(wanted), -1).all(1)
    return Case(*key, absolute, relative, float(same.mean()), finite=True)


def errors(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The largest absolute error, and its share of the largest wanted value."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf"), float("inf")
    absolute = float(np.abs(found.astype(np.float64) - wanted).max(initial=0))
    largest = float(np.abs(wanted).max(initial=0))
    return absolute, absolute / largest if largest else (0.0 if absolute == 0 else float("inf"))
