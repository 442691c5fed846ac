"""Mistakes in the fields of one file: each gives its code, at its place, with words that help."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.spec.marked import BASE, OWN, changed, check, failing, place, places, unmarked, written

if TYPE_CHECKING:
    from pathlib import Path

STEM = "{ conv = 3, out = 16 }"
FIRST = '{ conv = 3, out = "width" },'
POOL = '{ pool = "average" }'
BLOCK = "[blocks.own]\n"
# the part of the spec, what stands there instead, the code, a word of the message, a word of the hint
Row = tuple[str, str, str, str, str]

UNKNOWN_KEYS: list[Row] = [
    ("[params]", "»haed« = 1\n[params]", "AS101", '"haed"', '"head"'),
    ("[params]", "[»nrom«]\nkind = 1\n[params]", "AS101", '"nrom"', '"norm"'),
    ("stride = 2", "»strid« = 2", "AS101", '"strid"', '"stride"'),
    (STEM, "{ conv = 3, out = 16, »pading« = 1 }", "AS101", '"pading"', '"padding"'),
    (STEM, f"{STEM}, {{ pool = 'max', size = 3, »strde« = 1 }}", "AS101", '"strde"', '"stride"'),
    (STEM, f"{STEM}, {{ gate = [{{ conv = 1, out = 16, »nrom« = 1 }}] }}", "AS101", '"nrom"', '"norm"'),
    (FIRST, '{ conv = 3, out = "width", »sride« = 2 },', "AS101", '"sride"', '"stride"'),
    (BLOCK, BLOCK + "»afer« = []\n", "AS101", '"afer"', '"after"'),
    (BLOCK, BLOCK + 'projection = [{ conv = 1, out = "out", »bais« = true }]\n', "AS101", '"bais"', '"bias"'),
    ("[norm]\n", "[»norms«]\n", "AS101", '"norms"', '"norm"'),
    ("size = [32, 32]", "»siz« = [32, 32]", "AS101", '"siz"', '"size"'),
    ('kind = "batch"', "»epss« = 1e-5", "AS101", '"epss" in norm', '"eps"'),
    ('shortcut = "B"', '»shortcuts« = "B"', "AS101", '"shortcuts"', '"shortcut"'),
    ("[head]", "[stage.b]\n»widht« = 8\n[head]", "AS101", '"widht"', '"width"'),
    ("[head]", "[stage.b]\nbefore = [{ »cnov« = 3, conv = 3, out = 32 }]\n[head]", "AS101", "cnov", '"conv"'),
    ("[head]", "[init]\n»zero_norm« = true\n[head]", "AS101", '"zero_norm"', '"zero_last_norm"'),
    (STEM, '{ conv = 3, out = 16, »pool« = "max" }', "AS101", '"pool"', "known here: act, bias, conv"),
]
MISSING: list[Row] = [
    ('[[stages]]\nname = "b"\nwidth = 32\n', '[[»stages«]]\nname = "b"\n', "AS102", '"width"', ""),
    (STEM, "»{ conv = 3 }«", "AS102", '"out"', ""),
    (FIRST, "»{ conv = 3 }«,", "AS102", '"out"', ""),
    ('{ pool = "average" }', '»{ pool = "max" }«', "AS102", '"size"', ""),
]
TYPES: list[Row] = [
    ("stride = 2", "stride = »true«", "AS103", "not true", ""),
    ("stride = 2", "stride = »2.0«", "AS103", "not 2.0", ""),
    ("stride = 2", "stride = »[2]«", "AS103", "not [2]", ""),
    ("stride = 2", "stride = »{ a = 1 }«", "AS103", "a = 1", ""),
    ('name = "net"', "name = »3«", "AS103", "a string", ""),
    ('name = "net"', 'name = "net"\nabout = »2020-01-31«', "AS103", "2020-01-31", ""),
    ('kind = "batch"', 'groups = »"32"«', "AS103", "a whole number", ""),
    ('kind = "batch"', "groups = »32.0«", "AS103", "a whole number", ""),
    ('kind = "batch"', "groups = »true«", "AS103", "not true", ""),
    ('kind = "batch"', 'eps = »"1e-5"«', "AS103", "a number", ""),
    ("linear = 10", "linear = 10, bias = »1«", "AS103", "true or false", ""),
    (STEM, '{ conv = 3, out = 16, bias = »"yes"« }', "AS103", "true or false", ""),
    (STEM, "{ conv = 3, out = 16, norm = »3« }", "AS103", "normalisation", ""),
    ('block = "basic"', "block = »3«", "AS103", "string", ""),
    ("size = [32, 32]", "size = »32«", "AS103", "an array", ""),
    ("layers = [{ conv = 3, out = 16 }]", "layers = »{ conv = 3, out = 16 }«", "AS103", "an array", ""),
    ("[head]", "[stage]\n»b« = 3\n[head]", "AS103", "stage.b", ""),
]
RANGES: list[Row] = [
    ("width = 32", "width = »-1«", "AS104", "-1", ""),
    ("width = 32", "width = »0«", "AS104", "1 to 65536", ""),
    ("width = 32", "width = »70000«", "AS104", "1 to 65536", ""),
    ("width = 32", "width = »99999999999999999999«", "AS104", "99999999999999999999", ""),
    ('depth = "n"', "depth = »0«", "AS104", "1 to 10000", ""),
    ('depth = "n"', 'depth = »"1 - 1"«', "AS104", "1 to 10000", ""),
    ("stride = 2", "stride = »65«", "AS104", "1 to 64", ""),
    ("linear = 10", "linear = »0«", "AS104", "0", ""),
    ("linear = 10", "linear = 10, dropout = »1.0«", "AS104", "less than 1", ""),
    ('kind = "batch"', "eps = »-1.0«", "AS104", "more than 0", ""),
    ('kind = "batch"', "eps = »nan«", "AS104", "finite", ""),
    ("size = [32, 32]", "size = [»0«, 32]", "AS104", "1 to 16384", ""),
    ("size = [32, 32]", "size = [32, »20000«]", "AS104", "1 to 16384", ""),
    ("[input]", "[input]\nchannels = »0«", "AS104", "1 to 16384", ""),
    ("size = [32, 32]", "»size« = [32, 32, 3]", "AS104", "2", ""),
    ("size = [32, 32]", "»size« = [32]", "AS104", "2", ""),
    (BLOCK, BLOCK + "project_after = »-1«\n", "AS104", "at least 0", ""),
]
# zeros and negative sizes that reach a layer
LAYER_RANGES: list[Row] = [
    (STEM, "{ conv = »0«, out = 16 }", "AS104", "0", ""),
    (STEM, "{ conv = 3, out = »0« }", "AS104", "0", ""),
    (STEM, '{ conv = 3, out = »"1 - 5"« }', "AS104", "-4", ""),
    (STEM, "{ conv = 3, out = 16, stride = »0« }", "AS104", "0", ""),
    (STEM, "{ conv = 3, out = 16, dilation = »0« }", "AS104", "0", ""),
    (STEM, "{ conv = 3, out = 16, groups = »0« }", "AS104", "0", ""),
    (STEM, '{ conv = 3, out = 16, padding = »"1 - 5"« }', "AS104", "-4", ""),
    (POOL, '{ pool = "average", size = »0« }', "AS104", "0", ""),
    (POOL, '{ pool = "average", size = 2, stride = »0« }', "AS104", "0", ""),
    (POOL, '{ pool = "average", output = »0« }', "AS104", "0", ""),
]
WORDS: list[Row] = [
    ("format = 1", "format = »2«", "AS105", "format 1", ""),
    ("format = 1", 'format = »"1"«', "AS105", "format 1", ""),
    ('kind = "batch"', 'kind = »"bach"«', "AS105", '"bach"', '"batch"'),
    ('shortcut = "B"', 'shortcut = »"D"«', "AS105", '"D"', "A, B, C"),
    ('shortcut = "B"', "shortcut = »3«", "AS105", "3", "identity"),
    ('pool = "average"', 'pool = »"averge"«', "AS105", '"averge"', '"average"'),
    (STEM, '{ conv = 3, out = 16, act = »"relo"« }', "AS105", '"relo"', '"relu"'),
    (STEM, '{ conv = 3, out = 16, norm = »"gruop"« }', "AS105", '"gruop"', '"group"'),
    (STEM, '{ conv = 3, out = 16, order = »"prex"« }', "AS105", '"prex"', '"pre"'),
    ('shortcut = "B"', 'stride_on = »"2x2"«', "AS105", '"2x2"', "1x1, 3x3, first"),
    ('shortcut = "B"', 'bias = »"aut"«', "AS105", '"aut"', "auto"),
    ("[head]", '[init]\nconv = »"he-normal-fan"«\n[head]', "AS105", '"he-normal-fan"', "he-normal-fan"),
    ("[params]", 'keys = »"sequental"«\n[params]', "AS105", '"sequental"', '"sequential"'),
    ('block = "basic"', 'block = »"bsic"«', "AS108", '"bsic"', '"basic"'),
    ("stride = 2", 'block = »"onw"«', "AS108", '"onw"', '"own"'),
]
EXPRESSIONS: list[Row] = [
    ('"n"', '»"n +"«', "AS106", "ends too early", ""),
    ('"n"', '»"n ** 2"«', "AS106", "'*'", ""),
    ('"n"', '»"n / 2"«', "AS106", "'/ 2'", ""),
    ('"n"', '»"(n"«', "AS106", "bracket", ""),
    ('"n"', '»""«', "AS106", "empty", ""),
    ('"n"', '»"1.5"«', "AS106", "'.5'", ""),
    ('"n"', f'»"{"n + " * 60}n"«', "AS106", "241 characters", ""),
    ('"n"', '»"m"«', "AS107", '"m"', "n"),
    ('"n"', '»"width"«', "AS107", '"width"', "n"),
    ("[params]\nn = 1\n", '[params]\nblocks = 1\nn = »"bloks"«\n', "AS107", '"bloks"', '"blocks"'),
    ('out = "width" }', 'out = »"widht"« }', "AS107", '"widht"', '"width"'),
    ('"n"', '»"n // 0"«', "AS307", "division by zero", ""),
    ("n = 1\n", 'n = »"m"«\nm = "n"\n', "AS307", "n -> m -> n", ""),
    ("n = 1\n", 'n = 1000000\nm = »"n * n * n"«\n', "AS307", "10**12", ""),
]
NAMES: list[Row] = [
    ('name = "net"', 'name = »"My Net"«', "AS113", '"My Net"', "lower-case"),
    ('name = "net"', f'name = »"{"x" * 65}"«', "AS113", "xxx", "64"),
    ('name = "b"', 'name = »"B-1"«', "AS113", '"B-1"', "lower-case"),
    ("[blocks.own]", "[blocks.»Own«]", "AS113", '"Own"', "lower-case"),
    ("n = 1\n", "n = 1\n»N« = 1\n", "AS113", '"N"', "lower-case"),
    ("n = 1\n", "n = 1\n»width« = 5\n", "AS113", "width", ""),
    ("[head]", "[stage.»bb«]\nwidth = 8\n[head]", "AS110", '"bb"', '"b"'),
    (STEM, "»{ cnv = 3, out = 16 }«", "AS111", "conv, pool, linear", "conv"),
    (STEM, "»{ }«", "AS111", "conv, pool, linear", ""),
    (STEM, "»3«", "AS111", "conv, pool, linear", ""),
]
TABLE = [*UNKNOWN_KEYS, *TYPES, *RANGES, *LAYER_RANGES, *WORDS, *EXPRESSIONS, *NAMES, *MISSING]


def label(row: Row) -> str:
    """A readable test id."""
    return f"{row[2]}-{unmarked(row[1]).strip()[-40:]}".replace("\n", " ")


@pytest.mark.parametrize("row", TABLE, ids=label)
def test_a_mistake_is_placed_and_explained(row: Row, tmp_path: Path) -> None:
    old, new, code, message, hint = row
    check(tmp_path, changed(BASE, (old, new)), code, message, hint)


def test_a_missing_key_of_the_whole_spec_is_placed_at_its_start(tmp_path: Path) -> None:
    error = failing(written(tmp_path, net="[norm]\n"))
    assert [(each.code, each.span.line, each.span.column) for each in error.diagnostics] == [
        ("AS102", 1, 1),
        ("AS102", 1, 1),
    ]
    assert ['"format"' in str(error), '"name"' in str(error)] == [True, True]


def test_a_stage_without_block_says_where_one_may_stand(tmp_path: Path) -> None:
    text = changed(BASE, ('block = "basic"\n', ""), ('[[stages]]\nname = "a"', '[[»stages«]]\nname = "a"'))
    check(tmp_path, text, "AS102", '"block"', "[defaults]")


def test_an_element_of_an_array_is_named_by_the_array(tmp_path: Path) -> None:
    found = check(tmp_path, 'format = 1\nname = "net"\nstages = [»3«]\n', "AS103", "a table")
    assert "stages" in found.message


def test_the_out_of_a_block_is_not_said_by_its_stride(tmp_path: Path) -> None:
    text = changed(OWN, (BLOCK, BLOCK + 'out = »"stride * width"«\n'))
    check(tmp_path, text, "AS106", "in and width")


def test_every_mistake_of_a_file_comes_in_one_go_and_in_order(tmp_path: Path) -> None:
    spec = """\
format = 1
name = "My Net"
haed = 1
[norm]
kind = "bach"
eps = 0.0
[stem]
layers = [{ cnv = 3 }, { conv = 3, out = "m" }]
[[stages]]
name = "a"
width = true
stride = "1 +"
block = "basc"
"""
    error = failing(written(tmp_path, net=spec))
    assert [f"{each.span.line}:{each.span.column} {each.code}" for each in error.diagnostics] == [
        "2:8 AS113",
        "3:1 AS101",
        "5:8 AS105",
        "6:7 AS104",
        "8:11 AS111",
        "8:42 AS107",
        "11:9 AS103",
        "12:10 AS106",
        "13:9 AS108",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (STEM, '{ "conv" = 3, out = 16, act = "é日\U0001f600", »pading« = 3 }'),
        ("[params]", '»"ключ"« = 1\n[params]'),
        ('name = "net"', 'about = """é\r\n\U0001f600"""\r\nname = »"é"«'),
        ("size = [32, 32]", "# 日本\nsize = [32, 32] # é\n»siez« = 3 # é"),
    ],
    ids=["in the line", "in the key", "in lines before", "in comments"],
)
def test_columns_count_characters(old: str, new: str, tmp_path: Path) -> None:
    text = changed(BASE, (old, new))
    error = failing(written(tmp_path, net=text))
    assert place(error.diagnostics[-1].span) == places(text, "»«")[0]


CONFLICTS: list[tuple[str, list[tuple[str, str]], str, str]] = [
    (
        "two stages of one name",
        [('name = "a"', 'name = ⟦"a"⟧'), ('name = "b"', 'name = »"a"«')],
        "AS109",
        '"a"',
    ),
    (
        "an expression and the parameter that makes it wrong",
        [("n = 1\n", "n = ⟦1⟧\n"), ('depth = "n"', 'depth = »"n - 1"«')],
        "AS104",
        "1 to 10000",
    ),
    (
        "stride_on against the block's own stride",
        [
            ('shortcut = "B"', 'shortcut = "B"\nstride_on = »"3x3"«'),
            (FIRST, '{ conv = 3, out = "width", stride = ⟦"stride"⟧ },'),
        ],
        "AS112",
        '"own"',
    ),
    (
        "stride_on without such a convolution",
        [
            ('shortcut = "B"', 'shortcut = "B"\nstride_on = »"1x1"«'),
            (BLOCK, "[blocks.⟦own⟧]\n"),
        ],
        "AS112",
        "1x1",
    ),
    (
        "a pool's window and output",
        [(POOL, '{ pool = "average", size = ⟦2⟧, output = »2« }')],
        "AS112",
        "not both",
    ),
    (
        "a global pool with a stride",
        [(POOL, '{ pool = "average", stride = »2« }')],
        "AS112",
        "stride",
    ),
    (
        "a stage's stride that no layer of its block takes",
        [
            ('shortcut = "B"\n', ""),
            (FIRST, '{ conv = 3, out = "width", stride = 1 },'),
            ("stride = 2", "stride = »2«"),
            (BLOCK, "[blocks.⟦own⟧]\n"),
        ],
        "AS112",
        "stride",
    ),
    (
        "depth against n",
        [("n = 1\n", 'n = ⟦5⟧\n\n[family]\ndepth = "2 * n + 4"\n'), ("[params]", "depth = »8«\n[params]")],
        "AS112",
        "n = 2",
    ),
]


@pytest.mark.parametrize(
    ("changes", "code", "message"), [row[1:] for row in CONFLICTS], ids=[row[0] for row in CONFLICTS]
)
def test_a_conflict_shows_both_places(
    changes: list[tuple[str, str]], code: str, message: str, tmp_path: Path
) -> None:
    check(tmp_path, changed(OWN, *changes), code, message)


def test_a_third_stage_of_one_name_is_reported_too(tmp_path: Path) -> None:
    stage = '[[stages]]\nname = "a"\nwidth = 16\n'
    error = failing(written(tmp_path, net=changed(BASE, ("[head]", f"{stage}{stage}[head]"))))
    assert [(each.code, each.span.line) for each in error.diagnostics] == [("AS109", 37), ("AS109", 40)]
