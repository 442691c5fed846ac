"""Properties of random specs: counts by hand, hashes, round trips, printed source. No torch."""

from __future__ import annotations

import ast
import tomllib
from math import prod
from typing import TYPE_CHECKING, Any

import pytest
import tomli_w
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from archspec import SpecError, source
from archspec.compare import compare
from archspec.ir import ops
from archspec.ir.operation import ShapeError
from archspec.passes.flatten import FlatOp, flatten, parameters
from archspec.passes.measure import count
from tests.strategies import ACTIVATIONS, Table, load, specs

if TYPE_CHECKING:
    from archspec.architecture import Architecture
    from archspec.ir.operation import Shape
    from archspec.ir.ops import Op


def many(examples: int) -> settings:
    """The same examples every time: a test that fails must fail again."""
    return settings(max_examples=examples)


def apart(spec: Table) -> Table:
    """A copy in which no table is another's, as in a file."""
    return tomllib.loads(tomli_w.dumps(spec))


def loaded(spec: Table) -> Architecture | None:
    """The architecture, or None where the spec is refused. Anything else that is raised is a bug."""
    try:
        return load(spec)
    except SpecError as error:
        refused = error.diagnostics
    assert refused
    assert all(each.code.startswith("AS") and each.message for each in refused)
    return None


def windows(size: int, kernel: int, stride: int, padding: int, ceil: bool) -> int:
    """Torch's documented output size of a convolution or pool; `kernel` is the reach of a dilated one."""
    above = stride - 1 if ceil else 0
    found = (size + 2 * padding - kernel + above) // stride + 1
    # "sliding windows that would start in the right padded region are ignored"
    return found - 1 if ceil and (found - 1) * stride >= size + padding else found


def output(op: Op, inputs: list[Shape]) -> Shape:
    """What comes out of an operation, from the papers and torch's documentation alone."""
    first = inputs[0]
    match op:
        case ops.Conv2d():
            reach = op.dilation * (op.kernel_size - 1) + 1
            sides = (windows(side, reach, op.stride, op.padding, False) for side in first[1:])
            return (op.out_channels, *sides)
        case ops.MaxPool2d() | ops.AvgPool2d():
            return (
                first[0],
                *(windows(side, op.kernel_size, op.stride, op.padding, op.ceil) for side in first[1:]),
            )
        case ops.AdaptiveAvgPool2d():
            return (first[0], op.output_size, op.output_size)
        case ops.Linear():
            return (op.out_features,)
        case ops.Flatten():
            return (prod(first),)
        case ops.Subsample():
            return (first[0], *(len(range(0, side, op.stride)) for side in first[1:]))
        case ops.PadChannels():
            return (op.before + first[0] + op.after, *first[1:])
    return first


def weights(op: Op) -> int:
    """Trained values, counted by hand."""
    match op:
        case ops.Conv2d():
            return op.out_channels * (op.in_channels // op.groups * op.kernel_size**2 + op.bias)
        case ops.Linear():
            return op.out_features * (op.in_features + op.bias)
        case ops.BatchNorm2d() | ops.GroupNorm() | ops.InstanceNorm2d() | ops.FilterResponseNorm2d():
            return 2 * op.channels
        case ops.RMSNorm2d() | ops.ThresholdedLinearUnit():
            return op.channels
    return 0


def by_hand(flat: tuple[FlatOp, ...], image: Shape) -> dict[str, Any]:
    """Every count of a network, one operation after the other."""
    shapes: list[Shape] = []
    total: dict[str, Any] = dict.fromkeys(
        ("params", "macs", "conv_macs", "weighted", "activations", "buffers"), 0
    )
    for each in flat:
        op, inputs = each.op, [image if place < 0 else shapes[place] for place in each.inputs]
        made = output(op, inputs)
        assert min(made) >= 1
        shapes.append(made)
        total["params"] += weights(op)
        total["activations"] += prod(made)
        total["buffers"] += 2 * op.channels if isinstance(op, ops.BatchNorm2d) else 0
        if isinstance(op, ops.Conv2d):
            macs = prod(made) * op.kernel_size**2 * op.in_channels // op.groups
            total["macs"], total["conv_macs"] = total["macs"] + macs, total["conv_macs"] + macs
        elif isinstance(op, ops.Linear):
            total["macs"] += op.in_features * op.out_features
        if isinstance(op, (ops.Conv2d, ops.Linear)) and not any(
            part.startswith("gate") for part in each.path.split(".")
        ):
            total["weighted"] += 1
    return {**total, "output": shapes[-1] if shapes else image}


@many(200)
@given(specs())
def test_closed_form_counts_are_the_sums_over_every_operation(spec: Table) -> None:
    architecture = loaded(spec)
    if architecture is None:
        return
    found = count(architecture.graph, architecture.input_shape)
    expected = by_hand(flatten(architecture.graph), architecture.input_shape)
    assert found == architecture.measure.total
    assert architecture.measure.output == expected.pop("output")
    assert found.layers + found.projections == expected.pop("weighted")
    assert {name: getattr(found, name) for name in expected} == expected
    assert sum(map(prod, parameters(architecture.graph).values())) == found.params
    rows = architecture.measure.rows
    assert sum(row.counts.params for row in rows) == found.params
    assert len({row.name for row in rows}) == len(rows)


@many(150)
@given(specs())
def test_a_resolved_spec_is_the_same_network(spec: Table) -> None:
    architecture = loaded(spec)
    if architecture is None:
        return
    resolved = architecture.declared.resolved()
    again = load(resolved)
    assert tomli_w.dumps(again.declared.resolved()) == tomli_w.dumps(resolved)
    assert again.hash == architecture.hash
    assert source(again) == source(architecture)
    assert compare(architecture, again).weights == "same function"


@many(150)
@given(specs())
def test_source_compiles_and_is_the_same_every_time(spec: Table) -> None:
    architecture = loaded(spec)
    if architecture is None:
        return
    text = source(architecture)
    assert source(load(spec)) == text == source(architecture)
    tree = ast.parse(text)
    compile(tree, "generated", "exec", dont_inherit=True)
    defined = [node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
    assert len(defined) == len(set(defined))
    assert defined[-1] == "Random"
    assert all(line == line.rstrip() for line in text.split("\n"))
    assert text.isascii()
    assert text.endswith("\n")


SILENT: dict[str, Any] = {"name": "other", "about": "Other words.", "init": {"conv": "normal", "std": 0.5}}


@many(100)
@given(specs(), st.sampled_from(sorted(SILENT)))
def test_what_is_not_the_function_is_not_in_the_hash(spec: Table, key: str) -> None:
    architecture = loaded(spec)
    if architecture is not None:
        assert load({**spec, key: SILENT[key]}).hash == architecture.hash


@many(100)
@given(specs(), st.integers(7, 24), st.integers(7, 24))
def test_the_size_of_the_image_is_not_in_the_hash(spec: Table, height: int, width: int) -> None:
    pooled = {**spec, "head": {"layers": [{"pool": "average"}, {"linear": 5}]}}
    other = {**pooled, "input": {**spec["input"], "size": [height, width]}}
    one, two = loaded(pooled), loaded(other)
    if one is not None and two is not None:
        assert one.hash == two.hash


def settings_of(architecture: Architecture) -> list[tuple[Any, ...]]:
    """What a network computes, without names."""
    return [(each.op, each.inputs) for each in flatten(architecture.graph)]


CHANGES: list[tuple[tuple[str | int, ...], Any]] = [
    (("norm", "eps"), 1e-2),
    (("norm", "momentum"), 0.7),
    (("norm", "kind"), "rms"),
    (("norm", "kind"), "frn"),
    (("norm", "kind"), "none"),
    (("norm", "groups"), 1),
    *((("defaults", "act"), kind) for kind in (*ACTIVATIONS[:3], "tlu")),
    (("defaults", "shortcut"), "C"),
    (("defaults", "shortcut"), "none"),
    (("defaults", "pad"), "both"),
    (("defaults", "subsample"), "average"),
    (("defaults", "stride_on"), "3x3"),
    (("defaults", "order"), "pre"),
    (("defaults", "bias"), True),
    (("defaults", "standardise"), True),
    (("stages", 0, "depth"), 4),
    (("stages", 0, "width"), 12),
    (("stages", 0, "stride"), 4),
    (("stages", 0, "shortcut"), "B"),
    (("params", "n"), 4),
    (("blocks", "own", "after"), [{"act": "tanh"}]),
    (("blocks", "own", "project_after"), 1),
    (("head", "layers"), [{"pool": "average"}, {"linear": 7}]),
    (("stem", "layers"), [{"conv": 3, "out": 4}]),
    (("keys",), "sequential"),
]


@many(200)
@given(specs(), st.sampled_from(CHANGES))
def test_two_hashes_are_equal_where_every_operation_is(
    spec: Table, change: tuple[tuple[Any, ...], Any]
) -> None:
    path, value = change
    other = apart(spec)
    table: Any = other
    for key in path[:-1]:
        table = table[key] if isinstance(table, list) else table.setdefault(key, {})
    table[path[-1]] = value
    one, two = loaded(spec), loaded(other)
    if one is None or two is None:
        return
    same = settings_of(one) == settings_of(two)
    assert (one.hash == two.hash) == same
    found = compare(one, two)
    assert found.same_function == same
    assert found.loads == (parameters(one.graph) == parameters(two.graph))


@many(100)
@given(specs(), st.data())
def test_one_word_that_does_not_belong_is_found_and_no_more(spec: Table, data: st.DataObject) -> None:
    """A stray key in any table gives AS101 with its name, whatever else the spec says."""
    assume(loaded(spec) is not None)
    other = apart(spec)
    found = list(inner_tables(other))
    table = data.draw(st.sampled_from(found))
    table["zzz"] = 1
    with pytest.raises(SpecError) as caught:
        load(other)
    assert [each.code for each in caught.value.diagnostics] == ["AS101"]
    assert '"zzz"' in caught.value.diagnostics[0].message


def inner_tables(value: Any) -> Any:
    """Every table whose keys the language fixes."""
    if isinstance(value, dict):
        yield value
        for key, each in value.items():
            inner = each.values() if key in ("blocks", "params") and isinstance(each, dict) else [each]
            for one in inner:
                yield from inner_tables(one)
    elif isinstance(value, list):
        for each in value:
            yield from inner_tables(each)


JUNK = st.recursive(
    st.booleans()
    | st.integers(-2, 10**7)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["width", "in", "1x1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["conv", "out", "act", "pool", "a"]), inner, max_size=3)
    ),
    max_leaves=4,
)


@many(200)
@given(specs(), st.data())
def test_junk_in_any_place_gives_a_diagnostic_or_a_network(spec: Table, data: st.DataObject) -> None:
    other = apart(spec)
    table = data.draw(st.sampled_from([each for each in inner_tables(other) if each]))
    key = data.draw(st.sampled_from(sorted(table)))
    table[key] = data.draw(JUNK)
    architecture = loaded(other)
    if architecture is not None:
        compile(source(architecture), "generated", "exec", dont_inherit=True)


def test_windows_are_counted_as_torch_documents_it() -> None:
    for size in range(1, 12):
        for kernel in (1, 2, 3, 5):
            for stride in (1, 2, 3, 7):
                for padding in range(kernel // 2 + 1):
                    for ceil in (False, True):
                        expected = windows(size, kernel, stride, padding, ceil)
                        pool = ops.MaxPool2d(kernel, stride, padding, ceil)
                        if expected >= 1 and size + 2 * padding >= kernel:
                            assert pool.shape((3, size, size)) == (3, expected, expected)
                        else:
                            with pytest.raises(ShapeError):
                                pool.shape((3, size, size))


def test_where_a_projection_starts_is_in_the_hash() -> None:
    """Nothing but the wiring differs."""
    layers = [{"act": "tanh"}, {"act": "gelu"}, {"conv": 1, "out": "width"}]
    hashes = set()
    for place in range(3):
        block = {"layers": layers, "project_after": place}
        spec = {
            "format": 1,
            "name": "net",
            "defaults": {"block": "own", "shortcut": "C"},
            "blocks": {"own": block},
        }
        hashes.add(load({**spec, "stages": [{"name": "a", "width": 4}]}).hash)
    assert len(hashes) == 3


def test_a_long_expression_is_resolved_to_one_that_loads() -> None:
    sums = "+".join(["n"] * 100)
    spec = {
        "format": 1,
        "name": "sums",
        "params": {"n": 1, "big": "1000 * 1000 * 4", "less": "0 * n", "back": "n * (2 - 5) + 4"},
        "defaults": {"block": "own"},
        "blocks": {"own": {"out": "width + (1 - 3)", "layers": [{"conv": 1, "out": "width - 2 * (3 - 2)"}]}},
        "stem": {"layers": [{"conv": 1, "out": sums}]},
        "stages": [{"name": "a", "width": "n + 3"}],
    }
    architecture = load(spec)
    assert load(architecture.declared.resolved()).hash == architecture.hash
