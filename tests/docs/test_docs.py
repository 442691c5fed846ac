"""The pages say what is true: their commands and examples run, their figures are printed, their links lead on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import archspec
from archspec.audit.table import load_table
from archspec.detection.load import load_detector
from archspec.recipes.load import load_recipe
from archspec.spec import models
from archspec.studies.load import load_study
from tests.conftest import ROOT
from tests.docs.pages import PAGES, Block, anchors, blocks, links, why_not_run
from tests.docs.warm import warm

_EXIT = re.compile(r"\s+# exit (?P<code>\d+)$")
_MARK = "\x1e"  # separates the outputs of a page's Python blocks
_NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
_SPELLED_OUT = "-" * 5
_SHELL = set("|&;<>$`*?~")
"""What a shell has to be asked about."""


def _skipped() -> list[tuple[str, str, str]]:
    found = []
    for page, name in zip(PAGES, _NAMES, strict=True):
        for block in blocks(page):
            lines = block.commands if block.kind == "sh" else [block.text.splitlines()[0]]
            if block.kind in ("sh", "python"):
                found += [
                    (name, line, why_not_run(block, line)) for line in lines if why_not_run(block, line)
                ]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with a copy of the specs, so that what commands write does not land in the tree."""
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    return tmp_path


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ARCHSPEC_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "NO_COLOR": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def _shell(line: str, folder: Path) -> str:
    """Runs one command as the reader would, and gives what it printed."""
    match = _EXIT.search(line)
    command = _EXIT.sub("", line).removeprefix("uv run ")
    wanted = int(match["code"]) if match else 0
    if command.startswith("archspec ") and not _SHELL & set(command):
        code, said = warm(shlex.split(command)[1:], folder, _environment())
        assert code == wanted, f"{line}\nexit {code}\n{said}"
        return said
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == wanted, f"{line}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def _python(found: list[Block], folder: Path) -> list[str]:
    """Runs the Python blocks of a page in one process, and gives what each printed."""
    if not found:
        return []
    parts = [f"{block.text}\nprint({_MARK!r}, flush=True)\n" for block in found]
    (folder / "page.py").write_text("".join(parts), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "page.py"],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(_MARK)[: len(found)]


def _lines(text: str) -> list[str]:
    """Lines without what depends on the width of a table: runs of blanks, and rules under headers."""
    squeezed = (" ".join(line.split()) for line in text.splitlines())
    return [line for line in squeezed if line and line != "..." and not line.startswith(_SPELLED_OUT)]


def _is_printed(wanted: str, output: str) -> bool:
    """Whether the lines of a text block stand in an output, in this order."""
    printed = iter(_lines(output))
    return all(line in printed for line in _lines(wanted))


@pytest.mark.parametrize("name", _NAMES)
def test_the_commands_and_examples_of_a_page_run_and_print_what_it_says(name: str, folder: Path) -> None:
    found = blocks(ROOT / name)
    live = [block for block in found if block.kind == "python" and not block.not_run]
    outputs: list[str] = []
    pending: list[Block] = []
    for block in found:
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        if block.kind == "sh":
            lines = [line for line in block.commands if not why_not_run(block, line)]
            outputs.append("".join(_shell(line, folder) for line in lines))
        if block.kind == "text" and not any(_is_printed(block.text, output) for output in outputs):
            pending.append(block)
    outputs = _python(live, folder)
    for block in pending:
        assert any(_is_printed(block.text, output) for output in outputs), (
            f"{name}:{block.line}: no command of this page prints\n{block.text}\nPython printed\n{outputs}"
        )


@pytest.mark.parametrize(("name", "command", "reason"), _skipped())
def test_what_is_not_run_says_why(name: str, command: str, reason: str) -> None:
    assert reason.strip(), f"{name}: {command}"
    pytest.skip(f"{name}: {command}: {reason}")


@pytest.mark.parametrize("name", _NAMES)
def test_whole_specs_and_tables_of_a_page_load(name: str, folder: Path) -> None:
    for place, block in enumerate(blocks(ROOT / name)):
        if block.kind != "toml" or not re.search(r"^(format|extends) =", block.text, re.MULTILINE):
            continue
        path = folder / (block.file or f"block{place}.toml")
        path.write_text(block.text, encoding="utf-8")
        load = load_recipe if "[schedule" in block.text else archspec.load
        if "[[networks]]" in block.text:
            assert load_table(str(path)).table.networks
        elif "[[runs]]" in block.text:
            assert load_study(path).study.runs
        elif "[detector]" in block.text:
            assert load_detector(path).parts.stride
        elif block.wrong:
            with pytest.raises(archspec.SpecError) as caught:
                load(path)
            assert sorted({each.code for each in caught.value.diagnostics}) == block.wrong.split()
        elif load is load_recipe:
            assert load_recipe(path).name
        else:
            assert archspec.load(path).measure.total.params > 0 or "stages" not in block.text


@pytest.mark.parametrize("name", _NAMES)
def test_links_between_the_pages_resolve(name: str) -> None:
    page = ROOT / name
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        if "://" in target:
            continue
        if not other.exists() or (anchor and anchor not in anchors(other)):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_contents() -> None:
    listed = {target.partition("#")[0] for target in links(ROOT / "docs" / "index.md")}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages <= listed


def test_the_key_tables_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "reference.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_design_page_shows_the_layers_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = next(each["layers"] for each in contracts["contracts"] if each["type"] == "layers")
    shown = next(each for each in blocks(ROOT / "docs" / "design.md") if each.text.startswith("archspec_cli"))
    assert [re.split(r" {2,}", line)[0] for line in shown.text.splitlines()] == layers


# each default that depends on something else: left out, and written out
_IMPLIED = [
    ("Conv.stride", "{ conv = 3, out = 8 }", "{ conv = 3, out = 8, stride = 1 }"),
    (
        "Conv.padding",
        "{ conv = 5, out = 8, dilation = 2 }",
        "{ conv = 5, out = 8, dilation = 2, padding = 4 }",
    ),
    ("Conv.bias", "{ conv = 3, out = 8 }", "{ conv = 3, out = 8, bias = false }"),
    ("Conv.bias", "{ conv = 3, out = 8, norm = false }", "{ conv = 3, out = 8, norm = false, bias = true }"),
    ("Conv.norm", "{ conv = 3, out = 8 }", "{ conv = 3, out = 8, norm = true }"),
    ("Conv.norm", "{ gate = [{ conv = 1, out = 3 }] }", "{ gate = [{ conv = 1, out = 3, norm = false }] }"),
    ("Conv.act", "{ conv = 3, out = 8 }", "{ conv = 3, out = 8, act = true }"),
    ("Conv.standardise", "{ conv = 3, out = 8 }", "{ conv = 3, out = 8, standardise = false }"),
    ("Conv.order", "{ conv = 3, out = 8 }", '{ conv = 3, out = 8, order = "post" }'),
    ("Pool.size", '{ pool = "average" }', '{ pool = "average", output = 1 }'),
    ("Pool.output", '{ pool = "average" }', '{ pool = "average", output = 1 }'),
    ("Pool.stride", '{ pool = "max", size = 3 }', '{ pool = "max", size = 3, stride = 3 }'),
    ("Pool.rounding", '{ pool = "max", size = 3 }', '{ pool = "max", size = 3, rounding = "floor" }'),
    ("Pool.padding", '{ pool = "max", size = 3 }', '{ pool = "max", size = 3, padding = 1 }'),
    (
        "Pool.padding",
        '{ pool = "max", size = 3, rounding = "ceil" }',
        '{ pool = "max", size = 3, rounding = "ceil", padding = 0 }',
    ),
    ("Pool.padding", '{ pool = "average", size = 3 }', '{ pool = "average", size = 3, padding = 0 }'),
    ("Stage.block", "", 'block = "basic"'),
    ("Stage.shortcut", "", 'shortcut = "B"'),
]


@pytest.mark.parametrize(("field", "left_out", "written_out"), _IMPLIED)
def test_a_default_that_the_reference_states_in_words_is_so(
    field: str, left_out: str, written_out: str, tmp_path: Path
) -> None:
    hashes = set()
    for text in (left_out, written_out):
        stage = text if field.startswith("Stage") else ""
        layer = "" if field.startswith("Stage") else text
        path = tmp_path / "spec.toml"
        path.write_text(
            f'format = 1\nname = "spec"\nstem.layers = [{layer}]\ndefaults.block = "basic"\n'
            f'defaults.shortcut = "B"\n[[stages]]\nname = "one"\nwidth = 8\ndepth = 2\nstride = 2\n{stage}\n',
            encoding="utf-8",
        )
        hashes.add(archspec.load(path).hash)
    assert len(hashes) == 1


def test_every_default_stated_in_words_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import reference

    # a recipe's defaults in words say that there is none; tests/recipes has the rest
    stated = {f"{model}.{key}" for model, key in reference.IMPLIED if hasattr(models, model)}
    # these say that there is none
    assert stated - {field for field, _, _ in _IMPLIED} == {"Spec.family", "Spec.depth", "Defaults.block"}
