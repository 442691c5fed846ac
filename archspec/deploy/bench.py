"""How fast a network runs here: torch eager, torch compiled and onnxruntime, by turns.

A machine's speed drifts while a benchmark runs, so engines run A B C A B C ...; what is said of an engine is the
median of its own runs, and its ratio is the median over the rounds.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import platform
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch

from archspec.deploy.proof import errors, initial, live
from archspec.deploy.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from archspec.architecture import Architecture
    from archspec.deploy.export import Precision

Engine = Literal["eager", "channels-last", "compiled", "onnxruntime", "int8"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
USUAL: tuple[Engine, ...] = ("eager", "compiled", "onnxruntime")
REFERENCE: Engine = "eager"
WARM_UPS = 2
FEWEST = 3
SEED = 0
REST = 0.01
"""Seconds before a run: threads of torch spin for a while after theirs."""
_CPU_INFO = Path("/proc/cpuinfo")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """An engine at a batch size: seconds of every run, or the reason why there are none."""

    engine: Engine
    batch: int
    seconds: tuple[float, ...] = ()
    ratio: float | None = None
    """How many times faster than eager: the median of the rounds."""
    error: float | None = None
    """The largest difference from eager's output, as a share of its largest value."""
    note: str = ""

    @property
    def latency(self) -> float:
        """The median time of a batch in seconds."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which half of the runs lie."""
        if len(self.seconds) == 1:
            return self.seconds[0], self.seconds[0]
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    @property
    def throughput(self) -> float:
        """Images a second."""
        return self.batch / self.latency

    def as_json(self) -> dict[str, Any]:
        """The row as `--json` prints it, with every sample."""
        figures: dict[str, Any] = {"latency": None, "quartiles": None, "throughput": None}
        if self.seconds:
            figures = {
                "latency": self.latency,
                "quartiles": self.quartiles,
                "throughput": self.throughput,
            }
        return {**asdict(self), **figures}


@dataclass(frozen=True, slots=True)
class Machine:
    """What was measured on. No name and no path of it is kept."""

    cpu: str
    cores: int
    threads: int
    system: str
    python: str
    torch: str
    onnxruntime: str


@dataclass(frozen=True, slots=True)
class Bench:
    """All rows, batch by batch, and the machine."""

    machine: Machine
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is measured, and for how long: each batch size at most about `seconds` after the warm-up."""

    batches: tuple[int, ...] = (1,)
    engines: tuple[Engine, ...] = USUAL
    threads: int | None = None
    runs: int = 20
    seconds: float = 10.0


def bench(
    architecture: Architecture,
    terms: Terms | None = None,
    tensors: Mapping[str, Array] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Measures engines side by side on the CPU; eager always runs, as what the others are held against.

    Without `tensors` the weights are random, from one seed. An engine that cannot run here has a row that says why.
    """
    terms = terms or Terms()
    _keep_memory()
    with _set_up(terms.threads):
        workshop = _Workshop(architecture, tensors or initial(architecture))
        rows = [
            row
            for batch in dict.fromkeys(terms.batches)
            for row in _Contest(workshop, batch, progress).rows(terms)
        ]
        return Bench(machine(), tuple(rows))


@contextmanager
def _set_up(threads: int | None) -> Iterator[None]:
    """As many threads of torch as asked, and torch without its remarks about the compiler."""
    before = torch.get_num_threads()
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    if threads:
        torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(before)
        logger.setLevel(level)
        gc.unfreeze()


class _Workshop:
    """Makes engines: what they share is made once."""

    def __init__(self, architecture: Architecture, tensors: Mapping[str, Array]) -> None:
        self.architecture = architecture
        self.tensors = dict(tensors)
        self.module = live(architecture, self.tensors)
        self._sessions: dict[str, Any] = {}

    def images(self, batch: int) -> Array:
        """Seeded noise, `(N, C, H, W)`."""
        generator = np.random.default_rng([SEED, batch])
        return generator.standard_normal((batch, *self.architecture.input_shape), np.float32)

    def step(self, engine: Engine, images: Array) -> Callable[[], Array]:
        """One run of an engine on a batch."""
        match engine:
            case "eager":
                return _torch_step(self.module, torch.from_numpy(images))
            case "channels-last":
                module = live(self.architecture, self.tensors)
                inputs = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
                return _torch_step(module.to(memory_format=torch.channels_last), inputs)
            case "compiled":
                torch.compiler.reset()  # a shape of its own for every batch, as for the other engines
                return _torch_step(torch.compile(self.module, dynamic=False), torch.from_numpy(images))
            case "onnxruntime":
                return self._session_step("fp32", images)
            case "int8":
                return self._session_step("int8", images)

    def _session_step(self, precision: Precision, images: Array) -> Callable[[], Array]:
        if precision not in self._sessions:
            model = _exported(self.architecture, self.tensors, precision, images)
            self._sessions[precision] = open_session(model, threads=torch.get_num_threads())
        session = self._sessions[precision]
        feeds = {session.get_inputs()[0].name: images}

        def run() -> Array:
            (output,) = session.run(None, feeds)
            return np.asarray(output)

        return run


def _torch_step(module: Any, images: torch.Tensor) -> Callable[[], Array]:
    def run() -> Array:
        with torch.inference_mode():
            output: Array = module(images).numpy()
        return output

    return run


def _exported(
    architecture: Architecture, tensors: Mapping[str, Array], precision: Precision, images: Array
) -> bytes:
    """Our own ONNX file of a network, as bytes. int8 sets its scales by the images that are measured with."""
    from archspec.deploy.export import Order, written

    model = written(architecture, tensors, Order(precision=precision)).model
    if precision == "int8":
        from archspec.deploy.quantize import quantized

        with TemporaryDirectory() as folder:
            model = quantized(model, [images], Path(folder))
    content: bytes = model.SerializeToString()
    return content


class _Contest:
    """Engines at one batch size."""

    def __init__(self, workshop: _Workshop, batch: int, progress: Callable[[str], None]) -> None:
        self.workshop = workshop
        self.batch = batch
        self.progress = progress
        self.images = workshop.images(batch)
        self.steps: dict[Engine, Callable[[], Array]] = {}
        self.notes: dict[Engine, str] = {}
        self.errors: dict[Engine, float] = {}
        self.wanted: Array = np.empty(0)

    def rows(self, terms: Terms) -> list[Row]:
        """Warms up every engine, then runs them by turns."""
        engines = dict.fromkeys([REFERENCE, *terms.engines])
        for engine in engines:
            if REFERENCE in self.notes:
                self.notes[engine] = f"{REFERENCE} did not, and all are held against it"
            else:
                self._ready(engine)
        times = self._times(terms.runs, terms.seconds)
        return [self._row(engine, times) for engine in engines]

    def _ready(self, engine: Engine) -> None:
        self.progress(f"batch {self.batch}: preparing {engine}")
        try:
            step = self.workshop.step(engine, self.images)
            outputs = [step() for _ in range(WARM_UPS)]
        except Exception as error:  # noqa: BLE001 - compilers, exporters and allocators fail in every way there is
            self.notes[engine] = _reason(error)
            return
        self.steps[engine] = step
        if engine == REFERENCE:
            self.wanted = outputs[-1]
        self.errors[engine] = errors(outputs[-1], self.wanted)[1]

    def _times(self, runs: int, seconds: float) -> dict[Engine, list[float]]:
        times: dict[Engine, list[float]] = {engine: [] for engine in self.steps}
        gc.freeze()  # collecting between runs is quick when the compiler's objects are left out
        start = said = time.perf_counter()
        for turn in range(runs):
            if turn >= FEWEST and time.perf_counter() - start > seconds:
                break
            for engine, step in self.steps.items():
                times[engine].append(_timed(step))
            if time.perf_counter() - said > 2:
                said = time.perf_counter()
                self.progress(f"batch {self.batch}: round {turn + 1} of at most {runs}")
        return times

    def _row(self, engine: Engine, times: Mapping[Engine, Sequence[float]]) -> Row:
        if engine not in self.steps:
            return Row(engine, self.batch, note=self.notes[engine])
        pairs = zip(times[REFERENCE], times[engine], strict=True)
        ratio = median(eager / own for eager, own in pairs)
        error = self.errors[engine]
        return Row(engine, self.batch, tuple(times[engine]), ratio, error if np.isfinite(error) else None)


def _timed(step: Callable[[], Array]) -> float:
    """Seconds of one run. What the run before left behind is collected first."""
    gc.collect()
    time.sleep(REST)
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _reason(error: Exception) -> str:
    """Why an engine does not run, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def _keep_memory() -> None:
    """Has glibc keep what is freed. Else pages go back and forth, and most faults fall on one of the engines."""
    trim_threshold, mmap_threshold = -1, -3  # of malloc.h
    set_option = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if set_option is not None:
        set_option(trim_threshold, 2**31 - 1)
        set_option(mmap_threshold, 2**30)


def machine() -> Machine:
    """The machine that this runs on, now."""
    import onnxruntime

    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        onnxruntime=onnxruntime.__version__,
    )


def _cpu() -> str:
    lines = _CPU_INFO.read_text(encoding="utf-8").splitlines() if _CPU_INFO.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
