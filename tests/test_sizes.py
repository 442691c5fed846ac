"""Sizes: what is read, what it is worth, how it is printed, and what is refused. Python is the yardstick."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.sizes import (
    MAX_TEXT,
    MAX_VALUE,
    Binary,
    SizeError,
    Var,
    bounded,
    combine,
    evaluate,
    names,
    parse,
    substitute,
    text,
)

if TYPE_CHECKING:
    from archspec.sizes import Operator, Size

NAMES = ("a", "b", "width")
BLANKS = st.sampled_from(["", " ", "  ", "\t"])
TOKEN = re.compile(r"\d+|\w+|//|[-+*()]")
many = settings(max_examples=200)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    """An expression as somebody may type it: brackets where they matter, and where they do not."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(NAMES) | st.integers(0, 9).map(str))
    left, right = draw(expressions(depth=depth - 1)), draw(expressions(depth=depth - 1))
    operator = draw(st.sampled_from(["+", "-", "*", "//"]))
    written = f"{left}{draw(BLANKS)}{operator}{draw(BLANKS)}{right}"
    return f"({draw(BLANKS)}{written}{draw(BLANKS)})" if draw(st.booleans()) else written


# negative values, too: `a - b` may be anything inside a larger expression
VALUES = st.fixed_dictionaries(dict.fromkeys(NAMES, st.integers(-9, 9)))


def python(expression: str, values: dict[str, int]) -> int | None:
    """What Python says an expression is worth; None where it divides by zero."""
    try:
        return int(eval(expression, {"__builtins__": {}}, dict(values)))
    except ZeroDivisionError:
        return None


def ours(size: Size, values: dict[str, int]) -> int | None:
    """What we say."""
    try:
        return evaluate(size, values)
    except SizeError:
        return None


def read(expression: str) -> Size | None:
    """The size in a text, or None where there is none: its constants may have no value (`1 // 0`)."""
    try:
        return parse(expression)
    except SizeError:
        return None


@many
@given(expressions(), VALUES)
def test_a_size_is_worth_what_python_says(expression: str, values: dict[str, int]) -> None:
    size, expected = read(expression), python(expression, values)
    if size is None:
        assert expected is None
    elif expected is not None:
        assert evaluate(size, values) == expected
    # where Python divides by zero, `x // 0 - x // 0` may have been folded to 0, and nothing but SizeError comes


@many
@given(expressions())
def test_a_printed_size_reads_back_as_the_same_tree(expression: str) -> None:
    size = read(expression)
    if size is not None:
        assert parse(text(size)) == size
        assert text(parse(text(size))) == text(size)


@many
@given(expressions(), VALUES)
def test_a_printed_size_is_python(expression: str, values: dict[str, int]) -> None:
    size = read(expression)
    if size is not None and (expected := ours(size, values)) is not None:
        assert python(text(size), values) == expected


@many
@given(expressions())
def test_every_printed_bracket_is_needed(expression: str) -> None:
    size = read(expression)
    if size is None:
        return
    printed = text(size)
    for start, end in brackets(printed):
        without = printed[:start] + " " + printed[start + 1 : end] + " " + printed[end + 1 :]
        assert read(without) != size, f"{printed} needs no brackets at {start}"


def brackets(expression: str) -> list[tuple[int, int]]:
    """The places of matching brackets."""
    found, waiting = [], []
    for match in TOKEN.finditer(expression):
        if match[0] == "(":
            waiting.append(match.start())
        elif match[0] == ")":
            found.append((waiting.pop(), match.start()))
    return found


@many
@given(expressions(), VALUES, st.sets(st.sampled_from(NAMES)))
def test_names_may_be_filled_one_after_the_other(
    expression: str, values: dict[str, int], first: set[str]
) -> None:
    size = read(expression)
    if size is None:
        return
    assert names(size) <= set(NAMES) & set(TOKEN.findall(expression))
    try:
        partly = substitute(size, {name: values[name] for name in first})
        in_turn = evaluate(partly, values)
    except SizeError:
        return  # filled earlier, a division by zero is met earlier
    assert names(partly) <= names(size) - first
    assert ours(size, values) in (in_turn, None)
    assert python(expression, values) in (in_turn, None)


@many
@given(expressions(depth=2), expressions(depth=2), VALUES)
def test_a_size_may_stand_for_a_name(outer: str, inner: str, values: dict[str, int]) -> None:
    whole, filling = read(outer), read(inner)
    worth = python(inner, values)
    if whole is None or filling is None or worth is None:
        return
    expected = python(outer, {**values, "width": worth})
    try:
        filled = substitute(whole, {"width": filling})
    except SizeError:
        return
    if expected is not None:
        assert ours(filled, values) in (expected, None)
        assert python(text(filled), values) in (expected, None)


@pytest.mark.parametrize(
    ("expression", "printed"),
    [
        ("4*width", "4 * width"),
        ("(4) * (width)", "4 * width"),
        ("a+(b+width)", "a + (b + width)"),
        ("(a+b)+width", "a + b + width"),
        ("a-(b-width)", "a - (b - width)"),
        ("(a-b)*2", "(a - b) * 2"),
        ("a*b//2", "a * b // 2"),
        ("a*(b//2)", "a * (b // 2)"),
        ("a//(b*2)", "a // (b * 2)"),
        ("a+b*2", "a + b * 2"),
        ("2*3+4", "10"),
        ("007", "7"),
        ("7 // 2", "3"),
        ("a + 0", "a"),
        ("a - 0", "a"),
        ("a * 1", "a"),
        ("1 * a", "a"),
        ("a // 1", "a"),
        ("a - a", "0"),
        ("0 * a", "0 * a"),
    ],
)
def test_what_a_size_looks_like(expression: str, printed: str) -> None:
    assert text(parse(expression)) == printed


@pytest.mark.parametrize(("expression", "value"), [("7 // 2", 3), ("(1 - 8) // 2", -4), ("7 // (1 - 3)", -4)])
def test_division_rounds_down_as_pythons(expression: str, value: int) -> None:
    assert evaluate(parse(expression)) == value


def test_a_negative_number_survives_being_printed() -> None:
    for expression in ("a * (0 - 3)", "a + (1 - 3)", "a - (1 - 3)", "(1 - 3) * a", "a // (1 - 3)"):
        size = parse(expression)
        assert python(text(size), {"a": 7}) == evaluate(size, {"a": 7})
        assert parse(text(size)) == size


def test_names_are_renamed_where_they_are_printed() -> None:
    assert text(parse("in + 2 * out"), lambda name: f"{name}_channels") == "in_channels + 2 * out_channels"


WRONG = [
    *("", " ", "\t\n", "(", ")", "()", "(a", "a)", "((a)", "a b", "2 a", "a 2", "2(a)", "a()", "f(a)"),
    *("+", "a +", "* a", "// 2", "+ a", "a ** 2", "a / 2", "a % 2", "a @ b", "a /// 2", "a * / 2", "a + * b"),
    *(
        "1.5",
        "1e3",
        "0x10",
        "1_000",
        ".5",
        "1,000",
        "a, b",
        "a; b",
        "a = 2",
        "a == 2",
        "a < 2",
        "~a",
        "not a",
    ),
    *("a if b else 2", "lambda: 0", "a.b", "a[0]", "'a'", '"a"', "__import__('os')", "a # b", "$a", "{a}"),
    *(
        "\uff11",
        "\u0661",
        "\u00e4",
        "\ufb01",
        "a\u00a0+ 1",
        "a\u2212 1",
        "a \u00d7 2",
        "a\x00",
        "a\x1b[0m",
        "\ufeffa",
    ),
]


@pytest.mark.parametrize("expression", WRONG, ids=ascii)
def test_anything_else_is_refused(expression: str) -> None:
    with pytest.raises(SizeError):
        parse(expression)


def test_an_error_quotes_what_it_stumbles_over() -> None:
    with pytest.raises(SizeError, match=r"'\[0\]' is not an integer, a name or one of"):
        parse("a + [0]")
    with pytest.raises(SizeError, match="ends too early"):
        parse("a + ")
    with pytest.raises(SizeError, match="is not closed"):
        parse("(a + b")


def test_texts_and_values_are_bounded() -> None:
    assert parse("+".join("a" * ((MAX_TEXT + 1) // 2))) is not None
    for expression in ("a" * (MAX_TEXT + 1), "9" * 16, f"{MAX_VALUE} + 1", "(" * 22 + "a" + ")" * 22):
        with pytest.raises(SizeError):
            parse(expression)
    assert evaluate(parse(f"0 - {MAX_VALUE}")) == -MAX_VALUE
    with pytest.raises(SizeError, match="larger"):
        evaluate(parse("a * a"), {"a": 10**7})
    with pytest.raises(SizeError, match="larger"):
        bounded(-MAX_VALUE - 1)


def test_a_long_sum_is_no_deep_recursion() -> None:
    size = parse("-".join("a" * 100))
    assert evaluate(size, {"a": 3}) == -3 * 98
    assert parse(text(size).replace(" ", "")) == size


def test_values_that_are_missing_are_named() -> None:
    with pytest.raises(SizeError, match="unknown: b, width"):
        evaluate(parse("a * width + b"), {"a": 2})
    with pytest.raises(SizeError, match="division by zero"):
        evaluate(parse("a // b"), {"a": 2, "b": 0})


@pytest.mark.parametrize("operator", ["+", "-", "*", "//"])
def test_nothing_is_folded_that_is_not_known(operator: Operator) -> None:
    assert combine(operator, Var("a"), Var("b")) == Binary(operator, Var("a"), Var("b"))
    assert combine(operator, Var("a"), 2) == Binary(operator, Var("a"), 2)
    assert combine(operator, 2, Var("a")) == Binary(operator, 2, Var("a"))
