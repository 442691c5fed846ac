"""Places in TOML files: known ones by hand, random ones against a writer that knows where it wrote."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from datetime import UTC, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import Span
from archspec.spec.positions import MAX_DEPTH, index

if TYPE_CHECKING:
    from random import Random

    from archspec.errors import Loc


def cut(text: str, span: Span) -> str:
    """The text that a span covers."""
    lines = text.split("\n")
    starts = [sum(len(line) + 1 for line in lines[: number - 1]) for number in (span.line, span.end_line)]
    return text[starts[0] + span.column - 1 : starts[1] + span.end_column - 1]


def found(text: str, loc: Loc, at: Any = "value") -> str:
    """`line:column:text` of what is found."""
    span = index(text, "f.toml").find(loc, at)
    return f"{span.line}:{span.column}:{cut(text, span)}"


SPEC = """\
# \u65e5\u672c\u8a9e
name = "caf\u00e9 \U0001f600"  # \u00e9
"we\\u0131rd key" . 'b.c' = [1, {x = 2, y.z = 'q'}, [
  3, # a comment, "quoted"
  4,
]]
stem.layers = [{conv = 7}, {pool = "max"}]

[train]
"\u00e9\u00e9" = true
[train . "opt"]
lr = 1e-3

[[stages]]
width = 64
[[stages.blocks]]
k = 1
[[stages.blocks]]
k = 2
[stages.blocks.norm]
eps = 1e-5
[stages.extra.deep]
v = '''
two
lines'''
[[stages]]
blocks = []
[[ aot ]]
[aot.sub]
"""


@pytest.mark.parametrize(
    ("loc", "key", "value"),
    [
        (("name",), "2:1:name", '2:8:"caf\u00e9 \U0001f600"'),
        (("we\u0131rd key",), '3:1:"we\\u0131rd key"', '3:1:"we\\u0131rd key"'),
        (("we\u0131rd key", "b.c", 0), "3:29:1", "3:29:1"),
        (("we\u0131rd key", "b.c", 1), "3:32:{x = 2, y.z = 'q'}", "3:32:{x = 2, y.z = 'q'}"),
        (("we\u0131rd key", "b.c", 1, "y"), "3:40:y", "3:40:y"),
        (("we\u0131rd key", "b.c", 1, "y", "z"), "3:42:z", "3:46:'q'"),
        (("we\u0131rd key", "b.c", 2, 1), "5:3:4", "5:3:4"),
        (("stem", "layers"), "7:6:layers", '7:15:[{conv = 7}, {pool = "max"}]'),
        (("stem", "layers", 0, "conv"), "7:17:conv", "7:24:7"),
        (("train",), "9:2:train", "9:2:train"),
        (("train", "\u00e9\u00e9"), '10:1:"\u00e9\u00e9"', "10:8:true"),
        (("train", "opt"), '11:10:"opt"', '11:10:"opt"'),
        (("train", "opt", "lr"), "12:1:lr", "12:6:1e-3"),
        (("stages",), "14:3:stages", "14:3:stages"),
        (("stages", 0), "14:3:stages", "14:3:stages"),
        (("stages", 0, "blocks", 1), "18:10:blocks", "18:10:blocks"),
        (("stages", 0, "blocks", 1, "k"), "19:1:k", "19:5:2"),
        (("stages", 0, "blocks", 1, "norm", "eps"), "21:1:eps", "21:7:1e-5"),
        (("stages", 0, "extra"), "22:9:extra", "22:9:extra"),
        (("stages", 0, "extra", "deep", "v"), "23:1:v", "23:5:'''\ntwo\nlines'''"),
        (("stages", 1), "26:3:stages", "26:3:stages"),
        (("stages", 1, "blocks"), "27:1:blocks", "27:10:[]"),
        (("aot", 0, "sub"), "29:6:sub", "29:6:sub"),
    ],
)
def test_known_places(loc: Loc, key: str, value: str) -> None:
    assert found(SPEC, loc, "key") == key
    assert found(SPEC, loc, "value") == value


@pytest.mark.parametrize(
    ("loc", "place"),
    [
        ((), "1:1:"),
        (("nothing",), "1:1:"),
        (("stages", 1, "width"), "26:3:stages"),
        (("stages", 0, "blocks", 0, "norm", "eps"), "16:10:blocks"),
        (("stages", 5, "width"), "14:3:stages"),
        (("train", "opt", "betas", 0), '11:10:"opt"'),
        (("stem", "layers", 1, "stride"), '7:28:{pool = "max"}'),
        (("stem", "layers", 9), '7:15:[{conv = 7}, {pool = "max"}]'),
        (("name", "first"), '2:8:"caf\u00e9 \U0001f600"'),
    ],
)
def test_what_is_missing_is_placed_at_what_surrounds_it(loc: Loc, place: str) -> None:
    assert found(SPEC, loc, "key") == place
    assert found(SPEC, loc, "value") == place


def test_carriage_returns_move_nothing() -> None:
    positions, crlf = index(SPEC, "f.toml"), index(SPEC.replace("\n", "\r\n"), "f.toml")
    for loc in [("name",), ("stages", 1, "blocks"), ("stages", 0, "extra", "deep", "v")]:
        assert positions.find(loc, "key") == crlf.find(loc, "key")
        assert positions.find(loc, "value") == crlf.find(loc, "value")


def test_an_inline_table_on_several_lines_is_placed_at_its_key() -> None:
    text = "a = {b = [\n1], c = 2}\nd = [{e = [\n]}]\n"
    assert found(text, ("a",)) == "1:1:a"
    assert found(text, ("a", "c")) == "2:9:2"
    assert found(text, ("d", 0)) == "3:6:{e = [\n]}"


def test_the_own_header_of_a_table_wins_over_a_mention() -> None:
    assert found("[a.b]\nx = 1\n", ("a",)) == "1:2:a"
    assert found("[a.b]\nx = 1\n[a]\ny = 1\n", ("a",)) == "3:2:a"
    assert found("[a]\nb.c = 1\n[a.b.d]\ne = 1\n", ("a", "b")) == "2:1:b"


def test_a_continued_line_may_have_blanks_after_its_backslash() -> None:
    # The grammar takes such a string for broken, though TOML allows it; its place must not suffer.
    text = 'a = """x \\  \n   y\\\\\\ \t\r\n"""\nb = \'\'\'\\ \n\'\'\'\n"\\\\ " = 3\n'
    data = tomllib.loads(text)
    assert data == {"a": "x y\\", "b": "\\ \n", "\\ ": 3}
    for name, value in data.items():
        assert tomllib.loads(f"v = {cut(text, index(text, 'f').find((name,), 'value'))}")["v"] == value


def test_what_stands_around_a_broken_part_is_still_found() -> None:
    assert found("a = 1\nb = {x = 1, y = }\nc = 3\n[t]\nd = 4\n", ("t", "d")) == "5:5:4"
    assert found("a = 1\nb =\nc = 3\n", ("a",)) == "1:5:1"


def test_the_file_name_is_kept() -> None:
    assert index("a = 1", "some/f.toml").find(("a",), "value") == Span("some/f.toml", 1, 5, 1, 6)


def test_tree_sitter_is_loaded_only_for_an_error() -> None:
    code = "import sys, archspec.spec.positions; sys.exit('tree_sitter' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


HOSTILE = {
    "brackets": "a = " + "[" * 5000,
    "closed brackets": "a = " + "[" * 100_000 + "]" * 100_000,
    "inline tables": "a = " + "{a=" * 50_000 + "1" + "}" * 50_000,
    "open inline tables": "a={" * 60_000,
    "dotted key": ".".join(["a"] * 8000) + " = 1",
    "dotted header": "[" + ".".join(["a"] * 100_000) + "]\na = 1",
    "dotted keys below a header": "[" + ".".join(["a"] * 90) + "]\n" + ".".join(["a"] * 90) + " = 1",
    "headers": "[[a]]\n[[a.a]]\n" * 10_000,
    "wide": "a = [" + "[]," * 50_000 + "]",
    "control characters": "\x00\x1b[2J = \u202e\n" * 1000,
    "backslashes": '"' + "\\ " * 50_000,
    "quotes": '"""\n' * 20_000,
    "lone surrogates": 'a = "\ud800" # \udfff\n\ud800 = 1',
    "one thing twice": "a = {b = 1}\n[[a]]\n[a.b]\na = [1]\n[a]\n[[a]]\n[a.c]\na.b = 1\n[[a.b.c]]",
    "no key": "= 1\n[]\n[[]]\n. = 2\n.a = 1\n[.a]\n[a.]\n",
    "bad escape": '"\\q" = 1\n"\\ud800" = 2\n',
    "nothing": "",
    "byte order mark": "\ufeffa = 1",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_survived(text: str) -> None:
    positions = index(text, "f")
    for loc in [(), ("a",), ("a",) * 500, ("a", *(0,) * 500), ("a", 1, "a", 1), ("a", "b", 0, "c")]:
        assert isinstance(positions.find(loc, "key"), Span)
        assert isinstance(positions.find(loc, "value"), Span)


def test_deeper_things_than_the_limit_share_the_place_of_what_holds_them() -> None:
    lists = index("a = " + "[" * 5000 + "1" + "]" * 5000, "f")
    assert lists.find(("a", *(0,) * (MAX_DEPTH - 1)), "value").column == 4 + MAX_DEPTH
    assert lists.find(("a", *(0,) * 4000), "value").column == 4 + MAX_DEPTH
    keys = index(".".join(["a"] * 5000) + " = 1", "f")
    assert keys.find(("a",) * 4000, "value") == Span("f", 1, 2 * MAX_DEPTH - 1, 1, 2 * MAX_DEPTH)
    header = index("[" + ".".join(["a"] * 5000) + "]\na = 1", "f")
    assert header.find(("a",) * 4000, "value") == Span("f", 1, 2 * MAX_DEPTH, 1, 2 * MAX_DEPTH + 1)


class Writer:
    """Writes data as TOML in random styles, and remembers where each key and value went."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.newline = random.choice(["\n", "\r\n"])
        self.text = ""
        self.keys: dict[Loc, tuple[int, int]] = {}
        self.values: dict[Loc, tuple[int, int]] = {}
        self.last = (0, 0)

    def maybe(self) -> bool:
        return self.random.random() < 0.5

    def put(self, text: str) -> tuple[int, int]:
        start = len(self.text)
        self.text += text
        return start, len(self.text)

    def blank(self) -> None:
        self.put(self.random.choice(["", "", " ", "\t"]))

    def end_line(self) -> None:
        self.blank()
        self.put(self.random.choice(["", "", "# \u00e9 [x] \U0001f600 = ' \""]) + self.newline)
        self.put(self.random.choice(["", "", self.newline, "  "]))

    def escaped(self, char: str) -> str:
        if char in '"\\' or ord(char) < 32 or ord(char) == 127 or self.random.random() < 0.1:
            return f"\\U{ord(char):08x}" if ord(char) > 0xFFFF else f"\\u{ord(char):04X}"
        return char

    def string(self, value: str) -> str:
        plain = "'" not in value and not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", value)
        if plain and "\n" not in value and self.maybe():
            return f"'{value}'"
        if plain and self.maybe():
            return "'''" + f"\n{value}".replace("\n", self.newline) + "'''"
        if self.maybe():
            return '"' + "".join(map(self.escaped, value)) + '"'
        lines = ["".join(map(self.escaped, line)) for line in value.split("\n")]
        continued = self.random.choice(["", f"\\{self.newline}", f"\\ \t{self.newline} {self.newline}  "])
        return f'"""{self.newline}{self.newline.join(lines)}{continued}"""'

    def name(self, name: str) -> str:
        if re.fullmatch("[A-Za-z0-9_-]+", name) and self.random.random() < 0.7:
            return name
        if "'" not in name and not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", name) and self.maybe():
            return f"'{name}'"
        return '"' + "".join(map(self.escaped, name)) + '"'

    def path(self, loc: Loc, skip: int = 0) -> None:
        """A key, dotted where the path below its table has several names. The first mention is its place."""
        for depth in (depth for depth in range(skip, len(loc)) if isinstance(loc[depth], str)):
            self.put(self.random.choice([".", " . ", "\t."]) if depth > skip else "")
            self.last = self.put(self.name(str(loc[depth])))
            self.keys.setdefault(loc[: depth + 1], self.last)

    def value(self, loc: Loc, value: Any) -> None:
        start = len(self.text)
        if isinstance(value, dict):
            self.inline(loc, value)
        elif isinstance(value, list):
            self.array(loc, value)
        elif isinstance(value, str):
            self.put(self.string(value))
        elif hasattr(value, "isoformat"):
            self.put(value.isoformat())
        else:
            self.put(repr(value).lower())
        self.values[loc] = (start, len(self.text))

    def array(self, loc: Loc, values: list[Any]) -> None:
        space = self.random.choice([self.blank, self.end_line])
        self.put("[")
        space()
        for number, value in enumerate(values):
            self.value((*loc, number), value)
            space()
            self.put("," if number + 1 < len(values) or self.maybe() else "")
            space()
        self.put("]")

    def inline(self, loc: Loc, table: dict[str, Any]) -> None:
        self.put("{")
        self.pairs(loc, len(loc), table, lambda: self.put(","))
        self.text = self.text.removesuffix(",")
        self.put("}")

    def pairs(self, loc: Loc, skip: int, table: dict[str, Any], end: Any) -> None:
        for name, value in table.items():
            if isinstance(value, dict) and value and self.maybe():
                self.pairs((*loc, name), skip, value, end)
                continue
            self.blank()
            self.path((*loc, name), skip)
            self.put(self.random.choice(["=", " = ", "\t="]))
            self.value((*loc, name), value)
            end()

    def section(self, loc: Loc, table: dict[str, Any]) -> None:
        """A table under its header, or without one, or with the header after the tables that it holds."""
        below = {name: value for name, value in table.items() if self.has_headers(value)}
        pairs = {name: value for name, value in table.items() if name not in below}
        late = bool(loc and below) and isinstance(loc[-1], str) and self.maybe()
        if not late:
            self.head(loc, pairs)
        for name, value in below.items():
            elements = (
                {(): value} if isinstance(value, dict) else {(n,): held for n, held in enumerate(value)}
            )
            for number, element in elements.items():
                self.section((*loc, name, *number), element)
        if late and (pairs or self.maybe()):
            self.head(loc, pairs)

    def head(self, loc: Loc, pairs: dict[str, Any]) -> None:
        if loc:
            brackets = ("[", "]") if isinstance(loc[-1], str) else ("[[", "]]")
            self.put(brackets[0])
            self.blank()
            self.path(loc)
            self.keys[loc] = self.last
            self.blank()
            self.put(brackets[1])
            self.end_line()
        self.pairs(loc, len(loc), pairs, self.end_line)

    def has_headers(self, value: Any) -> bool:
        tables = value if isinstance(value, list) else [value]
        return bool(tables) and all(isinstance(table, dict) for table in tables) and self.maybe()


NAMES = st.sampled_from("abc") | st.text(st.characters(codec="utf-8"), max_size=4)
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=-7, minutes=-30))])
SCALARS = (
    st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.text("\n\"'\\\t \u00e9\U0001f600#=[]", max_size=8)
    | st.dates()
    | st.times()
    | st.datetimes(timezones=ZONES)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.lists(st.dictionaries(NAMES, inner, max_size=3), min_size=1, max_size=3)
    ),
    max_leaves=12,
)


def everything(loc: Loc, value: Any) -> dict[Loc, Any]:
    """Every path of some data, with what it holds."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    paths = {loc: value}
    for step, inner in pairs:
        paths |= everything((*loc, step), inner)
    return paths


def place(text: str, offsets: tuple[int, int]) -> Span:
    """Lines and columns by counting, which is not how `index` does it."""
    ends = [(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)) for offset in offsets]
    return Span("f", *ends[0], *ends[1])


@settings(max_examples=150)
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.randoms(use_true_random=False))
def test_every_key_and_value_of_random_files_is_found(data: dict[str, Any], random: Random) -> None:
    writer = Writer(random)
    writer.section((), data)
    text = writer.text
    assert tomllib.loads(text) == data
    positions = index(text, "f")
    paths = everything((), data)
    del paths[()]
    for loc, held in paths.items():
        key, value = positions.find(loc, "key"), positions.find(loc, "value")
        assert key == place(text, writer.keys.get(loc) or writer.values[loc])
        if loc in writer.keys and isinstance(loc[-1], str):
            assert tomllib.loads(f"{cut(text, key)} = 1") == {loc[-1]: 1}
        has_value, is_table = loc in writer.values, isinstance(held, dict)
        spread = is_table and has_value and "\n" in text[slice(*writer.values[loc])]
        assert value == (place(text, writer.values[loc]) if has_value and not spread else key)
        if has_value and not is_table:
            read = tomllib.loads(f"v = {cut(text, value)}")["v"]
            assert (read, type(read)) == (held, type(held))
        missing = positions.find((*loc, "no such key"), "value")
        assert missing == (value if has_value and not is_table else key)
