"""In what the run of a detector departs from the paper's appendix, and what it reads where that is silent."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archspec import provenance
from archspec.api import load
from archspec.errors import SpecError, file_error
from archspec.runs.deviations import (
    Deviation,
    Job,
    Table,
    Trained,
    of_data,
    of_recipe,
    shown_value,
    spec_changes,
)
from archspec.runs.deviations import paper as of_networks
from archspec.spec.documents import parse
from archspec.spec.inherit import Sources, gather
from archspec.spec.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.architecture import Architecture
    from archspec.recipes.models import Recipe
    from archspec.runs.folder import RunTold

PAPER = Path(__file__).with_name("detection.toml")
_SHELF = Shelf("detection", "detectors")
_NEAREST = "07+12"
_SELF = frozenset({"backbone", "set", "classes"})
"""Fields that have rows of their own: the network, and the set."""
_REFERENCE = "resnet101"
_IMPLIED: dict[str, Any] = {
    "frozen": [],
    "batch_norm": "frozen",
    "proposals.nms": 0.7,
    "proposals.foreground": 0.7,
    "proposals.background": 0.3,
    "proposals.positive": 0.5,
    "regions.context": False,
    "regions.foreground": 0.5,
    "regions.background": 0.5,
    "regions.positive": 0.25,
    "regions.weights": [10.0, 10.0, 5.0, 5.0],
}
"""Defaults that the shipped files leave unsaid."""
Text = Annotated[str, Field(max_length=400)]


class Mean(Table):
    """A mAP of the paper's, in percent; for COCO that of overlaps from .5 to .95, and mAP@.5 beside it."""

    place: str
    data: str
    map: float
    map_50: float | None = None


class DetectorNet(Table):
    """A network that the paper builds a detector on, and the shipped detector that is one."""

    name: str
    spec: str
    detector: str
    results: tuple[Mean, ...] = ()


class DetectionPaper(Table):
    """`detection.toml`."""

    said: dict[str, str]
    open: dict[str, str]
    nets: tuple[DetectorNet, ...]
    protocols: dict[str, Trained]


@cache
def paper() -> DetectionPaper:
    """What the paper says and prints of detection."""
    return DetectionPaper.model_validate(tomllib.loads(PAPER.read_text(encoding="utf-8")))


class _Read(BaseModel):
    """Open to keys of later versions."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _Image(_Read):
    shorter: tuple[int, ...] = Field(max_length=20)
    longest: int


class _Proposals(_Read):
    keep_train: int
    keep_test: int


class _Regions(_Read):
    kind: Literal["pool", "align"]
    size: int
    sampled: int


class DetectorRead(_Read):
    """What a card says of a detector, out of its resolved file."""

    backbone: Text
    cut: Text
    frozen: tuple[Text, ...] = Field((), max_length=64)
    batch_norm: Literal["frozen", "statistics", "trained"]
    image: _Image
    proposals: _Proposals
    regions: _Regions


@dataclass(frozen=True, slots=True)
class DetectorJob(Job):
    """A detector that was trained: `architecture` is its backbone's, whole; `table` all that its file says."""

    detector: DetectorRead
    table: Mapping[str, Any]


def detector_job(file: str, told: RunTold, recipe: Recipe) -> DetectorJob:
    """What a run says of its detector, its network compiled anew. Raises `FileError` where one contradicts another."""
    backbone = told.spec.backbone
    assert backbone is not None, "a run of a detector has one"
    metadata = {provenance.SPEC: backbone.text, provenance.FUNCTION: backbone.hash}
    architecture = provenance.recalled(metadata, file)
    assert architecture is not None, "the text is there"
    try:
        document = parse(told.spec.text.encode(), f"{file} (its detector)", None).data
        read = DetectorRead.model_validate(document.get("detector"))
    except (SpecError, ValidationError) as error:
        raise file_error(file, "AS553", f"the detector that it carries cannot be used: {error}") from error
    if "extends" in document:
        raise file_error(file, "AS553", "the detector that it carries leans on another file")
    if (architecture.name, document.get("name")) != (backbone.name, told.spec.name):
        raise file_error(file, "AS553", "the detector that it carries, or its network, has another name")
    table = tomllib.loads(told.spec.text)["detector"]
    # of the text as it is: a later archspec may know more fields, with defaults of their own
    computed = {key: each for key, each in table.items() if key not in ("backbone", "set")}
    computed["function"] = architecture.hash
    if sha256(json.dumps(computed, sort_keys=True).encode()).hexdigest() != told.spec.hash:
        raise file_error(file, "AS553", "the detector that it carries has another digest")
    return DetectorJob(told, architecture, recipe, read, table)


def detector_protocol(job: Job) -> Trained:
    """The paper's protocol for the set, or the one that is nearest."""
    known = paper().protocols
    return known.get(job.told.data.name, known[_NEAREST])


def detector_in_paper(job: Job) -> bool:
    """Whether the paper trains detectors on that set."""
    return job.told.data.name in paper().protocols


def detector_net(job: Job) -> tuple[DetectorNet | None, bool]:
    """The network of the paper's that the backbone is, or is called after; and whether it is that function."""
    nets = paper().nets
    for net in nets:
        if load(net.spec).hash == job.architecture.hash:
            return net, True
    return next((each for each in nets if load(each.spec).name == job.architecture.name), None), False


def detector_deviations(job: DetectorJob) -> tuple[Deviation, ...]:
    """Everything, in the order of the card: the network, the detector, the recipe, the data."""
    protocol = detector_protocol(job)
    return (
        *_of_backbone(job),
        *_of_start(job),
        *_of_detector(job, protocol),
        *_of_training(),
        *of_recipe(job, protocol, protocol.recipe),
        *of_data(job, paper().protocols),
    )


def _of_backbone(job: DetectorJob) -> Iterator[Deviation]:
    net, same = detector_net(job)
    if net is None:
        names = " or ".join(each.name for each in paper().nets if each.results)
        yield Deviation("detector", "backbone", job.architecture.name, names, "Tables 7 and 8")
        return
    if same:
        return
    for change in spec_changes(job, load(net.spec)):
        if change.name.startswith("init.") and _started(job):
            continue
        reading = of_networks().networks.open.get(change.name)
        where = f"{net.name}, as the spec {net.spec} reads it"
        if reading is not None:
            where = f"the paper leaves open {reading}"
        here, there = shown_value(change.left), shown_value(change.right)
        yield Deviation("spec", change.name, here, there, where, reading is not None)


def _started(job: DetectorJob) -> bool:
    """Whether training starts from weights of a file."""
    return job.told.initial is not None and job.told.initial.file is not None


def _of_start(job: DetectorJob) -> Iterator[Deviation]:
    if not _started(job):
        there = "those of a network trained on ImageNet"
        yield Deviation("detector", "weights at the start", "all drawn", there, "appendix A")


def _of_training() -> Iterator[Deviation]:
    where = "Ren et al., 3.2, to which appendix A refers; it has a step for proposals and one for regions"
    yield Deviation(
        "detector", "training", "jointly, all four losses added up", "in four steps, in turn", where
    )


def _of_detector(job: DetectorJob, protocol: Trained) -> Iterator[Deviation]:
    net, _ = detector_net(job)
    known = net or next(each for each in paper().nets if each.spec == _REFERENCE)
    here, there = _whole(job.table), _whole(shipped_detector(known.detector))
    for field in dict.fromkeys([*there, *here]):
        if field in _SELF or here.get(field) == there.get(field):
            continue
        reading = protocol.open.get(field, paper().open.get(field))
        source = paper().said.get(field, f"as {known.detector} has it")
        if reading is not None:
            nothing = reading.startswith("nothing: ")
            source = reading.removeprefix("nothing: ") if nothing else f"the paper leaves open {reading}"
        told = _told(here.get(field)), _told(there.get(field))
        yield Deviation("detector", field, *told, source, reading is not None)


def _told(value: Any) -> str:
    return ", ".join(value) or "none" if _words(value) else shown_value(value)


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


@cache
def shipped_detector(name: str) -> Mapping[str, Any]:
    """What the file of a shipped detector says, and those that it extends."""
    document = _SHELF.read(name)
    assert document.path is not None, "it ships"
    table: dict[str, Any] = Sources(gather(document, document.path.parent)).merged()["detector"]
    return table


def _leaves(table: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{name}{key}.")
        else:
            yield f"{name}{key}", value


def _whole(table: Mapping[str, Any]) -> dict[str, Any]:
    """All fields of a detector, with the defaults that its file leaves unsaid."""
    return {**_IMPLIED, **dict(_leaves(table))}


def shipped_as(job: DetectorJob) -> bool | None:
    """Whether the detector is the shipped one of its name, but for its classes; None where none ships under it."""
    if job.told.spec.name not in _SHELF.names():
        return None
    table = shipped_detector(job.told.spec.name)
    here, there = (
        {field: value for field, value in _whole(each).items() if field not in _SELF}
        for each in (job.table, table)
    )
    return here == there and _same_network(job, load(table["backbone"], settings=table.get("set", ())))


def _same_network(job: Job, other: Architecture) -> bool:
    """Whether the network computes the same, and starts the same where its weights are drawn."""
    if job.architecture.hash != other.hash:
        return False
    return not any(change.name.startswith("init.") for change in spec_changes(job, other))


def frozen_words(job: DetectorJob) -> str:
    """What of the detector's network training leaves as it is, in words."""
    stages = ", ".join(job.detector.frozen) or "no stage"
    return {
        "frozen": f"{stages}; every BN, with scale and shift",
        "statistics": f"{stages}; the statistics of every BN, whose scale and shift are trained",
        "trained": f"{stages}; BN is trained, with statistics of the batch",
    }[job.detector.batch_norm]
