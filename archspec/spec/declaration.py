"""A spec that has been read, checked and given values for its parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archspec.errors import Loc, Note, Problem, ProblemsFound
from archspec.sizes import MAX_VALUE, Size, SizeError, evaluate, names, substitute
from archspec.spec import library

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.ir.operation import Shape
    from archspec.spec.inherit import Sources
    from archspec.spec.models import Block, Spec

MAX_IMAGE = 16384
MOST_TRIED = 10_000


@dataclass(frozen=True)
class Declaration:
    """A network as declared: the validated spec, its parameters' values, and where each value was said."""

    spec: Spec
    params: Mapping[str, int]
    sources: Sources = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The spec's name."""
        return self.spec.name

    @cached_property
    def input_shape(self) -> Shape:
        """`(C, H, W)` of the image it is declared for."""
        channels = self.size(self.spec.input.channels, ("input", "channels"), 1, MAX_IMAGE)
        sides = (
            self.size(each, ("input", "size", place), 1, MAX_IMAGE)
            for place, each in enumerate(self.spec.input.size)
        )
        return (channels, *sides)

    def block(self, name: str) -> Block:
        """A block type: the spec's own, or a built-in one."""
        own = self.spec.blocks.get(name)
        return own if own is not None else library.block(name)

    def size(self, size: Size, loc: Loc, low: int, high: int) -> int:
        """The integer behind a size outside of blocks. Raises `ProblemsFound` when it is out of range."""
        try:
            value = evaluate(size, self.params)
        except SizeError as error:
            raise ProblemsFound([Problem("AS307", f"the size has no value: {error}", loc)]) from error
        if not low <= value <= high:
            notes = tuple(
                Note(("params", name), f"{name} is {self.params[name]}") for name in sorted(names(size))
            )
            raise ProblemsFound(
                [Problem("AS104", f"{value} is out of range: {low} to {high}", loc, notes=notes)]
            )
        return value

    def fixed(self, size: Size) -> Size:
        """A block's size with the spec's parameters filled in; the block's own names stay."""
        return substitute(size, self.params)

    def short(self) -> dict[str, Any]:
        """The spec on its own, as short as it can be said: no `extends`, no defaults, parameters with their values.

        Blocks that nothing uses, and those that a built-in one equals, are left out.
        """
        table = self.spec.model_dump(
            mode="json", exclude_none=True, exclude_defaults=True, exclude={"depth", "params", "blocks"}
        )
        table["params"] = dict(self.params)
        own = {name: block for name, block in sorted(self.spec.blocks.items()) if name in self._used()}
        table["blocks"] = {
            name: block.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
            for name, block in own.items()
            if name not in library.block_names() or block != library.block(name)
        }
        order = ("format", "name", "about", "params", *type(self.spec).model_fields)
        return {key: table[key] for key in dict.fromkeys(order) if table.get(key) not in (None, {}, [])}

    def _used(self) -> set[str]:
        """The block types that stages are made of, and the default one."""
        return {
            name for name in (self.spec.defaults.block, *(stage.block for stage in self.spec.stages)) if name
        }

    def resolved(self) -> dict[str, Any]:
        """The spec with nothing implied: every default written out, no `extends`, its blocks included."""
        table = self.spec.model_dump(mode="json", exclude_none=True, exclude={"depth", "params", "blocks"})
        blocks = {name: self.block(name) for name in sorted(self._used())}
        table["params"] = dict(self.params)
        table["blocks"] = {
            name: block.model_dump(mode="json", exclude_none=True) for name, block in blocks.items()
        }
        return {
            key: table[key] for key in type(self.spec).model_fields if table.get(key) not in (None, {}, [])
        }


def parameters(spec: Spec, sources: Sources) -> dict[str, int]:
    """The integer of every parameter; a family's rule is solved for the depth. Raises `ProblemsFound`."""
    values: dict[str, int] = {}
    given: dict[str, Size] = dict(spec.params)
    if spec.depth is not None:
        given.update(_solved(spec, spec.depth, sources))
    for name in given:
        _evaluate(name, given, values, ())
    return values


def _evaluate(name: str, given: Mapping[str, Size], values: dict[str, int], path: tuple[str, ...]) -> int:
    if name in values:
        return values[name]
    loc = ("params", name)
    if name in path:
        cycle = " -> ".join((*path[path.index(name) :], name))
        raise ProblemsFound([Problem("AS307", f"the parameters depend on each other: {cycle}", loc)])
    try:
        inner = {each: _evaluate(each, given, values, (*path, name)) for each in sorted(names(given[name]))}
        value = evaluate(given[name], inner)
        if not 0 <= value <= MAX_VALUE:
            raise ProblemsFound([Problem("AS104", f"{name} is {value}: 0 to {MAX_VALUE}", loc)])
        values[name] = value
    except SizeError as error:
        raise ProblemsFound([Problem("AS307", f"{name} has no value: {error}", loc)]) from error
    return values[name]


def _solved(spec: Spec, depth: int, sources: Sources) -> dict[str, Size]:
    if spec.family is None:
        hint = 'a [family] table says how depth and parameters hang together: depth = "6 * n + 2"'
        raise ProblemsFound(
            [Problem("AS309", "depth is only for a family of networks", ("depth",), hint, "key")]
        )
    rule = spec.family.depth
    unknown = sorted(names(rule))
    if len(unknown) != 1:
        message = "the family's rule must use exactly one parameter to be solved for a depth"
        raise ProblemsFound([Problem("AS309", message, ("family", "depth"))])
    solution = _nearest_solutions(rule, unknown[0], depth)
    if not solution or solution[0][1] != depth:
        near = " and ".join(f"{value} ({unknown[0]} = {n})" for n, value in solution)
        written = spec.family.model_dump()["depth"]
        notes = (Note(("family", "depth"), "the family's rule"),)
        raise ProblemsFound(
            [
                Problem(
                    "AS309",
                    f"a depth of {depth} is not {written}",
                    ("depth",),
                    f"nearest: {near}",
                    notes=notes,
                )
            ]
        )
    return _unless_contradicted(unknown[0], solution[0][0], depth, spec, sources)


def _nearest_solutions(rule: Size, name: str, depth: int) -> list[tuple[int, int]]:
    """`(n, depth)` where the rule gives the wanted depth, or else the nearest depths below and above."""
    below: tuple[int, int] | None = None
    above: tuple[int, int] | None = None
    for n in range(1, MOST_TRIED + 1):
        try:
            value = evaluate(rule, {name: n})
        except SizeError:
            break
        if value == depth:
            return [(n, value)]
        if value < depth and (below is None or value > below[1]):
            below = (n, value)
        if value > depth and (above is None or value < above[1]):
            above = (n, value)
        # rules grow with their parameter: the first value past the depth ends the search
        if value > depth and below is not None:
            break
    return [each for each in (below, above) if each is not None]


def _unless_contradicted(name: str, n: int, depth: int, spec: Spec, sources: Sources) -> dict[str, Size]:
    """The solved parameter, unless the same file (or a later one) gives the parameter another value."""
    order = {document.file: place for place, document in enumerate(sources.documents)}
    said, _ = sources.origin(("params", name))
    wanted, _ = sources.origin(("depth",))
    if order[said.file] < order[wanted.file] or spec.params.get(name) == n:
        return {name: n}
    notes = (Note(("params", name), f"{name} is given here"),)
    message = f"a depth of {depth} means {name} = {n}, but {name} is {spec.params[name]}"
    raise ProblemsFound([Problem("AS112", message, ("depth",), "leave one of the two out", notes=notes)])
