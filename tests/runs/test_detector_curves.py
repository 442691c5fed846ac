"""What is drawn of detectors: 1 - mAP of validation and losses; and that nothing changed for networks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from archspec_cli.commands.plot import run

from archspec.errors import FileError
from archspec.runs.curves import read_curves
from archspec.runs.figure import Look, draw
from archspec.runs.series import MOST_LOSSES, MOST_POOLED
from tests.runs.synthetic import LOSSES, detection, detector, epochs, folder

if TYPE_CHECKING:
    from pathlib import Path


def drawn(file: Path) -> list[str]:
    """The texts of an SVG."""
    return [
        "".join(each.itertext()) for each in ElementTree.parse(file).iter("{http://www.w3.org/2000/svg}text")
    ]


def svg(tmp_path: Path, *runs: Path, look: Look | None = None) -> list[str]:
    draw(read_curves(runs), look or Look(), tmp_path / "curves.svg")
    return drawn(tmp_path / "curves.svg")


def record(step: int, loss: object = 1.0, **losses: object) -> dict[str, Any]:
    return {"kind": "train", "step": step, "lr": 0.1, "loss": loss, "losses": losses, "images": 80}


def test_a_detectors_curve_is_of_its_validation_and_its_losses(tmp_path: Path) -> None:
    (curve,) = read_curves([detector(tmp_path)])
    assert curve.detector
    assert curve.train == ()
    assert [point.step for point in curve.validation] == [113 * number for number in range(1, 14)]
    assert list(curve.losses) == ["sum", *LOSSES]
    assert all(len(points) <= MOST_POOLED for points in curve.losses.values())
    for place, point in enumerate(curve.losses["sum"]):
        parts = sum(curve.losses[name][place].mean for name in LOSSES)
        assert parts == pytest.approx(point.mean)
    assert (curve.end, curve.steps_per_epoch, curve.changes) == (1500, 113, ())


def test_losses_are_pooled_by_images(tmp_path: Path) -> None:
    records = [record(step, float(step)) for step in range(1, 121)]
    records[1]["images"] = 240
    (curve,) = read_curves([detector(tmp_path, records)])
    assert curve.losses["sum"][0].mean == pytest.approx((1 * 80 + 2 * 240) / 320)
    assert curve.losses["sum"][0].step == 2


def test_seeds_are_one_curve_with_a_range(tmp_path: Path) -> None:
    for seed in range(3):
        detector(tmp_path / f"seed-{seed}", seed=seed)
    (curve,) = read_curves([tmp_path])
    assert curve.seeds == (0, 1, 2)
    for points in (curve.validation, curve.losses["boxes"]):
        assert all(point.low <= point.mean <= point.high for point in points)
        assert any(point.low < point.high for point in points)


def test_before_its_first_epoch_a_run_has_losses_and_an_epochs_length(tmp_path: Path) -> None:
    (curve,) = read_curves([detector(tmp_path, detection(until=60))])
    assert curve.validation == ()
    assert curve.held_out
    assert curve.steps_per_epoch == pytest.approx(900 / 8)


def test_a_run_that_was_only_validated_is_drawn(tmp_path: Path) -> None:
    said = svg(tmp_path, detector(tmp_path / "run", epochs((None, 0.5), (None, 0.25))))
    assert "1 \N{MINUS SIGN} mAP (%)" in said
    assert "loss" not in said


@pytest.mark.parametrize(
    "losses",
    [None, 5, [1], {"boxes": "x"}, {"boxes": None}, {"boxes": -1}, {"boxes": True}, {"boxes": 10**400}],
)
def test_losses_that_are_none_are_passed_over(tmp_path: Path, losses: object) -> None:
    odd = {**record(1), "losses": losses}
    (curve,) = read_curves([detector(tmp_path, [odd, record(2, float("nan"), boxes=0.5)])])
    assert [point.step for point in curve.losses["sum"]] == [1]
    assert [point.step for point in curve.losses.get("boxes", ())] == [2]


def test_runs_without_a_sum_are_drawn_by_what_they_have(tmp_path: Path) -> None:
    records = [record(1, None, boxes=0.5), *epochs((None, 0.5), (None, 0.4))]
    runs = [detector(tmp_path / name, records, name=name) for name in ("one", "two")]
    assert "loss" not in svg(tmp_path, *runs)
    assert "losses of one" in svg(tmp_path, runs[0])
    with pytest.raises(FileError, match="AS553"):
        read_curves([detector(tmp_path / "three", records[:1])])


def test_losses_are_bounded_in_number_and_in_length(tmp_path: Path) -> None:
    strange = {f"{'x' * 500}{number}": 1.0 for number in range(50)}
    (curve,) = read_curves([detector(tmp_path, [record(1, 1.0, **strange)])])
    assert len(curve.losses) <= MOST_LOSSES + 1
    assert all(len(name) <= 61 for name in curve.losses)


def test_networks_and_detectors_are_no_figure_together(tmp_path: Path) -> None:
    network = folder(tmp_path / "network", epochs((0.5, 0.5)))
    with pytest.raises(FileError, match="AS554") as caught:
        read_curves([network, detector(tmp_path / "detector")])
    assert "draw two" in caught.value.diagnostics[0].hint
    assert str(network) in str(caught.value)


def test_one_run_is_drawn_with_each_of_its_losses(tmp_path: Path) -> None:
    said = svg(tmp_path, detector(tmp_path / "run"))
    assert said.count("iteration") == 1
    assert {"1 \N{MINUS SIGN} mAP (%)", "1 \N{MINUS SIGN} mAP of validation", "loss"} <= set(said)
    assert any(text.startswith("proposals' boxes\N{EN SPACE}0.0") for text in said)
    assert any(text.startswith("sum of all\N{EN SPACE}0.2") for text in said)
    assert not any("error" in text for text in said)


def test_of_several_runs_the_sums_are_drawn(tmp_path: Path) -> None:
    runs = [
        detector(tmp_path / name, detection(place), name=name) for place, name in enumerate(("one", "two"))
    ]
    said = svg(tmp_path, *runs)
    assert "sum of the losses" in said
    assert not any(text.startswith(("classes", "sum of all")) for text in said)
    assert sum(text.startswith(("one", "two")) for text in said) == 2
    unheld = detector(tmp_path / "three", detection(2, held=False), name="three", validation=None)
    said = svg(tmp_path, *runs, unheld)
    assert sum(text.startswith("three\N{EN SPACE}") for text in said) == 1
    assert sum(text.startswith(("one\N{EN SPACE}", "two\N{EN SPACE}")) for text in said) == 4


def test_without_validation_there_are_losses_alone(tmp_path: Path) -> None:
    run_ = detector(tmp_path / "run", detection(held=False), validation=None, name="alone")
    said = svg(tmp_path, run_)
    assert "losses of alone" in said
    assert not any("mAP" in text for text in said)


def test_drops_of_the_rate_are_told_once(tmp_path: Path) -> None:
    records = [{**each, "lr": 0.1 if each["step"] <= 700 else 0.01} for each in detection() if "lr" in each]
    said = svg(
        tmp_path, detector(tmp_path / "run", [*records, *epochs((None, 0.4), (None, 0.3), length=750)])
    )
    assert said.count("lr / 10") == 1


def test_the_same_records_make_the_same_bytes(tmp_path: Path) -> None:
    path = detector(tmp_path / "run")
    for name in ("a.svg", "b.svg", "a.png", "b.png"):
        draw(read_curves([path]), Look(title="$a$ <b>"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert "$a$ <b>" in drawn(tmp_path / "a.svg")


def test_the_command_prints_the_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([detector(tmp_path / "run")], as_json=True)
    (told,) = json.loads(capsys.readouterr().out)["runs"]
    assert (told["error"], told["train"], told["train_source"]) == ("1 - mAP", None, None)
    assert told["validation"][0]["epoch"] == 1
    assert set(told["losses"]) == {"sum", *LOSSES}
    network = folder(tmp_path / "network", epochs((0.5, 0.5)))
    assert not {"error", "losses"} & set(read_curves([network])[0].as_json())


def test_the_command_draws_into_the_runs_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run([detector(tmp_path)], log=True, unit="epoch")
    assert "shapes, shapes-detection" in drawn(tmp_path / "curves.svg")
    assert "drawn up to step 1,500" in capsys.readouterr().err
