"""Mistakes that only the shapes show: additions, options, windows, groups, linear layers, depths, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import archspec
from tests.spec.marked import BASE, OWN, changed, check, failing, place, places, written

if TYPE_CHECKING:
    from pathlib import Path

STEM = "layers = [{ conv = 3, out = 16 }]"
FIRST = '  { conv = 3, out = "width" },\n'
SECOND = '  { conv = 3, out = "width", act = false },\n'
STAGE_A = '[[stages]]\nname = "a"\n'
STAGE_B = '[[stages]]\nname = "b"\n'
# marks where a problem of the first or the second stage is placed, or where a block's problem shows its stage
IN_A, IN_B = (STAGE_A, '[[»stages«]]\nname = "a"\n'), (STAGE_B, '[[»stages«]]\nname = "b"\n')
BY_A, BY_B = (STAGE_A, '[[⟦stages⟧]]\nname = "a"\n'), (STAGE_B, '[[⟦stages⟧]]\nname = "b"\n')
ONE_STAGE = changed(OWN, (f"{STAGE_B}width = 32\nstride = 2\n\n", ""))
PLAIN = changed(OWN, ('shortcut = "B"\n', ""))
FAMILY = '\n[family]\ndepth = "2 * n + 4"\n'
# what is changed, the spec it is changed in, the code, a word of the message, a word of the hint
Row = tuple[str, str, list[tuple[str, str]], str, str, str]

ADDITIONS: list[Row] = [
    (
        "a branch without padding",
        ONE_STAGE,
        [(SECOND, '{ conv = 3, out = "width", padding = 0 },\n'), ("[blocks.own]", "[blocks.»own«]"), BY_A],
        "AS301",
        "16x30x30 and 16x32x32",
        "",
    ),
    (
        "a projection without stride",
        OWN,
        [("[blocks.own]\n", '[blocks.»own«]\nprojection = [{ conv = 1, out = "out" }]\n'), BY_B],
        "AS301",
        "32x16x16 and 32x32x32",
        "",
    ),
    (
        "a projection of the wrong width",
        OWN,
        [
            (
                "[blocks.own]\n",
                '[blocks.»own«]\nprojection = [{ conv = 1, out = "in", stride = "stride" }]\n',
            ),
            BY_B,
        ],
        "AS301",
        "32x16x16 and 16x16x16",
        "",
    ),
    (
        "a repeated block that changes the map",
        changed(PLAIN, ("n = 1\n", "n = 3\n")),
        [(FIRST, '  { conv = 3, out = "width", padding = 0 },\n'), IN_A],
        "AS301",
        "16x32x32 to 16x30x30",
        "",
    ),
    (
        "an odd map halved by a mean in a built-in block",
        changed(BASE, ("size = [32, 32]", "size = [33, 33]"), ('"B"', '"A"\nsubsample = "average"')),
        [IN_B],
        "AS301",
        "32x17x17 and 32x16x16",
        "",
    ),
    (
        "a gate of too few channels",
        BASE,
        [(STEM, "layers = [{ conv = 3, out = 16 }, »{ gate = [{ conv = 1, out = 8 }] }«]")],
        "AS301",
        "8x32x32",
        "",
    ),
    (
        "a gate in a block",
        ONE_STAGE,
        [(SECOND, "  »{ gate = [{ conv = 1, out = 3 }] }«,\n"), BY_A],
        "AS301",
        "3x32x32",
        "",
    ),
    (
        "layers that do not end in out",
        OWN,
        [("[blocks.own]\n", '[blocks.own]\nout = »"2 * width"«\n')],
        "AS308",
        '"own"',
        "",
    ),
    (
        "layers that do not end in the width",
        OWN,
        [(SECOND, "  { conv = 3, out = 24 },\n"), ("[blocks.own]", "[blocks.»own«]")],
        "AS308",
        '"own"',
        "",
    ),
]
OPTIONS: list[Row] = [
    (
        "option A for a narrower stage",
        BASE,
        [('"B"', '"A"'), ("width = 32", "width = ⟦8⟧"), IN_B],
        "AS302",
        "16 are to become 8",
        "option B",
    ),
    (
        "option A said by the stage",
        BASE,
        [("width = 32", 'width = ⟦8⟧\nshortcut = "A"'), IN_B],
        "AS302",
        "16 are to become 8",
        "option B",
    ),
    (
        "a projection from behind the last layer",
        OWN,
        [("[blocks.own]\n", "[blocks.own]\nproject_after = »5«\n")],
        "AS104",
        "2 layers",
        "",
    ),
]
WINDOWS: list[Row] = [
    (
        "a convolution larger than the map",
        BASE,
        [(STEM, "layers = [»{ conv = 50, out = 16, padding = 0 }«]")],
        "AS303",
        "32x32",
        "",
    ),
    (
        "a pool larger than the map",
        BASE,
        [(STEM, 'layers = [{ conv = 3, out = 16 }, »{ pool = "max", size = 40, padding = 0 }«]')],
        "AS303",
        "40x40 pool",
        "",
    ),
    (
        "a pool in a block",
        OWN,
        [(SECOND, '  »{ pool = "max", size = 40, padding = 0 }«,\n'), BY_A],
        "AS303",
        "40x40 pool",
        "",
    ),
    (
        "instance normalisation of one pixel in a built-in block",
        changed(BASE, ("size = [32, 32]", "size = [2, 2]"), ('"batch"', '"instance"')),
        [IN_B],
        "AS303",
        "1x1",
        "",
    ),
    (
        "a pool padded by more than half",
        BASE,
        [(STEM, 'layers = [{ conv = 3, out = 16 }, »{ pool = "max", size = 3, padding = 2 }«]')],
        "AS305",
        "half",
        "",
    ),
    (
        "groups that do not divide",
        BASE,
        [(STEM, "layers = [{ conv = 3, out = 16 }, »{ conv = 3, out = 16, groups = 3 }«]")],
        "AS304",
        "3 groups",
        "",
    ),
    (
        "groups that do not divide in a block",
        OWN,
        [(SECOND, '  »{ conv = 3, out = "width", groups = 5 }«,\n'), BY_A],
        "AS304",
        "5 groups",
        "",
    ),
    (
        "normalisation groups",
        changed(BASE, ('"batch"', '"group"')),
        [(STEM, "layers = [»{ conv = 3, out = 16 }«]")],
        "AS304",
        "32 normalisation groups",
        "",
    ),
    (
        "a division by zero in a block",
        OWN,
        [(FIRST, '  »{ conv = 3, out = "width // (stride - 1)" }«,\n'), BY_A],
        "AS307",
        "division by zero",
        "",
    ),
]
LINEAR: list[Row] = [
    (
        "a linear layer in a block",
        OWN,
        [(SECOND, "  »{ linear = 3 }«,\n")],
        "AS310",
        "head",
        "1x1 convolution",
    ),
    (
        "a linear layer in a gate",
        BASE,
        [(STEM, "layers = [{ conv = 3, out = 16 }, { gate = [»{ linear = 16 }«] }]")],
        "AS310",
        "head",
        "1x1 convolution",
    ),
    (
        "a linear layer in the stem",
        BASE,
        [(STEM, "layers = [{ conv = 3, out = 16 }, »{ linear = 10 }«]")],
        "AS310",
        "head",
        "1x1 convolution",
    ),
    (
        "a linear layer before a stage",
        BASE,
        [("stride = 2", "before = [»{ linear = 10 }«]")],
        "AS310",
        "head",
        "1x1 convolution",
    ),
    (
        "a linear layer after a stage",
        BASE,
        [("stride = 2", "after = [»{ linear = 10 }«]")],
        "AS310",
        "head",
        "1x1 convolution",
    ),
    (
        "a convolution behind a linear layer",
        BASE,
        [("{ linear = 10 }", "{ linear = 10 }, »{ conv = 1, out = 3 }«")],
        "AS306",
        "10 values",
        "",
    ),
    (
        "a gate with sequential keys",
        changed(PLAIN, ("[params]", 'keys = "sequential"\n[params]')),
        [(STEM, "layers = [{ conv = 3, out = 16 }, »{ gate = [{ conv = 1, out = 16 }] }«]")],
        "AS311",
        "gate",
        'keys = "resnet"',
    ),
]
DEPTHS: list[Row] = [
    (
        "a depth that is not 6n+2",
        BASE,
        [
            ("[params]\nn = 1\n", 'depth = »111«\n\n[params]\nn = 1\n\n[family]\ndepth = ⟦"6 * n + 2"⟧\n'),
        ],
        "AS309",
        "6 * n + 2",
        "110 (n = 18) and 116 (n = 19)",
    ),
    ("a depth without a family", BASE, [("[params]", "»depth« = 8\n[params]")], "AS309", "depth", "[family]"),
    (
        "a rule that the layers do not follow",
        BASE,
        [("n = 1\n", 'n = 1\n\n[family]\ndepth = »"2 * n + 5"«\n'), BY_A],
        "AS309",
        "gives 7 weighted layers, but there are 6",
        "",
    ),
    (
        "a rule of two parameters",
        BASE,
        [("[params]\n", 'depth = 6\n[family]\ndepth = »"n * m"«\n[params]\nm = 1\n')],
        "AS309",
        "one parameter",
        "",
    ),
]
TABLE = [*ADDITIONS, *OPTIONS, *WINDOWS, *LINEAR, *DEPTHS]


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_shapes_that_do_not_fit_are_placed(row: Row, tmp_path: Path) -> None:
    _, base, changes, code, message, hint = row
    check(tmp_path, changed(base, *changes), code, message, hint)


def test_every_stage_of_a_block_that_does_not_fit_is_named(tmp_path: Path) -> None:
    text = changed(OWN, (SECOND, '{ conv = 3, out = "width", padding = 0 },\n'), BY_A, BY_B)
    error = failing(written(tmp_path, net=text))
    assert [each.code for each in error.diagnostics] == ["AS301", "AS301"]
    assert "layer1.0.add" in error.diagnostics[0].message
    assert "layer2.0.add" in error.diagnostics[1].message
    related = [place(each.related[0].span) for each in error.diagnostics]
    assert related == places(text, "⟦⟧")


@pytest.mark.parametrize("setting", ["depth=8", "n=2"])
def test_a_depth_of_the_family_is_solved(setting: str, tmp_path: Path) -> None:
    path = written(tmp_path, net=changed(BASE, ("n = 1\n", f"n = 1\n{FAMILY}")))
    architecture = archspec.load(path, settings=[setting])
    assert architecture.declared.params == {"n": 2}
    assert architecture.measure.total.layers == 8


@pytest.mark.parametrize("rule", ["n * n * n + 5", "3 * n * n * n * n + 3"])
def test_a_rule_that_grows_fast_is_solved(rule: str, tmp_path: Path) -> None:
    text = changed(BASE, ("[params]\nn = 1\n", f'depth = 6\n[params]\nn = 1\n[family]\ndepth = "{rule}"\n'))
    assert archspec.load(written(tmp_path, net=text)).declared.params == {"n": 1}


@pytest.mark.parametrize(
    ("budget", "code", "option"),
    [
        (archspec.Budget(params=19_993), "AS401", "--max-params"),
        (archspec.Budget(activations=1000), "AS402", "--max-activations"),
        (archspec.Budget(layers=6), "AS403", "--max-layers"),
    ],
)
def test_a_budget_names_the_option_that_raises_it(
    budget: archspec.Budget, code: str, option: str, tmp_path: Path
) -> None:
    error = failing(written(tmp_path, net=BASE), budget=budget)
    (found,) = error.diagnostics
    assert (found.code, found.span.line, found.span.column) == (code, 2, 8)
    assert option in found.hint


def test_a_budget_that_is_just_met_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, net=BASE)
    total = archspec.load(path).measure.total
    exact = archspec.Budget(total.params, total.activations, total.layers + total.projections)
    assert archspec.load(path, budget=exact).measure.total == total
