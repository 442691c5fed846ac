"""Whether generated source is still what its spec prints: nothing of it is run, every change is found."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.deploy.verify import MAX_SOURCE, verify_source
from archspec.errors import FileError
from tests.conftest import SPECS, architecture
from tests.deploy.test_verify import failing, good

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture

__all__ = ["good"]  # the fixture


@pytest.fixture
def source(good: Architecture, tmp_path: Path) -> Path:
    path = tmp_path / "good.py"
    path.write_text(archspec.source(good))
    return path


@pytest.mark.parametrize("spec", SPECS)
def test_every_generated_file_is_recognised(spec: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(archspec.source(architecture(spec)))
    checks = verify_source(tmp_path / "net.py")
    assert failing(checks) == []
    assert [check.name for check in checks] == ["spec", "function", "source"]
    assert architecture(spec).hash in checks[1].detail


def _line(text: str, part: str) -> int:
    return next(place for place, line in enumerate(text.split("\n"), 1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "failed"),
    [
        ("x = self.relu(", "x = self.rely(", ["source"]),
        ('"""', "''" + "'", ["source"]),
        ("multiply-adds", "multiplies", ["source"]),
        ("import torch", "import os; import torch", ["source"]),
        ('# name = "good"', '# name = "bad"', ["source"]),
        ("# n = 2", "# n = 3", ["function", "source"]),
        ('# block = "basic"', '# block = "bottleneck"', ["function", "source"]),
        ('# block = "basic"', '# block = "cubist"', ["spec"]),
        ("# format = 1", "# format = ", ["spec"]),
        ("# format = 1", '# extends = "other.toml"', ["spec"]),
        ("# [params]", "# [[[[", ["spec"]),
        ("\n# [head]", "\n\u2028# [head]", ["spec"]),
    ],
)
def test_a_change_of_source_is_found(source: Path, old: str, new: str, failed: list[str]) -> None:
    text = source.read_text()
    assert old in text
    source.write_text(text.replace(old, new, 1), encoding="utf-8")
    checks = verify_source(source)
    assert failing(checks) == failed
    if failed == ["source"] and not old.startswith("#"):
        assert f"line {_line(text, old.strip())} " in checks[-1].detail


def test_lines_that_were_added_or_cut_are_found(source: Path) -> None:
    text = source.read_text()
    for other in (f"{text}\n", f"{text}import os\n", f"\ufeff{text}", text.rstrip(), f"# mine\n{text}"):
        source.write_text(other, encoding="utf-8")
        assert failing(verify_source(source)) == ["source"]


@pytest.mark.parametrize(
    "content",
    [b"", b"import torch\n", b"\xff\xfe\x00", bytes(MAX_SOURCE + 1)],
    ids=["empty", "plain", "bytes", "long"],
)
def test_source_that_carries_nothing_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_bytes(content)
    with pytest.raises(FileError, match="AS507"):
        verify_source(tmp_path / "net.py")


@settings(max_examples=60)
@given(st.data())
def test_whatever_happens_to_source_is_a_verdict(
    source: Path, good: Architecture, data: st.DataObject
) -> None:
    whole = archspec.source(good).encode()
    start = whole.index(b"# The spec, on its own:\n") + 24
    place = data.draw(st.integers(0, len(whole)) | st.integers(start, len(whole)))
    cut, put = data.draw(st.integers(0, 40)), data.draw(st.binary(max_size=8))
    source.write_bytes(whole[:place] + put + whole[place + cut :])
    with suppress(FileError):
        failed = failing(verify_source(source))
        # one more stage name, or one letter of it, is another spec, and this is what it prints
        assert failed or place >= start or source.read_bytes() == whole


def test_nothing_of_a_source_is_run(source: Path, tmp_path: Path) -> None:
    source.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n{source.read_text()}")
    assert failing(verify_source(source)) == ["source"]
    assert not (tmp_path / "ran").exists()
