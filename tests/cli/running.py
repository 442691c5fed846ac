"""The command line in this process, as `main` runs it: exit code, standard output, standard error."""

from __future__ import annotations

import gc
import io
import json
import os
import sys
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import archspec_cli
import pytest
from archspec_cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = """\
format = 1
name = "good"

[params]
n = 2

[input]
size = [32, 32]

[stem]
layers = [{ conv = 3, out = 16 }]

[defaults]
block = "basic"
shortcut = "B"

[[stages]]
name = "a"
depth = "n"
width = 16

[[stages]]
name = "b"
width = 32
stride = 2

[head]
layers = [{ pool = "average" }, { linear = 10 }]
"""
BAD = GOOD.replace('name = "good"', 'name = "bad"').replace("width = 32", "widht = 32")
HOSTILE = 'format = 1\nname = "hostile"\nabout = "a\\u001b[31m\\u0007b\\u009b2J\\u202ec\\r\\nd"\n'


@dataclass(frozen=True)
class Result:
    """What a run said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which is one JSON document and nothing else."""
        document: dict[str, Any] = json.loads(self.out)
        assert document["schema_version"] == 1
        return document

    def harmless(self) -> Result:
        """Asserts that nothing said can steer a terminal."""
        for text in (self.out, self.err):
            acting = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
            assert acting <= {"\n"}
        return self


Cli = "Callable[..., Result]"


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Result]]:
    """Runs `archspec ARGUMENTS` in an empty folder with `good.toml` and `bad.toml` in it."""
    for name in [
        name for name in os.environ if name.startswith(("ARCHSPEC_", "_ARCHSPEC", "NO_COLOR", "FORCE_COLOR"))
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "modules", sys.modules)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text(BAD)

    def run(*arguments: str, stdin: str | bytes = b"") -> Result:
        content = stdin if isinstance(stdin, bytes) else stdin.encode()
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name, value in (("color", "auto"), ("quiet", False), ("json", False), ("format", "human")):
                patch.setattr(output.settings, name, value)
            patch.setattr(sys, "argv", ["archspec", *arguments])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
            with pytest.raises(SystemExit) as ended:
                archspec_cli.main()
        said = capsys.readouterr()
        code = ended.value.code
        assert code is None or isinstance(code, int)
        return Result(code or 0, said.out, said.err)

    yield run
    gc.enable()  # `main` turns it off for the few milliseconds that it lives
