"""The hash covers every field that changes the function, and nothing else. No torch."""

from __future__ import annotations

import pytest
import tomli_w

import archspec
from archspec.compare import compare
from archspec.spec.documents import parse
from archspec.spec.load import resolve
from tests.conftest import ROOT, SPECS, architecture

CHANGES = [
    "defaults.stride_on=3x3",
    "defaults.shortcut=A",
    "defaults.shortcut=C",
    "defaults.shortcut=none",
    "defaults.order=pre",
    "defaults.act=gelu",
    "defaults.act=tlu",
    "defaults.bias=true",
    "defaults.standardise=true",
    "norm.kind=group",
    "norm.kind=layer",
    "norm.kind=instance",
    "norm.kind=rms",
    "norm.kind=frn",
    "norm.kind=none",
    "norm.eps=1e-3",
    "norm.momentum=0.01",
    "stage.conv3_x.depth=5",
    "stage.conv3_x.stride=1",
    'stem.layers=[{conv=7,out=64,stride=2},{pool="max",size=3,stride=2,rounding="ceil"}]',
    'head.layers=[{pool="average"},{dropout=0.5},{linear=1000}]',
]
SILENT = ["name=other", "about=text", "init.conv=torch", "init.zero_last_norm=true", "input.size=[256,192]"]


@pytest.mark.parametrize("setting", CHANGES)
def test_a_field_that_changes_the_function_changes_the_hash(setting: str) -> None:
    hashes = {archspec.load(ROOT / "specs/resnet50.toml", settings=[each]).hash for each in CHANGES}
    assert len(hashes) == len(CHANGES), "no two of the changes are one function"
    assert archspec.load(ROOT / "specs/resnet50.toml", settings=[setting]).hash not in (
        architecture("specs/resnet50.toml").hash,
    )


@pytest.mark.parametrize("setting", ["defaults.pad=both", "defaults.subsample=average"])
def test_fields_of_option_a_count_where_it_is_used(setting: str) -> None:
    used = archspec.load(ROOT / "specs/resnet34.toml", settings=[setting])
    assert used.hash != architecture("specs/resnet34.toml").hash
    unused = archspec.load(ROOT / "specs/resnet50.toml", settings=[setting])
    assert unused.hash == architecture("specs/resnet50.toml").hash


@pytest.mark.parametrize("setting", SILENT)
def test_what_is_not_the_function_leaves_the_hash(setting: str) -> None:
    assert (
        archspec.load(ROOT / "specs/resnet50.toml", settings=[setting]).hash
        == architecture("specs/resnet50.toml").hash
    )


def test_equal_functions_of_different_files_have_one_hash() -> None:
    assert architecture("specs/resnet18-b.toml").hash == architecture("specs/torchvision/resnet18.toml").hash
    assert architecture("specs/beyond/resnet50.toml").hash == architecture("specs/resnet50.toml").hash


@pytest.mark.parametrize("spec", SPECS)
def test_the_resolved_spec_is_the_spec(spec: str) -> None:
    declared = architecture(spec)
    text = tomli_w.dumps(declared.declared.resolved())
    again = archspec.architecture.compiled(resolve(parse(text.encode(), "resolved.toml", None)))
    assert again.hash == declared.hash
    assert again.declared.resolved() == declared.declared.resolved()


def test_equal_keys_are_not_an_equal_function() -> None:
    found = compare(architecture("specs/resnet50.toml"), architecture("specs/torchvision/resnet50.toml"))
    assert found.loads
    assert found.weights == "loads, but another function"
    assert "defaults.stride_on" in [change.name for change in found.fields]
    assert [row.name for row in found.rows] == ["conv3_x", "conv4_x", "conv5_x"]


def test_networks_of_other_depths_do_not_load() -> None:
    found = compare(architecture("specs/resnet50.toml"), architecture("specs/resnet101.toml"))
    assert found.weights == "does not load"
    assert found.only_left == ()
    assert len(found.only_right) == (101 - 50) * 3
