"""What a run says of itself: `run.json` for its card, and the stamp on its weights."""

from __future__ import annotations

import base64
import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from archspec import provenance
from archspec.data.prepare import central
from archspec.data.sets import Images
from archspec.errors import FileError
from archspec.preprocessing import Preprocessing
from archspec.runs.folder import read_run
from archspec.train.contenders import DATA, NORMALISER, RECIPE
from archspec.train.together import normalised_together

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from archspec.architecture import Architecture
    from archspec.data.prepare import Feeds
    from archspec.data.sets import Parted, Set
    from archspec.preprocessing import Color
    from archspec.recipes.load import LoadedRecipe
    from archspec.train.loop import Terms
    from archspec.train.run import Job

SCHEMA_VERSION = 1
_COLORS: dict[int, Color] = {1: "L", 3: "RGB"}


def run_record(job: Job, of_task: Mapping[str, Any]) -> dict[str, Any]:
    """`run.json`: what runs, on what, by which versions. `of_task` says so of the network and the data."""
    recipe, terms = job.task.recipe, job.terms
    return {
        "schema_version": SCHEMA_VERSION,
        **of_task,
        "initial": job.task.start,
        "recipe": {"name": recipe.name, "digest": recipe.digest, "text": recipe.text()},
        "seed": terms.seed,
        "terms": _terms(terms, job.workers),
        "batch_norm_images": normalised_together(recipe.recipe, terms),
        "versions": {
            "archspec": version("archspec-nn"),
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": version("numpy"),
            "cuda": torch.version.cuda if terms.device.type == "cuda" else None,
            "platform": platform.platform(),
        },
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["archspec", *sys.argv[1:]],
    }


def changes(folder: Path, record: Mapping[str, Any]) -> tuple[str, ...]:
    """A line where a run goes on by other means than `run.json` says: sums are then rounded otherwise."""
    try:
        before = read_run(folder).told
    except FileError:
        return ()
    if before is None:
        return ()
    then = {**before.terms.model_dump(exclude={"workers"}), **before.versions}
    now = {**record["terms"], **record["versions"]}
    other = [f"{name} {then[name]} (now {now[name]})" for name in then if then[name] != now.get(name)]
    if not other:
        return ()
    return (f"may not be the bits of a run in one go: so far computed with {', '.join(other)}",)


def spec_record(architecture: Architecture) -> dict[str, Any]:
    """A network in `run.json`."""
    total = architecture.measure.total
    return {
        "kind": "network",
        "name": architecture.name,
        "hash": architecture.hash,
        "text": provenance.spec_text(architecture),
        "parameters": total.params,
        "multiply_adds": total.macs,
    }


def data_record(splits: Parted, place: str) -> dict[str, Any]:
    """Images in `run.json`, those for validation held out; those of a task without a test are none."""
    train = splits.train
    return {
        "name": train.name,
        "place": place,
        "train": len(train),
        "validation": len(splits.validation) if splits.validation is not None else None,
        "test": len(splits.test) if splits.test is not None else None,
        "shape": list(train.shape) if isinstance(train, Images) else None,
        "classes": len(train.classes),
    }


def _terms(terms: Terms, workers: int) -> dict[str, Any]:
    ranks = terms.topology.ranks
    return {
        "device": terms.device.type,
        "device_name": _device_name(terms.device),
        "threads": torch.get_num_threads(),
        "ranks": ranks,
        "nodes": terms.topology.nodes,
        "parallel": terms.parallel if ranks > 1 else None,
        "sync_bn": terms.sync_bn and ranks > 1,
        "compile": terms.compile,
        "channels_last": terms.channels_last,
        "workers": workers,
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        with open("/proc/cpuinfo") as stream:
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or os.uname().machine


def weights_stamp(
    architecture: Architecture, recipe: LoadedRecipe, test: Set, feeds: Feeds
) -> dict[str, str]:
    """What the weights carry: spec, recipe, data, classes, and how their images are normalised."""
    stamp = {
        **provenance.stamp(architecture),
        provenance.ORIGIN: f"archspec train, {recipe.name}",
        provenance.LABELS: json.dumps(list(test.classes)),
        RECIPE: recipe.text(),
        DATA: test.name,
        NORMALISER: _packed(feeds),
    }
    preprocessing = _preprocessing(architecture, recipe, feeds)
    return stamp if preprocessing is None else {**stamp, provenance.PREPROCESSING: preprocessing.to_json()}


def _packed(feeds: Feeds) -> str:
    from safetensors.torch import save

    return base64.b64encode(save(feeds.normaliser.tensors())).decode()


def _preprocessing(architecture: Architecture, recipe: LoadedRecipe, feeds: Feeds) -> Preprocessing | None:
    """How a picture is prepared, where that can be said by channel: not where a mean image is subtracted."""
    mean, factor = feeds.normaliser.mean, feeds.normaliser.factor
    color = _COLORS.get(len(mean))
    if mean[0].numel() > 1 or color is None:
        return None
    _, height, width = architecture.input_shape
    view = central(recipe.recipe)
    return Preprocessing(
        size=(height, width),
        resize=view.resize or None,
        color=color,
        range=255,
        mean=tuple(mean.flatten().tolist()),
        std=tuple((1 / factor).flatten().tolist()),
    )
