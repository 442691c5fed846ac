"""What goes beside an exported file on request: a report for programs, a card for people."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from archspec import provenance
from archspec.deploy.export import FORM, PRECISION
from archspec.passes.measure import CONVENTION

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.deploy.export import Exported, Value
    from archspec.deploy.proof import Case

_VERSIONED = ("archspec-nn", "onnx", "onnxruntime", "torch")


def report(architecture: Architecture, exported: Exported, folder: Path) -> dict[str, Any]:
    """An export, which lies in a folder, as one JSON document."""
    said, total = exported.metadata, architecture.measure.total
    proof = exported.proof
    return {
        "file": exported.path.name,
        "bytes": exported.sizes,
        "sha256": _sha256(exported, folder),
        "name": architecture.name,
        "function_hash": architecture.hash,
        "weights_sha256": said.get(provenance.WEIGHTS),
        "params": total.params,
        "macs": total.macs,
        "convention": CONVENTION,
        "nodes": exported.nodes,
        "precision": said[PRECISION],
        "form": json.loads(said[FORM]),
        "input": exported.input._asdict(),
        "output": exported.output._asdict(),
        "preprocessing": json.loads(said.get(provenance.PREPROCESSING, "null")),
        "labels": len(json.loads(said.get(provenance.LABELS, "[]"))),
        "license": said.get(provenance.LICENSE),
        "proof": None
        if proof is None
        else {
            "holds": proof.holds,
            "tolerance": proof.limit.tolerance,
            "agreement": proof.agreement,
            "cases": [_case(case) for case in proof.cases],
        },
        "versions": _versions(),
    }


def _sha256(exported: Exported, folder: Path) -> str:
    with (folder / exported.path.name).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _case(case: Case) -> dict[str, Any]:
    # JSON has no infinity
    return {key: value if value != float("inf") else None for key, value in case._asdict().items()}


def _versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def card(architecture: Architecture, exported: Exported, folder: Path) -> str:
    """The model card of an export that lies in a folder, as Markdown."""
    said = exported.metadata
    sections = [
        f"# {architecture.name}",
        _escaped(architecture.declared.spec.about) or "A convolutional network.",
        "\n".join(f"- {line}" for line in _facts(architecture, exported, _sha256(exported, folder))),
        "## Input and output\n\n" + "\n".join(f"- {line}" for line in _interface(exported)),
        "## Proof\n\n" + _proof(exported),
        f"## Spec\n\nFunction hash `{architecture.hash}`.\n\n{_fenced(said[provenance.SPEC], 'toml')}",
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _facts(architecture: Architecture, exported: Exported, sha256: str) -> list[str]:
    said, total = exported.metadata, architecture.measure.total
    size = sum(exported.sizes.values()) / 2**20
    facts = [
        f"{total.params:,} parameters, {total.macs:,} multiply-adds for one image ({CONVENTION})",
        f"`{exported.path.name}`: {size:.1f} MiB, {exported.nodes} nodes, {said[PRECISION]}, "
        f"opset {json.loads(said[FORM])['opset']}, SHA-256 `{sha256}`",
    ]
    if provenance.WEIGHTS in said:
        facts.append(f"weights: SHA-256 `{said[provenance.WEIGHTS]}`")
    else:
        facts.append("weights: not trained; as the spec's `[init]` fills them")
    facts += [f"origin: {_escaped(said[provenance.ORIGIN])}"] if provenance.ORIGIN in said else []
    facts.append(f"licence: {_escaped(said.get(provenance.LICENSE, 'not known'))}")
    facts.append(", ".join(f"{name} {number}" for name, number in _versions().items()))
    return facts


def _interface(exported: Exported) -> list[str]:
    said = exported.metadata
    lines = [_value("in", exported.input), _value("out", exported.output)]
    if provenance.PREPROCESSING in said:
        lines.append(f"preprocessing: `{said[provenance.PREPROCESSING]}`")
    else:
        lines.append("preprocessing: not known; it was not given when the file was written")
    labels = json.loads(said.get(provenance.LABELS, "[]"))
    lines.append(f"labels: {len(labels)}, in the file's metadata" if labels else "labels: none")
    return lines


def _value(way: str, value: Value) -> str:
    return f"{way}: `{value.name}`, {value.type}, `({', '.join(str(side) for side in value.shape)})`"


def _proof(exported: Exported) -> str:
    proof = exported.proof
    if proof is None:
        return "None was asked for: nothing is known of what the file computes."
    lines = [
        f"onnxruntime on this file against torch on the spec's module, tolerance {proof.limit.tolerance:g} of the "
        f"largest output. The same class was named for {proof.agreement:.1%} of the images.",
        "",
        "| weights | batch | image | worst absolute | worst relative | same class |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {case.weights} | {case.batch} | {case.size[0]}x{case.size[1]} | {case.absolute:.2e} | {case.relative:.2e} "
        f"| {case.agreement:.0%} |"
        if case.finite
        else f"| {case.weights} | {case.batch} | {case.size[0]}x{case.size[1]} | torch's are no numbers | | |"
        for case in proof.cases
    ]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """A stranger's words on one line of Markdown, with nothing in them that means more than itself."""
    words = " ".join(text.split())
    return "".join(
        f"\\{char}" if char in "\\`*_{}[]<>#|!&~" else char for char in words if char.isprintable()
    )


def _fenced(text: str, language: str) -> str:
    """A block that its text cannot close."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def write_beside(architecture: Architecture, exported: Exported, folder: Path) -> None:
    """Writes `model.report.json` and `model.card.md` into the folder of a finished `model.onnx`."""
    document = json.dumps(report(architecture, exported, folder), indent=2)
    stem = exported.path.stem
    (folder / f"{stem}.report.json").write_text(document + "\n", encoding="utf-8")
    (folder / f"{stem}.card.md").write_text(card(architecture, exported, folder), encoding="utf-8")
