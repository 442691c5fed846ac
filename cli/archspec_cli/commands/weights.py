"""`archspec weights`: import weights of others, look into a file, check what it says of itself."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from math import prod
from typing import TYPE_CHECKING, Any

from archspec.errors import FileError, did_you_mean
from archspec.ir.operation import dims
from archspec.provenance import FUNCTION, LABELS, LICENSE, ORIGIN, PREPROCESSING, TENSORS, recalled
from archspec.weights.files import read_weights
from archspec.weights.importing import Facts, import_weights
from archspec.weights.keys import NAMES, fits, style_of
from archspec.weights.match import FLOATS, LONGEST, casts, counts, some
from archspec.weights.origins import UnknownOriginError
from archspec.weights.verify import verify_weights
from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, progress, say, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.weights.ambiguity import Ambiguity
    from archspec.weights.files import Weights
    from archspec.weights.importing import Imported
    from archspec.weights.verify import Check

MOST_ROWS = 30
MOST_RENAMED = 3
_RANKS = {"weight": 0, "bias": 1, "running_mean": 2, "running_var": 3}


def run_import(
    file: Path,
    spec: str,
    output: Path,
    *,
    style: str = "auto",
    against: str | None = None,
    preprocessing: str | None = None,
    labels: Path | None = None,
    license_: str = "",
    origin: str = "",
    changes: list[str] | None = None,
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    if style != "auto" and style not in NAMES:
        fail(f'no key style is named "{style}"', did_you_mean(style, ("auto", *NAMES)))
    _refuse_output(file, output)
    architecture = load(spec, changes, allow_outside=allow_outside)
    facts = _facts(architecture, preprocessing, labels, license_, origin)
    if against:
        say(f"running {architecture.name} and {against} on the same images")
    try:
        imported = import_weights(file, architecture, style=style, against=against, facts=facts)
    except UnknownOriginError as error:
        fail(str(error), error.hint)
    receipt = imported.save(output)
    if as_json:
        emit_json({**json.loads(receipt.read_text("utf-8")), "receipt": str(receipt)})
    else:
        tell(_story(imported, output, receipt))


def _refuse_output(file: Path, output: Path) -> None:
    if output.suffix != ".safetensors":
        fail(f"{output} is to be a .safetensors file")
    if output.is_dir():
        fail(f"{output} is a folder")
    if output.exists() and file.exists() and output.samefile(file):
        fail("the output would replace the file that is imported")


def _facts(
    architecture: Architecture, preprocessing: str | None, labels: Path | None, license_: str, origin: str
) -> Facts:
    from archspec.weights.describing import LONGEST as LINE
    from archspec.weights.describing import labels_from, preprocessing_from

    if max(len(license_), len(origin)) > LINE or not (license_ + origin).isprintable():
        fail(f"a licence and an origin are a line each, {LINE} characters at most")
    return Facts(
        origin=origin,
        license=license_,
        labels=labels_from(labels, architecture) if labels else (),
        preprocessing=preprocessing_from(preprocessing, architecture) if preprocessing else None,
    )


def _story(imported: Imported, output: Path, receipt: Path) -> str:
    """What was read, renamed, matched, proved and written, and what cannot be told."""
    said = imported.receipt
    source, matched = said["source"], said["matched"]
    lines = [
        ("read", f"{source['file']} ({source['format']}, SHA-256 {source['sha256'][:12]})"),
        *(("", remark) for remark in source["remarks"]),
        ("style", f"{said['style']['name']}: {said['style']['why']}"),
        ("renamed", _renamed(said["renamed"])),
        (
            "matched",
            f"{matched['tensors']:,} tensors with {matched['values']:,} values, all finite, to {said['spec']['name']}",
        ),
        *_done(said),
        *_proved(imported),
        ("wrote", f"{output} (tensors' SHA-256 {matched['sha256'][:12]})"),
        ("", str(receipt)),
    ]
    story = "\n".join(f"{name:<8}  {sanitize(text)}" for name, text in lines if text)
    return "\n\n".join([story, *_unsure(imported.ambiguous, ran=imported.agreement is not None)])


def _renamed(names: dict[str, str]) -> str:
    if not names:
        return "nothing: the keys are ours"
    shown = [f"{theirs} to {ours}" for ours, theirs in list(names.items())[:MOST_RENAMED]]
    more = f" and {len(names) - MOST_RENAMED} more" if len(names) > MOST_RENAMED else ""
    return f"{len(names)} keys: {', '.join(shown)}{more}"


def _done(said: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for kind, number in said["cast_to_float32"].items():
        yield "cast", f"{number:,} tensors from {kind} to float32"
    if said["dropped"]:
        yield "dropped", f"{len(said['dropped'])} biases, all zero, that the spec does not have"
    if said["counters_set_to_zero"]:
        yield (
            "filled",
            f"{len(said['counters_set_to_zero'])} counters of training steps with 0; no output depends on them",
        )


def _proved(imported: Imported) -> Iterable[tuple[str, str]]:
    found = imported.receipt["comparison"]
    if found is not None:
        number, *shape = found["images"]
        worst = f"worst relative error {found['worst']['error']:.2g} (tolerance {found['tolerance']:g})"
        same = f"{found['against']} gives the same on {number} random images of {dims(tuple(shape))}"
        yield "proved", f"{same}: {found['layers']} layers, {worst}"
        yield "", ", ".join(f"{stage} {error:.1g}" for stage, error in found["stages"].items())
    elif imported.receipt["source"]["function_hash"]:
        yield "proved", "the file carries the hash of the spec's own function"
    else:
        yield (
            "proved",
            "keys, shapes and types only; nothing was run (--against torchvision:NAME or timm:NAME runs both)",
        )


def _unsure(ambiguous: Sequence[Ambiguity], *, ran: bool) -> Iterable[str]:
    if not ambiguous:
        return
    how = "neither weights nor their outputs tell" if ran else "weights alone cannot tell"
    rows = [[each.field, each.value, " or ".join(each.alternatives), each.why] for each in ambiguous]
    yield f"What {how}, and is taken from the spec:"
    yield table(["field", "the spec says", "could also be", "why"], rows, left=4)


def run_inspect(
    file: Path,
    spec: str | None = None,
    *,
    everything: bool = False,
    changes: list[str] | None = None,
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    architecture = load(spec, changes, allow_outside=allow_outside) if spec else None
    weights = read_weights(file)
    found = _inspected(weights, architecture)
    if as_json:
        tensors = {
            key: {"shape": list(shape), "dtype": weights.dtypes[key]} for key, shape in weights.shapes.items()
        }
        emit_json({**found, "tensors": tensors})
    else:
        tell(_looked(weights, found, everything=everything))


def _inspected(weights: Weights, architecture: Architecture | None) -> dict[str, Any]:
    """What there is to know of a file. A spec inside it is compiled, not believed."""
    carried, problem = _carried(weights)
    target = architecture or carried
    kinds = {
        kind: sum(other == kind for other in weights.dtypes.values()) for kind in weights.dtypes.values()
    }
    known = style_of(weights.shapes)
    style: dict[str, Any] | None = (
        {"name": known.name, "why": f"the file has {known.about}"} if known else None
    )
    if target is not None:
        best = fits(target, weights.shapes)[0]
        style = {"name": best.style.name, "why": best.reason} if best.found else None
    metadata = weights.metadata
    return {
        "file": weights.file,
        "format": weights.format,
        "sha256": weights.sha256,
        "remarks": list(weights.remarks),
        "values": sum(prod(shape) for key, shape in weights.shapes.items() if not counts(key)),
        "dtypes": kinds,
        "cast_to_float32": casts(weights),
        "style": style,
        "not_finite": _not_finite(weights),
        "spec": carried.name if carried else None,
        "spec_problem": problem,
        "function_hash": metadata.get(FUNCTION),
        "tensors_sha256": metadata.get(TENSORS),
        "origin": metadata.get(ORIGIN),
        "license": metadata.get(LICENSE),
        "has_labels": LABELS in metadata,
        "has_preprocessing": PREPROCESSING in metadata,
    }


def _carried(weights: Weights) -> tuple[Architecture | None, str | None]:
    """The spec inside a file, compiled, or what is wrong with it."""
    try:
        return recalled(weights.metadata, weights.file), None
    except FileError as error:
        return None, error.diagnostics[0].message


def _not_finite(weights: Weights) -> dict[str, int]:
    """How many values of which tensor are infinite or not a number."""
    import numpy as np

    floats = [key for key in weights.shapes if weights.dtypes[key] in FLOATS]
    wrong = {
        key: int(weights.tensors[key].size - np.isfinite(weights.tensors[key]).sum())
        for key in progress(floats, "reading")
    }
    return {key: number for key, number in wrong.items() if number}


def _looked(weights: Weights, found: dict[str, Any], *, everything: bool) -> str:
    style = found["style"]
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in found["dtypes"].items())
    wrong = found["not_finite"]
    lines = [
        ("file", f"{found['file']} ({found['format']})"),
        *(("", remark) for remark in found["remarks"]),
        ("SHA-256", found["sha256"]),
        ("tensors", f"{len(weights.shapes):,} ({kinds}) with {found['values']:,} values"),
        ("finite", f"no: {some(wrong)}" if wrong else "all values"),
        ("style", f"{style['name']}: {style['why']}" if style else "no known one"),
        (
            "spec",
            found["spec_problem"]
            or (f"carries {found['spec']}" if found["spec"] else "the file carries none"),
        ),
        ("function", _cut(found["function_hash"] or "the file does not say")),
        ("origin", _cut(found["origin"] or "")),
        ("licence", _cut(found["license"] or "")),
        ("also", ", ".join(what for what in ("labels", "preprocessing") if found[f"has_{what}"])),
    ]
    summary = "\n".join(f"{name:<8}  {sanitize(text)}" for name, text in lines if text)
    rows = _layers(weights)
    shown = rows if everything else rows[:MOST_ROWS]
    more = (
        f"\nand {len(rows) - len(shown):,} more layers (--all shows them)" if len(rows) > len(shown) else ""
    )
    return f"{summary}\n\n{table(['layer', 'tensors', 'type', 'values'], shown, left=3)}{more}"


def _layers(weights: Weights) -> list[list[str]]:
    """The tensors of each module on one row; safetensors files keep no order of their own."""
    groups: dict[str, list[str]] = {}
    for key in sorted(weights.shapes, key=_natural) if weights.format == "safetensors" else weights.shapes:
        groups.setdefault(key.rpartition(".")[0], []).append(key)
    return [_layer(layer, keys, weights) for layer, keys in groups.items()]


def _layer(layer: str, keys: list[str], weights: Weights) -> list[str]:
    kept = [key for key in keys if not counts(key)] or keys
    return [
        _cut(layer) or "-",
        _cut(", ".join(_tensor(key, weights.shapes[key]) for key in kept)),
        ", ".join(dict.fromkeys(weights.dtypes[key] for key in kept)),
        f"{sum(prod(weights.shapes[key]) for key in kept):,}",
    ]


def _natural(key: str) -> tuple[list[tuple[int, str]], int]:
    """Modules by the numbers in their names, `layer1.10` behind `layer1.9`, and a module's weight first."""
    module, _, tensor = key.rpartition(".")
    parts = [
        (int(part), "") if part.isdecimal() and len(part) < 10 else (-1, part)
        for part in re.split(r"(\d+)", module)
    ]
    return parts, _RANKS.get(tensor, len(_RANKS))


def _tensor(key: str, shape: tuple[int, ...]) -> str:
    name = key.rpartition(".")[2]
    return f"{name} {dims(shape)}" if shape else name


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def run_verify(
    file: Path,
    spec: str | None = None,
    *,
    against: str | None = None,
    changes: list[str] | None = None,
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    architecture = load(spec, changes, allow_outside=allow_outside) if spec else None
    if against:
        say(f"running the weights' spec and {against} on the same images")
    from archspec.detection.verify import verify_stored  # only this command needs it

    try:
        of_detector = None if architecture or against else verify_stored(file)
        checks = of_detector or verify_weights(file, architecture, against)
    except UnknownOriginError as error:
        fail(str(error), error.hint)
    if as_json:
        emit_json({"file": str(file), "checks": [asdict(each) for each in checks]})
    else:
        tell(_verdict(file, checks))
    if not all(each.ok for each in checks):
        raise SystemExit(1)


def _verdict(file: Path, checks: Sequence[Check]) -> str:
    rows = [[each.name, "holds" if each.ok else "FAILS", each.detail] for each in checks]
    failed = sum(not each.ok for each in checks)
    end = f"{failed} of {len(checks)} checks fail." if failed else f"All {len(checks)} checks hold."
    return f"{sanitize(str(file))}\n\n{table(['check', 'verdict', 'what was found'], rows, left=3)}\n\n{end}"
