"""The audit: witnesses agree on every spec, and other functions are told from the paper's."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

import archspec
from archspec.audit.run import Audit, Finding
from archspec.audit.table import Published, load_table, table_names
from archspec.audit.verdict import judge
from archspec.audit.witness import hear
from tests.conftest import ROOT, SPECS, architecture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("spec", SPECS)
def test_all_witnesses_agree(spec: str) -> None:
    declared = architecture(spec)
    graph, fvcore, torch = (hear(declared, name) for name in ("graph", "fvcore", "torch"))
    for other in (fvcore, torch):
        assert (other.params, other.macs, other.conv_macs) == (graph.params, graph.macs, graph.conv_macs)
        assert other.layers == graph.layers
    assert torch.outputs == graph.outputs


def _findings(table: str) -> list[Finding]:
    published = load_table(table)
    audit = Audit(published, ["graph"])
    return [finding for network in published.table.networks for finding in audit.own(network)]


@pytest.mark.parametrize("table", table_names())
def test_no_row_of_a_shipped_table_differs(table: str) -> None:
    findings = _findings(table)
    assert [each for each in findings if not each.fine] == []
    assert all(each.reason for each in findings if each.verdict != "rounds")


def test_the_papers_table_is_whole() -> None:
    rows = _findings("paper")
    flops = {each.network: each.printed for each in rows if each.quantity == "macs"}
    assert flops["ResNet-152"] == "11.3e9"
    assert {each.network for each in rows if each.place == "Table 6"} >= {
        f"ResNet-{depth}" for depth in (20, 32, 44, 56, 110, 1202)
    }
    assert {each.convention for each in rows if each.network == "VGG-16" and each.quantity == "macs"} == {
        "conv"
    }
    assert [each.verdict for each in rows if each.network == "ResNet-50" and each.quantity == "macs"] == [
        "within-one-unit"
    ]
    assert any("Fig. 5" in each.place and each.verdict == "rounds" for each in rows)


def _other(spec: Path | str, settings: list[str] | None = None, network: str = "") -> list[Finding]:
    published = load_table("paper")
    declared = archspec.load(spec, settings=settings or ())
    target = published.network_for(network or declared.name)
    assert target is not None
    return list(Audit(published, ["graph"]).other(target, declared, str(spec)))


def _row(findings: list[Finding], quantity: str) -> Finding:
    return next(each for each in findings if each.quantity == quantity)


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_v1_5_differs_and_the_stride_is_why(depth: int) -> None:
    row = _row(_other(ROOT / f"specs/torchvision/resnet{depth}.toml"), "macs")
    assert row.verdict == "differs"
    assert "stride on the 3x3 convolution adds 231,211,008 multiply-adds" in row.reason


def test_option_b_for_a_differs_by_its_parameters() -> None:
    for depth, extra in ((18, 173_824), (34, 173_824)):
        findings = _other(ROOT / f"specs/resnet{depth}-b.toml")
        row = _row(findings, "params")
        assert row.verdict == "differs"
        assert (
            f"shortcut B in place of A adds 19,267,584 multiply-adds and {extra:,} parameters" in row.reason
        )


def test_option_c_differs() -> None:
    row = _row(_other(ROOT / "specs/resnet34-c.toml"), "macs")
    assert row.verdict == "differs"
    assert "shortcut C in place of A" in row.reason


@pytest.mark.parametrize(("depth", "verdict"), [(32, "within-one-unit"), (56, "within-one-unit")])
def test_option_b_shows_in_table_6(depth: int, verdict: str) -> None:
    row = _row(_other(ROOT / f"specs/cifar/resnet{depth}.toml", ["defaults.shortcut=B"]), "params")
    assert row.verdict == verdict
    assert "and 2,752 parameters" in row.reason


def test_a_difference_that_counts_cannot_show_is_still_said() -> None:
    findings = _other(ROOT / "specs/akamaster/resnet20.toml")
    assert all(each.verdict == "rounds" for each in findings)
    assert (
        'defaults.pad = "both" in place of "end" changes the function, not the counts'
        in _row(findings, "params").reason
    )


def test_an_equal_function_has_nothing_to_say() -> None:
    assert all(
        not each.reason for each in _other(ROOT / "specs/facebook/cifar-resnet20.toml", network="resnet20")
    )


@pytest.mark.parametrize(
    ("exact", "printed", "verdict"),
    [
        ("3857973248", "3.8e9", "within-one-unit"),
        ("3644493824", "3.6e9", "rounds"),
        ("3663761408", "3.6e9", "within-one-unit"),
        ("4089184256", "3.8e9", "differs"),
        ("3700000000", "3.6e9", "differs"),
        ("3650000000", "3.7e9", "rounds"),
        ("269722", "0.27e6", "rounds"),
        ("1727962", "1.7e6", "rounds"),
        ("11689512", "11689512", "rounds"),
        ("11689513", "11689512", "differs"),
    ],
)
def test_verdicts(exact: str, printed: str, verdict: str) -> None:
    assert judge(Decimal(exact), Decimal(printed)).verdict == verdict


def _table(tmp_path: Path, rows: str) -> Published:
    path = tmp_path / "own.toml"
    path.write_text(
        f'format = 1\nname = "own"\ntitle = "t"\n[[networks]]\nname = "n"\nspec = "x.toml"\nrows = [{rows}]\n',
        encoding="utf-8",
    )
    return load_table(str(path))


def test_a_table_of_ones_own_is_relative_to_its_folder(tmp_path: Path) -> None:
    published = _table(tmp_path, '{ quantity = "params", printed = "1e6", place = "p" }')
    assert published.spec("x.toml") == tmp_path / "x.toml"


@pytest.mark.parametrize(
    "rows",
    [
        '{ quantity = "param", printed = "1e6", place = "p" }',
        '{ quantity = "params", printed = "a lot", place = "p" }',
        '{ quantity = "output", printed = "7x7", place = "p" }',
        '{ quantity = "params", printed = "equal", place = "p" }',
        '{ quantity = "macs", printed = "18%", place = "p" }',
        '{ quantity = "params", printed = "1e6" }',
    ],
)
def test_a_wrong_table_is_a_diagnostic_with_its_line(tmp_path: Path, rows: str) -> None:
    with pytest.raises(archspec.SpecError) as caught:
        _table(tmp_path, rows)
    assert caught.value.diagnostics[0].span.line == 7
