"""What `archspec train` knows of sets that need not be there."""

from __future__ import annotations

import pytest
from archspec_cli.tasks import IMAGES

from archspec.detection.scenes.voc import COMBINATIONS

VOC = {(2007, "trainval"): 5011, (2007, "test"): 4952, (2012, "train"): 5717, (2012, "trainval"): 11_540}
"""Pictures, as the devkits list them."""


@pytest.mark.parametrize("name", COMBINATIONS)
def test_an_epoch_of_vocs_sets_has_the_pictures_that_are_trained_on(name: str) -> None:
    training, _ = COMBINATIONS[name]
    assert IMAGES[name] == sum(VOC[part] for part in training)
