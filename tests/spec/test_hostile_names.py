"""Hostile names: of networks, stages, blocks and parameters, and of keys. What is let through also prints. No torch."""

from __future__ import annotations

import ast
import json
import keyword

import pytest

from archspec import source
from archspec.architecture import Architecture, compiled
from archspec.spec.documents import parse
from archspec.spec.load import resolve
from tests.spec.hostile import NET, Jail, jail

__all__ = ["jail"]  # the fixture

EVERYWHERE = [
    *(
        "",
        " ",
        "a ",
        " a",
        "a b",
        "a\n",
        "\na",
        "a\nb",
        "a\r",
        "a\r\nb",
        "a\t",
        "a\x0b",
        "a\x0c",
        "a\x00",
        "\x00",
    ),
    *(
        '"',
        "'",
        'a"',
        '"""',
        "'''",
        'a"""\nimport os\n"""',
        "a\\",
        "\\",
        "\\n",
        "a\\\nb",
        "a'b",
        "`id`",
        "$(id)",
    ),
    *(
        "\x1b[31m",
        "a\x1b]0;x\x07",
        "a\x9b2J",
        "a\x7f",
        "a\b",
        "\x85",
        "\u2028",
        "a\u2029b",
        "\ufeffa",
        "a\u200b",
    ),
    *("\u202ea", "a\u2066b", "\u2069", "\U000e0041", "a\ufe0f", "a\u0301", "\U0001f600"),
    *(
        "a/b",
        "../a",
        "/",
        "..",
        ".",
        "a/../b",
        "~",
        "a\\b",
        "C:a",
        "con:",
        "a*",
        "a?",
        "a|b",
        "<a>",
        "a&b",
        "a;b",
    ),
    *(
        "\u0430",
        "r\u0435snet",
        "\uff41",
        "\ufb01",
        "\u0131",
        "\u017f",
        "\u00e9",
        "\u00df",
        "\u4e2d",
        "\u0661",
        "\u1d43",
    ),
    *(
        "A",
        "Net",
        "RESNET",
        "None",
        "True",
        "1",
        "1a",
        "0x1",
        "_",
        "_a",
        "__init__",
        "__class__",
        "-a",
        "--help",
    ),
    *(
        "{}",
        "{{ a }}",
        "{% raw %}",
        "{# #}",
        "{0}",
        "%s",
        "#",
        "#a",
        "a#",
        "a=b",
        "a[0]",
        "a()",
        "a,b",
        "a:b",
        "a@b",
    ),
    *("x" * 65, "x" * 1000, "\ud83d\ude00", "nan\u00a0", "a\u3000b"),
]
KEYWORDS = sorted(
    word for word in {*keyword.kwlist, *keyword.softkwlist} if word.islower() and word.isalpha()
)
WORDS = [
    *KEYWORDS,
    "none",
    "true",
    "false",
    "self",
    "cls",
    "super",
    "int",
    "torch",
    "nn",
    "f",
    "tensor",
    "x",
    "out",
]
WORDS += [
    "forward",
    "modules",
    "training",
    "stride",
    "state",
    "module",
    "range",
    "features",
    "classifier",
    "flatten",
]
WORDS += [
    "conv1",
    "bn1",
    "relu",
    "layer1",
    "fc",
    "downsample",
    "add",
    "gate",
    "y",
    "identity",
    "projection",
    "zero_pad",
]


def quoted(name: str) -> str:
    """A TOML string, with every escape that it takes."""
    return json.dumps(
        name.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), ensure_ascii=False
    ).replace("\x7f", "\\u007f")


def loaded(text: str) -> Architecture:
    return compiled(resolve(parse(text.encode(), "net.toml", None)))


@pytest.mark.parametrize("name", EVERYWHERE, ids=[ascii(each)[:20] for each in EVERYWHERE])
def test_names_that_are_none(jail: Jail, name: str) -> None:
    key = quoted(name)
    jail.text(NET.replace('name = "net"', f"name = {key}")).refused("AS113")
    jail.text(NET.replace('name = "a"', f"name = {key}")).refused("AS113")
    jail.text(f"{NET}[params]\n{key} = 1").refused("AS113")
    jail.text(f"{NET}[blocks.{key}]\nlayers = []").refused("AS113")
    # and where names are looked up, or keys stand
    jail.text(f"{NET}[stage.{key}]\nwidth = 1").refused("AS110")
    jail.text(f"{NET}[defaults.{key}]\na = 1").refused()
    jail.text(NET.replace('block = "own"', f"block = {key}")).refused("AS108")
    jail.text(f"{key} = 1\n{NET}").refused("AS101", "AS005")
    jail.text(NET.replace("conv = 3", f"{key} = 3")).refused("AS101", "AS111")
    jail.text(NET.replace("act = false", f"act = {key}")).refused("AS105")


@pytest.mark.parametrize("name", ["a-b", "a.b", "a" * 33, "a-"])
def test_dashes_and_dots_are_for_the_names_of_networks(jail: Jail, name: str) -> None:
    jail.text(NET.replace('name = "a"', f'name = "{name}"')).refused("AS113")
    jail.text(f'{NET}[params]\n"{name}" = 1').refused("AS113")
    if "-" not in name:
        jail.text(f'{NET}[blocks."{name}"]\nlayers = []').refused("AS113")


@pytest.mark.parametrize("name", ["in", "out", "width", "stride"])
def test_a_parameter_cannot_take_over_a_name_of_the_blocks(jail: Jail, name: str) -> None:
    bottlenecks = NET.replace('"own"', '"bottleneck"')
    outcome = jail.text(f"{bottlenecks}[params]\n{name} = 5\n")
    assert outcome.codes or outcome.hash == jail.text(bottlenecks).hash


@pytest.mark.parametrize("name", [*WORDS, "a" * 64, "a.", "a-", "a--b", "a.b-c_d", "resnet.", "f.f", "n-n"])
def test_every_name_that_is_let_through_prints(name: str) -> None:
    tree = ast.parse(source(loaded(NET.replace('name = "net"', f'name = "{name}"'))))
    plain = ast.parse(source(loaded(NET)))
    assert [type(node) for node in ast.walk(tree)] == [type(node) for node in ast.walk(plain)]


@pytest.mark.parametrize("keys", ["resnet", "sequential"])
@pytest.mark.parametrize("shortcut", ["none", "B"])
@pytest.mark.parametrize("name", WORDS)
def test_no_word_means_more_than_the_others(name: str, shortcut: str, keys: str) -> None:
    """A stage, a block or a parameter of any name gives the function that it gives under a plain one."""
    net = NET.replace('name = "net"', f'name = "net"\nkeys = "{keys}"').replace('"B"', f'"{shortcut}"')
    net = net.replace("width = 4", "width = 4\nafter = [{ conv = 3, out = 5 }, { act = true }]\n", 1)
    plain = loaded(net)
    spelled = [net.replace('name = "a"', f'name = "{name}"')]
    spelled.append(net.replace('"own"', f'"{name}"').replace("[blocks.own]", f"[blocks.{name}]"))
    if name not in ("in", "out", "width", "stride"):
        spelled.append(net.replace("width = 4", f'width = "{name}"', 1) + f"[params]\n{name} = 4\n")
    for text in spelled:
        other = loaded(text)
        assert other.hash == plain.hash
        assert [row.counts for row in other.measure.rows] == [row.counts for row in plain.measure.rows]
        compile(source(other), "generated", "exec", dont_inherit=True)


def test_two_blocks_whose_classes_share_a_name_stay_two() -> None:
    two = NET.replace("[[stages]]", "[blocks.own-2]\nlayers = [{ conv = 1, out = 'width' }]\n\n[[stages]]", 1)
    two += '[[stages]]\nname = "b"\nblock = "own-2"\nwidth = 4\n'
    same = two.replace("own-2", "own_2").replace('"own"', '"own-2"').replace("[blocks.own]", "[blocks.own-2]")
    for text in (two, same):
        tree = ast.parse(source(loaded(text)))
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        assert len(classes) == len(set(classes)) == 3
