"""`archspec weights import`, `inspect` and `verify` as they are typed: what they say, write, and end with."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import archspec
from archspec import provenance
from archspec.deploy.proof import initial
from archspec.weights.files import read_weights, write_weights
from tests.cli.running import GOOD, cli
from tests.cli.test_deploy_commands import LABELS, listing, new, refused, sha256
from tests.cli.test_processes import python

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.running import Result

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture
IMPORT = ("weights", "import", "theirs.pth", "--spec", "good.toml")
OTHER = GOOD.replace("width = 32", "width = 24")


class Greedy:
    """What would run when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("ran",)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as another project saves it, a file of ours, and files that are wrong; made once."""
    import torch

    folder = tmp_path_factory.mktemp("material")
    (folder / "good.toml").write_text(GOOD)
    (folder / "other.toml").write_text(OTHER)
    good, other = archspec.load(folder / "good.toml"), archspec.load(folder / "other.toml")
    tensors = {key: torch.tensor(values) for key, values in initial(good).items()}
    torch.save(
        {"state_dict": {f"module.{key}": each for key, each in tensors.items()}}, folder / "theirs.pth"
    )
    few = {key: each for key, each in tensors.items() if key != "fc.bias"}
    torch.save(few, folder / "few.pth")
    torch.save({**tensors, "fc.bias": tensors["fc.bias"][:5]}, folder / "short.pth")
    torch.save({**tensors, "fc.bias": tensors["fc.bias"].long()}, folder / "whole.pth")
    torch.save({**tensors, "fc.bias": tensors["fc.bias"] * float("nan")}, folder / "nan.pth")
    (folder / "greedy.pth").write_bytes(pickle.dumps({"fc.bias": Greedy()}, protocol=2))
    (folder / "plain.pkl").write_bytes(pickle.dumps({"fc.bias": Greedy()}))
    write_weights(folder / "ours.safetensors", initial(good), provenance.stamp(good))
    write_weights(folder / "other.safetensors", initial(other), provenance.stamp(other))
    for name in ("theirs.pth", "ours.safetensors"):
        content = (folder / name).read_bytes()
        (folder / f"half-{name}").write_bytes(content[: len(content) // 2])
    (folder / "labels.txt").write_text("\n".join(LABELS))
    (folder / "few.txt").write_text("a\nb\n")
    (folder / "notes.txt").write_text("no weights")
    (folder / "folder.safetensors").mkdir()
    return folder


@pytest.fixture
def typed(cli: Cli, material: Path) -> Cli:
    """The command line in a folder with the material."""
    shutil.copytree(material, ".", dirs_exist_ok=True)
    return cli


# import


def test_an_import_writes_weights_and_a_receipt(typed: Cli) -> None:
    before = listing()
    result = typed(
        *IMPORT, "-o", "out/mine.safetensors", "--labels", "labels.txt", "--preprocessing", "cifar10"
    )
    assert (result.code, result.err) == (0, "")
    assert new(before) == {"out", "out/mine.safetensors", "out/mine.receipt.json"}
    assert "theirs.pth" in result.out
    assert "wrote     out/mine.safetensors" in result.out
    found = read_weights(Path("out/mine.safetensors"))
    good = archspec.load("good.toml")
    assert found.metadata[provenance.FUNCTION] == good.hash
    assert json.loads(found.metadata[provenance.LABELS]) == list(LABELS)
    for key, values in initial(good).items():
        assert np.array_equal(found.tensors[key], values)
    assert typed("weights", "verify", "out/mine.safetensors").code == 0
    assert typed("export", "good.toml", "-w", "out/mine.safetensors", "--preprocess", "in-graph").code == 0


def test_an_import_in_json_is_its_receipt(typed: Cli) -> None:
    result = typed(*IMPORT, "-o", "mine.safetensors", "--license", "MIT", "--origin", "a friend", "--json")
    assert (result.code, result.err) == (0, "")
    said = result.json
    assert said.pop("receipt") == "mine.receipt.json"
    assert said.pop("schema_version") == 1
    assert json.loads(Path("mine.receipt.json").read_text()) == said
    assert said["output"] == {"file": "mine.safetensors", "sha256": sha256("mine.safetensors")}
    assert said["source"]["sha256"] == sha256("theirs.pth")
    assert (said["source"]["file"], said["source"]["origin"]) == ("theirs.pth", "a friend")
    assert str(Path.cwd()) not in Path("mine.receipt.json").read_text()


def test_two_imports_give_equal_bytes(typed: Cli) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        assert typed(*IMPORT, "-o", name).code == 0
    assert Path("a.safetensors").read_bytes() == Path("b.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.pth"], ["AS501", "none.pth"]),
        (["."], ["AS501", "folder"]),
        (["notes.txt"], ["AS501"]),
        (["half-theirs.pth"], ["AS501"]),
        (["half-ours.safetensors"], ["AS501"]),
        (["greedy.pth"], ["AS502"]),
        (["plain.pkl"], ["AS501", "pickle"]),
        (["few.pth"], ["AS503", "fc.bias"]),
        (["short.pth"], ["AS504", "fc.bias"]),
        (["whole.pth"], ["AS505", "fc.bias"]),
        (["nan.pth"], ["AS505", "fc.bias"]),
        (["other.safetensors"], ["AS506", "stages.b"]),
        (["theirs.pth", "--spec", "bad.toml"], ["AS101"]),
        (["theirs.pth", "--spec", "none.toml"], ["none.toml"]),
        (["theirs.pth", "--style", "akamster"], ['did you mean "akamaster"?']),
        (["theirs.pth", "--labels", "few.txt"], ["AS522", "2 lines for 10 classes"]),
        (["theirs.pth", "--labels", "none.txt"], ["AS522"]),
        (["theirs.pth", "--preprocessing", "imgnet"], ["AS522", 'did you mean "imagenet"?']),
        (["theirs.pth", "--license", "a\nb"], ["a line each"]),
        (["theirs.pth", "-o", "mine.pth"], [".safetensors"]),
        (["theirs.pth", "-o", "folder.safetensors"], ["is a folder"]),
        (["ours.safetensors", "-o", "ours.safetensors"], ["would replace"]),
        (["theirs.pth", "-o", "good.toml/mine.safetensors"], ["good.toml"]),
        (["theirs.pth", "-o", "x" * 300 + ".safetensors"], ["File name too long"]),
        (["theirs.pth", "-o", "/proc/mine.safetensors"], ["/proc"]),
    ],
    ids=lambda value: ascii(" ".join(value))[:40] if "AS" not in value[0] else "",
)
def test_a_refused_import_changes_no_file(typed: Cli, arguments: list[str], said: list[str]) -> None:
    for name in ("mine.safetensors", "mine.receipt.json"):
        Path(name).write_bytes(b"an older one")
    before = listing()
    more = [*(() if "--spec" in arguments else ("--spec", "good.toml"))]
    more += [*(() if "-o" in arguments else ("-o", "mine.safetensors"))]
    refused(typed("-q", "weights", "import", *arguments, *more), *said)
    assert listing() == before
    told = typed("-q", "weights", "import", *arguments, *more, "--json").harmless()
    assert told.code == 2
    assert told.json["diagnostics"] if told.out else told.err.startswith("error")
    assert listing() == before


# inspect and verify


@pytest.mark.parametrize(
    ("file", "spec", "format_"), [("theirs.pth", None, "pth"), ("ours.safetensors", "good", "safetensors")]
)
def test_a_file_is_looked_into(typed: Cli, file: str, spec: str | None, format_: str) -> None:
    result = typed("weights", "inspect", file)
    assert (result.code, result.err) == (0, "")
    assert sha256(file) in result.out
    assert "fc" in result.out
    said = typed("weights", "inspect", file, "--json").json
    assert (said["file"], said["format"], said["spec"], said["not_finite"]) == (file, format_, spec, {})
    assert said["tensors"]["fc.bias"] == {"shape": [10], "dtype": "float32"}
    assert f"{said['values']:,}" in result.out
    assert typed("weights", "inspect", file, "--spec", "other.toml").code == 0


def test_a_file_is_verified(typed: Cli) -> None:
    result = typed("weights", "verify", "ours.safetensors")
    assert (result.code, result.err) == (0, "")
    assert "All 5 checks hold." in result.out
    said = typed("weights", "verify", "theirs.pth", "--spec", "good.toml", "--json")
    assert said.code == 0
    assert all(check["ok"] for check in said.json["checks"])


@pytest.mark.parametrize(
    ("file", "spec", "failed"),
    [
        ("theirs.pth", None, {"digest", "spec", "keys"}),
        ("few.pth", "good.toml", {"keys"}),
        ("short.pth", "good.toml", {"shapes"}),
        ("nan.pth", "good.toml", {"values"}),
        ("whole.pth", "good.toml", {"values"}),
        ("ours.safetensors", "other.toml", {"function", "shapes"}),
    ],
)
def test_what_does_not_hold_is_a_finding(typed: Cli, file: str, spec: str | None, failed: set[str]) -> None:
    options = ("--spec", spec) if spec else ()
    result = typed("weights", "verify", file, *options).harmless()
    assert (result.code, result.err) == (1, "")
    assert "FAILS" in result.out
    said = typed("weights", "verify", file, *options, "--json")
    assert said.code == 1
    assert {check["name"] for check in said.json["checks"] if not check["ok"]} == failed


@pytest.mark.parametrize("command", ["inspect", "verify"])
@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("none.pth", "AS501"),
        (".", "AS501"),
        ("notes.txt", "AS501"),
        ("half-theirs.pth", "AS501"),
        ("half-ours.safetensors", "AS501"),
        ("greedy.pth", "AS502"),
        ("a\n\x1b[31m", "AS501"),
        ("x" * 300, "AS501"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_what_cannot_be_read_is_a_mistake(typed: Cli, command: str, file: str, code: str) -> None:
    before = listing()
    refused(typed("weights", command, file), code)
    told = typed("weights", command, file, "--json").harmless()
    assert (told.code, told.json["diagnostics"][0]["code"]) == (2, code)
    assert listing() == before


@pytest.mark.parametrize("name", ["a\nb\x1b[31m\u202e", "--odd", "é \U0001f600", "b\udcff"], ids=ascii)
def test_odd_names_are_names(typed: Cli, name: str) -> None:
    source, target = f"./{name}.pth", f"./{name}.safetensors"
    shutil.copy("theirs.pth", source)
    spec = ("--spec", "good.toml")
    assert typed("weights", "import", source, *spec, "-o", target).harmless().code == 0
    assert typed("weights", "import", source, *spec, "-o", target, "--json").harmless().json
    for command in ("inspect", "verify"):
        assert typed("weights", command, target).harmless().code == 0
        assert typed("weights", command, target, "--json").harmless().json["file"] == target.removeprefix(
            "./"
        )


def test_what_a_file_says_cannot_steer_a_terminal(typed: Cli) -> None:
    hostile = "a\x1b[31m\u202e\u2028\nb\rc"
    good = archspec.load("good.toml")
    said = {
        **provenance.stamp(good),
        provenance.ORIGIN: hostile,
        provenance.LICENSE: hostile,
        hostile: hostile,
    }
    tensors = initial(good) | {hostile: np.zeros(1, np.float32)}
    write_weights(Path("h.safetensors"), tensors, said)
    for arguments in (["inspect", "--all"], ["verify"], ["inspect", "--json"], ["verify", "--json"]):
        assert typed("weights", *arguments, "h.safetensors").harmless().code in (0, 1)
    refused(typed("-q", "weights", "import", "h.safetensors", *IMPORT[3:], "-o", "m.safetensors"), "AS503")


def test_a_link_is_replaced_and_what_it_points_to_is_not(typed: Cli) -> None:
    Path("kept").write_bytes(b"kept")
    Path("mine.safetensors").symlink_to("kept")
    Path("mine.receipt.json").symlink_to("kept")
    assert typed(*IMPORT, "-o", "mine.safetensors").code == 0
    assert not Path("mine.safetensors").is_symlink()
    assert Path("kept").read_bytes() == b"kept"


# processes


@pytest.fixture
def bare(tmp_path: Path, material: Path) -> Path:
    for name in ("good.toml", "theirs.pth"):
        shutil.copy(material / name, tmp_path)
    return tmp_path


def test_from_a_checkpoint_to_a_proved_file_in_processes(bare: Path) -> None:
    for command in (
        [*IMPORT, "-o", "w.safetensors"],
        ["weights", "verify", "w.safetensors"],
        ["verify", "w.safetensors"],
    ):
        done = python("-m", "archspec", *command, folder=bare)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_leaves_nothing(bare: Path) -> None:
    limit = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
    command = ["archspec", *IMPORT, "-o", "w.safetensors"]
    done = python(
        "-c", f"{limit}sys.argv = {command!r}; runpy.run_module('archspec', run_name='__main__')", folder=bare
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: File too large\n")
    assert sorted(os.listdir(bare)) == ["good.toml", "theirs.pth"]


def test_an_interrupt_leaves_nothing(bare: Path) -> None:
    code = (
        "import os, signal, sys; from archspec.weights import safetensors; "
        "safetensors.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGINT); "
        f"sys.argv = {['archspec', *IMPORT, '-o', 'w.safetensors']!r}; import archspec_cli; archspec_cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=bare, capture_output=True, check=False, timeout=120
    )
    assert done.returncode in (130, -signal.SIGINT)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert sorted(os.listdir(bare)) == ["good.toml", "theirs.pth"]
