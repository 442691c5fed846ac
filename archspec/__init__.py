"""archspec: a declarative architecture compiler for convolutional networks.

`load` reads a spec, `build` makes a `torch.nn.Module` of it, `source` prints it as standalone Python.
Nothing is imported before it is asked for: `import archspec` does not start torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archspec.api import build, load, source
    from archspec.architecture import Architecture
    from archspec.errors import Diagnostic, SpecError
    from archspec.passes.budget import Budget

__version__ = "0.1.0"
__all__ = ["Architecture", "Budget", "Diagnostic", "SpecError", "build", "load", "source"]

_HOMES = {
    "Architecture": "archspec.architecture",
    "Budget": "archspec.passes.budget",
    "Diagnostic": "archspec.errors",
    "SpecError": "archspec.errors",
    "build": "archspec.api",
    "load": "archspec.api",
    "source": "archspec.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'archspec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
