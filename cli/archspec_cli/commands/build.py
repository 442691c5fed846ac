"""`archspec build`: specs to standalone source files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archspec.api import source
from archspec.spec.library import networks
from archspec_cli.loading import load
from archspec_cli.output import data, emit_json, fail, is_current, progress, say, tell, write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archspec.architecture import Architecture

SPECS = Path("specs")


@dataclass(frozen=True, slots=True)
class _Printed:
    spec: str
    path: Path
    text: str
    architecture: Architecture

    @property
    def current(self) -> bool:
        return is_current(self.path, self.text)


def run(
    specs: Sequence[str],
    output: Path,
    changes: list[str] | None,
    *,
    check: bool,
    as_json: bool,
    allow_outside: bool,
    budget: Mapping[str, int | None],
) -> None:
    every = not specs
    if every:
        specs = [path.as_posix() for path in networks(SPECS)]
    if not specs:
        fail("no SPEC is given and there is no folder specs/ here", "archspec build SPEC, or archspec init")
    if output.suffix == ".py" and len(specs) > 1:
        fail(f"{output} is one file, but there are {len(specs)} specs", "-o names a folder for several specs")
    printed = []
    for spec in progress(specs, "building"):
        architecture = load(spec, changes, allow_outside=allow_outside, **budget)
        printed.append(_Printed(spec, _target(spec, output), source(architecture), architecture))
    if str(output) == "-" and as_json:
        emit_json({"files": [{**_record(each, False), "path": "-", "source": each.text} for each in printed]})
        return
    if str(output) == "-":
        for each in printed:
            data(each.text)
        return
    _refuse_collisions(printed)
    stale = [each for each in printed if not each.current]
    orphans = _orphans(output, printed) if every and check else []
    if not check:
        for each in stale:
            write_whole(each.path, each.text)
    if as_json:
        emit_json(
            {
                "files": [_record(each, each in stale) for each in printed],
                "orphans": [str(path) for path in orphans],
            }
        )
    else:
        _tell(printed, stale, orphans, check=check)
    if check and (stale or orphans):
        raise SystemExit(1)


def _target(spec: str, output: Path) -> Path:
    """The file for a spec: below `specs/` the folders are kept; dashes become underscores, for imports."""
    if output.suffix == ".py":
        return output
    path = Path(spec if spec != "-" else "stdin").with_suffix("")
    parts = path.parts[path.parts.index("specs") + 1 :] if "specs" in path.parts else (path.name,)
    if path.is_absolute() is False and "specs" not in path.parts and not Path(spec).exists():
        parts = path.parts  # a shipped spec by name keeps its folder: cifar/resnet20
    *folders, name = parts
    return output.joinpath(*folders, f"{name.replace('-', '_').replace('.', '_')}.py")


def _refuse_collisions(printed: Sequence[_Printed]) -> None:
    seen: dict[Path, str] = {}
    for each in printed:
        if each.path in seen:
            fail(
                f"{seen[each.path]} and {each.spec} would both be written to {each.path}", "build them apart"
            )
        seen[each.path] = each.spec


def _orphans(output: Path, printed: Sequence[_Printed]) -> list[Path]:
    known = {each.path for each in printed}
    return [path for path in sorted(output.rglob("*.py")) if path not in known]


def _record(each: _Printed, changed: bool) -> dict[str, object]:
    return {
        "spec": each.spec,
        "path": str(each.path),
        "hash": each.architecture.hash,
        "params": each.architecture.measure.total.params,
        "lines": each.text.count("\n"),
        "changed": changed,
    }


def _tell(
    printed: Sequence[_Printed], stale: Sequence[_Printed], orphans: Sequence[Path], *, check: bool
) -> None:
    for each in stale:
        total = each.architecture.measure.total
        word = "would change" if check else "wrote"
        tell(f"{word} {each.path} ({each.text.count(chr(10))} lines, {total.params:,} parameters)")
    for path in orphans:
        tell(f"no spec for {path}")
    current = len(printed) - len(stale)
    if current:
        say(f"{current} of {len(printed)} files {'are' if current > 1 else 'is'} current")
