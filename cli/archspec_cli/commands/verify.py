"""`archspec verify`: is a file still what it says it is?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec_cli.output import emit_json, fail, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from archspec.weights.verify import Check


def run(files: Sequence[Path], weights: Path | None, *, as_json: bool) -> None:
    found = {file: _checks(file, weights) for file in files}
    if as_json:
        emit_json({"files": [_record(file, checks) for file, checks in found.items()]})
    else:
        tell("\n\n".join(_human(file, checks) for file, checks in found.items()))
    if not all(check.ok for checks in found.values() for check in checks):
        raise SystemExit(1)


def _checks(file: Path, weights: Path | None) -> list[Check]:
    if not file.is_file():
        fail(f"{file} is not a file")
    if file.suffix == ".toml":
        fail(f"{file} is a spec", f"archspec check {file}")
    if file.suffix == ".py":
        from archspec.deploy.verify import verify_source

        return verify_source(file)
    from archspec.lift.files import is_weights

    if is_weights(file):
        from archspec.detection.verify import verify_stored
        from archspec.weights.verify import verify_weights

        return verify_stored(file) or verify_weights(file)
    from archspec.deploy.verify import loaded, said_by, verify_model
    from archspec.detection.onnx.verify import of_detector, verify_detector
    from archspec.train.checkpoint import model_weights
    from archspec.weights.files import read_weights

    model = loaded(file)
    made_from = read_weights(model_weights(weights)) if weights is not None else None
    if of_detector(said_by(model, file)):
        return verify_detector(file, model, made_from)
    return verify_model(file, made_from, model)


def _record(file: Path, checks: Sequence[Check]) -> dict[str, object]:
    return {
        "file": str(file),
        "ok": all(check.ok for check in checks),
        "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in checks],
    }


def _human(file: Path, checks: Sequence[Check]) -> str:
    rows = [[check.name, "ok" if check.ok else "FAILS", check.detail] for check in checks]
    return f"{sanitize(str(file))}\n{table(['check', 'verdict', 'what'], rows, left=3)}"
