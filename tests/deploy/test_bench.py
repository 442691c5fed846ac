"""Engines side by side: by turns, on one function, within their time, and none of them can end the run."""

from __future__ import annotations

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from archspec_cli import output
from archspec_cli.commands import bench as command

from archspec.deploy import bench as module
from archspec.deploy.bench import Row, Terms, _Contest, _Workshop, bench
from archspec.deploy.proof import initial
from tests.conftest import architecture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC = "specs/cifar/resnet20.toml"
QUICK = Terms((1, 2), ("onnxruntime",), threads=1, runs=3, seconds=5)


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST", 0.0)


def test_every_batch_has_a_row_an_engine_and_eager_is_always_there() -> None:
    found = bench(architecture(SPEC), QUICK)
    assert [(row.engine, row.batch) for row in found.rows] == [
        ("eager", 1),
        ("onnxruntime", 1),
        ("eager", 2),
        ("onnxruntime", 2),
    ]
    for row in found.rows:
        assert len(row.seconds) == 3
        assert row.note == ""
        assert row.error is not None
        assert row.error < 1e-4
        assert row.throughput == pytest.approx(row.batch / row.latency)
    assert found.rows[0].ratio == 1
    assert found.machine.threads == 1
    assert found.machine.torch == torch.__version__


def test_engines_compute_the_same_function() -> None:
    terms = Terms((2,), ("channels-last", "onnxruntime", "int8"), threads=1, runs=1, seconds=5)
    errors = {row.engine: row.error for row in bench(architecture(SPEC), terms).rows}
    assert errors["eager"] == 0
    assert errors["channels-last"] is not None
    assert errors["channels-last"] < 1e-4
    assert errors["onnxruntime"] is not None
    assert errors["onnxruntime"] < 1e-4
    assert errors["int8"] is not None
    assert 0 < errors["int8"] < 0.3


class _Recording(_Workshop):
    """Engines that only write down that they ran."""

    def __init__(self, delay: float = 0.0) -> None:
        super().__init__(architecture(SPEC), initial(architecture(SPEC)))
        self.ran: list[str] = []
        self.delay = delay

    def step(self, engine: Any, images: np.ndarray) -> Callable[[], np.ndarray]:
        def run() -> np.ndarray:
            self.ran.append(engine)
            return np.ones((len(images), 10), np.float32)

        return run


def test_engines_run_by_turns_after_their_warm_up() -> None:
    workshop = _Recording()
    _Contest(workshop, 1, lambda _: None).rows(Terms(engines=("onnxruntime", "compiled"), runs=4))
    rounds = workshop.ran[-12:]
    assert rounds == ["eager", "onnxruntime", "compiled"] * 4


def test_the_budget_ends_the_runs_but_not_before_the_third(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(clock)))
    rows = _Contest(_Recording(), 1, lambda _: None).rows(Terms(engines=(), runs=1000, seconds=30))
    assert 3 < len(rows[0].seconds) < 30
    rows = _Contest(_Recording(), 1, lambda _: None).rows(Terms(engines=(), runs=1000, seconds=0))
    assert len(rows[0].seconds) == 3


def test_the_ratio_is_the_median_of_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([4.0, 1.0, 8.0, 2.0, 9.0, 9.0])
    monkeypatch.setattr(module, "_timed", lambda _: next(times))
    rows = _Contest(_Recording(), 2, lambda _: None).rows(Terms(engines=("onnxruntime",), runs=3))
    assert [row.ratio for row in rows] == [1, 4]
    assert rows[1].latency == 2
    assert rows[1].throughput == 1
    assert rows[1].quartiles == (1.5, 5.5)


def test_an_engine_that_cannot_run_says_why_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("\n  no C++ compiler was found\nand a long story")

    monkeypatch.setattr(torch, "compile", no_compiler)
    terms = Terms((1,), ("compiled", "onnxruntime"), threads=1, runs=1)
    eager, compiled, onnxruntime = bench(architecture(SPEC), terms).rows
    assert compiled.note == "no C++ compiler was found"
    assert compiled.seconds == ()
    assert compiled.as_json()["latency"] is None
    assert eager.seconds
    assert onnxruntime.seconds


def test_where_eager_cannot_run_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "_torch_step", no_memory)
    eager, other = bench(architecture(SPEC), Terms((4096,), ("onnxruntime",), runs=1)).rows
    assert eager.note == "MemoryError"
    assert other.note == "eager did not, and all are held against it"
    assert (eager.seconds, other.seconds) == ((), ())


def test_a_compiler_that_is_not_there_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real thing: torch itself looks for a compiler and finds none."""
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    _, compiled = bench(architecture("specs/figure5/basic.toml"), Terms((1,), ("compiled",), 1, 1)).rows
    assert compiled.note
    assert "\n" not in compiled.note


def test_outputs_that_are_not_finite_leave_json_finite() -> None:
    row = Row("onnxruntime", 1, (0.25, 0.5), 1.5, None)
    json.loads(json.dumps(row.as_json(), allow_nan=False))
    network = architecture(SPEC)
    tensors = initial(network) | {"fc.weight": np.full((10, 64), np.nan, np.float32)}
    terms = Terms((1,), ("onnxruntime",), threads=1, runs=1)
    assert [found.error for found in bench(network, terms, tensors).rows] == [None, None]


def test_a_run_leaves_torch_as_it_was() -> None:
    before = torch.get_num_threads()
    bench(architecture(SPEC), Terms((1,), (), threads=before + 1, runs=1))
    assert torch.get_num_threads() == before


def test_the_same_seed_gives_the_same_weights_and_images() -> None:
    workshops = [_Workshop(architecture(SPEC), initial(architecture(SPEC))) for _ in range(2)]
    outputs = [each.step("eager", each.images(2))() for each in workshops]
    assert np.array_equal(*outputs)


def test_onnxruntime_leaves_the_cores_to_the_next_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default its threads spin for tens of milliseconds after a run, and what follows is measured too slow."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    workshop = _Workshop(architecture(SPEC), initial(architecture(SPEC)))
    step = workshop.step("onnxruntime", workshop.images(8))
    spent = []
    for _ in range(5):
        step()
        before = time.process_time()
        time.sleep(0.1)
        spent.append(time.process_time() - before)
    assert min(spent) < 0.005


# the command


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def call(spec: str, **options: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(output.settings, "json", bool(options.get("as_json")))
        code = 0
        try:
            command.run(spec, **{"threads": 1, "runs": 2, "seconds": 5.0, **options})
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_table_says_the_machine_first(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("cifar/resnet20", batches="1,2", engines=["onnxruntime"])
    assert code == 0
    lines = out.splitlines()
    assert "1 threads" in lines[0]
    assert torch.__version__ in lines[0]
    assert [line.split()[:2] for line in lines[-4:]] == [
        ["eager", "1"],
        ["onnxruntime", "1"],
        ["eager", "2"],
        ["onnxruntime", "2"],
    ]
    assert "preparing onnxruntime" in err


def test_json_holds_every_sample(run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = run("cifar/resnet20", engines=["onnxruntime"], as_json=True)
    document = json.loads(out)
    assert (code, document["schema_version"], document["name"]) == (0, 1, "resnet20")
    for row in document["rows"]:
        assert len(row["seconds"]) == 2
        assert math.isclose(row["throughput"], row["batch"] / row["latency"])
    assert document["machine"]["onnxruntime"] == sys.modules["onnxruntime"].__version__


def test_one_run_is_a_measurement(run: Callable[..., tuple[int, str, str]]) -> None:
    assert run("cifar/resnet20", engines=["eager"], runs=1)[0] == 0
    code, out, _ = run("cifar/resnet20", engines=["eager"], runs=1, as_json=True)
    row = json.loads(out)["rows"][0]
    assert (code, row["quartiles"]) == (0, [row["latency"]] * 2)


@pytest.mark.parametrize("batches", ["", "0", "-1", "1,", "1;2", "x", "99999", "1e3", "²"])
def test_batch_sizes_are_whole_numbers(batches: str, run: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = run("cifar/resnet20", batches=batches)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")


def test_weights_from_a_file_are_the_ones_that_run(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    from archspec.weights.files import write_weights

    network = architecture(SPEC)
    write_weights(tmp_path / "w.safetensors", initial(network, 3), {})
    code, out, _ = run(
        "cifar/resnet20", engines=["onnxruntime"], weights=tmp_path / "w.safetensors", as_json=True
    )
    assert code == 0
    assert json.loads(out)["weights"].endswith("w.safetensors")
