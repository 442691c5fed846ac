"""Mistakes across files: reading, `extends`, overrides and `--set`. Each names the file that holds it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import archspec
from tests.spec.marked import BASE, changed, cut, failing, place, places, written

if TYPE_CHECKING:
    from archspec.errors import Diagnostic

CHILD = 'extends = "base.toml"\nname = "child"\n'
OVERRIDE = "[stage.b]\n{}\n"


def alone(path: Path) -> Diagnostic:
    """The only diagnostic of a file that does not load."""
    (found,) = failing(path).diagnostics
    return found


# what is wrong, the base spec with its marks, the child's with its marks, the code, the hint
FILES: list[tuple[str, str, str, str, str]] = [
    ("a key in the base", changed(BASE, ("stride = 2", "»strid« = 2")), CHILD, "AS101", '"stride"'),
    ("a word in the base", changed(BASE, ('"batch"', '»"bach"«')), CHILD, "AS105", '"batch"'),
    (
        "a missing key of the base, its stage changed by the child",
        changed(BASE, ('[[stages]]\nname = "b"\nwidth = 32\n', '[[»stages«]]\nname = "b"\n')),
        CHILD + OVERRIDE.format("depth = 2"),
        "AS102",
        "",
    ),
    ("TOML in the base", changed(BASE, ("n = 1\n", "n = ».«1\n")), CHILD, "AS005", ""),
    ("a key in an override", BASE, CHILD + OVERRIDE.format("»widht« = 8"), "AS101", '"width"'),
    ("a type in an override", BASE, CHILD + OVERRIDE.format("width = »2.0«"), "AS103", ""),
    ("a range in an override", BASE, CHILD + OVERRIDE.format("width = »0«"), "AS104", ""),
    ("a name in an override", BASE, CHILD + OVERRIDE.format('name = »"B"«'), "AS113", "lower-case"),
    (
        "a layer in an override",
        BASE,
        CHILD + OVERRIDE.format("before = [\n  { conv = 3, out = 16 },\n  »{ conv = 3 }«,\n]"),
        "AS102",
        "",
    ),
    ("a stage that the base does not have", BASE, CHILD + "[stage.»bb«]\nwidth = 8\n", "AS110", '"b"'),
    ("a table of the child", BASE, CHILD + '[norm]\nkind = »"bach"«\n', "AS105", '"batch"'),
    ("a block of the child", BASE, CHILD + "[blocks.own]\nlayers = [»{ conv = 3 }«]\n", "AS102", ""),
    (
        "two stages of one name in the child",
        BASE,
        CHILD + '[[stages]]\nname = ⟦"x"⟧\nwidth = 8\n[[stages]]\nname = »"x"«\nwidth = 8\n',
        "AS109",
        "",
    ),
    (
        "a depth of the child against the rule of the base",
        changed(BASE, ("n = 1\n", 'n = 1\n[family]\ndepth = ⟦"2 * n + 4"⟧\n')),
        CHILD + "depth = »9«\n",
        "AS309",
        "8 (n = 2) and 10 (n = 3)",
    ),
    (
        "a depth of the base against n of the child",
        changed(BASE, ("[params]\nn = 1\n", 'depth = »6«\n[params]\nn = 1\n[family]\ndepth = "2 * n + 4"\n')),
        CHILD + "params.n = ⟦5⟧\n",
        "AS112",
        "",
    ),
    (
        "stride_on of the child against a block of the base",
        changed(BASE, ('out = "width" }', 'out = "width", stride = ⟦"stride"⟧ }')),
        CHILD + 'defaults = { block = "own", stride_on = »"3x3"« }\n',
        "AS112",
        "",
    ),
]


@pytest.mark.parametrize(
    ("base", "child", "code", "hint"), [row[1:] for row in FILES], ids=[row[0] for row in FILES]
)
def test_a_mistake_names_the_file_that_holds_it(
    base: str, child: str, code: str, hint: str, tmp_path: Path
) -> None:
    path = written(tmp_path, base=base, child=child)
    found = alone(path)
    wrong = "base" if "»" in base else "child"
    assert (found.code, Path(found.span.file).name) == (code, f"{wrong}.toml"), found
    assert place(found.span) == places(base if wrong == "base" else child, "»«")[0]
    assert hint in found.hint
    for text, name in ((base, "base.toml"), (child, "child.toml")):
        related = [place(each.span) for each in found.related if Path(each.span.file).name == name]
        assert related == places(text, "⟦⟧")


def test_the_width_that_option_a_cannot_reach_is_the_childs(tmp_path: Path) -> None:
    child = CHILD + '[defaults]\nshortcut = "A"\n' + OVERRIDE.format("width = 8")
    found = alone(written(tmp_path, base=BASE, child=child))
    files = [found.span.file, *(each.span.file for each in found.related)]
    assert found.code == "AS302"
    assert "child.toml" in {Path(file).name for file in files}


def test_mistakes_of_two_files_come_together_the_base_first(tmp_path: Path) -> None:
    base = changed(BASE, ("stride = 2", "strid = 2"))
    error = failing(written(tmp_path, base=base, child=CHILD + "[stage.bb]\nwidth = 3\n[norm]\nepss = 1\n"))
    shown = [f"{Path(each.span.file).name}:{each.span.line} {each.code}" for each in error.diagnostics]
    assert shown == ["base.toml:34 AS101", "child.toml:3 AS110", "child.toml:6 AS101"]
    assert {Path(file).name for file in error.texts} == {"base.toml", "child.toml"}


def test_an_override_between_base_and_child_may_be_replaced(tmp_path: Path) -> None:
    middle = 'extends = "base.toml"\nname = "middle"\n' + OVERRIDE.format("width = 8")
    child = 'extends = "middle.toml"\nname = "child"\n[[stages]]\nname = "x"\nwidth = 16\n'
    assert archspec.load(written(tmp_path, base=BASE, middle=middle, child=child)).name == "child"


# reading
def test_a_missing_file_is_named(tmp_path: Path) -> None:
    written(tmp_path, resnet=BASE)
    found = alone(tmp_path / "resnot.toml")
    assert (found.code, found.span.file) == ("AS001", str(tmp_path / "resnot.toml"))
    assert "resnet.toml" in found.hint


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_only_regular_files_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    assert alone(path).code == "AS002"


@pytest.mark.parametrize(
    ("content", "code", "at"),
    [
        (b"#" * (256 * 1024 + 1), "AS003", (1, 1)),
        (b'format = 1\nname = "caf\xe9"\n', "AS004", (2, 1)),
        (b"\xff\xfef\x00", "AS004", (1, 1)),
        ('about = "\u65e5\u672c" x'.encode(), "AS005", (1, 14)),
        (b"format = 1\nname =\n", "AS005", (2, 7)),
        (b"format = 1\n" + b"a." * 45 + b"a = 1", "AS006", (2, 1)),
        (b"a = " + b"[" * 45 + b"]" * 45, "AS006", (1, 1)),
        (b"a = " + b"[" * 9000, "AS006", (1, 1)),
        (b"a = " + b"9" * 5000, "AS007", (1, 1)),
    ],
    ids=["large", "latin-1", "utf-16", "toml", "no value", "dots", "brackets", "deep", "digits"],
)
def test_a_file_that_cannot_be_a_spec(content: bytes, code: str, at: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    found = alone(path)
    assert (found.code, found.span.line, found.span.column) == (code, *at)


# extends
def test_a_cycle_is_shown_as_a_chain(tmp_path: Path) -> None:
    files = {"a": 'extends = "b.toml"\n', "b": '# b\nextends = "c.toml"\n', "c": '#\n\nextends = "a.toml"\n'}
    written(tmp_path, **files)
    found = alone(tmp_path / "a.toml")
    assert (found.code, Path(found.span.file).name, place(found.span)) == ("AS011", "c.toml", (3, 11, 3, 19))
    chain = " -> ".join(str(tmp_path / f"{name}.toml") for name in "abca")
    assert chain in found.message


def test_a_file_that_extends_itself(tmp_path: Path) -> None:
    assert alone(written(tmp_path, a='extends = "./a.toml"\n')).code == "AS011"


@pytest.mark.parametrize("count", [10, 11])
def test_a_chain_has_ten_bases_at_most(count: int, tmp_path: Path) -> None:
    files = {f"c{i}": f'extends = "c{i + 1}.toml"\nname = "c{i}"\n' for i in range(count)}
    path = written(tmp_path, **{f"c{count}": BASE}, **dict(reversed(files.items())))
    if count == 10:
        assert archspec.load(path).name == "c0"
        return
    found = alone(path)
    assert (found.code, Path(found.span.file).name, found.span.line) == ("AS012", "c10.toml", 1)
    assert "10" in found.message


@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ("bsae.toml", 'did you mean "base.toml"?'),
        ("base", 'did you mean "base.toml"?'),
        ("sub/innre.toml", 'did you mean "sub/inner.toml"?'),
        ("quite-another.toml", ""),
    ],
)
def test_a_missing_base_names_the_nearest_as_extends_would(named: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "inner.toml").write_text(BASE)
    found = alone(written(tmp_path, base=BASE, child=f'# \u00e9\nextends = "{named}"\n'))
    assert (found.code, Path(found.span.file).name) == ("AS010", "child.toml")
    assert place(found.span)[:2] == (2, 11)
    assert named in found.message
    assert found.hint == hint


def test_a_base_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    found = alone(written(tmp_path, child='extends = "sub"\n'))
    assert (found.code, Path(found.span.file).name) == ("AS010", "child.toml")
    assert "folder" in found.message


def test_a_base_in_a_folder_below_may_extend_upwards_within_the_root(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mid.toml").write_text('extends = "../base.toml"\nname = "mid"\n')
    child = written(tmp_path, base=BASE, child='extends = "sub/mid.toml"\nname = "child"\n')
    assert archspec.load(child).name == "child"


@pytest.mark.parametrize("how", ["dots", "absolute", "link"])
def test_a_base_outside_the_folder_needs_permission(how: str, tmp_path: Path) -> None:
    base = written(tmp_path, base=BASE)
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.toml").symlink_to(base)
    named = {"dots": "../base.toml", "absolute": str(base), "link": "link.toml"}[how]
    child = written(inner, child=f'name = "child"\nextends = "{named}"\n')
    found = alone(child)
    assert (found.code, place(found.span)[:2]) == ("AS013", (2, 11))
    assert "--allow-outside" in found.hint
    assert archspec.load(child, allow_outside=True).name == "child"


@pytest.mark.parametrize(
    ("value", "code"),
    [("3", "AS103"), ('""', "AS103"), ('"https://example.org/a.toml"', "AS013"), ('"a\\u0000b"', "AS013")],
)
def test_extends_takes_the_path_of_a_file(value: str, code: str, tmp_path: Path) -> None:
    found = alone(written(tmp_path, child=f"extends = {value}\n"))
    assert (found.code, place(found.span)[:2]) == (code, (1, 11))


# --set: the assignment, the code, what is underlined, a word of the hint
SETTINGS: list[tuple[str, str, str, str]] = [
    ("n", "AS014", "n", ""),
    ("=3", "AS014", "=", ""),
    ("n=", "AS106", '""', ""),
    ("n=x", "AS107", '"x"', "n"),
    ("n=3.0", "AS103", "3.0", ""),
    ("n=-1", "AS104", "-1", ""),
    ("stage.b.stride=0", "AS104", "0", ""),
    ("norm.kind=bach", "AS105", '"bach"', '"batch"'),
    ("norm.knd=batch", "AS101", "knd", '"kind"'),
    ("haed.layers=[]", "AS101", "haed", '"head"'),
    ("stage.bb.width=8", "AS110", "bb", '"b"'),
    ("name=My Net", "AS113", '"My Net"', "lower-case"),
    ("defaults.block=bsic", "AS108", '"bsic"', '"basic"'),
    ("stem.layers=[{conv=3}]", "AS102", "{conv=3}", ""),
    ("input.size=64", "AS103", "64", ""),
    ("depth=8", "AS309", "depth", "[family]"),
    ("a b=3", "AS005", "b", ""),
    ("extends=other.toml", "AS014", "", ""),
    ("n=1\nname='other'", "AS014", "", ""),
    ("params.nn=3", "AS107", "nn", '"n"'),
    ("nn=3", "AS101", "nn", '"n"'),
]


@pytest.mark.parametrize(
    ("setting", "code", "underlined", "hint"), SETTINGS, ids=[row[0] for row in SETTINGS]
)
def test_a_setting_that_is_wrong_is_shown_itself(
    setting: str, code: str, underlined: str, hint: str, tmp_path: Path
) -> None:
    error = failing(written(tmp_path, net=BASE), settings=[setting])
    (found,) = error.diagnostics
    assert (found.code, found.span.file) == (code, f"--set {setting}")
    assert underlined in cut(error, found.span)
    assert hint in found.hint


def test_two_settings_that_conflict_show_both(tmp_path: Path) -> None:
    path = written(tmp_path, net=changed(BASE, ("n = 1\n", 'n = 1\n[family]\ndepth = "2 * n + 4"\n')))
    (found,) = failing(path, settings=["depth=8", "n=5"]).diagnostics
    assert (found.code, found.span.file) == ("AS112", "--set depth=8")
    assert [each.span.file for each in found.related] == ["--set n=5"]


def test_a_parameter_given_in_python_must_be_the_specs(tmp_path: Path) -> None:
    path = written(tmp_path, net=BASE)
    assert archspec.load(path, {"n": 3}).declared.params == {"n": 3}
    (found,) = failing(path, params={"nn": 3}).diagnostics
    assert found.code == "AS107"
    assert '"n"' in found.hint
