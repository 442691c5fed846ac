"""Files that commands write: whole or not at all, where they are asked for, and never twice for nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import archspec
from archspec.spec.schema import schema_text
from tests.cli.running import BAD, GOOD, Result, cli

if TYPE_CHECKING:
    from collections.abc import Callable

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture


def files(folder: str | Path = ".") -> list[str]:
    """Every file below a folder, hidden ones too."""
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture
def project(cli: Cli) -> Cli:
    """A project with three specs and what is built from them."""
    Path("specs/sub").mkdir(parents=True)
    Path("specs/one.toml").write_text(GOOD)
    Path("specs/two-b.c.toml").write_text(GOOD)
    Path("specs/sub/three.toml").write_text(GOOD)
    assert cli("build").code == 0
    return cli


def test_build_prints_to_stdout(cli: Cli) -> None:
    before = files()
    result = cli("build", "good.toml", "-o", "-")
    assert result == Result(0, archspec.source("good.toml"), "")
    assert cli("build", "-", "-o", "-", stdin=GOOD).out == result.out
    both = cli("build", "good.toml", "resnet18", "-o", "-").out
    assert both == result.out + archspec.source("resnet18")
    assert files() == before


def test_build_writes_what_it_prints(cli: Cli) -> None:
    for output, written in (("net.py", "net.py"), ("out", "out/good.py"), ("deep/er", "deep/er/good.py")):
        result = cli("build", "good.toml", "-o", output)
        assert (result.code, result.err) == (0, "")
        assert written in result.out
        assert Path(written).read_bytes() == archspec.source("good.toml").encode()
        assert stat.S_IMODE(Path(written).stat().st_mode) == 0o644
    assert cli("build", "good.toml", "--set", "n=3", "-o", "three.py").code == 0
    assert Path("three.py").read_text() == archspec.source("good.toml", {"n": 3})
    assert cli("build", "-", "-o", "out", stdin=GOOD).code == 0
    assert Path("out/stdin.py").is_file()


def test_folders_below_specs_are_kept(project: Cli) -> None:
    assert files("generated") == ["one.py", "sub/three.py", "two_b_c.py"]
    assert project("build", "cifar/resnet20", "-o", "more").code == 0
    assert files("more") == ["cifar/resnet20.py"]


def test_nothing_is_written_where_nothing_changed(project: Cli) -> None:
    before = {path: Path("generated", path).stat().st_mtime_ns for path in files("generated")}
    result = project("build")
    assert (result.code, result.out) == (0, "")
    assert "3 of 3 files are current" in result.err
    assert {path: Path("generated", path).stat().st_mtime_ns for path in files("generated")} == before
    Path("generated/one.py").write_text("old")
    result = project("build")
    assert "generated/one.py" in result.out
    assert "two_b_c" not in result.out
    assert Path("generated/one.py").read_text() == archspec.source("specs/one.toml")


def test_check_finds_drift_and_orphans_and_writes_nothing(project: Cli) -> None:
    fine = project("build", "--check")
    assert (fine.code, fine.out) == (0, "")
    Path("generated/one.py").write_text("old")
    Path("generated/sub/three.py").unlink()
    Path("generated/sub/orphan.py").write_text("")
    Path("generated/notes.txt").write_text("no source")
    before = files("generated")
    result = project("build", "--check")
    assert result.code == 1
    said = result.out.splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "would change generated/one.py",
        "would change generated/sub/three.py",
        "no spec for generated/sub/orphan.py",
    ]
    assert files("generated") == before
    assert Path("generated/one.py").read_text() == "old"
    told = project("build", "--check", "--json")
    assert told.code == 1
    assert [Path(each["path"]).name for each in told.json["files"] if each["changed"]] == [
        "one.py",
        "three.py",
    ]
    assert told.json["orphans"] == ["generated/sub/orphan.py"]


def test_line_ends_are_drift(project: Cli) -> None:
    path = Path("generated/one.py")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert project("build", "--check").code == 1
    assert project("build").code == 0
    assert b"\r" not in path.read_bytes()


def test_a_file_that_is_no_text_is_replaced(cli: Cli) -> None:
    for name in ("good.py", "schema.json"):
        Path(name).write_bytes(b"\xff\xfe\x00")
    assert cli("build", "good.toml", "-o", "good.py", "--check").code == 1
    assert cli("build", "good.toml", "-o", "good.py").code == 0
    assert Path("good.py").read_text() == archspec.source("good.toml")
    assert cli("schema", "-o", "schema.json", "--check").code == 1
    assert cli("schema", "-o", "schema.json").code == 0


def test_build_in_json(project: Cli) -> None:
    result = project("build", "specs/one.toml", "--json")
    (told,) = result.json["files"]
    architecture = archspec.load("specs/one.toml")
    assert told == {
        "spec": "specs/one.toml",
        "path": "generated/one.py",
        "hash": architecture.hash,
        "params": architecture.measure.total.params,
        "lines": archspec.source(architecture).count("\n"),
        "changed": False,
    }
    assert result.json["orphans"] == []


def test_one_bad_spec_and_nothing_is_written(cli: Cli) -> None:
    Path("out").mkdir()
    Path("out/good.py").write_text("kept")
    result = cli("build", "good.toml", "bad.toml", "-o", "out")
    assert result.code == 2
    assert files("out") == ["good.py"]
    assert Path("out/good.py").read_text() == "kept"


def test_two_specs_never_share_a_file(cli: Cli) -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
    Path("a/net.toml").write_text(GOOD)
    Path("b/net.toml").write_text(GOOD.replace('name = "good"', 'name = "other"'))
    shutil.copy("a/net.toml", "x-y.toml")
    shutil.copy("b/net.toml", "x_y.toml")
    for pair in (
        ("a/net.toml", "b/net.toml"),
        ("x-y.toml", "x_y.toml"),
        ("a/net.toml", "good.toml", "b/net.toml"),
    ):
        result = cli("build", *pair, "-o", "out")
        assert result.code == 2
        assert pair[-1] in result.err
        assert not Path("out").exists()
    assert cli("build", "a/net.toml", "good.toml", "-o", "net.py").code == 2
    assert not Path("net.py").exists()


def test_a_folder_without_specs_is_no_project(cli: Cli) -> None:
    result = cli("build")
    assert result.code == 2
    assert "no SPEC" in result.err
    assert files() == ["bad.toml", "good.toml"]


def fail_at(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place, broken)


@pytest.mark.parametrize(
    "place", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod", "tempfile.mkstemp"]
)
def test_a_disk_that_fails_leaves_the_old_file(cli: Cli, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.py").write_text("old")
    before = files()
    with monkeypatch.context() as patch:
        fail_at(patch, place)
        result = cli("build", "good.toml", "-o", "net.py")
    assert (result.code, result.out) == (2, "")
    assert "No space left" in result.err
    assert "internal error" not in result.err
    assert files() == before, "no temporary file stays"
    assert Path("net.py").read_text() == "old"


def test_an_interrupt_while_writing_leaves_the_old_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    Path("net.py").write_text("old")
    before = files()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        result = cli("build", "good.toml", "-o", "net.py")
    assert result.code == 130
    assert files() == before
    assert Path("net.py").read_text() == "old"


def test_places_where_no_file_can_be(cli: Cli) -> None:
    Path("file").write_text("a file")
    Path("dir.py").mkdir()
    for output in ("file/out", "file", "dir.py", "/proc/none", "a\0b", f"{'n' * 300}.py", "good.toml/x.py"):
        result = cli("build", "good.toml", "-o", output)
        assert (result.code, result.out) == (2, ""), output
        assert "internal error" not in result.err, output
    assert files() == ["bad.toml", "file", "good.toml"]


def test_a_read_only_folder_is_the_users_mistake(cli: Cli) -> None:
    Path("locked").mkdir()
    Path("locked").chmod(0o555)
    if os.access("locked", os.W_OK):
        # nothing is locked to the superuser but what no file system writes to
        result = cli("build", "good.toml", "-o", "/proc/self")
    else:
        result = cli("build", "good.toml", "-o", "locked")
    Path("locked").chmod(0o755)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert files("locked") == []


def test_the_schema(cli: Cli) -> None:
    printed = cli("schema")
    assert printed == Result(0, schema_text(), "")
    assert json.loads(printed.out)["title"] == "archspec network"
    missing = cli("schema", "-o", "s.json", "--check")
    assert missing.code == 1
    assert not Path("s.json").exists()
    assert cli("schema", "-o", "s.json").code == 0
    assert Path("s.json").read_text() == printed.out
    assert cli("schema", "-o", "s.json", "--check") == Result(0, "", "")
    Path("s.json").write_text("{}")
    assert cli("schema", "-o", "s.json", "--check").code == 1
    assert Path("s.json").read_text() == "{}"


@pytest.mark.parametrize(
    "name", ["my-net", "MyNet", "1st net", "net.v2", "___", "\u4e2d", "a" * 100, "-x", "none"]
)
def test_init_writes_a_spec_that_loads(cli: Cli, name: str) -> None:
    result = cli("init", "--", f"{name}.toml")
    assert (result.code, result.out) == (0, "")
    assert f"{name}.toml" in result.err
    architecture = archspec.load(f"./{name}.toml")
    compile(archspec.source(architecture), "generated", "exec")
    assert cli("check", f"./{name}.toml").code == 0


def test_init_overwrites_only_when_told(cli: Cli) -> None:
    result = cli("init", "good.toml")
    assert result.code == 2
    assert "--force" in result.err
    assert Path("good.toml").read_text() == GOOD
    assert cli("init", "good.toml", "--force").code == 0
    assert 'name = "good"' in Path("good.toml").read_text()
    assert Path("good.toml").read_text() != GOOD
    assert cli("init").code == 0
    assert Path("network.toml").is_file()
    printed = cli("init", "-")
    assert printed.code == 0
    assert cli("show", "-", stdin=printed.out).code == 0
    assert cli("init", "net.yaml").code == 2
    assert files() == ["bad.toml", "good.toml", "network.toml"]
    assert Path("bad.toml").read_text() == BAD
