"""The first layer at which a file and its module part: every value of the file against torch's, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archspec.deploy.proof import errors
from archspec.deploy.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnx import ModelProto

    from archspec.deploy.proof import Limit, Subject


class Divergence(NamedTuple):
    """A layer by its path, and how far off the file is there, as a share of the layer's largest value."""

    path: str
    relative: float


class Overflow(NamedTuple):
    """A layer by its path, and the largest value it reaches."""

    path: str
    reached: float


def first_divergence(
    subject: Subject, model: ModelProto, values: Mapping[str, str], limit: Limit
) -> Divergence | None:
    """The first layer past the tolerance, in the order of computation; None where all agree, unoptimised."""
    import onnx

    images = subject.images(2, (subject.architecture.input_shape[1], subject.architecture.input_shape[2]))
    own = dict(_torch_values(subject, images))
    with subject.exactly():
        wanted = dict(_torch_values(subject, images))
    present = {name for node in model.graph.node for name in node.output}
    asked = {path: values[path] for path in wanted if values.get(path) in present}
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    known = {output.name for output in opened.graph.output}
    names = [name for name in dict.fromkeys(asked.values()) if name not in known]
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = open_session(opened.SerializeToString(), optimise=False)
    outputs = [each.name for each in session.get_outputs()]
    found = dict(zip(outputs, session.run(None, {session.get_inputs()[0].name: images}), strict=True))
    for path, name in asked.items():
        _, relative = errors(found[name], wanted[path])
        _, rounding = errors(own[path], wanted[path])
        if relative > max(limit.tolerance, limit.rounding * rounding):
            return Divergence(path, relative)
    return None


def overflow(subject: Subject, largest: float) -> Overflow | None:
    """The first layer whose values are past what a precision holds: a CPU's runtime would not show it."""
    size = subject.architecture.input_shape
    for path, values in _torch_values(subject, subject.images(2, (size[1], size[2]))):
        reached = float(np.abs(values).max(initial=0))
        if reached > largest:
            return Overflow(path, reached)
    return None


def _torch_values(
    subject: Subject, images: np.ndarray[Any, Any]
) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """What every operation puts out in torch, by path, in the order of computation.

    A container's output is that of the last operation in it. A module that runs several times tells nothing.
    """
    import torch

    from archspec.passes.flatten import flatten

    seen: dict[str, list[np.ndarray[Any, Any]]] = {}

    def watch(path: str) -> Any:
        def hook(_module: object, _inputs: object, output: torch.Tensor) -> None:
            # copied: what follows may work in place
            seen.setdefault(path, []).append(output.detach().numpy().copy())

        return hook

    modules = dict(subject.module.named_modules())
    handles = [module.register_forward_hook(watch(path)) for path, module in modules.items() if path]
    try:
        with torch.inference_mode():
            subject.module(subject.taken(images))
    finally:
        for handle in handles:
            handle.remove()
    once = {path: values[0] for path, values in seen.items() if len(values) == 1}
    steps = flatten(subject.architecture.graph)
    last = {prefix: step.path for step in steps for prefix in _prefixes(step.path)}
    by_step = {last[path]: value for path, value in once.items() if path in last}
    yield from ((step.path, by_step[step.path]) for step in steps if step.path in by_step)


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: place + 1]) for place in range(len(parts))]
