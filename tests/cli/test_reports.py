"""Reports in all four forms: what they look like, and that nothing hostile gets through them."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from archspec_cli.reports import WINDOW, Format, render, sanitize
from hypothesis import given
from hypothesis import strategies as st

from archspec.errors import Diagnostic, Related, Span

if TYPE_CHECKING:
    from pathlib import Path

FORMATS: tuple[Format, ...] = ("human", "concise", "json", "github")
TEXT = st.text(st.characters() | st.sampled_from("\x1b\x9b\u202e\u2028\t\r\n\ud800"), max_size=12)


def span(place: str, file: str = "specs/x.toml") -> Span:
    """`14:1-6` on one line, `14:1-16:3` over several."""
    start, end = place.split("-")
    line, column = map(int, start.split(":"))
    end_line, _, end_column = end.rpartition(":")
    return Span(file, line, column, int(end_line or line), int(end_column))


def human(text: str | None, place: str, hint: str = "", color: bool = False, **kept: Any) -> str:
    """The human form of one error in a text, without the lines that are always the same."""
    diagnostic = Diagnostic("AS101", "bad", span(place), hint, **kept)
    report = render([diagnostic], "human", color=color, sources=lambda _: text)
    lines = report.split("\n")
    assert lines[-3:] == [lines[-3], "", "1 error in specs/x.toml"]
    return "\n".join(lines[1:-3])


WIDHT = Diagnostic(
    "AS101",
    'unknown key "widht" in a stage',
    span("14:1-6"),
    'did you mean "width"?',
    related=(Related("set here first", span("3:1-6", "specs/base.toml")),),
)
SOURCES = {"specs/x.toml": "\n" * 13 + "widht = 64\n", "specs/base.toml": "\n\nwidth = 3"}


def test_an_error_with_a_second_place() -> None:
    assert (
        render([WIDHT], "human", color=False, sources=SOURCES.get)
        == """\
error[AS101]: unknown key "widht" in a stage
  --> specs/x.toml:14:1
   |
14 | widht = 64
   | ^^^^^ did you mean "width"?
   |
  ::: specs/base.toml:3:1
   |
 3 | width = 3
   | ----- set here first
   = help: archspec explain AS101

1 error in specs/x.toml"""
    )


def test_several_files_and_a_warning() -> None:
    other = Diagnostic("AS300", "odd", span("1:1-2", "y.toml"), "use an even width", severity="warning")
    assert (
        render([WIDHT, WIDHT, other], "human", color=False, sources=lambda _: None)
        == """\
error[AS101]: unknown key "widht" in a stage
  --> specs/x.toml:14:1
   = hint: did you mean "width"?
  ::: specs/base.toml:3:1
   = note: set here first
   = help: archspec explain AS101

error[AS101]: unknown key "widht" in a stage
  --> specs/x.toml:14:1
   = hint: did you mean "width"?
  ::: specs/base.toml:3:1
   = note: set here first
   = help: archspec explain AS101

warning[AS300]: odd
 --> y.toml:1:1
  = hint: use an even width
  = help: archspec explain AS300

2 errors, 1 warning in 2 files"""
    )


def test_a_long_hint_goes_below() -> None:
    assert (
        human("width = 64\n", "1:9-11", "h" * 90)
        == f"""\
 --> specs/x.toml:1:9
  |
1 | width = 64
  |         ^^
  = hint: {"h" * 90}"""
    )


@pytest.mark.parametrize(
    ("line", "columns", "shown", "marks"),
    [
        ("\twidth\t= 64", "2-7", "    width    = 64", "    ^^^^^"),
        ("\u65e5\u672c\u8a9e = \uff11\uff12", "7-9", "\u65e5\u672c\u8a9e = \uff11\uff12", "         ^^^^"),
        ("e\u0301\u0301 = 1", "7-8", "e\u0301\u0301 = 1", "    ^"),
        ("\x1b[2J\x9b\u202e = 1", "10-11", "\\x1b[2J\\x9b\\u202e = 1", " " * 20 + "^"),
        ("a = 1\r", "5-6", "a = 1", "    ^"),
        ("a = ", "5-5", "a =", "    ^"),
        ("a = 1", "50-60", "a = 1", "     ^"),
        ("a = '''", "5-2:4", "a = '''", "    ^^^"),
        ("a\x0cb\u2028c\x85d", "7-8", "a\\x0cb\\u2028c\\x85d", " " * 17 + "^"),
        ("", "1-1", "", "^"),
    ],
)
def test_the_mark_stands_under_what_it_marks(line: str, columns: str, shown: str, marks: str) -> None:
    quoted = [f"1 | {shown}".rstrip(), f"  | {marks}"]
    assert human(f"{line}\nnext", f"1:{columns}").split("\n") == [
        " --> specs/x.toml:1:" + columns.split("-", maxsplit=1)[0],
        "  |",
        *quoted,
    ]


@pytest.mark.parametrize("column", [2, 30, 99, 150, 5000, 99_990, 100_000])
@pytest.mark.parametrize("fill", ["a", "\u8a9e", "\t", "\x1b", "\u0301"])
def test_a_long_line_is_cut_to_a_window_around_the_mark(column: int, fill: str) -> None:
    text = "<" + fill * (column - 2) + "WRONG" + fill * (100_000 - column) + ">"
    _, _, shown, marks = human(text, f"1:{column}-{column + 5}", "hint").split("\n")
    quoted, mark = shown.removeprefix("1 | "), marks.removeprefix("  | ")
    assert columns_of(quoted) <= WINDOW + 2
    assert mark == " " * columns_of(quoted[: quoted.index("WRONG")]) + "^^^^^ hint"
    assert quoted.startswith("\u2026" if column > WINDOW else ("<", "\u2026"))
    assert quoted.startswith("\u2026") == ("<" not in quoted)
    assert quoted.endswith("\u2026") == (">" not in quoted)


def columns_of(text: str) -> int:
    return sum(0 if unicodedata.combining(char) else 1 + (char == "\u8a9e") for char in text)


def test_a_mark_longer_than_the_window_ends_with_it() -> None:
    _, _, shown, marks = human("x" * 1000, "1:11-900", "hint").split("\n")[:4]
    assert shown == "1 | " + "x" * WINDOW + "\u2026"
    assert marks == "  | " + " " * 10 + "^" * (WINDOW - 10)


@pytest.mark.parametrize("place", ["3:1-2", "99:1-2"])
def test_a_line_that_the_file_does_not_have_is_not_quoted(place: str) -> None:
    assert " | " not in human("a = 1\n", place, "hint")
    assert "= hint: hint" in human("a = 1\n", place, "hint")
    assert human("", place.replace("3:", "1:"), "hint").count("|") == 0


def test_a_bar_joins_excerpts_only() -> None:
    related = [Related(file, span("1:1-2", file)) for file in ("none", "some", "last")]
    diagnostic = Diagnostic("AS1", "bad", span("1:1-2", "some"), related=tuple(related))
    report = render([diagnostic], "human", color=False, sources={"some": "abc"}.get)
    assert (
        report
        == """\
error[AS1]: bad
 --> some:1:1
  |
1 | abc
  | ^
  |
 ::: none:1:1
  = note: none
 ::: some:1:1
  |
1 | abc
  | - some
  |
 ::: last:1:1
  = note: last
  = help: archspec explain AS1

1 error in some"""
    )


def test_colors() -> None:
    colored = render([WIDHT], "human", color=True, sources=SOURCES.get)
    assert colored.startswith("\x1b[1;31merror[AS101]\x1b[0m\x1b[1m: unknown key")
    assert "  \x1b[1;34m-->\x1b[0m specs/x.toml:14:1\n" in colored
    assert '\x1b[1;31m^^^^^ did you mean "width"?\x1b[0m\n' in colored
    plain = render([WIDHT], "human", color=False, sources=SOURCES.get)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_files_are_read_where_no_sources_are_given(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes("\ufeff# \u00e9\rb\r\na = 1\r\n".encode())
    assert "2 | a = 1\n" in render([Diagnostic("AS1", "bad", span("2:1-2", str(file)))], "human", color=False)
    assert "1 | # \u00e9\\rb\n" in render(
        [Diagnostic("AS1", "bad", span("1:1-2", str(file)))], "human", color=False
    )
    file.write_bytes(b"a = '\xff'")
    for name in (str(file), str(tmp_path), str(tmp_path / "none"), "<stdin>", "--set", "\0", "-"):
        report = render([Diagnostic("AS1", "bad", span("1:1-2", name))], "human", color=False)
        assert report.count("|") == 0


def test_each_file_is_asked_for_once() -> None:
    asked = []
    render([WIDHT] * 5, "human", color=False, sources=asked.append)
    assert asked == ["specs/x.toml", "specs/base.toml"]


def test_concise() -> None:
    evil = Diagnostic("AS102", "two\nlines", span("1:1-2", "a\x1b.toml"))
    expected = 'specs/x.toml:14:1: AS101 unknown key "widht" in a stage\na\\x1b.toml:1:1: AS102 two\\nlines'
    assert render([WIDHT, evil], "concise", color=True) == expected


def test_json() -> None:
    report = render([WIDHT], "json", color=True)
    assert report.startswith('{\n  "schema_version": 1,\n  "diagnostics": [\n    {\n      "code": "AS101",')
    place = {"line": 3, "column": 1, "end_line": 3, "end_column": 6}
    assert json.loads(report) == {
        "schema_version": 1,
        "diagnostics": [
            {
                "code": "AS101",
                "severity": "error",
                "message": 'unknown key "widht" in a stage',
                "file": "specs/x.toml",
                "line": 14,
                "column": 1,
                "end_line": 14,
                "end_column": 6,
                "hint": 'did you mean "width"?',
                "related": [{"message": "set here first", "file": "specs/base.toml", **place}],
            }
        ],
    }


def test_json_keeps_what_it_escapes() -> None:
    message = "\x1b\u202e\x7f\n\u8a9e"
    report = render([Diagnostic("AS1", message, span("1:1-2"))], "json", color=False)
    assert report.isascii()
    assert json.loads(report)["diagnostics"][0]["message"] == message


@pytest.mark.parametrize(
    ("diagnostic", "command"),
    [
        (
            WIDHT,
            "::error file=specs/x.toml,line=14,col=1,endLine=14,endColumn=6,title=AS101"
            '::unknown key "widht" in a stage%0Ahint: did you mean "width"?',
        ),
        (
            Diagnostic("AS1", "50%: a,b\r\n::error::c", span("1:1-2", "c:\\a,b%.toml"), severity="warning"),
            "::warning file=c%3A\\a%2Cb%25.toml,line=1,col=1,endLine=1,endColumn=2,title=AS1"
            "::50%25: a,b\\r\\n::error::c",
        ),
        (
            Diagnostic("AS1", "long", span("1:1-2:4")),
            "::error file=specs/x.toml,line=1,endLine=2,title=AS1::long",
        ),
    ],
)
def test_github(diagnostic: Diagnostic, command: str) -> None:
    assert render([diagnostic], "github", color=True) == command


def test_nothing_to_report() -> None:
    assert [render([], form, color=True) for form in ("human", "concise", "github")] == ["", "", ""]
    assert json.loads(render([], "json", color=True)) == {"schema_version": 1, "diagnostics": []}


def test_sanitize() -> None:
    assert sanitize("plain caf\u00e9 \u65e5\u672c \U0001f600") == "plain caf\u00e9 \u65e5\u672c \U0001f600"
    assert sanitize("a\x1b[2J\x00\x7f\x9b\n\r\t") == "a\\x1b[2J\\x00\\x7f\\x9b\\n\\r\\t"
    assert (
        sanitize("\u202e\u2066\u200b\u2028\u2029\ufeff\ud800")
        == "\\u202e\\u2066\\u200b\\u2028\\u2029\\ufeff\\ud800"
    )
    assert sanitize("\U000e0041") == "\\U000e0041"


SPANS = st.builds(Span, TEXT, st.integers(1, 4), st.integers(1, 20), st.integers(1, 4), st.integers(1, 20))


@given(
    st.builds(
        Diagnostic,
        TEXT,
        TEXT,
        SPANS,
        TEXT,
        st.sampled_from(["error", "warning"]),
        st.tuples(st.builds(Related, TEXT, SPANS)),
    ),
    TEXT.map(lambda text: text * 20),
)
def test_no_form_lets_a_control_character_through(diagnostic: Diagnostic, text: str) -> None:
    for form in FORMATS:
        report = render([diagnostic, diagnostic], form, color=False, sources=lambda _: text)
        kinds = {unicodedata.category(char) for char in report.replace("\n", "")}
        assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        report.encode()
    assert render([diagnostic, diagnostic], "github", color=False).count("\n") == 1
    assert render([diagnostic, diagnostic], "concise", color=False).count("\n") == 1
