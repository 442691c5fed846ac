"""Operations in one form, so that two ways of writing one network can be held against each other.

What does nothing is left out, sub-sampling has one spelling, and zero channels come after it. `evaluation` also
leaves out what training alone would tell apart, and what is the same at the given image size.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import TYPE_CHECKING, NamedTuple

from archspec.ir import ops
from archspec.passes.flatten import FlatOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.ir.operation import Shape


class Canonical(NamedTuple):
    """Operations in one form, the shapes of their values, and the place of the one that comes out."""

    steps: tuple[FlatOp, ...]
    shapes: tuple[Shape, ...]
    output: int


def canonical(
    flat: Sequence[FlatOp], image: Shape, *, fold: bool = False, evaluation: bool = False
) -> Canonical:
    """Operations in one form. `fold` joins batch normalisations with the convolutions before them."""
    writer = _Writer(image, Counter(place for step in flat for place in step.inputs))
    writer.fold, writer.evaluation = fold, evaluation
    for place, step in enumerate(flat):
        writer.places[place] = writer.step(step)
    return Canonical(tuple(writer.steps), tuple(writer.shapes), writer.places[len(flat) - 1])


class _Writer:
    def __init__(self, image: Shape, uses: Counter[int]) -> None:
        self.image = image
        self.uses = uses
        self.steps: list[FlatOp] = []
        self.shapes: list[Shape] = []
        self.places: dict[int, int] = {-1: -1}
        self.fold = self.evaluation = False

    def shape(self, place: int) -> Shape:
        return self.shapes[place] if place >= 0 else self.image

    def add(self, op: ops.Op, path: str, inputs: tuple[int, ...]) -> int:
        self.steps.append(FlatOp(path, op, inputs))
        self.shapes.append(op.shape(*(self.shape(place) for place in inputs)))
        return len(self.steps) - 1

    def step(self, step: FlatOp) -> int:
        """The place of an operation's value, once it is written in one form."""
        inputs = tuple(self.places[place] for place in step.inputs)
        before = self.steps[inputs[0]] if inputs[0] >= 0 else None
        alone = self.uses[step.inputs[0]] == 1
        op = self.simple(step.op, self.shape(inputs[0]))
        if op is None:
            return inputs[0]
        if before is None or not alone:
            return self.add(op, step.path, inputs)
        if self.fold and isinstance(op, ops.BatchNorm2d) and isinstance(before.op, ops.Conv2d):
            self.steps[inputs[0]] = before._replace(op=replace(before.op, bias=True))
            return inputs[0]
        if _halves(op) and isinstance(before.op, ops.PadChannels):
            # both orders are one function: zeros are zeros wherever they are looked at
            place = inputs[0]
            self.steps[place] = FlatOp(step.path, op, before.inputs)
            self.shapes[place] = op.shape(self.shape(before.inputs[0]))
            return self.add(before.op, before.path, (place,))
        return self.add(op, step.path, inputs)

    def simple(self, op: ops.Op, shape: Shape) -> ops.Op | None:
        """An operation in one form, or None where it does nothing."""
        if isinstance(op, (ops.MaxPool2d, ops.AvgPool2d)):
            if op.kernel_size == 1 and op.padding == 0:
                return None if op.stride == 1 else ops.Subsample(op.stride)
            return self.pool(op, shape) if self.evaluation else op
        if self.fold and isinstance(op, ops.StandardisedConv2d):
            # exported weights are standardised already
            return ops.Conv2d(*(getattr(op, each.name) for each in fields(op)))
        nothing = (
            (self.evaluation and isinstance(op, ops.Dropout))
            or (isinstance(op, ops.Subsample) and op.stride == 1)
            or (isinstance(op, ops.PadChannels) and op.before == op.after == 0)
            or (isinstance(op, ops.AdaptiveAvgPool2d) and shape[1:] == (op.output_size, op.output_size))
        )
        if nothing:
            return None
        if self.evaluation and isinstance(op, ops.BatchNorm2d):
            return replace(op, momentum=0.1)
        return op

    def pool(self, op: ops.MaxPool2d | ops.AvgPool2d, shape: Shape) -> ops.Op:
        """A pool by what it does at this size: rounding that does not show, a window that is the whole map."""
        if op.ceil and replace(op, ceil=False).shape(shape) == op.shape(shape):
            op = replace(op, ceil=False)
        whole = isinstance(op, ops.AvgPool2d) and op.padding == 0
        if whole and shape[1:] == (op.kernel_size, op.kernel_size):
            return ops.AdaptiveAvgPool2d(1)
        return op


def _halves(op: ops.Op) -> bool:
    """Whether an operation looks at each channel by itself, and takes zeros to zeros."""
    return isinstance(op, (ops.Subsample, ops.AvgPool2d))


class Numbered:
    """Numbers for operations by what they compute from the image: equal ones have equal numbers, in any graph."""

    def __init__(self) -> None:
        self.known: dict[tuple[object, ...], int] = {}

    def numbers(self, network: Canonical) -> list[int]:
        """The number of every operation of a network."""
        found: list[int] = []
        for step in network.steps:
            inputs = [found[place] if place >= 0 else -1 for place in step.inputs]
            if isinstance(step.op, (ops.Add, ops.Multiply)):
                inputs.sort()
            settings = (type(step.op).__name__, *(getattr(step.op, each.name) for each in fields(step.op)))
            found.append(self.known.setdefault((settings, *inputs), len(self.known)))
        return found


def equal(left: Canonical, right: Canonical) -> bool:
    """Whether two networks are one, operation by operation."""
    return difference(left, right) is None


def difference(left: Canonical, right: Canonical) -> tuple[FlatOp | None, FlatOp | None] | None:
    """The first operations, in the order of the data, in which two networks differ; None where they do not."""
    register = Numbered()
    ours, theirs = register.numbers(left), register.numbers(right)
    if _root(ours, left) == _root(theirs, right) and Counter(ours) == Counter(theirs):
        return None
    a, b = left.output, right.output
    while a >= 0 and b >= 0:
        steps = left.steps[a], right.steps[b]
        if type(steps[0].op) is not type(steps[1].op):
            return steps
        pairs = _pairs(steps, ours, theirs)
        other = [pair for pair in pairs if _number(ours, pair[0]) != _number(theirs, pair[1])]
        if not other:
            return steps
        a, b = other[0]
    return (left.steps[a] if a >= 0 else None, right.steps[b] if b >= 0 else None)


def _root(numbers: list[int], network: Canonical) -> int:
    return _number(numbers, network.output)


def _number(numbers: list[int], place: int) -> int:
    return numbers[place] if place >= 0 else -1


def _pairs(steps: tuple[FlatOp, FlatOp], ours: list[int], theirs: list[int]) -> list[tuple[int, int]]:
    """Which input of one operation answers to which of the other, whatever order an addition has them in."""
    left, right = steps[0].inputs, steps[1].inputs
    straight = list(zip(left, right, strict=True))
    crossed = list(zip(left, reversed(right), strict=True))
    fits = [sum(_number(ours, a) == _number(theirs, b) for a, b in pairs) for pairs in (straight, crossed)]
    return crossed if fits[1] > fits[0] else straight
