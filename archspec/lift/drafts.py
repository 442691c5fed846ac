"""From a draft of a spec to a compiled one, and the proof that it is what the file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.architecture import Architecture, compiled
from archspec.errors import SpecError
from archspec.ir.operation import dims
from archspec.lift.canonical import Canonical, canonical, difference
from archspec.lift.chains import chain
from archspec.lift.layers import context
from archspec.lift.lifted import Unliftable, shown
from archspec.lift.plain import plain_tables
from archspec.lift.residual import additions, residual_tables
from archspec.lift.writing import spec_text
from archspec.passes.flatten import flatten
from archspec.spec.documents import parse
from archspec.spec.load import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.ir.operation import Shape
    from archspec.passes.flatten import FlatOp


def draft(network: Canonical, image: Shape) -> dict[str, Any]:
    """The tables of a spec for a network's operations, without its name. Raises `Unliftable`."""
    items = chain(network)
    common = context(items)
    made = residual_tables if additions(items) else plain_tables
    tables = made(items, common, image[0])
    return {
        **({"keys": tables["keys"]} if "keys" in tables else {}),
        "input": {"channels": image[0], "size": list(image[1:])},
        "stem": tables["stem"] if tables["stem"]["layers"] else {},
        "defaults": {**tables.get("defaults", {}), **common.tables["defaults"]},
        "norm": common.tables["norm"],
        "blocks": tables.get("blocks", {}),
        "stages": tables.get("stages", []),
        "head": tables["head"] if tables["head"]["layers"] else {},
    }


def compiled_draft(
    table: dict[str, Any], name: str, about: str, remarks: Sequence[str] = ()
) -> tuple[str, Architecture]:
    """The text of a draft, and what it compiles to. Raises `Unliftable`."""
    text = spec_text({"format": 1, "name": name, "about": about, **table}, remarks)
    try:
        return text, compiled(resolve(parse(text.encode(), f"{name}.toml", None)))
    except SpecError as error:
        first = error.diagnostics[0]
        raise Unliftable(f"its spec does not compile: {first.code} {first.message}") from error


def prove(architecture: Architecture, flat: Sequence[FlatOp], image: Shape, *, fold: bool = False) -> None:
    """Holds a spec against a file's operations, one by one, and its shapes. Raises `Unliftable`."""
    file = canonical(flat, image)
    own = canonical(flatten(architecture.graph), architecture.input_shape, fold=fold)
    found = difference(file, own)
    if found is not None:
        theirs, ours = found
        where = shown(theirs.path) if theirs is not None else "the input"
        wrote = f"{ours.op} at {ours.path}" if ours is not None else "nothing"
        is_there = theirs.op if theirs is not None else "the image"
        raise Unliftable(f"{where} is {is_there}, for which no spec was found: the nearest has {wrote}")
    if image != architecture.input_shape or file.shapes[file.output] != own.shapes[own.output]:
        shapes = dims(file.shapes[file.output]), dims(own.shapes[own.output])
        raise Unliftable(f"the file puts out {shapes[0]}, and its spec {shapes[1]}")
