"""`archspec predict`: what a network sees in pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.deploy.pictures import STDIN, found
from archspec.deploy.predict import Prediction, predict, reading
from archspec.errors import FileError
from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, progress, report_diagnostics, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.deploy.predict import Reading
    from archspec.deploy.runners import Runner
    from archspec.errors import Diagnostic

MOST_BLOCKS = 8
"""More pictures get one line each."""
BAR = 24


def run(
    pictures: Sequence[str],
    model: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    preprocessing: str | None = None,
    top: int = 5,
    batch: int = 32,
    threads: int | None = None,
    changes: list[str] | None = None,
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    if list(pictures).count(STDIN) > 1 or (STDIN in pictures and model == STDIN):
        fail("standard input can be read once")
    runner = _runner(model, weights, threads, changes, allow_outside=allow_outside)
    read_as = reading(runner, preprocessing, labels)
    refused: list[FileError] = []
    files = found(pictures)
    predictions = list(
        predict(runner, read_as, progress(files, "predicting"), top=top, batch=batch, refused=refused.append)
    )
    diagnostics = [each for error in refused for each in error.diagnostics]
    if not predictions:
        raise FileError(diagnostics)
    if as_json:
        emit_json(_record(runner, read_as, predictions, diagnostics))
    else:
        tell(_human(predictions))
    if diagnostics:
        if not as_json:
            report_diagnostics(FileError(diagnostics))
        raise SystemExit(1)


def _runner(
    model: str, weights: Path | None, threads: int | None, changes: list[str] | None, *, allow_outside: bool
) -> Runner:
    from archspec.deploy.runners import ModuleRunner, OnnxRunner, recalled

    kind = Path(model).suffix.lower()
    if kind in (".onnx", ".safetensors") and (weights or changes):
        fail(f"--weights and --set are for a SPEC, and {model} is none")
    if kind == ".onnx":
        return OnnxRunner(Path(model), threads)
    if kind == ".safetensors":
        return ModuleRunner(recalled(Path(model)), Path(model), threads)
    if weights is None:
        fail("a spec has no weights of its own", "add --weights FILE, or give a model: --model model.onnx")
    return ModuleRunner(load(model, changes, allow_outside=allow_outside), weights, threads)


def _record(
    runner: Runner, read_as: Reading, predictions: list[Prediction], diagnostics: list[Diagnostic]
) -> dict[str, Any]:
    refused = [
        {"file": each.span.file, "code": each.code, "message": each.message, "hint": each.hint}
        for each in diagnostics
    ]
    return {
        "model": runner.name,
        "preprocessing": read_as.preprocessing.model_dump(),
        "predictions": [
            {"file": each.file, "top": [asdict(guess) for guess in each.guesses]} for each in predictions
        ],
        "refused": refused,
    }


def _human(predictions: list[Prediction]) -> str:
    if len(predictions) > MOST_BLOCKS:
        rows = [
            [each.file, _percent(best.probability), best.label]
            for each in predictions
            for best in each.guesses[:1]
        ]
        return table(["picture", "percent", "class"], rows)
    return "\n\n".join(_block(each) for each in predictions)


def _block(prediction: Prediction) -> str:
    # here and not at the end: a line feed in a label begins no line
    labels = [sanitize(guess.label) for guess in prediction.guesses]
    width = max(map(len, labels))
    lines = [
        f"  {label:<{width}}  {_percent(guess.probability):>7}  {_bar(guess.probability)}".rstrip()
        for label, guess in zip(labels, prediction.guesses, strict=True)
    ]
    return "\n".join([sanitize(prediction.file), *lines])


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f} %"


def _bar(probability: float) -> str:
    return "#" * round(BAR * probability)
