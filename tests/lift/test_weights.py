"""Weights alone: what their keys and shapes tell, what is refused, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import FileError
from archspec.lift.renaming import recognised
from archspec.lift.weights import lift_shapes
from archspec.passes.flatten import state
from archspec.weights.keys import STYLES
from tests.conftest import architecture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.lift.lifted import Lifted

Shapes = dict[str, tuple[int, ...]]


def shapes(spec: str) -> Shapes:
    return dict(state(architecture(f"specs/{spec}.toml").graph))


def lifted(given: Mapping[str, tuple[int, ...]]) -> Lifted:
    return lift_shapes(given, "net.pth")


def refused(given: Mapping[str, tuple[int, ...]]) -> str:
    with pytest.raises(FileError) as error:
        lifted(given)
    assert [each.code for each in error.value.diagnostics] == ["AS512"]
    return error.value.diagnostics[0].message


@pytest.mark.parametrize(
    "spec", ["beyond/wide-resnet50-2", "beyond/resnext50-32x4d", "beyond/resnet50-d", "beyond/se-resnet50"]
)
def test_widths_groups_deep_stems_and_gates_show_in_shapes(spec: str) -> None:
    held = shapes(spec)
    assert state(lifted(held).architecture.graph) == held


def test_groups_come_out_of_the_second_convolutions_shape() -> None:
    assert "groups = 32" in lifted(shapes("beyond/resnext50-32x4d")).text


def test_projections_tell_b_from_c() -> None:
    kinds = [
        lifted(shapes(spec)).architecture.declared.spec.defaults.shortcut
        for spec in ("resnet18-b", "resnet18-c")
    ]
    assert kinds == ["B", "C"]


def test_a_without_weights_is_listed_beside_the_plain_net() -> None:
    found = lifted(shapes("cifar/plain20"))
    listed = {each.field: each for each in found.ambiguous}
    assert listed["defaults.shortcut"].value == "A"
    assert listed["defaults.shortcut"].alternatives == ("none",)
    assert {"defaults.pad", "defaults.subsample", "stages.*.stride", "input.size"} <= set(listed)


def test_batch_counters_may_be_missing() -> None:
    held = {key: shape for key, shape in shapes("torchvision/resnet18").items() if "num_batches" not in key}
    assert lifted(held).known_as == ("resnet18-b", "torchvision/resnet18")


def test_a_backbone_without_its_classifier_is_lifted() -> None:
    held = {key: shape for key, shape in shapes("torchvision/resnet18").items() if not key.startswith("fc.")}
    assert not lifted(held).architecture.declared.spec.head.layers


def test_a_network_without_norms_and_one_with_biases_beside_them() -> None:
    plain = {key: each for key, each in shapes("cifar/resnet20").items() if "bn" not in key}
    assert lifted(plain).architecture.declared.spec.norm.kind == "none"
    assert lifted(plain).architecture.declared.spec.defaults.bias is False
    both = dict(shapes("cifar/resnet20"))
    both |= {key.replace("weight", "bias"): each[:1] for key, each in both.items() if "conv" in key}
    assert lifted(both).architecture.declared.spec.defaults.bias is True


def test_vgg_with_norms_has_its_pools_found() -> None:
    held: Shapes = {}
    place, channels = 0, 3
    for width, pool in ((64, True), (128, True), (256, False), (256, True)):
        held |= {f"features.{place}.weight": (width, channels, 3, 3), f"features.{place}.bias": (width,)}
        names = ("weight", "bias", "running_mean", "running_var")
        held |= {f"features.{place + 1}.{name}": (width,) for name in names}
        place, channels = place + 3 + pool, width
    held |= {"classifier.0.weight": (10, 256 * 4), "classifier.0.bias": (10,)}
    spec = lifted(held).architecture.declared.spec
    assert [(stage.width, stage.depth) for stage in spec.stages] == [(64, 1), (128, 1), (256, 2)]
    assert spec.defaults.bias is True
    assert spec.input.size == (16, 16)


def changed(spec: str, **changes: tuple[int, ...] | None) -> Shapes:
    held = shapes(spec)
    for key, shape in changes.items():
        name = key.replace("__", ".")
        held.pop(name, None)
        if shape is not None:
            held[name] = shape
    return held


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({}, "no known style"),
        ({"encoder.weight": (4, 4)}, "no known style"),
        (changed("cifar/resnet20", extra=(3,)), '"extra"'),
        (changed("cifar/resnet20", fc__weight=(10, 65)), '"fc.weight" is [10, 65], but [10, 64]'),
        (changed("cifar/resnet20", layer2__1__bn2__running_var=None), '"layer2.1.bn2.running_var"'),
        (changed("cifar/resnet20", layer2__1__conv1__weight=(32, 32, 3, 1)), "3x1"),
        (changed("cifar/resnet20", layer2__1__conv1__weight=(32, 32, 5, 5)), "another block"),
        (changed("cifar/resnet20", layer2__1__conv1__weight=(32, 7, 3, 3)), "7 channels of 32"),
        (changed("cifar/resnet20", layer2__1__conv1__weight=None), "no convolution conv1"),
        (changed("cifar/resnet20", layer2__9__conv1__weight=(32, 32, 3, 3)), "not numbered"),
        (changed("cifar/resnet20", conv1__weight=(10**12, 3, 3, 3)), "no tensor of 4 sides"),
        (changed("cifar/resnet20", conv1__weight=(16, 0, 3, 3)), "no tensor of 4 sides"),
        (shapes("beyond/preact-resnet50"), "pre-activation"),
        (changed("vgg16", features__7__weight=(128, 63, 3, 3)), "takes 63 channels of 128"),
        (changed("vgg16", classifier__0__weight=(4096, 25087)), "no square map"),
    ],
)
def test_what_does_not_fit_is_named(held: Shapes, says: str) -> None:
    assert says in refused(held)


@pytest.mark.parametrize(
    "style", [each for each in STYLES if each.name != "torchvision"], ids=lambda each: each.name
)
def test_other_projects_keys_are_recognised(style: Any) -> None:
    spec = (
        "beyond/resnet50-d"
        if "deep" in style.name
        else "akamaster/resnet20"
        if "cifar" in style.name
        else "resnet18-b"
    )
    own = {key: shape for key, shape in shapes(spec).items() if "num_batches" not in key}
    theirs = {style.names(key)[0]: shape for key, shape in own.items()}
    found, named = recognised(theirs)
    assert named is not None
    assert found == own


def test_our_own_keys_stay_as_they_are() -> None:
    own = shapes("resnet50")
    assert recognised(own) == (own, None)


@settings(max_examples=60)
@given(st.data())
def test_shapes_of_any_kind_end_in_a_spec_or_a_diagnostic(data: st.DataObject) -> None:
    held = dict(shapes("cifar/resnet20"))
    keys = sorted(held)
    for key in data.draw(st.lists(st.sampled_from(keys), max_size=4)):
        shape = data.draw(st.lists(st.integers(-1, 2**40), max_size=5) | st.just(None))
        if shape is None:
            held.pop(key, None)
        else:
            held[key] = tuple(shape)
    try:
        found = lifted(held)
    except FileError as error:
        codes = {each.code for each in error.diagnostics}
    else:
        codes = {"AS512"}
        own = state(found.architecture.graph)
        assert all(own[key] == shape for key, shape in held.items() if "num_batches" not in key)
    assert codes == {"AS512"}
