"""Hostile values: sizes, expressions, names and depths that no network has. The end is a diagnostic. No torch."""

from __future__ import annotations

import pytest

import archspec
from archspec import Budget, SpecError
from tests.spec.hostile import NET, STEM, Jail, jail

__all__ = ["jail"]  # the fixture

HUGE = "9" * 5000
SIZES = [
    "-1",
    "1" + "0" * 400,
    HUGE,
    f"0x{'f' * 5000}",
    "1.5",
    "nan",
    "-inf",
    "true",
    "1979-05-27",
    "07:32:00",
    "[]",
]
SIZES += ["{}", '""', '"0 - 1"', '"0 - 5"', '"5 // (0 - 2)"', '"999999 * 999999"', '"1 // 0"', '"nobody"']
ZERO = ["0", '"0 // 5"', '"7 - 7"']


def layers(text: str) -> str:
    return f"{STEM}[stem]\nlayers = [{text}, {{ conv = 3, out = 4 }}]\n"


def changed(before: str, after: str) -> str:
    assert NET.count(before) == 1
    return NET.replace(before, after)


REPEATED = changed("width = 4", 'width = 4\ndepth = "n"')
PLACES = {
    "the image's channels": changed("size = [8, 8]", "channels = {}\nsize = [8, 8]"),
    "the image's height": changed("size = [8, 8]", "size = [{}, 8]"),
    "kernel": layers("{ conv = {}, out = 4 }"),
    "out": layers("{ conv = 3, out = {} }"),
    "stride": layers("{ conv = 3, out = 4, stride = {} }"),
    "dilation": layers("{ conv = 3, out = 4, dilation = {} }"),
    "groups": layers("{ conv = 3, out = 4, groups = {} }"),
    "window": layers('{ pool = "max", size = {} }'),
    "the mean's window": layers('{ pool = "average", size = {} }'),
    "the pool's stride": layers('{ pool = "max", size = 2, stride = {} }'),
    "the ceiling's stride": layers('{ pool = "max", size = 2, stride = {}, rounding = "ceil" }'),
    "the mean's output": layers('{ pool = "average", output = {} }'),
    "gated kernel": layers('{ gate = [{ pool = "average" }, { conv = {}, out = 3 }] }'),
    "the block's kernel": changed("conv = 3,", "conv = {},"),
    "the block's out": changed("[blocks.own]", "[blocks.own]\nout = {}"),
    "the block's groups": changed("act = false", "act = false, groups = {}"),
    "the block's dilation": changed("act = false", "act = false, dilation = {}"),
    "the block's stride": changed("act = false", "act = false, stride = {}"),
    "the projection's out": changed("[blocks.own]", "[blocks.own]\nprojection = [{ conv = 1, out = {} }]"),
    "width": changed("width = 4", "width = {}"),
    "depth": changed("width = 4", "width = 4\ndepth = {}"),
    "the stage's stride": changed("width = 4", "width = 4\nstride = {}"),
    "classes": changed("linear = 10", "linear = {}"),
    "the family's depth": f"{NET}[family]\ndepth = {{}}",
    "the network's depth": changed('name = "net"', 'name = "net"\ndepth = {}'),
    "norm groups": f'{NET}[norm]\nkind = "group"\ngroups = {{}}',
}
PADDINGS = {
    "padding": layers("{ conv = 3, out = 4, padding = {} }"),
    "the pool's padding": layers('{ pool = "max", size = 2, padding = {} }'),
    "the mean's padding": layers('{ pool = "average", size = 2, padding = {}, rounding = "ceil" }'),
    "the block's padding": changed("act = false", "act = false, padding = {}"),
    "parameter": changed("width = 4", 'width = "n"') + "[params]\nn = {}",
}


@pytest.mark.parametrize("place", PLACES)
def test_sizes_that_no_layer_has(jail: Jail, place: str) -> None:
    for value in SIZES + ZERO:
        jail.text(PLACES[place].replace("{}", value, 1)).refused()


@pytest.mark.parametrize("place", PADDINGS)
def test_sizes_that_may_be_zero_and_no_less(jail: Jail, place: str) -> None:
    for value in SIZES:
        jail.text(PADDINGS[place].replace("{}", value, 1)).refused()
    for value in ZERO:
        jail.text(PADDINGS[place].replace("{}", value, 1)).finished()


@pytest.mark.parametrize("place", [*PLACES, *PADDINGS])
def test_huge_sizes_end_in_time(jail: Jail, place: str) -> None:
    for value in ("65536", "1000000", "1000001", "1000000000", "999999999999999", '"10 * 99999999999"'):
        jail.text({**PLACES, **PADDINGS}[place].replace("{}", value, 1)).finished()


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "-nan", "1e999", "-1.0", "1979-05-27", "true", '"1"']
)
def test_floats_that_are_no_numbers(jail: Jail, value: str) -> None:
    tables = ("[norm]\neps = {}", "[norm]\nmomentum = {}", "[init]\nstd = {}")
    for table in tables:
        jail.text(f"{NET}{table.format(value)}").refused()
    jail.text(layers(f"{{ dropout = {value} }}")).refused()
    jail.text(changed("linear = 10", f"linear = 10, dropout = {value}")).refused()


@pytest.mark.parametrize(
    "value", ["1979-05-27T07:32:00Z", "1979-05-27", "07:32:00", "nan", "[[]]", "[{}]", "{ a = {} }"]
)
def test_values_of_another_kind_everywhere(jail: Jail, value: str) -> None:
    top = (
        "format",
        "name",
        "about",
        "params",
        "family",
        "keys",
        "input",
        "defaults",
        "norm",
        "init",
        "blocks",
    )
    for key in (*top, "stem", "stages", "stage", "head", "depth"):
        jail.text(f"{key} = {value}\n{'' if key == 'format' else 'format = 1'}\n").refused()
    for key in ("block", "shortcut", "pad", "subsample", "stride_on", "order", "act", "bias"):
        jail.text(f"{STEM}[defaults]\n{key} = {value}").refused()
    for key in ("name", "block", "depth", "width", "stride", "shortcut", "before", "after"):
        jail.text(f"{STEM}[[stages]]\n{key} = {value}").refused()
        jail.text(f"{NET}[stage.a]\n{key} = {value}").finished()
    for key in ("conv", "pool", "linear", "dropout", "gate", "norm", "act"):
        jail.text(layers(f"{{ {key} = {value}, out = {value}, size = {value} }}")).refused()


@pytest.mark.parametrize("value", ["1", '"x"', "[]", "[[]]", "true", "1979-05-27", "nan"])
def test_overrides_that_are_no_tables(jail: Jail, value: str) -> None:
    jail.text(f"stage = {value}\n{NET}").refused("AS103")
    jail.text(f"stage.a = {value}\n{NET}").refused("AS103")
    jail.text(f"stages = {value}\nstage.a.width = 2\n{STEM}").refused()
    jail.text(f"{STEM}[stage.a]\nwidth = 2\n[[stages]]\nname = {value}\nwidth = 1").refused()


EXPRESSIONS = {
    "deep": "(" * 90 + "1" + ")" * 90,
    "deep in names": "(1 - " * 21 + "n" + ")" * 21,
    "long": "1+" * 5000 + "1",
    "longer than a line": "n" * 250_000,
    "blanks": "n" + " " * 200_000 + "+ 1",
    "code": "__import__('os').system('true')",
    "power": "9**9**9**9",
    "lambda": "(lambda: 1)()",
    "escapes": "\\u001b[31m",
    "bidi": "\\u202en",
    "braces": "{n} {0} %s {}",
    "digits of another script": "\\u0661",
    "letters of another script": "\\uff4e",
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_expressions_that_are_none(jail: Jail, expression: str) -> None:
    spec = changed("width = 4", f'width = "{expression}"') + "[params]\nn = 4\n"
    jail.text(spec).refused("AS106")
    jail.text(f'{NET}[params]\nn = 4\nm = "{expression}"').refused("AS106")
    jail.text(changed("[blocks.own]", f'[blocks.own]\nout = "{expression}"')).refused("AS106")
    jail.text(f"{NET}[params]\nn = 1", f"n={expression}").refused()


PARAMETERS = {
    "itself": 'a = "a"',
    "itself in a sum": 'a = "a + 1"',
    "each other": 'a = "b"\nb = "a"',
    "in a ring": 'a = "b"\nb = "c"\nc = "d"\nd = "a"',
    "in a long ring": "\n".join(f'p{n} = "p{(n + 1) % 64}"' for n in range(64)),
    "twice in a long ring": "\n".join(f'p{n} = "p{(n + 1) % 64} * p{(n + 1) % 64}"' for n in range(64)),
    "nothing": 'a = 0\nb = "1 // a"',
    "nothing of nothing": 'a = 0\nb = "(a - 1) // (a - a)"',
    "squares": "p0 = 2\n" + "\n".join(f'p{n} = "p{n - 1} * p{n - 1}"' for n in range(1, 60)),
    "sums of all": "p0 = 2\n"
    + "\n".join(f'p{n} = "{" + ".join(f"p{m}" for m in range(n))}"' for n in range(1, 40)),
    "below zero": 'a = 1\nb = "a - 2"\nc = "b * b"',
}


@pytest.mark.parametrize("params", PARAMETERS.values(), ids=PARAMETERS)
def test_parameters_that_have_no_value(jail: Jail, params: str) -> None:
    jail.text(f"{NET}[params]\n{params}").refused("AS307", "AS106", "AS104")


def test_parameters_that_are_used_a_thousand_times(jail: Jail) -> None:
    ones = "p0 = 1\n" + "\n".join(f'p{n} = "p{n - 1} * p{n - 1} * p{n - 1}"' for n in range(1, 60))
    assert jail.text(f"{NET}[params]\n{ones}").hash


RULES = [
    "n * " * 70 + "n",
    "1 // (n - 1)",
    "n // (n - 1)",
    "7 - n",
    "n - 7",
    "0 * n",
    "n // 1000000",
    "(n - 9) * (n - 9)",
]


@pytest.mark.parametrize("rule", RULES)
def test_family_rules_that_nothing_solves(jail: Jail, rule: str) -> None:
    for depth in ("7", "1", "999999999", "1000000000"):
        spec = REPEATED + "[params]\nn = 3\n"
        jail.text(f'{spec}[family]\ndepth = "{rule}"', f"depth={depth}").refused()


DEEP = f'{STEM}[defaults]\nblock = "{{block}}"\nshortcut = "B"\n{{blocks}}'


def deep(stages: int, depth: int, block: str = "basic", blocks: str = "", keys: str = "resnet") -> str:
    """Many equal stages."""
    head = DEEP.format(block=block, blocks=blocks)
    if keys == "sequential":  # a plain net is written out, layer by layer
        head = head.replace('name = "net"', 'name = "net"\nkeys = "sequential"').replace('"B"', '"none"')
    return head + "".join(f'[[stages]]\nname = "s{n}"\nwidth = 1\ndepth = {depth}\n' for n in range(stages))


def own(layers: str) -> str:
    return f'[blocks.own]\nout = "in"\nlayers = [{layers}]\n'


def sized(size: str, out: str) -> str:
    layers = f'{{ conv = 1, out = "{size}", act = false }},' * 900
    return f'[blocks.own]\nout = "{out}"\nlayers = [{layers}{{ conv = 1, out = "out" }}]\n'


DEPTHS = {
    "one deep stage": deep(1, 10_000),
    "sixty deep stages": deep(60, 10_000),
    "one deeper than any": deep(1, 10_001),
    "a list of convolutions": deep(1, 10_000, "conv", keys="sequential"),
    "sixty lists of convolutions": deep(60, 10_000, "conv", keys="sequential"),
}


@pytest.mark.parametrize("spec", DEPTHS.values(), ids=DEPTHS)
def test_networks_that_are_too_deep(jail: Jail, spec: str) -> None:
    for text in (spec, spec.replace("size = [8, 8]", "size = [1, 1]")):
        outcome = jail.text(text).finished()
        assert not outcome.hash or "sequential" in text
        assert outcome.hash or outcome.codes & {"AS401", "AS402", "AS403", "AS104"}


ENDLESS = {
    "activations only": deep(60, 10_000, "own", own("{ act = true }," * 900)),
    "activations in one list": deep(60, 10_000, "own", own("{ act = true }," * 900), keys="sequential"),
    "dropouts": deep(60, 10_000, "own", own("{ dropout = 0.5 }," * 900)),
    "gates": deep(60, 10_000, "own", own(("{ gate = [" * 15 + "{ act = true }" + "]}" * 15 + ",") * 400)),
    "long sizes": deep(60, 1, "own", sized("in-" + "+".join(["width"] * 30), "width")),
    "sizes in sizes": deep(60, 1, "own", sized("+".join(["out"] * 49), "+".join(["width"] * 20))),
}


@pytest.mark.parametrize("spec", ENDLESS.values(), ids=ENDLESS)
def test_networks_that_no_count_of_layers_bounds(jail: Jail, spec: str) -> None:
    assert len(spec) <= 256 * 1024
    jail.text(spec.replace("size = [8, 8]", "size = [1, 1]\nchannels = 1")).finished()


SETTINGS = [
    "n=1000000000",
    "depth=999999999",
    f"n={HUGE}",
    f"n=1{'0' * 400}",
    "n=nan",
    "n=1979-05-27",
    "n=[",
    "n={}",
]
SETTINGS += [
    "n=-1",
    "n=",
    "=1",
    "=",
    "n",
    "",
    "\0=1",
    "n=\0",
    "n=\x1b[31m",
    "n=\ud800",
    "\ud800=1",
    "n=1\nx = 2",
]
SETTINGS += [
    ".=1",
    "a..b=1",
    "[n]=1",
    "extends=x",
    'extends="../x"',
    "stages=1",
    "stages.0.depth=3",
    "stage=1",
]
SETTINGS += [
    f"{'.'.join('a' * 50_000)}=1",
    f"{'x' * 300_000}=1",
    f"n={'a' * 300_000}",
    "n=a\rb",
    "m=1",
    "params.m=1",
]


@pytest.mark.parametrize("setting", SETTINGS, ids=[ascii(each)[:30] for each in SETTINGS])
def test_settings_that_set_nothing(jail: Jail, setting: str) -> None:
    jail.text(f"{REPEATED}[params]\nn = 1\n", setting).refused()


@pytest.mark.parametrize(
    "value",
    [10**9, 10**400, 10**5000, -1, 2.5, "x", "\ud800", None, [1]],
    ids=lambda each: type(each).__name__,
)
def test_parameters_from_python_are_no_better(value: object) -> None:
    with pytest.raises(SpecError):
        archspec.load("cifar/resnet20", {"n": value})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("key", "code"), [("params", "AS401"), ("activations", "AS402"), ("layers", "AS403")]
)
def test_a_budget_holds_and_can_be_raised(key: str, code: str) -> None:
    total = archspec.load("cifar/resnet20").measure.total
    needed = total.layers + total.projections if key == "layers" else getattr(total, key)
    assert archspec.load("cifar/resnet20", budget=Budget(**{key: needed})).hash
    with pytest.raises(SpecError) as caught:
        archspec.load("cifar/resnet20", budget=Budget(**{key: needed - 1}))
    assert code in {each.code for each in caught.value.diagnostics}
