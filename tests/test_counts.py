"""Exact integers, no tolerance, and no torch: the graph's own counts."""

from __future__ import annotations

from math import prod

import pytest

import archspec
from archspec.ir.graph import INPUT
from archspec.passes.flatten import flatten, parameters
from archspec.passes.measure import count
from tests.conftest import SPECS, architecture

# parameters and multiply-adds; the figures are those of the networks' own authors or of torchvision's metadata
EXACT = {
    "specs/resnet18-b.toml": (11_689_512, 1_814_073_344),
    "specs/resnet34.toml": (21_623_848, 3_644_493_824),
    "specs/resnet50.toml": (25_557_032, 3_857_973_248),
    "specs/resnet101.toml": (44_549_160, 7_570_194_432),
    "specs/resnet152.toml": (60_192_808, 11_282_415_616),
    "specs/torchvision/resnet50.toml": (25_557_032, 4_089_184_256),
    "specs/caffe/resnet50.toml": (25_557_096, 3_857_973_248),
    "specs/vgg19.toml": (143_667_240, 19_632_062_464),
    "specs/cifar/resnet20.toml": (269_722, 40_551_040),
    "specs/cifar/resnet110.toml": (1_727_962, 252_887_680),
    "specs/cifar/resnet1202.toml": (19_421_274, 2_829_238_912),
    "specs/figure5/basic.toml": (73_984, 231_211_008),
    "specs/figure5/bottleneck.toml": (70_400, 218_365_952),
    "specs/beyond/resnext50-32x4d.toml": (25_028_904, 4_230_479_872),
    "specs/beyond/wide-resnet50-2.toml": (68_883_240, 11_398_021_120),
    "specs/beyond/mobilenetv2.toml": (3_504_872, 300_774_272),
    "specs/beyond/se-resnet50.toml": (28_088_024, 3_860_488_192),
}


@pytest.mark.parametrize("spec", EXACT)
def test_counts_are_exact(spec: str) -> None:
    total = architecture(spec).measure.total
    assert (total.params, total.macs) == EXACT[spec]


@pytest.mark.parametrize("spec", SPECS)
def test_closed_form_equals_the_sum_over_every_operation(spec: str) -> None:
    declared = architecture(spec)
    shapes = {-1: declared.input_shape}
    params = macs = activations = 0
    for place, flat in enumerate(flatten(declared.graph)):
        shapes[place] = flat.op.shape(*(shapes[each] for each in flat.inputs))
        params += flat.op.count()
        macs += flat.op.macs(shapes[place])
        activations += prod(shapes[place])
    total = declared.measure.total
    assert (params, macs, activations) == (total.params, total.macs, total.activations)
    assert shapes[place] == declared.measure.output
    assert sum(prod(shape) for shape in parameters(declared.graph).values()) == params


@pytest.mark.parametrize("spec", SPECS)
def test_rows_add_up_to_the_total(spec: str) -> None:
    measured = architecture(spec).measure
    assert sum(row.counts.params for row in measured.rows) == measured.total.params
    assert sum(row.counts.macs for row in measured.rows) == measured.total.macs
    assert count(architecture(spec).graph, architecture(spec).input_shape) == measured.total
    names = [row.name for row in measured.rows]
    assert len(set(names)) == len(names)
    assert all(names)


def test_table_1s_rows_are_there() -> None:
    rows = [(row.name, row.output) for row in architecture("specs/resnet50.toml").measure.rows]
    assert rows == [
        ("conv1", (64, 112, 112)),
        ("maxpool", (64, 56, 56)),
        ("conv2_x", (256, 56, 56)),
        ("conv3_x", (512, 28, 28)),
        ("conv4_x", (1024, 14, 14)),
        ("conv5_x", (2048, 7, 7)),
        ("avgpool", (2048, 1, 1)),
        ("fc", (1000,)),
    ]


@pytest.mark.parametrize(
    ("option", "projections"), [("none", 0), ("A", 0), ("B", 3), ("C", 16), ("identity", 0)]
)
def test_projections_of_34_layers(option: str, projections: int) -> None:
    declared = archspec.load("specs/resnet34.toml", settings=[f"defaults.shortcut={option}"])
    assert declared.measure.total.projections == projections
    assert declared.measure.total.layers == 34


@pytest.mark.parametrize(
    ("setting", "layers"), [("n=18", 110), ("depth=110", 110), ("n=9", 56), ("depth=56", 56)]
)
def test_one_file_holds_the_cifar_family(setting: str, layers: int) -> None:
    assert archspec.load("specs/cifar/resnet20.toml", settings=[setting]).measure.total.layers == layers


def test_params_argument_sets_parameters() -> None:
    by_params = archspec.load("specs/cifar/resnet20.toml", params={"n": 18})
    assert by_params.hash == architecture("specs/cifar/resnet110.toml").hash


def test_a_stage_of_equal_blocks_stays_one_loop() -> None:
    graph = architecture("specs/resnet152.toml").graph
    stage = next(node for node in graph.nodes if node.name == "layer3")
    assert stage.inputs != (INPUT,)
    assert len(stage.body.graph.nodes) == 2  # type: ignore[union-attr]
    assert stage.body.graph.nodes[1].body.times == 35  # type: ignore[union-attr]
