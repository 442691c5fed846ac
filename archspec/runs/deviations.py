"""In what a run departs from the paper, and what it reads where the paper leaves something open."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from archspec.api import load
from archspec.compare import changed_fields
from archspec.ir.ops import BatchNorm2d
from archspec.passes.flatten import flatten
from archspec.recipes.differences import differences
from archspec.recipes.fields import TRAIN_ERROR
from archspec.recipes.idle import RULES
from archspec.recipes.load import load_recipe
from archspec.recipes.schedule import epoch_steps
from archspec.spec.fields import shown
from archspec.spec.library import shipped_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from archspec.architecture import Architecture
    from archspec.recipes.models import Recipe, Warmup
    from archspec.runs.folder import RunTold

PAPER = Path(__file__).with_name("paper.toml")
SMALL = 64
"""Side up to which images of a set that the paper does not have are nearer to its CIFAR-10 than to its ImageNet."""
_SILENT = frozenset({"format", "name", "about", "family", "keys", "params"})
_COUNTED = frozenset({"schedule.total", "schedule.milestones", "schedule.period", "schedule.patience"})
_IDLE = frozenset(".".join(map(str, loc)) for rule in RULES for loc in rule.locs)
_ABSENT = frozenset({"data.name", "schedule.unit"})
"""Rows that others tell: the data have a section, and lengths are told with their unit."""
MULTI_SCALE = {224, 256, 384, 480, 640}


class Table(BaseModel):
    """Of what the paper says."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Printed(Table):
    """A figure of the paper's, in percent; with several runs `error` is the best of them."""

    place: str
    crops: Literal["single", "ten", "full"]
    error: float
    top5: float | None = None
    runs: int | None = None
    mean: float | None = None
    std: float | None = None


class Net(Table):
    """A network of the paper's, and the shipped spec that is one."""

    name: str
    spec: str
    data: str
    results: tuple[Printed, ...] = ()


class Deep(Table):
    """Networks of so many layers are trained by a recipe of their own."""

    layers: int
    recipe: str
    remark: str


class Trained(Table):
    """How the paper trains on a set: the recipe that is its protocol, and which fields it says or leaves open."""

    title: str
    place: str
    recipe: str
    train: int
    test: int
    said: tuple[str, ...]
    open: dict[str, str]
    tested: str = ""
    deep: Deep | None = None
    unlearned: float = 0.0
    """Share of the training images that may have nothing to learn from, and are then left out."""


class Protocol(Trained):
    """How the paper trains networks on a set."""

    batch_norm_images: int
    batch_norm: str


class Networks(Table):
    """The paper's networks, and what their specs read where it is silent."""

    open: dict[str, str]
    nets: tuple[Net, ...]


class Paper(Table):
    """`paper.toml`."""

    protocols: dict[str, Protocol] = Field(description="By the name of the set.")
    networks: Networks


@cache
def paper() -> Paper:
    """What the paper says and prints."""
    return Paper.model_validate(tomllib.loads(PAPER.read_text(encoding="utf-8")))


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something that is another way here than in the paper. Where the paper leaves it open, it is a reading."""

    about: Literal["spec", "detector", "recipe", "data", "compute"]
    field: str
    here: str
    paper: str
    source: str
    open: bool = False


@dataclass(frozen=True, slots=True)
class Shipped:
    """A shipped spec of the same name, and in what this one differs: field, here, there."""

    name: str
    same_function: bool
    fields: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What was run, compiled and read again."""

    told: RunTold
    architecture: Architecture
    recipe: Recipe

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch; at least one, so that units can be told."""
        return max(1, epoch_steps(self.recipe, self.told.data.train))


def protocol_of(job: Job) -> Protocol:
    """The paper's protocol for the set, or for the set of the paper's that is most like it."""
    known, data = paper().protocols, job.told.data
    if data.name in known:
        return known[data.name]
    small = data.shape is not None and max(data.shape[1:]) <= SMALL
    return known["cifar10" if small else "imagenet"]


def in_paper(job: Job) -> bool:
    """Whether the paper trains on that set."""
    return job.told.data.name in paper().protocols


def net_of(job: Job) -> tuple[Net | None, bool]:
    """The network of the paper's that this one is, or that it is called after; and whether it is that function."""
    # a set that the paper does not have is held against its most similar one
    home = next(name for name, each in paper().protocols.items() if each is protocol_of(job))
    nets = [each for each in paper().networks.nets if each.data == home]
    for net in nets:
        if load(net.spec).hash == job.architecture.hash:
            return net, True
    named = [each for each in nets if load(each.spec).name == job.architecture.name]
    return (named[0] if named else None), False


def shipped(job: Job) -> tuple[Shipped, ...]:
    """The shipped specs of that name, the nearest first."""
    found = []
    for name in shipped_names():
        if job.architecture.name not in (name, name.rpartition("/")[2]):
            continue
        other = load(name)
        fields = tuple(
            (each.name, shown_value(each.left), shown_value(each.right)) for each in spec_changes(job, other)
        )
        found.append(Shipped(name, other.hash == job.architecture.hash, fields))
    return tuple(sorted(found, key=lambda each: len(each.fields)))


def deviations(job: Job) -> tuple[Deviation, ...]:
    """Everything, in the order of the card: the network, the recipe, the data, how it was computed."""
    protocol, known = protocol_of(job), paper().protocols
    return (
        *_of_spec(job),
        *of_recipe(job, protocol, paper_recipe(job)),
        *of_data(job, known),
        *_of_batch_norm(job),
    )


def paper_recipe(job: Job) -> str:
    """The recipe that is the paper's protocol for this network."""
    protocol = protocol_of(job)
    deep = protocol.deep
    is_deep = deep is not None and job.architecture.measure.total.layers == deep.layers
    return deep.recipe if deep is not None and is_deep else protocol.recipe


def spec_changes(job: Job, other: Architecture) -> Iterator[Any]:
    """Also the initialisation, which changes no function, but where training starts."""
    yield from changed_fields(job.architecture.declared.resolved(), other.declared.resolved(), silent=_SILENT)
    here, there = (dict(each.declared.resolved().get("params") or {}) for each in (job.architecture, other))
    if here != there:
        yield from changed_fields({"params": here}, {"params": there})


def _of_spec(job: Job) -> Iterator[Deviation]:
    net, same = net_of(job)
    if net is None:
        yield Deviation(
            "spec", "network", job.architecture.name, "no such network", "Tables 1 and 6, Fig. 3 and 6"
        )
        return
    source = f"{net.name}, as the spec {net.spec} reads it"
    for change in spec_changes(job, load(net.spec)):
        # two specs of one function may be written in two ways
        if same and not change.name.startswith("init."):
            continue
        reading = paper().networks.open.get(change.name)
        is_open = reading is not None and change.left != "torch"
        where = f"the paper leaves open {reading}" if is_open else source
        yield Deviation(
            "spec", change.name, shown_value(change.left), shown_value(change.right), where, is_open
        )


def of_recipe(job: Job, protocol: Trained, name: str) -> Iterator[Deviation]:
    """Fields in which the recipe is not the one of a name, which is the paper's protocol."""
    other = load_recipe(name).recipe
    warm = [job.recipe.schedule.warmup, other.schedule.warmup]
    if warm[0] != warm[1]:
        deep = protocol.deep
        remark = f"; {deep.remark}" if deep is not None and name == deep.recipe else ""
        yield Deviation(
            "recipe",
            "schedule.warmup",
            _warmup(warm[0], job.recipe.schedule.unit),
            _warmup(warm[1], "iteration"),
            protocol.place + remark,
        )
    for field, here, there in differences(job.recipe, other):
        if field in _ABSENT or field.startswith("schedule.warmup"):
            continue
        if here is None and field in _IDLE:  # the switch that turns it off has a row of its own
            continue
        told = _counted(job, field, here), _counted_there(other, field, there)
        yield _row(protocol, field, told, here)


def _row(protocol: Trained, field: str, told: tuple[str, str], here: Any) -> Deviation:
    reading = protocol.open.get(field)
    # whether the tested nets saw the held-out images is not said: none held out is a reading, another number is not
    if field == "data.split" and here == 0:
        reading = "whether the tested networks were trained on the held-out images"
    if reading is not None:
        nothing = reading.startswith("nothing: ")
        source = reading.removeprefix("nothing: ") if nothing else f"the paper leaves open {reading}"
        return Deviation("recipe", field, *told, source, open=True)
    source = protocol.place if field in protocol.said else f"{protocol.place} names none"
    return Deviation("recipe", field, *told, source)


def of_data(job: Job, known: Mapping[str, Trained]) -> Iterator[Deviation]:
    """Another set than the paper's, or another number of its images."""
    data = job.told.data
    if data.name not in known:
        sets = ", ".join(each.title for each in known.values())
        yield Deviation("data", "set", data.name, sets, "the set is not in the paper")
        return
    protocol = known[data.name]
    images = data.train + (data.validation or 0)
    if not (1 - protocol.unlearned) * protocol.train <= images <= protocol.train:
        what = "training and validation images"
        yield Deviation("data", what, f"{images:,}", f"{protocol.train:,}", protocol.place)
    if data.test is not None and data.test != protocol.test:
        yield Deviation("data", "test images", f"{data.test:,}", f"{protocol.test:,}", protocol.place)


def normalises_batches(job: Job) -> bool:
    """Whether the network has BN."""
    return any(isinstance(flat.op, BatchNorm2d) for flat in flatten(job.architecture.graph))


def _of_batch_norm(job: Job) -> Iterator[Deviation]:
    protocol, here = protocol_of(job), job.told.batch_norm_images
    if normalises_batches(job) and here != protocol.batch_norm_images:
        there = f"{protocol.batch_norm_images:,}"
        field = "images that one BN layer sees together"
        yield Deviation("compute", field, f"{here:,}", there, protocol.batch_norm, open=True)


def _warmup(warmup: Warmup | None, unit: str) -> str:
    if warmup is None:
        return "none"
    if warmup.until == TRAIN_ERROR:
        below = f"{100 * warmup.below:g} %, looked at every {warmup.every:,} iterations"
        return f"{warmup.lr:g} until the training error is below {below}"
    return f"{warmup.lr:g} for {shown_value(warmup.until)} {unit}s, {warmup.shape}"


def _counted(job: Job, field: str, value: Any) -> str:
    """A length of the schedule with its unit; epochs in steps, too, which is what the paper counts in."""
    if field not in _COUNTED or value is None or job.recipe.schedule.unit != "epoch":
        return _counted_there(job.recipe, field, value)
    values = value if isinstance(value, list) else [value]
    steps = shown_value([each * job.steps_per_epoch for each in values])
    return f"{shown_value(value)} epochs, {steps} steps"


def _counted_there(recipe: Recipe, field: str, value: Any) -> str:
    unit = f" {recipe.schedule.unit}s" if field in _COUNTED and value is not None else ""
    return shown_value(value) + unit


def shown_value(value: Any) -> str:
    """A value as people read it: `32,000, 48,000`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(each, int | float) for each in value):
        return ", ".join(map(shown_value, value)) or "none"
    return shown(value)
