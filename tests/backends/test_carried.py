"""The spec that generated source carries: any text comes back from it, and the lines stay a formatter's."""

from __future__ import annotations

import time
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import archspec
from archspec.architecture import compiled
from archspec.backends.source.carried import TITLE, carried_spec, spec_lines
from archspec.backends.source.layout import WIDTH
from archspec.spec.documents import parse
from archspec.spec.load import resolve
from tests.conftest import ROOT, SPECS, architecture
from tests.strategies import specs

# TOML is UTF-8, which has no surrogates
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
# what lines are cut at and held together by, and long enough to be cut
KNOTTY = st.text(st.sampled_from(" \\\"'#:n\t\n\u2028\x7f\x00é\U0001f600x"), max_size=400)
VALUES = st.recursive(
    TEXT | KNOTTY | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | KNOTTY, inner, max_size=4),
    max_leaves=12,
)
TABLES = st.dictionaries(TEXT | KNOTTY, VALUES, max_size=5)


def source(table: dict[str, Any]) -> str:
    """A generated file's end."""
    return "\n".join(["import torch", "# a remark", "#: another", "", *spec_lines(table), ""])


def carried(text: str) -> dict[str, Any]:
    found = carried_spec(text)
    assert found is not None
    return tomllib.loads(found)


@given(TABLES)
def test_any_table_comes_back(table: dict[str, Any]) -> None:
    assert carried(source(table)) == table


@given(TEXT | KNOTTY)
def test_any_text_comes_back(text: str) -> None:
    assert carried(source({"about": text, text: 1})) == {"about": text, text: 1}


@given(TABLES)
def test_lines_are_short_ascii_comments_without_blanks_at_their_ends(table: dict[str, Any]) -> None:
    for line in spec_lines(table):
        assert len(line) <= WIDTH
        assert line.isascii()
        assert line.isprintable()
        assert line.startswith("#")
        assert line == line.rstrip()


@pytest.mark.parametrize("char", ["x", " ", "é", '"', "\\", "\U0001f600", "a b"])
def test_texts_of_about_a_lines_length_come_back(char: str) -> None:
    for length in range(WIDTH - 20, WIDTH + 5):
        for text in (char * length, "x" * length + char, "x " * (length // 2) + char + " x"):
            assert carried(source({"about": text})) == {"about": text}


@given(TABLES)
def test_editors_that_strip_blanks_do_no_harm(table: dict[str, Any]) -> None:
    text = source(table)
    assert "\n".join(line.rstrip() for line in text.split("\n")) == text


@given(specs())
def test_random_specs_come_back(spec: dict[str, Any]) -> None:
    assert carried(source(spec)) == spec


@pytest.mark.parametrize("text", ["", "import torch\n", f"x = '{TITLE}'\n", f"    {TITLE}\n", f"{TITLE} \n"])
def test_source_without_a_spec_carries_none(text: str) -> None:
    assert carried_spec(text) is None


@pytest.mark.parametrize("spec", SPECS)
def test_generated_files_carry_a_spec_of_the_same_function(spec: str) -> None:
    one = architecture(spec)
    text = archspec.source(one)
    assert text.count(f"\n{TITLE}\n") == 1
    found = carried_spec(text)
    assert found is not None
    again = compiled(resolve(parse(found.encode(), "carried.toml", None)))
    assert again.hash == one.hash
    assert archspec.source(again) == text


def test_what_a_description_says_is_not_taken_for_the_spec() -> None:
    about = f"{'x' * 84} {TITLE} {'y' * 84}"  # wrapped, its middle is a line of its own
    one = archspec.load(ROOT / SPECS[0], settings=[f'about="{about}"'])
    text = archspec.source(one)
    assert text.count(f"\n{TITLE}\n") == 2
    assert carried(text)["about"] == about


def test_long_files_are_read_in_time_to_their_length() -> None:
    text = "\n".join(["", TITLE, "# a = 1", *(["#: " + "x" * 80] * 40_000), ""])
    start = time.process_time()
    assert len(carried_spec(text) or "") > 3 * 10**6
    assert time.process_time() - start < 1
