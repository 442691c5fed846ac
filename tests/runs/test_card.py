"""The protocol card: its figures, its deviations from the paper, and that nothing in it acts."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.errors import FileError
from archspec.recipes.load import load_recipe, resolve_recipe
from archspec.recipes.models import Recipe
from archspec.runs.card import command_line, write_card
from archspec.runs.deviations import paper
from archspec.runs.markdown import escaped, fenced
from archspec.spec.documents import parse
from tests.runs.told import DIGITS, departures, made, of_paper, put, readings, result, told

if TYPE_CHECKING:
    from pathlib import Path

# figures


def test_several_seeds_have_a_mean_a_sample_deviation_and_a_best(tmp_path: Path) -> None:
    errors = (0.06, 0.07, 0.08)
    found = made(tmp_path, *((told(seed=seed), result(error=error)) for seed, error in enumerate(errors)))
    figure = found.figure("test_error")
    assert figure is not None
    assert figure.values == pytest.approx(errors)
    assert (figure.mean, figure.std, figure.best) == pytest.approx((0.07, 0.01, 0.06))
    text = found.as_markdown()
    assert "**Test error: 7.00 ± 1.00 % (best 6.00 %)**" in text
    assert "Test accuracy: 93.00 ± 1.00 % (best 94.00 %)" in text
    assert "n = 3 seeds" in text
    assert "ddof = 1" in text


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    found = made(tmp_path, (told(), result()))
    figure = found.figure("test_error")
    assert figure is not None
    assert figure.std is None
    assert "±" not in found.as_markdown()
    assert "no spread is known" in found.as_markdown()
    assert found.as_json()["figures"]["test_error"]["std"] is None


def test_the_card_says_how_the_tested_network_was_chosen(tmp_path: Path) -> None:
    chosen = made(tmp_path / "a", (told(), result()))
    assert "lowest validation error" in chosen.as_markdown()
    assert "42 of 63" in chosen.as_markdown()
    data = {**told()["data"], "validation": None}
    last = made(tmp_path / "b", (told(data="digits") | {"data": data}, result(validation=None)))
    assert "the last step" in last.as_markdown()
    assert not last.chosen
    assert last.figure("validation_error") is None


def test_an_unfinished_run_says_how_far_it_is(tmp_path: Path) -> None:
    path = put(tmp_path / "seed-1", told(seed=1, recipe_changes=("schedule.total=4",)))
    records = [{"kind": "epoch", "step": 21, "epoch": 1, "train_error": 0.5, "validation_error": 0.25}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    found = made(tmp_path, (told(recipe_changes=("schedule.total=4",)), result()))
    assert found.going[0].step == 21
    text = found.as_markdown()
    assert "1 of 2 runs have ended" in text
    assert (
        "Seed 1: step 21 of 84 (25%); after its last whole epoch: training error 50.00 %, validation" in text
    )


def test_a_run_that_has_just_begun_has_a_card(tmp_path: Path) -> None:
    found = made(tmp_path, (told(), None))
    assert "**Unfinished.** The run has not ended" in found.as_markdown()
    assert found.as_json()["figures"] == {}


# the paper


def test_the_papers_own_protocol_has_no_deviations_and_a_difference(tmp_path: Path) -> None:
    found = made(tmp_path, (of_paper(), result(error=0.0900, images=10_000)))
    assert found.deviations == ()
    (against,) = found.against
    assert against.printed.error == 8.75
    assert against.difference == pytest.approx(0.25)
    assert "| ResNet-20, Table 6 | 8.75 % | +0.25 points | yes |" in found.as_markdown()


def test_resnet_110_is_held_against_its_warm_up_and_its_mean(tmp_path: Path) -> None:
    warm = made(tmp_path / "a", (of_paper("cifar/resnet110", "cifar10-paper-warmup"), result(error=0.07)))
    assert departures(warm) == {}
    assert warm.against[0].difference == pytest.approx(7.0 - 6.61)
    assert "6.61 ± 0.16 %, best 6.43 %, 5 runs" in warm.as_markdown()
    cold = made(tmp_path / "b", (of_paper("cifar/resnet110"), result()))
    here, there = departures(cold)["schedule.warmup"]
    assert (here, there.split(",")[0]) == ("none", "0.01 until the training error is below 80 %")
    assert cold.against[0].difference is None


def test_a_network_is_known_by_its_function_not_by_its_name(tmp_path: Path) -> None:
    found = made(tmp_path, (of_paper("cifar/resnet20", "cifar10-paper-warmup", changes=("n=18",)), result()))
    assert found.against[0].net == "ResNet-110"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ("optimiser.nesterov=true", "optimiser.nesterov"),
        ("schedule.total=50_000", "schedule.total"),
        ("train.label_smoothing=0.1", "train.label_smoothing"),
        ("data.split=1000", "data.split"),
        ("augment.flip=false", "augment.flip"),
    ],
)
def test_what_the_paper_says_otherwise_is_a_deviation(tmp_path: Path, changes: str, field: str) -> None:
    found = made(tmp_path, (of_paper(recipe_changes=(changes,)), result()))
    assert set(departures(found)) == {field}
    assert found.against[0].difference is None
    assert "not comparable: 1 deviation" in found.as_markdown()


@pytest.mark.parametrize("change", ["optimiser.decay=conv", "train.accumulate=2", "augment.fill=black"])
def test_what_the_paper_leaves_open_is_a_reading(tmp_path: Path, change: str) -> None:
    found = made(tmp_path, (of_paper(recipe_changes=(change,)), result()))
    assert set(readings(found)) == {change.partition("=")[0]}
    assert departures(found) == {}
    assert found.against[0].difference is not None
    assert "yes, but for 1 other reading of what it leaves open" in found.as_markdown()


def test_training_on_all_images_is_a_reading(tmp_path: Path) -> None:
    run = of_paper(recipe="cifar10-paper-full50k")
    run["data"] |= {"train": 50_000, "validation": None}
    found = made(tmp_path, (run, result(validation=None)))
    assert departures(found) == {}
    assert found.against[0].difference is not None


def test_a_part_of_the_set_is_a_deviation(tmp_path: Path) -> None:
    run = of_paper()
    run["data"]["test"] = 100
    assert departures(made(tmp_path, (run, result()))) == {"test images": ("100", "10,000")}


def test_batch_norm_over_other_images_is_told(tmp_path: Path) -> None:
    found = made(tmp_path, (of_paper(batch_norm_images=128), result()))
    assert readings(found) == {"images that one BN layer sees together": ("128", "64")}
    assert "implied, not said" in found.as_markdown()


def test_another_function_has_no_difference(tmp_path: Path) -> None:
    run = told("torchvision/resnet50", "imagenet-paper", "imagenet", changes=(), batch_norm_images=32)
    found = made(tmp_path, (run, result(validation=None)))
    assert [each.printed.place for each in found.against] == ["Table 3", "Table 4"]
    assert all("another function" in each.why_not for each in found.against)
    assert readings(found)["defaults.stride_on"] == ("3x3", "1x1")


def test_imagenet_is_held_against_the_table_of_its_way_of_testing(tmp_path: Path) -> None:
    run = told("resnet50", "imagenet-paper", "imagenet", changes=(), batch_norm_images=32)
    found = made(tmp_path, (run, result(error=0.23, validation=None)))
    ten, full = found.against
    assert ten.difference == pytest.approx(23.0 - 22.85)
    assert ten.top5_difference == pytest.approx(23.0 - 6.71)
    assert full.why_not == "another way of testing"
    assert "Test error, top-5" in found.as_markdown()


def test_another_initialisation_is_told_although_the_function_is_the_same(tmp_path: Path) -> None:
    found = made(tmp_path, (of_paper("facebook/cifar-resnet20"), result()))
    assert readings(found)["init.conv"] == ("he-normal-fan-out", "he-normal-fan-in")
    assert departures(found)["init.linear"] == ("torch", "he-normal-fan-in")


def test_a_set_that_the_paper_has_not_is_said_to_be_none(tmp_path: Path) -> None:
    found = made(tmp_path, (told(), result()))
    text = found.as_markdown()
    assert "The set digits is not in the paper" in text
    assert "the nearest that the paper has" in text
    assert found.against == ()
    assert departures(found)["schedule.total"] == ("40 epochs, 840 steps", "64,000 iterations")


def test_one_function_may_be_written_in_two_ways(tmp_path: Path) -> None:
    found = made(tmp_path, (of_paper(changes=("norm.groups=16",)), result()))
    assert found.deviations == ()


def test_the_shipped_spec_and_recipe_are_named(tmp_path: Path) -> None:
    found = made(tmp_path, (of_paper(recipe_changes=("schedule.total=60_000",)), result()))
    assert {each.name: each.same_function for each in found.shipped}["cifar/resnet20"]
    assert found.changed == (("schedule.total", "60,000", "64,000"),)


def test_the_data_of_the_card_name_real_fields_specs_and_recipes() -> None:
    known = set(_fields(Recipe.model_json_schema(), "#")) | {"schedule.warmup"}
    for protocol in paper().protocols.values():
        assert known >= {*protocol.said, *protocol.open}
        assert not set(protocol.said) & set(protocol.open)
        load_recipe(protocol.recipe)
    for net in paper().networks.nets:
        assert archspec.load(net.spec)
        assert net.data in paper().protocols


def _fields(schema: dict[str, Any], _: str) -> list[str]:
    tables = ("data", "augment", "normalise", "optimiser", "schedule", "train", "test")
    kinds = {"data": "Data", "augment": "Augment", "normalise": "Normalise", "optimiser": "Optimiser"}
    kinds |= {"schedule": "Schedule", "train": "Train", "test": "Evaluation"}
    return [f"{name}.{field}" for name in tables for field in schema["$defs"][kinds[name]]["properties"]]


# runs of one job


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (told(seed=1, recipe_changes=("schedule.total=3",)), "another recipe (schedule.total 3 instead of 40)"),
        (told(seed=1, changes=("n=2", *DIGITS[1:])), "another network"),
        (told(seed=1, changes=(*DIGITS, "init.linear=torch")), "another initialisation"),
        (told(seed=1, batch_norm_images=32), "another number of images that one BN layer sees"),
        (told(seed=0), "the same seed, 0"),
        (told(seed=1) | {"data": {**told()["data"], "train": 1287}}, "another data.train"),
    ],
)  # fmt: skip
def test_runs_of_different_jobs_are_refused(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    with pytest.raises(FileError, match="AS554") as caught:
        made(tmp_path, (told(), result()), (other, result()))
    assert said in str(caught.value)


def test_runs_come_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    found = made(tmp_path, (told(seed=7), result()), (told(seed=5), result()))
    assert [run.told.seed for run in found.runs if run.told] == [5, 7]


def test_a_carried_recipe_leans_on_no_file(tmp_path: Path) -> None:
    run = told()
    run["recipe"] = {**run["recipe"], "text": 'extends = "digits.toml"'}
    with pytest.raises(FileError, match="leans on another file"):
        made(tmp_path, (run, result()))


def test_other_machines_are_told_seed_by_seed(tmp_path: Path) -> None:
    other = told(seed=1)
    other["terms"] |= {"device": "cuda", "device_name": "a GPU"}
    text = made(tmp_path, (told(), result()), (other, result())).as_markdown()
    assert "| device | cpu (seed 0); cuda (seed 1): a CPU (seed 0); a GPU (seed 1) |" in text


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("spec", "text", "format = 2"),
        ("spec", "hash", "0" * 64),
        ("spec", "parameters", 1),
        ("spec", "name", "other"),
        ("recipe", "text", 'extends = "../../etc/passwd"\nname = "x"'),
        ("recipe", "text", "name = ["),
        ("recipe", "digest", "0" * 64),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, table: str, key: str, value: Any) -> None:
    run = told()
    run[table] = {**run[table], key: value}
    with pytest.raises(FileError, match="AS5"):
        made(tmp_path, (run, result()))


# the text


HOSTILE = "a|b\n# c <img src=x> `d` [e](http://f) \x1b[31m\u202e *g* www.h.org @i $j$ &amp; ~~k~~ ```"


def test_strangers_words_are_words(tmp_path: Path) -> None:
    recipe = load_recipe("digits")
    text = recipe.text().replace('source = "archspec"', f"source = {json.dumps(HOSTILE)}")
    text = text.replace("[says]", f"[says]\ntopic = {json.dumps(HOSTILE)}")
    resolved = resolve_recipe(parse(text.encode(), "recipe", None))
    run = told(command=["archspec", HOSTILE, "```"])
    run["recipe"] = {"name": "digits", "digest": resolved.digest, "text": resolved.text()}
    run["versions"] = {HOSTILE[:99]: HOSTILE}
    run["terms"]["device_name"] = HOSTILE
    found = made(tmp_path, (run, {**result(), "view": HOSTILE}))
    text = found.as_markdown()
    acting = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    assert acting == {"\n"}
    outside = re.sub(r"^(```+)\w*\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"(?<!\\)[<>]|(?<!\\)!\[|(?<!\\)\]\(|https?://|www\.h|(?<!\\)[@$~&]", outside)
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {3, 5, 6, 9}
    assert [line for line in outside.splitlines() if line.startswith("#")][1] == "## Runs"
    assert json.dumps(found.as_json()).isascii()


@settings(max_examples=100)
@given(st.text())
def test_escaped_words_stay_on_their_line_and_are_the_words(text: str) -> None:
    seen = escaped(text)
    assert seen.isprintable() or not seen
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>#|]", seen)


@settings(max_examples=50)
@given(st.text(alphabet="`\na \x1b"))
def test_a_block_is_closed_by_its_fence_alone(text: str) -> None:
    first, *lines = fenced(text, "sh").split("\n")
    fence = first.removesuffix("sh")
    assert lines[-1] == fence
    assert not any(fence in line for line in lines[:-1])


def test_a_command_can_be_typed_again() -> None:
    assert command_line(["archspec", "--out", "a b", "it's"]) == "archspec --out 'a b' 'it'\"'\"'s'"
    assert command_line(["a\n'\x1b"]) == "$'a\\U0000000a\\'\\U0000001b'"


def test_a_card_is_written_and_equal_runs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / name, told(), result())
        write_card(tmp_path / name)
    for name in ("card.md", "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = (tmp_path / "a" / "card.md").read_text(encoding="utf-8")
    assert "archspec train --out 'runs/a b'" in text
    assert "secret" not in text + (tmp_path / "a" / "card.json").read_text()
    document = json.loads((tmp_path / "a" / "card.json").read_text())
    assert document["figures"]["test_error"]["mean"] == pytest.approx(0.1)
    assert [each["seed"] for each in document["each"]] == [0]
