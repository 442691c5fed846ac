"""`show`, `check`, `diff`, `audit` and `schema` on detectors."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from archspec.audit import detectors
from archspec.audit.table import load_table
from archspec.detection.load import detector_names, load_detector
from archspec.detection.witness import hear as witness_of
from archspec.spec.library import spec_folder
from tests.cli.running import Result, cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Cli = Callable[..., Result]

__all__ = ["cli"]  # the fixture

SMALL = "faster-rcnn-resnet18-shapes"
DEEP = "faster-rcnn-resnet101"
OWN = """\
format = 1
name = "own"

[detector]
backbone = "resnet18"
cut = "conv4_x"
classes = ["cat"]
"""


class TestShow:
    """The parts, row by row."""

    def test_counts_are_those_of_600_pixels(self, cli: Cli) -> None:
        told = cli("show", DEEP, "--json").json
        assert (told["kind"], told["image"], told["stride"], told["convolutions"]) == (
            "detector",
            [3, 600, 1000],
            16,
            91,
        )
        assert (told["params"], told["macs_per_image"], told["macs_per_region"]) == (
            47_457_494,
            94_402_861_056,
            732_383_232,
        )
        assert told["macs"] == 94_402_861_056 + 300 * 732_383_232
        assert [part["name"] for part in told["parts"]] == ["shared", "proposals", "region", "predictor"]
        assert sum(row["params"] for part in told["parts"] for row in part["rows"]) == told["params"]
        assert (told["frozen"], told["batch_norm"], len(told["classes"])) == (
            ["conv1", "conv2_x"],
            "frozen",
            20,
        )

    @pytest.mark.parametrize("name", [SMALL, f"specs/detection/{SMALL}.toml", f"detection/{SMALL}"])
    def test_the_table_says_the_same(self, cli: Cli, name: str) -> None:
        run = cli("show", name)
        told = cli("show", name, "--json").json
        assert run.code == 0
        for value in (told["params"], told["macs"], told["macs_per_image"], told["macs_per_region"]):
            assert f"{value:,}" in run.out
        assert "9 convolutions and 1 projection, stride 8. Frozen: nothing." in run.out
        assert "3 classes and background. hash" in run.out
        rows = [
            line.split()[:2] for line in run.out.split("\n") if line.startswith(("shared", "region", "pred"))
        ]
        assert rows == [["shared", "conv1"], ["region", "conv4_x"], ["predictor", "cls_score"]]
        # the flattening of the classifier that is gone
        assert "fc " not in run.out

    @pytest.mark.parametrize(
        ("name", "frozen"),
        [
            ("faster-rcnn-vgg16", "conv1, conv2."),
            (DEEP, "conv1, conv2_x, all batch normalisation."),
        ],
    )
    def test_what_is_frozen(self, cli: Cli, name: str, frozen: str) -> None:
        assert f"Frozen: {frozen}\n" in cli("show", name).out

    def test_another_size(self, cli: Cli) -> None:
        told = cli("show", SMALL, "--size", "64x96", "--json").json
        assert (told["image"], told["parts"][0]["output"]) == ([3, 64, 96], [64, 8, 12])
        assert told["macs_per_region"] == cli("show", SMALL, "--json").json["macs_per_region"]

    @pytest.mark.parametrize("size", ["0x5", "64", "64x", "x", "-1x5", "99999x1", "1e3x5", "٣x٣"])
    def test_a_size_that_is_none(self, cli: Cli, size: str) -> None:
        run = cli("show", SMALL, f"--size={size}")
        assert (run.code, run.out) == (2, "")
        assert "is no size of an image" in run.err

    def test_a_networks_size_is_in_its_spec(self, cli: Cli) -> None:
        run = cli("show", "good.toml", "--size", "64x64")
        assert run.code == 2
        assert "--set input.size" in run.err

    def test_the_context_is_a_part_of_its_own(self, cli: Cli) -> None:
        told = cli("show", SMALL, "--set", "detector.regions.context=true", "--json").json
        assert [part["name"] for part in told["parts"]][2] == "context"
        assert "context" in cli("show", SMALL, "--set", "detector.regions.context=true").out

    def test_resolved_loads_again(self, cli: Cli, tmp_path: Path) -> None:
        run = cli("show", DEEP, "--resolved")
        assert "extends" not in tomllib.loads(run.out)
        (tmp_path / "again.toml").write_text(run.out)
        told = cli("show", "again.toml", "--resolved", "--json").json
        assert told["hash"] == load_detector(DEEP).digest
        assert told["resolved"] == tomllib.loads(run.out)

    def test_origin_is_across_files(self, cli: Cli) -> None:
        values = {each["field"]: each for each in cli("show", DEEP, "--origin", "--json").json["values"]}
        assert values["detector.cut"]["file"].endswith(f"{DEEP}.toml")
        assert values["detector.proposals.nms"]["file"].endswith("faster-rcnn-vgg16.toml")
        assert "detector.regions.size" in cli("show", DEEP, "--origin").out

    @pytest.mark.parametrize("command", ["show", "check"])
    def test_from_standard_input(self, cli: Cli, command: str) -> None:
        assert cli(command, "-", stdin=OWN).code == 0
        run = cli(command, "-", stdin=OWN.replace("conv4_x", "conv9_x"))
        assert run.code != 0
        assert "AS571" in run.out + run.err

    def test_a_hostile_one_steers_no_terminal(self, cli: Cli, tmp_path: Path) -> None:
        told = OWN.replace('name = "own"', 'name = "own"\nabout = "a\\u001b[31mb"').replace(
            "cat", "c\\u202eat"
        )
        (tmp_path / "hostile.toml").write_text(told)
        for command in ("show", "check", "audit"):
            cli(command, "hostile.toml", "--set", "detector.cut=conv9_x").harmless()
            assert (
                cli(command, "hostile.toml", *(["--witness", "graph"] * (command == "audit"))).harmless().code
                == 0
            )

    @pytest.mark.parametrize(
        ("option", "code"),
        [("--max-params", "AS401"), ("--max-activations", "AS402"), ("--max-layers", "AS403")],
    )
    def test_a_budget_holds_for_the_whole(self, cli: Cli, option: str, code: str) -> None:
        run = cli("show", SMALL, option, "5")
        assert run.code == 2
        assert f"error[{code}]" in run.err
        assert cli("show", SMALL, option, "999999999").code == 0

    def test_a_budget_can_be_raised(self, cli: Cli) -> None:
        large = ("--set", "detector.image.shorter=[2000]", "--set", "detector.image.longest=4000")
        run = cli("show", DEEP, *large)
        assert run.code == 2
        assert "the budget is 4,000,000,000" in run.err
        assert "--max-activations raises it" in run.err
        assert cli("show", DEEP, *large, "--max-activations", "10000000000").code == 0


class TestCheck:
    """Detectors beside networks."""

    def test_all_that_ship_are_fine(self, cli: Cli) -> None:
        files = [str(spec_folder() / "detection" / f"{name}.toml") for name in detector_names()]
        run = cli("check", *files, "good.toml")
        assert (run.code, run.err) == (0, f"{len(files) + 1} specs are fine\n")

    @pytest.mark.parametrize("format_", ["concise", "json", "github", "human"])
    def test_mistakes_have_their_places(self, cli: Cli, tmp_path: Path, format_: str) -> None:
        (tmp_path / "own.toml").write_text(OWN.replace("classes", "clases"))
        run = cli("check", "own.toml", "bad.toml", "--format", format_)
        assert run.code == 1
        if format_ == "json":
            found: list[dict[str, Any]] = run.json["diagnostics"]
            assert [(each["file"], each["line"]) for each in found] == [
                ("own.toml", 7),
                ("bad.toml", 24),
            ]
        if format_ == "concise":
            assert 'own.toml:7:1: AS101 unknown key "clases"' in run.out

    def test_a_name_that_comes_close(self, cli: Cli) -> None:
        run = cli("check", "faster-rcnn-resnet11")
        assert run.code == 2
        assert f'did you mean "{DEEP}"?' in run.out


@pytest.mark.parametrize("command", ["build", "draw", "bench"])
def test_commands_for_networks_say_what_it_is(cli: Cli, command: str) -> None:
    run = cli(command, DEEP)
    assert run.code == 2
    assert "this is a detector, and a network's spec is needed" in run.err
    assert 'its network is "resnet101"' in run.err
    assert run.err.count("error[") == 1


class TestDiff:
    """Two detectors; never a detector and a network."""

    def test_one_is_itself(self, cli: Cli) -> None:
        run = cli("diff", SMALL, SMALL)
        assert (run.code, run.out) == (
            0,
            "They are one detector: they compute the same and learn from the same.\n",
        )

    def test_deeper_ones_differ_in_the_shared_part(self, cli: Cli) -> None:
        run = cli("diff", "faster-rcnn-resnet50", DEEP)
        assert run.code == 1
        for line in (
            "network.stages.conv4_x.depth",
            "convolutions",
            "shared conv4_x params",
            "306 tensors only in",
        ):
            assert line in run.out
        told = cli("diff", "faster-rcnn-resnet50", DEEP, "--json").json
        assert told["totals"]["convolutions"] == [40, 91]
        assert told["totals"]["macs_per_region"] == [732_383_232, 732_383_232]
        assert (told["weights"], told["same_function"]) == ("does not load", False)

    @pytest.mark.parametrize(
        ("setting", "said"),
        [
            ("detector.detections.nms=0.5", "the differing fields decide"),
            ("detector.backbone=torchvision/resnet50", "the differing networks decide"),
            (
                "detector.classes=3",
                "do not load into the other. That of the network they start from fits both.",
            ),
        ],
    )
    def test_whether_weights_carry_over(self, cli: Cli, setting: str, said: str) -> None:
        run = cli("diff", "faster-rcnn-resnet50", "faster-rcnn-resnet50", "--set", setting)
        assert run.code == 1
        assert said in run.out

    @pytest.mark.parametrize("names", [(SMALL, "good.toml"), ("good.toml", SMALL)])
    def test_a_network_is_refused(self, cli: Cli, names: tuple[str, str]) -> None:
        run = cli("diff", *names)
        assert (run.code, run.out) == (2, "")
        assert f'{SMALL} is a detector on "resnet18-b"' in run.err
        assert "good.toml is a network" in run.err


class TestAudit:
    """Three witnesses, and the paper's two statements."""

    def test_the_witnesses_stand_beside_each_other(self, cli: Cli) -> None:
        run = cli("audit", SMALL)
        assert run.code == 0
        lines = [line.split() for line in run.out.split("\n") if line.startswith(SMALL)]
        assert len(lines) == 3
        for line in lines:
            counts = [each for each in line if each.replace(",", "").isdigit()]
            assert len(counts) == 3
            assert len(set(counts)) == 1
        assert "3 rows: the witnesses (graph, fvcore, torch) agree on all." in run.out

    def test_resnet_101_is_held_against_the_paper(self, cli: Cli) -> None:
        rows = {
            each["quantity"]: each for each in cli("audit", DEEP, "--size", "32x48", "--json").json["rows"]
        }
        assert rows["convolutions"]["witnesses"] == {"graph": 91, "fvcore": 91, "torch": 91}
        assert rows["stride"]["witnesses"] == {"graph": 16, "fvcore": None, "torch": 16}
        assert rows["macs per image"]["stage"] == "32x48"
        assert all(each["agree"] for each in rows.values())

    @pytest.mark.parametrize(
        ("settings", "code", "rows"),
        [
            (("detector.backbone=torchvision/resnet101",), 0, 5),
            (("detector.cut=conv3_x",), 0, 3),
            (("detector.backbone=resnet50",), 0, 3),
            (('detector.set=["stage.conv4_x.depth=22"]',), 1, 5),
        ],
    )
    def test_which_are_held_against_it(
        self, cli: Cli, settings: tuple[str, ...], code: int, rows: int
    ) -> None:
        changes = [part for each in settings for part in ("--set", each)]
        run = cli("audit", DEEP, "--witness", "graph", "--json", *changes)
        assert (run.code, len(run.json["rows"])) == (code, rows)

    def test_a_difference_is_said(self, cli: Cli) -> None:
        change = 'detector.set=["stage.conv4_x.depth=22"]'
        run = cli("audit", DEEP, "--witness", "graph", "--set", change)
        assert "1 of 2 printed figures are met." in run.out
        assert "differs" in run.out

    def test_witnesses_that_disagree_are_a_finding(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:

        def lying(loaded: Any, witness: Any, size: Any) -> Any:
            return witness_of(loaded, "graph", size)._replace(parameters=5 if witness == "torch" else 6)

        monkeypatch.setattr(detectors, "hear", lying)
        run = cli("audit", SMALL)
        assert run.code == 1
        assert "the witnesses disagree" in run.out
        assert "disagree on 1." in run.out
        row = cli("audit", SMALL, "--json").json["rows"][0]
        assert (row["agree"], row["reason"]) == (False, "the witnesses disagree")

    def test_networks_and_detectors_together(self, cli: Cli) -> None:
        run = cli("audit", "resnet18", SMALL, "--witness", "graph")
        assert run.code == 0
        assert run.out.index("ResNet-18") < run.out.index(SMALL)
        rows = cli("audit", "resnet18", SMALL, "--witness", "graph", "--json").json["rows"]
        assert {each["spec"] for each in rows} == {"resnet18", SMALL}

    @pytest.mark.parametrize(
        "arguments", [(SMALL, "--as", "ResNet-18"), ("resnet18", "--size", "64x64"), ("--size", "64x64")]
    )
    def test_options_of_the_other_kind(self, cli: Cli, arguments: tuple[str, ...]) -> None:
        run = cli("audit", *arguments, "--witness", "graph")
        assert (run.code, run.out) == (2, "")
        assert run.err.startswith("error: ")

    def test_the_papers_table_has_its_two_rows(self) -> None:
        published = load_table("paper")
        (entry,) = published.table.detectors
        found = list(detectors.own(published, entry, ["graph", "torch"]))
        assert [(each.quantity, each.printed, each.verdict, each.fine) for each in found] == [
            ("convolutions", "91", "rounds", True),
            ("stride", "16", "rounds", True),
        ]
        assert all(each.place.startswith("appendix A") for each in found)
