"""The test at the end of a run: of the checkpoint as it lies on the disk, by the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.data.sets import Images
from archspec.errors import file_error
from archspec.train.contenders import Asked, Look, check, common_view, contender, normalisation, ready
from archspec.train.evaluate import evaluate
from archspec.train.scores import Untestable

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.train.run import Job
    from archspec.train.scores import Scores

_AT_ONCE = 256


def tested(checkpoint: Path, job: Job) -> tuple[Scores, str]:
    """What the network of a checkpoint gets right of the test images, and in words how it looked at them.

    It is what `archspec eval` does with the run. Raises `FileError`.
    """
    entered, part = contender(checkpoint, Asked()), job.splits.test
    try:
        view, full = common_view(Look(), [entered])
        check(entered, part, view, full=full)
        scores = evaluate(
            [ready(entered, normalisation(entered, job.splits), job.terms.device, full=full)],
            part.pixels if isinstance(part, Images) else part,
            part.labels,
            view=view,
            normalise=lambda images: images,  # the network has its own
            batch=_AT_ONCE,
            device=job.terms.device,
        )
    except Untestable as error:
        raise file_error(entered.file, error.code or "AS541", str(error), hint=error.hint) from error
    return scores, str(view)
