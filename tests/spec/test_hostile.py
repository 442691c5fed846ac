"""Hostile files: whatever is in them, and whatever they are, the end is a diagnostic. No torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.spec.hostile import NET, STEM, Jail, jail

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["jail"]  # the fixture


def stages(count: int, rest: str = "width = 1") -> str:
    return "".join(f'[[stages]]\nname = "s{place}"\n{rest}\n' for place in range(count))


def layers(text: str) -> str:
    return f"{STEM}[stem]\nlayers = [{text}]\n"


BYTES: list[tuple[str, str | bytes, str]] = [
    ("too large", b"#" * (256 * 1024 + 1), "AS003"),
    ("as large as may be", b"#" * (256 * 1024), "AS102"),
    ("UTF-16", NET.encode("utf-16"), "AS004"),
    ("Latin-1", 'name = "\xe9"'.encode("latin-1"), "AS004"),
    ("half a character", NET.encode() + b"# \xf0\x9f", "AS004"),
    ("a surrogate", NET.encode() + b"# \xed\xa0\x80", "AS004"),
    ("overlong", NET.encode() + b"# \xc0\x80", "AS004"),
    ("NUL", NET + "\0", "AS005"),
    ("NUL in a string", f'{STEM}about = "a\0b"', "AS005"),
    ("NULs only", b"\0" * 1000, "AS005"),
    ("empty", "", "AS102"),
    ("blanks", " \n\t\r\n", "AS102"),
    ("two byte order marks", f"\ufeff\ufeff{NET}", "AS005"),
    ("a bare carriage return", NET.replace("\n", "\r"), "AS005"),
    ("ANSI codes", 'a\x1b[2J = "\x1b]0;title\x07"', "AS005"),
    ("C1 codes", f'{NET}"\x9b2J" = "\x9d"', "AS101"),
    ("bidi", f'{NET}"\u202e\u2066x" = "\u200b"', "AS101"),
    ("line separators", f'{NET}"\u2028\u2029\x85" = 1', "AS101"),
    ("JSON", '{"format": 1}', "AS005"),
    ("Python", "import os\nos.system('true')", "AS005"),
]
NESTED: list[tuple[str, str, str]] = [
    ("brackets", "a = " + "[" * 5000, "AS006"),
    ("closed brackets", "a = " + "[" * 5000 + "]" * 5000, "AS006"),
    ("bracketed header", "[" * 5000, "AS005"),
    ("inline tables", "a = " + "{ a = " * 5000 + "1" + " }" * 5000, "AS006"),
    ("fifty inline tables", NET + "[z]\na = " + "{ a = " * 50 + "1" + " }" * 50, "AS006"),
    ("gates", layers("{ gate = [" * 1000 + "]}" * 1000), "AS006"),
    ("some gates", layers("{ gate = [" * 25 + "{ act = true }" + "]}" * 25), "AS006"),
]
PARTS = ["a", '"a"', "'a'", '""', '"."', r'"\"a"', r'"\u0061"', r'"\\"', """'"'."'\"""", "a.'.'"]
KEYS = [
    "{} = 1",
    "[{}]",
    "[[{}]]",
    "x = {{ y = 1, {} = 1 }}",
    f"{NET.replace('{', '{{').replace('}', '}}')}\n{{}} = 1",
]
MANY: list[tuple[str, str]] = [
    ("stages", STEM + "[[stages]]\n" * 20_000),
    ("forty thousand stages", "[[stages]]\n" * 23_000),
    ("named stages", STEM + stages(6_000)),
    ("stages of numbers", STEM + f"stages = [{'1,' * 100_000}]"),
    ("layers", layers("{ act = true }," * 10_000)),
    ("layers of numbers", layers("1," * 100_000)),
    ("wrong layers", layers("{ conv = -1, x = 2, y = 3 }," * 1_000)),
    ("gates of nothing", layers("{ gate = [1] }," * 1_000)),
    ("keys", "\n".join(f"k{place} = 1" for place in range(15_000))),
    ("long keys", "\n".join(f"{'k' * 200}{place} = 1" for place in range(1_200))),
    ("parameters", STEM + "[params]\n" + "\n".join(f"k{place} = 1" for place in range(15_000))),
    ("blocks", STEM + "\n".join(f"[blocks.k{place}]" for place in range(9_000))),
    ("overrides", STEM + "[stage]\n" + "\n".join(f"k{place} = {{}}" for place in range(15_000))),
    (
        "overrides of stages",
        STEM + "[stage]\n" + "".join(f"k{n} = {{}}\n" for n in range(15_000)) + stages(500),
    ),
    (
        "unknown names",
        STEM
        + "[params]\n"
        + "".join(f"k{place} = 1\n" for place in range(12_000))
        + "[stem]\nlayers = ["
        + '{ conv = 3, out = "kk+ki+kj+kl+km" },' * 500
        + "]",
    ),
    (
        "unknown blocks",
        STEM
        + "[blocks]\n"
        + "".join(f"k{place} = {{}}\n" for place in range(12_000))
        + "".join(f'[[stages]]\nname = "s{place}"\nblock = "kk{place}"\n' for place in range(60)),
    ),
]
LONG = "".join(map(chr, range(0x4E00, 0x4E00 + 18_000)))
WORDS: list[tuple[str, str]] = [
    ("a key", f'{NET}\n"{LONG}" = 1'),
    ("an override", f'{NET}[stage."{LONG}x"]\nwidth = 1'),
    (
        "a stage and its override",
        f'{STEM}[stage."{LONG}x"]\nwidth = 1\n[[stages]]\nname = "y{LONG}"\nwidth = 1',
    ),
    (
        "a block and its name",
        f'{STEM}[blocks."{LONG}x"]\n[[stages]]\nname = "a"\nblock = "y{LONG}"\nwidth = 1',
    ),
    ("a parameter", f'{STEM}[params]\n"{LONG}" = 1'),
    ("a base", f'{STEM}extends = "{LONG}"'.replace("[input]\nsize = [8, 8]\n", "")),
    ("a format", f'format = "{LONG}"\nname = "a"'),
    ("an about", f'about = "{LONG}"\n{NET}'),
    ("a kind", f'{NET}[norm]\nkind = "{LONG}"'),
    ("an activation", layers(f'{{ act = "{LONG}" }}')),
    ("a size", layers(f'{{ conv = 3, out = "{LONG}" }}')),
    ("a name in a size", layers(f'{{ conv = 3, out = "{"k" * 100_000}" }}')),
]


@pytest.mark.parametrize(("text", "code"), [each[1:] for each in BYTES], ids=[each[0] for each in BYTES])
def test_bytes_that_are_no_spec(jail: Jail, text: str | bytes, code: str) -> None:
    jail.text(text).refused(code)


def test_a_byte_order_mark_is_no_mistake(jail: Jail) -> None:
    assert jail.text(f"\ufeff{NET}").hash == jail.text(NET).hash != ""


@pytest.mark.parametrize(("text", "code"), [each[1:] for each in NESTED], ids=[each[0] for each in NESTED])
def test_things_inside_of_things(jail: Jail, text: str, code: str) -> None:
    jail.text(text).refused(code)


@pytest.mark.parametrize("key", KEYS, ids=["key", "header", "array", "inline", "behind a net"])
@pytest.mark.parametrize("part", PARTS)
def test_dotted_keys_of_any_kind(jail: Jail, part: str, key: str) -> None:
    for between in (".", " . ", "\t.\t"):
        for parts in (41, 8_000, 100_000):
            parts = min(parts, 250_000 // len(part + between))
            jail.text(key.format(between.join([part] * parts))).refused("AS006")


def test_dotted_keys_that_are_none(jail: Jail) -> None:
    """What looks for long keys must not take long itself: quotes that open and never close."""
    for text in ('"', "'", '"\\', "'\"", '\\"', 'a."', '"".', "a .\t", '"\\"', "''."):
        jail.text(f"x = {text * (240_000 // len(text))}").refused()
        jail.text(f'x = "{text * (240_000 // len(text))}').refused()


@pytest.mark.parametrize("text", [each[1] for each in MANY], ids=[each[0] for each in MANY])
def test_more_things_than_anybody_needs(jail: Jail, text: str) -> None:
    assert len(text.encode()) <= 256 * 1024
    jail.text(text).refused()


@pytest.mark.parametrize("text", [each[1] for each in WORDS], ids=[each[0] for each in WORDS])
def test_words_that_never_end_are_not_repeated_in_full(jail: Jail, text: str) -> None:
    assert len(text.encode()) <= 256 * 1024
    jail.text(text).refused()


def test_what_is_no_plain_file(jail: Jail, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    for path in (tmp_path, tmp_path / "fifo.toml", "/dev/zero", "/dev/null", "/dev/tty", ".", "/"):
        jail.load(path).refused("AS001", "AS002")
    for path in (
        tmp_path / "loop.toml",
        tmp_path / "none.toml",
        "a\0b",
        "\ud800",
        "\x1b[31m",
        "a" * 300,
        "a" * 5000,
    ):
        jail.load(path).refused("AS001")
    for path in ("a/" * 3000, "/proc/self/mem", "/proc/self/root/none", "", "~", "resnet50/../../x"):
        jail.load(path).refused("AS001", "AS002")


@pytest.fixture
def bases(tmp_path: Path) -> Path:
    """A folder of things that a spec beside them may try to extend, and one outside."""
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "outside.toml").write_text(NET)
    (folder / "good.toml").write_text(NET)
    (folder / "link.toml").symlink_to(tmp_path / "outside.toml")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop.toml").symlink_to(folder / "loop.toml")
    (folder / "dir.toml").mkdir()
    (folder / "one.toml").write_text('extends = "two.toml"\n')
    (folder / "two.toml").write_text('extends = "one.toml"\n')
    (folder / "zero.toml").symlink_to("/dev/zero")
    os.mkfifo(folder / "fifo.toml")
    for place in range(30):
        (folder / f"chain{place}.toml").write_text(f'extends = "chain{place + 1}.toml"\n')
    (folder / "chain30.toml").write_text(NET)
    return folder


EXTENDS = [
    ("../outside.toml", "AS013"),
    ("../inside/../outside.toml", "AS013"),
    ("dir.toml/../../outside.toml", "AS013"),
    ("link.toml", "AS013"),
    ("up/outside.toml", "AS013"),
    ("zero.toml", "AS013"),
    ("/dev/zero", "AS013"),
    ("/etc/passwd", "AS013"),
    ("http://example.org/x.toml", "AS013"),
    ("file:///etc/passwd", "AS013"),
    ("x\\u0000y", "AS013"),
    ("loop.toml", "AS010"),
    ("dir.toml", "AS010"),
    (".", "AS010"),
    ("fifo.toml", "AS010"),
    ("none.toml", "AS010"),
    ("\\u001b[31m\\u0007\\u009b", "AS010"),
    ("a\\nb", "AS010"),
    ("\\u202e", "AS010"),
    ("n" * 300, "AS010"),
    ("n" * 5000, "AS010"),
    ("a/" * 3000, "AS010"),
    ("", "AS103"),
    ("  ", "AS103"),
    ("net.toml", "AS011"),
    ("./net.toml", "AS011"),
    ("one.toml", "AS011"),
    ("chain0.toml", "AS012"),
]


@pytest.mark.parametrize(("named", "code"), EXTENDS, ids=[ascii(each[0])[:30] for each in EXTENDS])
def test_a_base_that_is_none(jail: Jail, bases: Path, named: str, code: str) -> None:
    (bases / "net.toml").write_text(f'extends = "{named}"\nname = "child"\n')
    jail.load(bases / "net.toml").refused(code)


@pytest.mark.parametrize("value", ["1", "true", "[]", "{}", '["good.toml"]', "1979-05-27", "nan", "-0.0"])
def test_a_base_that_is_no_path(jail: Jail, bases: Path, value: str) -> None:
    (bases / "net.toml").write_text(f"extends = {value}\nname = 'child'\n")
    jail.load(bases / "net.toml").refused("AS103")


def test_the_base_beside_the_spec_is_the_one_that_loads(jail: Jail, bases: Path) -> None:
    (bases / "net.toml").write_text('extends = "good.toml"\nname = "child"\n')
    assert jail.load(bases / "net.toml").hash == jail.load(bases / "good.toml").hash != ""
