"""Curves out of metrics: what is read, what is passed over, how seeds are laid together."""

from __future__ import annotations

import json
from math import cos, pi
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.errors import FileError
from archspec.runs.curves import Curve, Point, agreed, labelled, read_curves
from archspec.runs.series import MOST_POOLED, Change
from tests.runs import synthetic

if TYPE_CHECKING:
    from pathlib import Path

ANY = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just(10**400))
EPOCH = ("step", "epoch", "train_error", "validation_error")
TRAIN = ("step", "lr", "train_error", "images")


def curve(path: Path, records: list[Any], **changes: Any) -> Curve:
    return read_curves([synthetic.folder(path / "run", records, **changes)])[0]


def told(points: tuple[Point, ...]) -> list[tuple[int, float]]:
    return [(point.step, point.mean) for point in points]


def test_ten_epochs_are_the_training_errors_and_fewer_are_not(tmp_path: Path) -> None:
    records = [synthetic.train(50, 0.9), *synthetic.epochs(*[(0.5, 0.6)] * 9)]
    few = curve(tmp_path, records)
    assert (few.source, told(few.train)) == ("records", [(50, 0.9)])
    assert told(few.validation) == [(100 * number, 0.6) for number in range(1, 10)]
    enough = curve(tmp_path, [*records, *synthetic.epochs(*[(0.5, 0.6)] * 10)])
    assert (enough.source, told(enough.train)) == ("epochs", [(100 * number, 0.5) for number in range(1, 11)])
    assert enough.train[0] == Point(100, 0.5, 0.5, 0.5)


def test_train_records_are_pooled_by_their_images(tmp_path: Path) -> None:
    records = [
        synthetic.train(place, (place % 2) / 2, images=3 if place % 2 else 1)
        for place in range(1, 4 * MOST_POOLED + 1)
    ]
    assert told(curve(tmp_path, records).train) == [
        (place, 3 / 8) for place in range(4, 4 * MOST_POOLED + 1, 4)
    ]


def test_a_run_that_goes_on_is_drawn_as_far_as_it_is(tmp_path: Path) -> None:
    going = curve(tmp_path, [synthetic.train(20, 0.5), '{"kind": "train", "step": 40, "tra'])
    assert told(going.train) == [(20, 0.5)]
    assert (going.finished, going.held_out, going.validation, going.end) == (False, True, (), 20)
    assert going.steps_per_epoch == pytest.approx(45_000 * 20 / 1280)
    assert not curve(tmp_path, [synthetic.train(20, 0.5)], validation=None).held_out


def test_what_is_no_number_is_passed_over(tmp_path: Path) -> None:
    odd: list[Any] = [None, True, "0.5", -0.1, 1.5, float("nan"), float("inf"), [0.5], 10**400]
    records = [synthetic.train(10 * place, error) for place, error in enumerate(odd, 1)]
    records += [{**synthetic.train(1, 0.5), "step": step} for step in (*odd, 0, -5, 2**80)]
    records += [{"kind": "test", "step": 7, "test_error": 0.1}, {"kind": "?", "step": 8, "train_error": 0.1}]
    records += [*synthetic.epochs((None, 0.25), (0.5, None)), synthetic.train(300, 0.75, None)]
    kept = curve(tmp_path, records)
    assert told(kept.train) == [(1, 0.5), (300, 0.75)]
    assert told(kept.validation) == [(100, 0.25)]


@settings(max_examples=40)
@given(
    records=st.lists(
        st.one_of(
            st.fixed_dictionaries({"kind": st.just("epoch")}, optional=dict.fromkeys(EPOCH, ANY)),
            st.fixed_dictionaries({"kind": st.just("train")}, optional=dict.fromkeys(TRAIN, ANY)),
        ),
        max_size=6,
    )
)
def test_no_record_breaks_the_reader(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    found = curve(tmp_path, [synthetic.train(5, 0.5), *records])
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["train"]
    assert [point.step for point in found.train] == sorted({point.step for point in found.train})


def test_drops_are_where_the_old_rate_was_seen_last(tmp_path: Path) -> None:
    found = curve(tmp_path, synthetic.staircase([0.01, 0.1, 0.01, 0.001], 5))
    assert found.changes == (Change(50, 0.01, 0.1), Change(100, 0.1, 0.01), Change(150, 0.01, 0.001))
    assert [round(change.ratio, 6) for change in found.changes] == [0.1, 10, 10]


def test_a_drop_is_seen_as_soon_as_there_is_one_record_behind_it(tmp_path: Path) -> None:
    records = [*synthetic.staircase([0.1], 4), synthetic.train(45, 0.5, 0.0)]
    assert curve(tmp_path, records).changes == (Change(40, 0.1, 0.0),)
    assert Change(40, 0.1, 0.0).ratio == float("inf")


@pytest.mark.parametrize("count", [3, 8, 400])
def test_a_cosine_has_no_drops(tmp_path: Path, count: int) -> None:
    rates = [0.05 * (1 + cos(pi * place / count)) for place in range(1, count + 1)]
    assert curve(tmp_path, synthetic.staircase(rates, 1)).changes == ()


@pytest.mark.parametrize(("by", "steps"), [(1.1, 5), (2, 40)])
def test_a_slow_or_a_long_staircase_has_no_marks(tmp_path: Path, by: float, steps: int) -> None:
    rates = [0.1 / by**place for place in range(steps)]
    assert curve(tmp_path, synthetic.staircase(rates, 3)).changes == ()


def test_the_papers_run_is_read(tmp_path: Path) -> None:
    found = curve(tmp_path, synthetic.paper("resnet-20"))
    assert [change.step for change in found.changes] == [32_000, 48_000]
    assert (found.source, len(found.train), len(found.validation), found.steps_per_epoch) == (
        "epochs",
        181,
        181,
        352,
    )


def seeds(path: Path, *runs: list[Any]) -> Curve:
    for seed, records in enumerate(runs):
        synthetic.folder(path / "runs" / f"seed-{seed}", records, seed=seed)
    return read_curves([path / "runs"])[0]


def test_seeds_are_their_mean_and_range(tmp_path: Path) -> None:
    errors = [[(0.5, 0.25)] * 12, [(0.75, 0.5)] * 12, [(0.25, 0.75)] * 12]
    found = seeds(tmp_path, *(synthetic.epochs(*each) for each in errors))
    assert set(found.validation) == {Point(100 * number, 0.5, 0.25, 0.75) for number in range(1, 13)}
    assert set(found.train) == {Point(100 * number, 0.5, 0.25, 0.75) for number in range(1, 13)}
    assert (found.seeds, found.label) == ((0, 1, 2), "net, 3 seeds")


def test_a_mean_is_over_the_seeds_that_got_so_far(tmp_path: Path) -> None:
    found = seeds(tmp_path, synthetic.epochs(*[(0.5, 0.25)] * 12), synthetic.epochs(*[(0.5, 0.75)] * 3), [])
    assert [point.mean for point in found.validation] == [0.5] * 3 + [0.25] * 9
    assert found.seeds == (0, 1)


def test_seeds_that_were_looked_at_at_other_steps_are_read_between_them(tmp_path: Path) -> None:
    several = [[synthetic.train(step, step / 64) for step in steps] for steps in ((16, 32, 48), (24, 40))]
    found = told(seeds(tmp_path, *several).train)
    assert found == [(16, 0.25), (24, 0.375), (32, 0.5), (40, 0.625), (48, 0.75)]


def test_a_drop_that_seeds_saw_seconds_apart_is_one(tmp_path: Path) -> None:
    several = [synthetic.paper("resnet-20", seed, every=every) for seed, every in enumerate((100, 90))]
    assert [change.step for change in seeds(tmp_path, *several).changes] == [31_950, 47_970]


def test_changes_are_one_where_runs_agree() -> None:
    first, second, other = Change(100, 0.1, 0.01), Change(104, 0.1, 0.01), Change(102, 0.1, 0.05)
    assert agreed({0: [first], 1: [second], 2: [other]}, 5) == [(first, {0, 1}), (other, {2})]
    assert agreed({0: [first], 1: [second]}, 3) == [(first, {0}), (second, {1})]
    assert agreed({0: [first, second]}, 5) == [(first, {0}), (second, {0})]


@pytest.mark.parametrize(
    ("runs", "labels"),
    [
        ([{"name": "a"}, {"name": "b", "recipe": "r", "seed": 3}], ["a", "b"]),
        ([{"recipe": "r"}, {"recipe": "s"}, {"name": "b"}], ["net, r", "net, s", "b"]),
        ([{}, {"parameters": 855_770}], ["net, 0.27M", "net, 0.86M"]),
        ([{"seed": 0}, {"seed": 1}], ["net, seed 0", "net, seed 1"]),
        ([{"data": "x", "seed": 0}, {"data": "y", "seed": 0}], ["net, x", "net, y"]),
        (
            [{"recipe": "r"}, {"recipe": "s"}, {"recipe": "s", "seed": 1}],
            ["net, r", "net, s, seed 0", "net, s, seed 1"],
        ),
        ([{}, {}], ["net, run0", "net, run1"]),
        ([{"name": "a\x1b[2J\nb"}], ["a\ufffd[2J\ufffdb"]),
        ([{"name": "x" * 90 + "end"}], ["x" * 30 + "…" + "x" * 27 + "end"]),
    ],
)
def test_labels_say_what_it_takes_to_tell_runs_apart(
    tmp_path: Path, runs: list[dict[str, Any]], labels: list[str]
) -> None:
    records = [synthetic.train(1, 0.5)]
    paths = [synthetic.folder(tmp_path / f"run{place}", records, **each) for place, each in enumerate(runs)]
    assert [each.label for each in read_curves(paths)] == labels


def test_folders_of_one_name_are_numbered(tmp_path: Path) -> None:
    paths = [synthetic.folder(tmp_path / parent / "run", [synthetic.train(1, 0.5)]) for parent in "ab"]
    found = read_curves([*paths, tmp_path / "b" / ".." / "a" / "run"])
    assert [each.label for each in found] == ["net", "net (2)"]
    assert [each.path for each in found] == paths
    assert labelled([]) == ()


@pytest.mark.parametrize("records", [[], ['{"kind": "tra'], [synthetic.train(1, None)]])
def test_a_run_without_an_error_yet_is_said(tmp_path: Path, records: list[Any]) -> None:
    with pytest.raises(FileError, match="AS553 there is no record with an error yet"):
        curve(tmp_path, records)


def test_a_run_without_metrics_is_said(tmp_path: Path) -> None:
    run = synthetic.folder(tmp_path, [])
    (run / "metrics.jsonl").unlink()
    with pytest.raises(FileError, match="AS553 there is no record with an error yet"):
        read_curves([run])


def test_a_damaged_line_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"metrics\.jsonl:2:1: AS553"):
        curve(tmp_path, [synthetic.train(1, 0.5), "\0\0\n", synthetic.train(2, 0.5)])


def test_a_folder_that_is_no_run_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileError, match="AS553"):
            read_curves([path])
