"""Modules of other libraries by name, as weights come from: `torchvision:resnet50`. Nothing is ever downloaded."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from archspec.errors import did_you_mean, file_error
from archspec.weights.match import FLOATS, classes, counts, some

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from archspec.architecture import Architecture
    from archspec.weights.files import Weights

LIBRARIES = ("torchvision", "timm")


class UnknownOriginError(LookupError):
    """A library or a model that is not there. `hint` is the nearest one."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


def module_of(name: str, architecture: Architecture) -> nn.Module:
    """The library's own module, unfilled by training, for as many classes and channels as the spec has."""
    library, _, model = name.partition(":")
    if library not in LIBRARIES or not model:
        message = f'"{name[:100]}" is no origin: it is torchvision:NAME or timm:NAME'
        raise UnknownOriginError(message, did_you_mean(library, LIBRARIES))
    return _made(library, model, classes(architecture), architecture.input_shape[0])


def _made(library: str, model: str, outputs: int, channels: int) -> nn.Module:
    import torch

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # about how the libraries themselves are written
        names, create = _torchvision() if library == "torchvision" else _timm(channels)
        if model not in names:
            message = f'{library} has no model "{model[:100]}"'
            raise UnknownOriginError(message, did_you_mean(model, names) or _nearest(model, names))
        return create(model, outputs).eval()


def _nearest(model: str, names: list[str]) -> str:
    """For lists too long to be shown."""
    from difflib import get_close_matches

    close = get_close_matches(model[:100], names, n=3)
    return f"nearest: {', '.join(close)}" if close else ""


def _torchvision() -> tuple[list[str], Callable[[str, int], nn.Module]]:
    from torchvision import models

    def create(model: str, outputs: int) -> nn.Module:
        made: nn.Module = models.get_model(model, weights=None, num_classes=outputs)
        return made

    return models.list_models(module=models), create


def _timm(channels: int) -> tuple[list[str], Callable[[str, int], nn.Module]]:
    try:
        import timm
    except ImportError as error:
        raise UnknownOriginError("timm is not installed", "pip install timm") from error

    def create(model: str, outputs: int) -> nn.Module:
        made: nn.Module = timm.create_model(model, pretrained=False, num_classes=outputs, in_chans=channels)
        return made

    return timm.list_models(), create


def filled(module: nn.Module, name: str, weights: Weights) -> nn.Module:
    """Loads a file strictly into the module that it is said to come from. Raises `FileError`."""
    import torch

    wanted = module.state_dict()
    missing = [key for key in wanted if key not in weights.shapes and not counts(key)]
    unexpected = [key for key in weights.shapes if key not in wanted]
    other = [
        key for key in wanted if key in weights.shapes and tuple(wanted[key].shape) != weights.shapes[key]
    ]
    groups = ((missing, "are missing"), (unexpected, "are not its"), (other, "have another shape"))
    problems = [
        f"the file does not load into {name}: {len(keys)} tensors {what}: {some(keys)}"
        for keys, what in groups
        if keys
    ]
    if problems:
        raise file_error(weights.file, "AS503", *problems)

    def value(key: str, like: Tensor) -> Tensor:
        if key not in weights.shapes:
            return like
        floats = weights.dtypes[key] in FLOATS
        return torch.tensor(weights.tensors[key].astype("float32") if floats else weights.tensors[key])

    module.load_state_dict({key: value(key, like) for key, like in wanted.items()}, strict=True)
    return module
