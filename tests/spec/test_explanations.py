"""Every diagnostic is explained, and the examples of the explanations are true."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from archspec_cli.commands.reference import explain

import archspec
from archspec.explain import Explanation, explanations

PACKAGE = Path(archspec.__file__).parent
KNOWN = explanations()
# what one file alone cannot show: it takes other files, options, or a file that is no text
NOT_ONE_FILE = {
    *("AS001", "AS002", "AS003", "AS004", "AS006", "AS007"),
    *("AS010", "AS011", "AS012", "AS013", "AS014"),
    # these are about weights, models and pictures
    *("AS501", "AS502", "AS503", "AS504", "AS505", "AS506", "AS507", "AS508"),
    *("AS511", "AS512", "AS513", "AS514", "AS521", "AS522", "AS523"),
    # these about data, recipes and runs
    *("AS531", "AS532", "AS541", "AS551", "AS552", "AS553", "AS554", "AS561", "AS562", "AS571"),
}


def is_whole(text: str) -> bool:
    """Whether an example is a whole spec, and not a fragment."""
    return re.match(r"format = ", text) is not None


def in_source() -> set[str]:
    """The codes that the source can report."""
    files = PACKAGE.rglob("*.py")
    return {code for file in files for code in re.findall(r"\bAS\d{3}\b", file.read_text(encoding="utf-8"))}


def codes_of(path: Path) -> list[str]:
    """The codes that loading a spec reports."""
    try:
        archspec.load(path)
    except archspec.SpecError as error:
        return [diagnostic.code for diagnostic in error.diagnostics]
    return []


def test_every_code_is_explained_and_every_explanation_has_a_code() -> None:
    assert sorted(KNOWN) == sorted(in_source())


def test_every_code_that_one_file_can_show_has_a_whole_example() -> None:
    whole = {code for code, each in KNOWN.items() if is_whole(each.wrong) and is_whole(each.right)}
    assert set(KNOWN) - whole == NOT_ONE_FILE


@pytest.mark.parametrize("code", sorted(set(KNOWN) - NOT_ONE_FILE))
def test_the_wrong_example_gives_its_code_and_the_right_one_loads(code: str, tmp_path: Path) -> None:
    wrong, right = tmp_path / "wrong.toml", tmp_path / "right.toml"
    wrong.write_text(KNOWN[code].wrong, encoding="utf-8")
    right.write_text(KNOWN[code].right, encoding="utf-8")
    assert codes_of(wrong) == [code]
    assert codes_of(right) == []


@pytest.mark.parametrize("code", sorted(set(KNOWN) - NOT_ONE_FILE))
def test_the_two_examples_differ_by_the_cure_alone(code: str) -> None:
    wrong, right = (text.strip().split("\n") for text in (KNOWN[code].wrong, KNOWN[code].right))
    assert len(set(wrong) ^ set(right)) <= 2
    assert max(len(wrong), len(right)) <= 20


@pytest.mark.parametrize("code", sorted(NOT_ONE_FILE & {"AS010", "AS013"}))
def test_a_fragment_is_toml(code: str) -> None:
    assert "extends" in tomllib.loads(KNOWN[code].wrong)
    assert "extends" in tomllib.loads(KNOWN[code].right)


@pytest.mark.parametrize(("code", "entry"), KNOWN.items())
def test_an_explanation_reads_well(code: str, entry: Explanation) -> None:
    assert entry.title == entry.title.strip().rstrip(".")
    assert 0 < len(entry.title) <= 50
    assert entry.title[0].islower()
    assert "\n\n" not in entry.about, "an about is one paragraph"
    assert all(len(line) <= 84 for line in entry.about.split("\n")), "a terminal shows it as it stands"
    assert 2 <= len(re.findall(r"[.](?:\s|$)", entry.about)) <= 5
    assert bool(entry.wrong) == bool(entry.right)


@pytest.mark.parametrize(("code", "entry"), KNOWN.items())
def test_explain_prints_title_text_and_examples(
    code: str, entry: Explanation, capsys: pytest.CaptureFixture[str]
) -> None:
    explain(code.lower(), as_json=False)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{code}: {entry.title}\n")
    assert entry.text() in printed
    for part in (entry.about, entry.wrong, entry.right):
        for line in part.strip().split("\n"):
            assert line in printed


def test_explain_lists_every_code_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    explain(None, as_json=False)
    printed = capsys.readouterr().out
    assert all(re.search(rf"^\s*{code} .*{re.escape(KNOWN[code].title)}", printed, re.M) for code in KNOWN)
