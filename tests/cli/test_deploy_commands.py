"""`archspec export`, `verify`, `predict` and `bench` as they are typed: what they say, write, and end with."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import archspec
from archspec import provenance
from archspec.deploy.export import Order, export
from archspec.deploy.proof import initial
from archspec.preprocessing import preset
from archspec.weights.files import write_weights
from tests.cli.running import GOOD, Result, cli
from tests.cli.test_processes import imported, python

if TYPE_CHECKING:
    from collections.abc import Callable

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture
LABELS = tuple("abcdefghij")
OTHER = GOOD.replace("width = 32", "width = 24")
FLAT = GOOD.replace('{ pool = "average" }, ', "")
EXPORT = ("export", "good.toml", "-w", "w.safetensors")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of good.toml, an export of them, and what users mistake for these; made once."""

    folder = tmp_path_factory.mktemp("material")
    for name, text in (("good.toml", GOOD), ("other.toml", OTHER), ("flat.toml", FLAT)):
        (folder / name).write_text(text)
    good, other = (archspec.load(folder / name) for name in ("good.toml", "other.toml"))
    whole = write_weights(folder / "w.safetensors", initial(good), provenance.stamp(good))
    write_weights(folder / "other.safetensors", initial(other), provenance.stamp(other))
    content = (folder / "w.safetensors").read_bytes()
    (folder / "half.safetensors").write_bytes(content[: len(content) // 2])
    (folder / "labels.txt").write_text("\n".join(LABELS))
    (folder / "few.txt").write_text("a\nb\n")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "pics").mkdir()
    (folder / "empty").mkdir()
    for place, color in enumerate(("red", "green", "blue")):
        Image.new("RGB", (40, 36), color).save(folder / "pics" / f"{place}.png")
    order = Order(preprocessing=preset("cifar10", good.input_shape), labels=LABELS, weights_sha256=whole)
    export(good, initial(good), folder / "net.onnx", order)
    return folder


@pytest.fixture
def typed(cli: Cli, material: Path) -> Cli:
    """The command line in a folder with the material."""
    shutil.copytree(material, ".", dirs_exist_ok=True)
    return cli


def listing() -> dict[str, str]:
    """Everything below this folder, hidden files too, with the digest of what is in it."""
    return {str(path): "" if path.is_dir() else sha256(path) for path in Path().rglob("*")}


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def new(before: dict[str, str]) -> set[str]:
    return set(listing()) - set(before)


def refused(result: Result, *said: str) -> None:
    """The user's mistake, told in words and nothing else."""
    result.harmless()
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("error")
    assert all(part in result.err for part in said)
    assert "Traceback" not in result.err


def test_an_export_is_written_proved_and_told(typed: Cli) -> None:
    before = listing()
    result = typed(*EXPORT, "-o", "m.onnx")
    assert result.code == 0
    assert result.out.startswith("wrote m.onnx: 0.1 MiB, ")
    assert "in: input float (batch, 3, 32, 32)  out: logits float (batch, 10)" in result.out
    assert "proved: onnxruntime on this file against torch" in result.out
    assert new(before) == {"m.onnx"}
    assert typed("-q", *EXPORT, "-o", "m.onnx") == Result(0, result.out, "")
    assert typed("verify", "m.onnx", "-w", "w.safetensors").code == 0


def test_an_export_in_json(typed: Cli) -> None:
    result = typed(*EXPORT, "-o", "sub/m.onnx", "--labels", "labels.txt", "--license", "MIT", "--json")
    said, size = result.json, Path("sub/m.onnx").stat().st_size
    assert result.code == 0
    assert (said["path"], said["file"], said["bytes"]) == ("sub/m.onnx", "m.onnx", {"m.onnx": size})
    assert said["sha256"] == sha256("sub/m.onnx")
    assert said["weights_sha256"] == sha256("w.safetensors")
    assert said["function_hash"] == archspec.load("good.toml").hash
    assert (said["labels"], said["license"], said["precision"], said["triton"]) == (10, "MIT", "fp32", None)
    assert said["proof"]["holds"] is True
    assert {case["batch"] for case in said["proof"]["cases"]} == {1, 2, 7}


def test_a_name_is_taken_from_the_spec_and_weights_from_its_init(typed: Cli) -> None:
    result = typed("export", "-", stdin=GOOD)
    assert result.code == 0
    assert "not trained" in result.err
    first = Path("good.onnx").read_bytes()
    assert typed("export", "good.toml", "--no-proof").out.endswith("not proved: --no-proof\n")
    assert Path("good.onnx").read_bytes() == first
    assert typed("export", "good.toml", "--no-proof", "--seed", "1", "--json").json["weights_sha256"] is None
    assert Path("good.onnx").read_bytes() != first


@pytest.mark.parametrize(
    ("options", "taken", "given"),
    [
        (["--softmax"], "input float (batch, 3, 32, 32)", "probabilities float (batch, 10)"),
        (["--keep-bn", "--opset", "14"], "input float (batch, 3, 32, 32)", "logits float (batch, 10)"),
        (["--dynamic-size"], "input float (batch, 3, height, width)", "logits float (batch, 10)"),
        (["--precision", "fp16"], "input float16 (batch, 3, 32, 32)", "logits float16 (batch, 10)"),
        (
            ["--preprocess", "in-graph", "--preprocessing", "cifar10"],
            "image uint8 (batch, 32, 32, 3)",
            "logits float (batch, 10)",
        ),
        (
            [
                "--precision",
                "int8",
                "--calibrate",
                "pics",
                "--preprocessing",
                "cifar10",
                "--tolerance",
                "0.9",
            ],
            "input float (batch, 3, 32, 32)",
            "logits float (batch, 10)",
        ),
        (["--set", "input.size=[16, 16]"], "input float (batch, 3, 16, 16)", "logits float (batch, 10)"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_is_asked_for_is_what_is_written(typed: Cli, options: list[str], taken: str, given: str) -> None:
    weights = () if "--set" in options else ("-w", "w.safetensors")
    result = typed("export", "good.toml", *weights, "-o", "m.onnx", *options)
    assert result.code == 0
    # half precision may take and give floats
    words = result.out.replace("float16", "float")
    assert f"in: {taken}  out: {given}".replace("float16", "float") in words
    assert "proved: " in result.out
    assert typed("verify", "m.onnx").code == 0


def test_cards_reports_and_a_second_file_on_request(typed: Cli) -> None:
    before = listing()
    said = typed(*EXPORT, "-o", "out/m.onnx", "--report", "--external-data", "--json").json
    assert new(before) == {"out", "out/m.onnx", "out/m.onnx.data", "out/m.card.md", "out/m.report.json"}
    document = json.loads(Path("out/m.report.json").read_text())
    assert {**document, "path": "out/m.onnx", "triton": None, "schema_version": 1} == said
    assert document["sha256"] in Path("out/m.card.md").read_text()


MISTAKES: list[tuple[list[str], list[str]]] = [
    (["-o", "m.pb"], ["does not end in .onnx"]),
    (["-w", "none.safetensors"], ["AS501", "none.safetensors"]),
    (["--precision", "int8"], ["--calibrate"]),
    (["-o", ""], ["does not end in .onnx"]),
    (["-o", "folder.onnx"], ["is a folder"]),
    (["-o", "good.toml/m.onnx"], ["good.toml"]),
    (["-o", "x" * 300 + ".onnx"], ["File name too long"]),
    (["-w", "half.safetensors"], ["AS501"]),
    (["-w", "other.safetensors"], ["AS506", "stages.b"]),
    (["-o", "w.safetensors.onnx", "-w", "w.safetensors.onnx"], ["would replace"]),
    (["-o", "b\udcff.onnx"], ["is not UTF-8"]),
    (["-o", "new/sub/m.onnx", "--tolerance", "1e-30"], ["AS513"]),
    (["-o", "new.onnx", "--triton", "good.toml"], ["good.toml"]),
    (["--tolerance", "inf"], ["proves nothing"]),
    (["--tolerance", "1e-30"], ["AS513", "first layer that diverges", "nothing was written"]),
    (["--precision", "int8", "--calibrate", "pics"], ["--preprocessing"]),
    (["--precision", "int8", "--calibrate", "empty", "--preprocessing", "cifar10"], ["AS521", "empty"]),
    (["--preprocessing", "imgnet"], ["AS522", 'did you mean "imagenet"?']),
    (["--labels", "few.txt"], ["AS522", "2 labels for 10 classes"]),
    (["--set", "norm.kind=gruop"], ["AS", "group"]),
]


@pytest.mark.parametrize(
    ("options", "said"), MISTAKES, ids=lambda value: " ".join(value)[:40] if value[0][:1] == "-" else ""
)
def test_a_refused_export_changes_no_file(typed: Cli, options: list[str], said: list[str]) -> None:
    Path("folder.onnx").mkdir()
    shutil.copy("w.safetensors", "w.safetensors.onnx")
    Path("m.onnx").write_bytes(b"an older one")
    before = listing()
    target = () if "-o" in options else ("-o", "m.onnx")
    refused(typed("-q", *EXPORT, *target, *options), *said)
    assert listing() == before
    told = typed("-q", *EXPORT, *target, *options, "--json")
    assert told.code == 2
    assert told.json["diagnostics"] if told.out else told.err.startswith("error")
    assert listing() == before


def test_heads_that_need_their_size_do_not_take_others(typed: Cli) -> None:
    before = listing()
    for spec in (["flat.toml"], ["vgg16", "--set", "input.size=[32, 32]"]):
        refused(
            typed("-q", "export", *spec, "-o", "m.onnx", "--dynamic-size"), "AS514", "leave --dynamic-size"
        )
    assert listing() == before


@pytest.mark.parametrize(
    "options",
    [
        ["--opset", "13"],
        ["--opset", "26"],
        ["--opset", "new"],
        ["--tolerance", "-1"],
        ["--tolerance", "nan"],
        ["--precision", "fp8"],
        ["--preprocess", "outdoors"],
        ["--seed", "-1"],
        ["--bogus"],
    ],
    ids=" ".join,
)
def test_options_out_of_range_are_told_with_the_usage(typed: Cli, options: list[str]) -> None:
    before = listing()
    result = typed(*EXPORT, *options).harmless()
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Usage: archspec export")
    assert options[0] in result.err
    assert listing() == before


def test_tritons_repository_is_filled_once(typed: Cli) -> None:
    options = ("-o", "m.onnx", "--triton", "repo", "--labels", "labels.txt", "--no-proof")
    result = typed(*EXPORT, *options)
    assert result.code == 0
    assert "wrote repo/good for Triton" in result.out
    served = {str(path) for path in Path("repo").rglob("*") if path.is_file()}
    assert served == {"repo/good/1/model.onnx", "repo/good/config.pbtxt", "repo/good/labels.txt"}
    assert Path("repo/good/1/model.onnx").read_bytes() == Path("m.onnx").read_bytes()
    Path("repo/good/config.pbtxt").write_text("mine")
    before = listing()
    refused(typed("-q", *EXPORT, *options), "already there", "--force")
    assert listing() == before
    assert typed(*EXPORT, *options, "--force", "--json").json["triton"] == "repo/good"
    assert Path("repo/good/config.pbtxt").read_text() != "mine"


@pytest.mark.parametrize(
    "name",
    ["a\nb\x1b[31m\u202e.onnx", "./--looks-like-option.onnx", "sp ace é\U0001f600.onnx", "x" * 242 + ".onnx"],
    ids=ascii,
)
def test_odd_names_are_names(typed: Cli, name: str) -> None:
    before = listing()
    result = typed(*EXPORT, "-o", name, "--no-proof", "--report").harmless()
    assert (result.code, len(result.out.splitlines())) == (0, 5)
    stem = str(Path(name).with_suffix(""))
    assert new(before) == {str(Path(name)), f"{stem}.card.md", f"{stem}.report.json"}
    assert typed("verify", name).harmless().code == 0
    assert typed("predict", "pics/0.png", "-m", name, "--preprocessing", "cifar10").harmless().code == 0
    assert typed(*EXPORT, "-o", name, "--no-proof", "--json").harmless().json["path"] == str(Path(name))


def test_a_link_is_replaced_and_what_it_points_to_is_not(typed: Cli) -> None:
    Path("kept.onnx").write_bytes(b"kept")
    for name, target in (("m.onnx", "kept.onnx"), ("dangling.onnx", "/nowhere/at.onnx")):
        Path(name).symlink_to(target)
        assert typed(*EXPORT, "-o", name, "--no-proof").code == 0
        assert not Path(name).is_symlink()
        assert typed("verify", name).code == 0
    assert Path("kept.onnx").read_bytes() == b"kept"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_to(typed: Cli) -> None:
    Path("locked").mkdir(mode=0o555)
    refused(typed("-q", *EXPORT, "-o", "locked/m.onnx"), "Permission denied")


# bench


def test_a_short_bench(typed: Cli) -> None:
    options = ("--seconds", "0", "--runs", "2", "--engine", "onnxruntime", "--batch", "1,2", "--threads", "1")
    told = typed("bench", "good.toml", "-w", "w.safetensors", *options, "--json")
    assert told.code == 0
    rows = told.json["rows"]
    assert [(row["engine"], row["batch"]) for row in rows] == [
        ("eager", 1),
        ("onnxruntime", 1),
        ("eager", 2),
        ("onnxruntime", 2),
    ]
    assert all(row["latency"] > 0 and row["error"] < 1e-4 for row in rows)
    shown = typed("-q", "bench", "good.toml", *options)
    assert (shown.code, shown.err) == (0, "")
    assert "images/s" in shown.out


def test_what_cannot_be_measured_is_a_mistake(typed: Cli) -> None:
    refused(typed("bench", "good.toml", "--batch", "0"), "a batch holds")
    refused(typed("-q", "bench", "bad.toml"), "AS101")
    refused(typed("-q", "bench", "good.toml", "-w", "other.safetensors"), "AS506")
    assert typed("bench", "good.toml", "--engine", "jax").code == 2


# processes


@pytest.mark.parametrize("command", ["export", "verify", "predict", "bench", "weights", "weights import"])
def test_help_imports_nothing_heavy(command: str, tmp_path: Path) -> None:
    done = python("-X", "importtime", "-m", "archspec", *command.split(), "-h", folder=tmp_path)
    assert done.returncode == 0
    assert "Usage: archspec" in done.stdout
    heavy = {"torch", "torchvision", "onnx", "onnxruntime", "numpy", "PIL", "safetensors"}
    assert imported(done.stderr).isdisjoint(heavy)


@pytest.fixture
def bare(tmp_path: Path, material: Path) -> Path:
    """A folder with a spec, its weights and a picture."""
    for name in ("good.toml", "w.safetensors", "pics/0.png"):
        shutil.copy(material / name, tmp_path)
    return tmp_path


def archspec_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "archspec", *arguments, folder=folder)


def test_from_a_spec_to_a_prediction_in_processes(bare: Path) -> None:
    written = archspec_in(bare, *EXPORT, "--preprocessing", "cifar10", "-o", "m.onnx")
    assert (written.returncode, "proved: " in written.stdout) == (0, True)
    assert archspec_in(bare, "verify", "m.onnx", "-w", "w.safetensors").returncode == 0
    seen = archspec_in(bare, "predict", "0.png", "-m", "m.onnx", "--json")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert len(json.loads(seen.stdout)["predictions"][0]["top"]) == 5
    assert sorted(os.listdir(bare)) == ["0.png", "good.toml", "m.onnx", "w.safetensors"]


def test_a_full_disk_leaves_nothing(bare: Path) -> None:
    before = sorted(os.listdir(bare))
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
    for command in ([*EXPORT, "-o", "m.onnx"], [*EXPORT, "-o", "m.onnx", "--external-data", "--report"]):
        code = (
            f"{limit}sys.argv = {['archspec', *command]!r}; runpy.run_module('archspec', run_name='__main__')"
        )
        done = python("-c", code, folder=bare)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: File too large\n")
        assert sorted(os.listdir(bare)) == before


@pytest.mark.parametrize("delay", [0, 0.3])
def test_an_interrupt_leaves_nothing(delay: float, bare: Path) -> None:
    before = sorted(os.listdir(bare))
    command = [sys.executable, "-m", "archspec", *EXPORT, "-o", "m.onnx"]
    with subprocess.Popen(command, cwd=bare, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        while process.poll() is None and sorted(os.listdir(bare)) == before:
            time.sleep(0.01)
        time.sleep(delay)  # what the proof needs is still being imported then
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    # Python ends by the signal itself where it came while text was being run, as dataclasses do: 130 to a shell
    assert process.returncode in (130, -signal.SIGINT)
    assert (out, err) == (b"", b"")
    assert sorted(os.listdir(bare)) == before


def test_two_exports_to_one_place_leave_one_whole_file(bare: Path) -> None:
    command = [sys.executable, "-m", "archspec", "-q", *EXPORT, "-o", "m.onnx", "--no-proof"]
    both = [subprocess.Popen(command, cwd=bare, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert archspec_in(bare, "verify", "m.onnx", "-w", "w.safetensors").returncode == 0
    assert sorted(os.listdir(bare)) == ["0.png", "good.toml", "m.onnx", "w.safetensors"]
