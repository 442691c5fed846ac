"""Images whose statistics batch normalisation computes together: how many, and that one alone is refused in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

import archspec
from archspec.data.synthetic import make
from archspec.errors import FileError
from archspec.recipes.load import load_recipe
from archspec.train.loop import Terms
from archspec.train.run import run
from archspec.train.together import fewest_together, normalised_together, refuse_single_values
from archspec.train.topology import Topology
from tests.train.running import job, net

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.recipes.models import Recipe


def recipe(*settings: str) -> Recipe:
    return load_recipe("digits", settings).recipe


def terms(ranks: int = 1, **more: Any) -> Terms:
    return Terms(topology=Topology(0, ranks), **more)


def imagenets() -> Architecture:
    """Its last stages see a map of 1x1."""
    head = 'head.layers=[{pool="average"}, {linear=10}]'
    return archspec.load("resnet18", settings=["input.size=[32, 32]", "input.channels=1", head])


@pytest.mark.parametrize(
    ("batch", "accumulate", "ranks", "sync", "most", "fewest"),
    [
        (64, 1, 1, False, 64, 64),
        (64, 4, 1, False, 16, 16),
        (64, 4, 3, False, 6, 5),
        (64, 4, 3, True, 16, 15),
        (3, 1, 2, False, 2, 1),
        (3, 1, 2, True, 3, 3),
        (8, 4, 2, False, 1, 1),
        (1, 1, 4, False, 1, 1),
    ],
)
def test_a_batch_is_cut_by_ranks_and_by_parts(
    batch: int, accumulate: int, ranks: int, sync: bool, most: int, fewest: int
) -> None:
    of = recipe(f"data.batch={batch}", f"train.accumulate={accumulate}")
    by = terms(ranks, sync_bn=sync)
    assert normalised_together(of, by) == most
    assert fewest_together(of, by, batch) == fewest


@pytest.mark.parametrize(
    ("images", "settings", "ranks", "hint"),
    [
        (129, ("data.batch=64",), 1, "an epoch ends with a batch of 1: data.last=drop leaves it out"),
        (131, ("data.batch=64",), 2, "an epoch ends with a batch of 3: data.last=drop leaves it out"),
        (128, ("data.batch=64", "train.accumulate=64"), 1, "a larger data.batch"),
        (128, ("data.batch=1",), 1, "a larger data.batch"),
    ],
)
def test_a_single_value_is_refused(images: int, settings: tuple[str, ...], ranks: int, hint: str) -> None:
    of, by = recipe(*settings), terms(ranks)
    with pytest.raises(FileError, match=r"AS541 batch normalisation of a 1x1 map \(layer4\.") as caught:
        refuse_single_values(imagenets(), of, by, images)
    assert hint in caught.value.diagnostics[0].hint
    refuse_single_values(net(), of, by, images)  # whose last map is 2x2


@pytest.mark.parametrize(
    ("images", "settings", "ranks", "sync"),
    [
        (130, (), 1, False),
        (129, ("data.last=drop",), 1, False),
        (131, (), 2, True),
    ],
)
def test_several_values_are_fine(images: int, settings: tuple[str, ...], ranks: int, sync: bool) -> None:
    refuse_single_values(imagenets(), recipe("data.batch=64", *settings), terms(ranks, sync_bn=sync), images)


def test_torch_agrees(tmp_path: Path) -> None:
    """What is refused before the first step is what it would refuse at the last."""
    module = archspec.build(imagenets()).train()
    module(torch.zeros(2, 1, 32, 32))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        module(torch.zeros(1, 1, 32, 32))
    one = make((1, 32, 32), 10, train=17, test=4)
    with pytest.raises(FileError, match="AS541 batch normalisation"):
        run(job(tmp_path, "data.batch=8", "data.split=0", architecture=imagenets(), splits=one))
