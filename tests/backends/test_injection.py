"""No text of a spec can become code in the file printed from it. No torch.

Generated source is compared as a syntax tree in which every constant is blanked: whatever a name or an `about`
says, the tree is that of the same network with plain words.
"""

from __future__ import annotations

import ast
import unicodedata
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from archspec.architecture import Architecture, compiled
from archspec.backends.source.classes import Printer
from archspec.backends.source.encode import Src, size
from archspec.backends.source.render import render
from archspec.sizes import Binary, Var
from tests.backends.texts import HOSTILE, LONG, TEXTS, many
from tests.strategies import load

if TYPE_CHECKING:
    from archspec.ir.graph import Graph, Node
    from archspec.spec.declaration import Declaration

SPEC = {
    "format": 1,
    "name": "net",
    "input": {"size": [8, 8]},
    "defaults": {"block": "own", "shortcut": "B"},
    "init": {"zero_last_norm": True},
    "stem": {"layers": [{"conv": 3, "out": 4, "norm": "rms"}]},
    "stages": [
        {"name": "a", "width": 4, "depth": 2},
        {"name": "b", "width": 8, "stride": 2, "shortcut": "A"},
    ],
    "head": {"layers": [{"pool": "average"}, {"linear": 10, "dropout": 0.5}]},
}
SQUEEZE = [{"pool": "average"}, {"conv": 1, "out": "width // 4"}]
GATE = {"gate": [*SQUEEZE, {"conv": 1, "out": "width", "act": "sigmoid"}]}
OWN = {"layers": [{"conv": 3, "out": "width"}, {"conv": 3, "out": "width", "act": False}, GATE]}


def spec(about: str = "Plain words.", block_about: str = "Plain words.") -> dict[str, object]:
    """A network in which every part of the printer has something to print."""
    return {**SPEC, "about": about, "blocks": {"own": {"about": block_about, **OWN}}}


@cache
def benign() -> Architecture:
    return load(spec())


class _Blank(ast.NodeTransformer):
    """Every constant is one and the same, and a docstring may be missing."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant(type(node.value).__name__)

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


def tree(text: str) -> str:
    """The syntax of a file without what it says. Warnings count: an invalid escape is one."""
    compile(text, "generated", "exec", dont_inherit=True)
    parsed = ast.parse(text)
    network = [node for node in parsed.body if isinstance(node, ast.ClassDef)][-1]
    network.name = "Network"
    return ast.dump(_Blank().visit(parsed), indent=1)


@cache
def plain_tree() -> str:
    return tree(render(benign()))


def check(text: str) -> None:
    """The file is that of the plain network, and no character in it acts."""
    assert tree(text) == plain_tree()
    assert acting(text) <= {"\n"}
    assert text.splitlines() == text.split("\n")[:-1], "a line is a line to everybody"


def acting(text: str) -> set[str]:
    """The characters that steer a terminal, a lexer or a reader."""
    return {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")}


def check_about(about: str) -> None:
    check(render(load(spec(about[:2000]))))
    check(render(load(spec(block_about=about[:2000]))))


@pytest.mark.parametrize("about", HOSTILE + LONG, ids=[ascii(each)[:24] for each in HOSTILE + LONG])
def test_an_about_is_a_text(about: str) -> None:
    check_about(about)
    check_about(f"{about} {about}")
    check_about(f"Some words before, {about}, and behind.")


@pytest.mark.parametrize("about", ["\\N{x}", "\\x", "\\\\x", "'''\\"])
@pytest.mark.parametrize("margin", [3, 7])
def test_no_line_is_broken_where_it_changes_what_is_said(about: str, margin: int) -> None:
    for length in range(88 - margin - len(about) - 3, 88 - margin + 3):
        check_about("a" * length + about * 3)
        check_about("a " * (length // 2) + about + "b" * 90)


@many(150)
@given(TEXTS)
def test_whatever_an_about_says(about: str) -> None:
    check_about(about)


def test_an_about_is_still_read_as_it_was_written() -> None:
    about = r"Back\slash, \N{BULLET}, 'single', (brackets), {braces}, 100 %, # sharp, \x41 and \\ two, é, 中."
    for text in (about, f"{about} {about}", f"{'word ' * 15}{about}"):
        network = ast.parse(render(load(spec(text))))
        block = own_class(render(load(spec(block_about=text))))
        for docs in (ast.get_docstring(network, clean=False), ast.get_docstring(block, clean=False)):
            assert docs is not None
            assert " ".join(docs.split()).startswith(text)


def own_class(text: str) -> ast.ClassDef:
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    return next(node for node in classes if node.name.endswith("OwnBlock"))


def renamed(declared: Declaration, **update: object) -> Architecture:
    """The architecture with fields that no validation has seen."""
    return compiled(replace(declared, spec=declared.spec.model_copy(update=update)))


def check_names(name: str) -> None:
    """A name that slipped past validation is refused by an encoder, or changes nothing but names of classes."""
    declared = benign().declared
    stages, own = declared.spec.stages, declared.spec.blocks["own"]
    for update in (
        {"name": name},
        {"stages": (stages[0].model_copy(update={"name": name}), *stages[1:])},
        {"blocks": {name: own}, "defaults": declared.spec.defaults.model_copy(update={"block": name})},
    ):
        text = printed(renamed(declared, **update))
        if text is not None:
            check_renamed(text)


def printed(architecture: Architecture) -> str | None:
    """The source, or None where an encoder refuses."""
    try:
        return render(architecture)
    except ValueError as error:
        refused = str(error)
    assert refused.startswith("not an identifier")
    return None


def check_renamed(text: str) -> None:
    compile(text, "generated", "exec", dont_inherit=True)
    plain, found = ast.parse(render(benign())), ast.parse(text)
    assert [type(node) for node in ast.walk(found)] == [type(node) for node in ast.walk(plain)]
    for node in ast.walk(found):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            assert node.name.isascii()
            assert node.name.isidentifier()
    assert acting(text) <= {"\n"}


@pytest.mark.parametrize("name", HOSTILE + LONG, ids=[ascii(each)[:24] for each in HOSTILE + LONG])
def test_a_name_is_refused_or_a_name(name: str) -> None:
    check_names(name)


@many(100)
@given(TEXTS)
def test_whatever_a_name_says(name: str) -> None:
    check_names(name)


NO_NAMES = [each for each in HOSTILE if not (each.isascii() and each.isidentifier())] + [
    "if",
    "None",
    "match",
    "_",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
def test_no_graph_can_smuggle_a_name(name: str) -> None:
    """Below the spec: a node or a size of another name than an identifier is refused."""
    architecture = benign()
    with pytest.raises(ValueError, match="not an identifier"):
        render(replace(architecture, graph=with_node_named(architecture.graph, name)))
    for dim in (Var(name), Binary("+", Var(name), 1), Binary("*", 2, Binary("-", 1, Var(name)))):
        with pytest.raises(ValueError, match="not an identifier"):
            size(dim)


def with_node_named(graph: Graph, name: str) -> Graph:
    """The graph with its first node renamed, wherever it is used."""
    first = graph.nodes[0].name

    def swap(node: Node) -> Node:
        inputs = tuple(name if each == first else each for each in node.inputs)
        return replace(node, name=name if node.name == first else node.name, inputs=inputs)

    return replace(graph, nodes=tuple(map(swap, graph.nodes)))


def test_every_line_was_made_by_an_encoder() -> None:
    for definition in Printer(benign()).definitions():
        assert all(type(line) is Src and "\n" not in line for line in definition)


def test_there_are_a_thousand_hostile_texts() -> None:
    """Fixed ones, in three ways for each of two places; Hypothesis's come on top."""
    assert 2 * 3 * len(set(HOSTILE + LONG)) + 3 * len(set(HOSTILE)) > 1000
