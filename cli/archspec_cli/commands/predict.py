"""`archspec predict`: what a network sees in pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.deploy.pictures import STDIN, found
from archspec.deploy.predict import Prediction, predict, reading
from archspec.errors import FileError
from archspec_cli.loading import load
from archspec_cli.output import emit_json, fail, progress, report_diagnostics, say, table, tell
from archspec_cli.reports import sanitize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archspec.deploy.predict import Reading
    from archspec.deploy.runners import Runner
    from archspec.errors import Diagnostic

MOST_BLOCKS = 8
"""More pictures get one line each."""
BAR = 24
TOP, BATCH = 5, 32


def run(
    pictures: Sequence[str],
    model: str,
    *,
    weights: Path | None = None,
    labels: Path | None = None,
    preprocessing: str | None = None,
    top: int | None = None,
    batch: int | None = None,
    score: float | None = None,
    output: Path | None = None,
    device: str | None = None,
    threads: int | None = None,
    changes: list[str] | None = None,
    allow_outside: bool = False,
    as_json: bool = False,
) -> None:
    if list(pictures).count(STDIN) > 1 or (STDIN in pictures and model == STDIN):
        fail("standard input can be read once")
    of_network: dict[str, object] = {
        "--weights": weights,
        "--labels": labels,
        "--preprocessing": preprocessing,
    }
    of_network |= {"--top": top, "--batch": batch, "--set": changes or None}
    if (detector := _detector(model, allow_outside=allow_outside)) is not None:
        from archspec_cli.commands import predict_boxes

        _only("networks", of_network, f"{model} is a detector")
        asked = predict_boxes.Asked(score, output, device, threads)
        predict_boxes.run(pictures, detector, asked, as_json=as_json)
        return
    of_detector = {"--score": score, "--output": output, "--device": device}
    _only("detectors", of_detector, f"{model} is a network")
    runner = _runner(model, weights, threads, changes, allow_outside=allow_outside)
    read_as = reading(runner, preprocessing, labels)
    refused: list[FileError] = []
    files = found(pictures)
    predictions = list(
        predict(
            runner,
            read_as,
            progress(files, "predicting"),
            top=top or TOP,
            batch=batch or BATCH,
            refused=refused.append,
        )
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


def _detector(model: str, *, allow_outside: bool) -> Path | None:
    """The weights file of a detector, or of its run; None for a network."""
    path, kind = Path(model), Path(model).suffix.lower()
    if path.is_dir() or kind == ".safetensors":
        from archspec.detection.kind import holds_detector
        from archspec.train.checkpoint import model_weights

        file = model_weights(path, say)
        if holds_detector(file):
            return file
        if path.is_dir():
            fail(f"{model} holds a network, not a detector", f"--model {file} is its weights")
        return None
    from archspec.detection.kind import is_detector

    if kind != ".onnx" and is_detector(model, allow_outside=allow_outside):
        hint = "--model takes the folder of its run, a checkpoint or its weights"
        fail(f"{model} declares a detector and has no weights of its own", hint)
    return None


def _only(whose: str, options: Mapping[str, object], but: str) -> None:
    """Refuses options of the other kind of model."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        fail(f"{', '.join(given)} {'is' if len(given) == 1 else 'are'} for {whose}, and {but}")


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
    refused = refusals(diagnostics)
    return {
        "model": runner.name,
        "preprocessing": read_as.preprocessing.model_dump(),
        "predictions": [
            {"file": each.file, "top": [asdict(guess) for guess in each.guesses]} for each in predictions
        ],
        "refused": refused,
    }


def refusals(diagnostics: Sequence[Diagnostic]) -> list[dict[str, str]]:
    """Pictures that could not be used."""
    return [
        {"file": each.span.file, "code": each.code, "message": each.message, "hint": each.hint}
        for each in diagnostics
    ]


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
