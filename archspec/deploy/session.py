"""onnxruntime sessions, opened in one way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.errors import file_error

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def open_session(
    model: Path | bytes, *, threads: int | None = None, optimise: bool = True, providers: tuple[str, ...] = ()
) -> InferenceSession:
    """A session on the CPU. Raises `FileError` (AS511) for what onnxruntime does not take."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only: its warnings are about its own optimiser
    # else its threads go on spinning after a run, and slow what torch does next
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads:
        options.intra_op_num_threads = threads
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source: Any = str(model) if isinstance(model, Path) else model
    name = str(model) if isinstance(model, Path) else "the model"
    try:
        name.encode()
        return ort.InferenceSession(source, options, providers=list(providers or ("CPUExecutionProvider",)))
    except UnicodeEncodeError as error:
        raise file_error(name, "AS511", "onnxruntime opens no file whose name is not UTF-8") from error
    except Exception as error:  # onnxruntime has an exception class for every kind of failure
        raise file_error(name, "AS511", f"onnxruntime does not take it: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:300]
