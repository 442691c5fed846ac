"""`archspec lift`: a spec from weights or from an ONNX graph, with what the file cannot tell."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from archspec.lift.files import lift_file
from archspec_cli.output import data, emit_json, fail, say, write_whole

if TYPE_CHECKING:
    from archspec.lift.lifted import Lifted
    from archspec.lift.onnx_graph import Norm

NORMS = ("none", "batch")
_CARRIED = {
    "the same function": "The spec that the file carries computes the same function.",
    "the same in evaluation": "The spec that the file carries computes the same in evaluation.",
    "another function": "warning: the spec that the file carries computes another function than what was lifted.",
    "unreadable": "warning: the spec that the file carries cannot be read, or is not the one its hash says.",
}


def run(file: Path | str, output: Path | None = None, norm: str = "none", *, as_json: bool = False) -> None:
    if norm not in NORMS:
        fail(f'--norm is none or batch, not "{norm}"')
    if str(file) == "-":
        fail("an ONNX model or weights are read from a file, not from standard input")
    lifted = lift_file(Path(file), cast("Norm", norm))
    if output is not None and str(output) != "-":
        _write(output, Path(file), lifted.text)
    if as_json:
        emit_json(_record(lifted, output))
        return
    for line in _remarks(lifted, str(file)):
        say(line)
    if output is None or str(output) == "-":
        data(lifted.text)
    else:
        say(f"wrote {output}")


def _write(output: Path, file: Path, text: str) -> None:
    if output.is_dir():
        fail(f"{output} is a folder", "-o names the spec's file: net.toml")
    if output.exists() and output.samefile(file):
        fail("the output would replace the file that is lifted")
    write_whole(output, text)


def _record(lifted: Lifted, output: Path | None) -> dict[str, Any]:
    return {
        "name": lifted.architecture.name,
        "spec": lifted.text,
        "output": None if output is None else str(output),
        "hash": lifted.architecture.hash,
        "params": lifted.params,
        "known_as": list(lifted.known_as),
        "exact": lifted.exact,
        "carried": lifted.carried,
        "ambiguous": [asdict(each) for each in lifted.ambiguous],
        "deviations": [asdict(each) for each in lifted.deviations],
    }


def _remarks(lifted: Lifted, file: str) -> list[str]:
    known = " and ".join(lifted.known_as)
    told = f"{file}: {lifted.params:,} parameters"
    lines = [
        f"{told}; computes the same as {known}." if known else f"{told}; no shipped spec computes the same."
    ]
    if lifted.carried:
        lines.append(_CARRIED[lifted.carried])
    if not lifted.exact:
        lines.append("warning: the spec is not the file's function; where they part is listed below.")
    if lifted.deviations:
        lines += ["The file does what the spec does not:", *(f"  {each}" for each in lifted.deviations)]
    if lifted.ambiguous:
        lines.append("The file cannot tell:")
        for each in lifted.ambiguous:
            lines.append(f"  {each.field} = {each.value} (or {', '.join(each.alternatives)}): {each.why}")
    return lines
