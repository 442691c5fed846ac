"""A run's folder, read without torch: what was run (`run.json`), how it ended (`result.json`), and its seeds."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from archspec.errors import file_error

if TYPE_CHECKING:
    from pathlib import Path

RUN, RESULT, METRICS = "run.json", "result.json", "metrics.jsonl"
SEED = re.compile(r"seed-(0|[1-9][0-9]{0,17})")
"""The folder of one of several seeds."""
MAX_BYTES = 2**24
"""Of one file: the test of a thousand classes, class by class, is a fraction of it."""
_MOST_PROBLEMS = 8


def _iso(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _utf8(value: Any) -> Any:
    """What a shell gives need not be UTF-8; Python keeps such bytes as lone surrogates."""
    return (
        value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        if isinstance(value, str)
        else value
    )


Word = Annotated[str, Field(max_length=1000)]
Argument = Annotated[str, BeforeValidator(_utf8), Field(max_length=2**16)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=2**20)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(ge=1, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Told(BaseModel):
    """Strict, and open to keys of later versions."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class BackboneTold(_Told):
    """The network that a detector is built around: its resolved spec."""

    name: Name
    hash: Sha256
    text: Text


class SpecTold(_Told):
    """The network, or the detector: its resolved spec, and what follows from it."""

    kind: Literal["network", "detector"] = "network"
    name: Name
    hash: Sha256
    text: Text
    parameters: Count
    multiply_adds: Count
    backbone: BackboneTold | None = None
    multiply_adds_per_region: Count | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.kind == "detector" and (self.backbone is None or self.multiply_adds_per_region is None):
            raise ValueError("a detector has a backbone, and multiply-adds of each region")
        return self


class InitialTold(_Told):
    """The weights that training started from; no file where all were drawn."""

    file: Argument | None = Field(None, alias="from")
    sha256: Sha256 | None = None


class RecipeTold(_Told):
    """The recipe, resolved."""

    name: Name
    digest: Sha256
    text: Text


class DataTold(_Told):
    """The set, and how many of its images each part has. Streamed pictures have no one shape."""

    name: Name
    place: Argument
    train: Positive
    validation: Positive | None
    test: Positive | None
    """None where the objects of the test pictures are not published."""
    shape: tuple[Positive, Positive, Positive] | None = Field(strict=False)
    classes: Positive


class Terms(_Told):
    """What computed it, and how."""

    device: Name
    device_name: Word
    threads: Positive
    ranks: Positive
    nodes: Positive
    parallel: Literal["ddp", "fsdp"] | None
    sync_bn: bool
    compile: bool
    channels_last: bool
    workers: Count


class RunTold(_Told):
    """`run.json`: written when a run starts."""

    schema_version: Literal[1]
    spec: SpecTold
    initial: InitialTold | None = None
    recipe: RecipeTold
    data: DataTold
    seed: Count
    terms: Terms
    batch_norm_images: Positive
    """Images whose statistics one BN layer computes together."""
    versions: dict[Name, Word | None] = Field(max_length=64)
    started: Annotated[Name, AfterValidator(_iso)]
    command: tuple[Argument, ...] = Field(max_length=1000, strict=False)

    @model_validator(mode="after")
    def _testable(self) -> Self:
        if self.spec.kind == "network" and self.data.test is None:
            raise ValueError("a network is tested on images")
        return self


class Right(_Told):
    """How many images were told rightly, and as shares of all."""

    right: Count
    accuracy: Share
    error: Share


class Test(_Told):
    """What a test counted."""

    images: Positive
    top1: Right
    top5: Right

    @model_validator(mode="after")
    def _counted(self) -> Self:
        for top in (self.top1, self.top5):
            share = top.right / self.images
            if abs(share - top.accuracy) > 1e-9 or abs(1 - share - top.error) > 1e-9:
                raise ValueError(f"{top.right} of {self.images} images are another share")
        return self


class ResultTold(_Told):
    """`result.json`: written when a run ends."""

    schema_version: Literal[1]
    steps: Count
    tested_step: Count
    test_accuracy: Share
    best_val_accuracy: Share | None
    final_train_error: Share | None
    images_per_second: Amount
    seconds: Amount
    view: Word
    test: Test

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tested_step > self.steps:
            raise ValueError(f"step {self.tested_step} was tested, of {self.steps}")
        if abs(self.test_accuracy - self.test.top1.accuracy) > 1e-9:
            raise ValueError("test_accuracy is not that of the test")
        return self

    @property
    def best_validation(self) -> float | None:
        """By which the tested network was chosen; None where nothing was held out."""
        return self.best_val_accuracy

    def figures(self) -> dict[str, float | None]:
        """What a card sums up over seeds."""
        best = self.best_val_accuracy
        return {
            "test_error": self.test.top1.error,
            "test_accuracy": self.test_accuracy,
            "top5_error": self.test.top5.error,
            "validation_error": None if best is None else 1 - best,
            "train_error": self.final_train_error,
            # a run that was resumed behind its last step only tested
            "images_per_second": self.images_per_second or None,
        }


class ClassTold(_Told):
    """A class in a test of detections: how many objects it has, and its AP; None where it has none."""

    name: Name
    objects: Count
    ap: Share | None


class MapTest(_Told):
    """What a test of detections measured. COCO's numbers beside the mAP are there where they were computed."""

    measure: Word
    map: Share | None
    map_50: Share | None = None
    classes: tuple[ClassTold, ...] = Field((), max_length=2000, strict=False)


class MapResultTold(_Told):
    """`result.json` of a detector. `test_map` is None where the objects of the test pictures are not published."""

    schema_version: Literal[1]
    measure: Literal["map"]
    steps: Count
    tested_step: Count
    test_map: Share | None
    best_val_map: Share | None
    final_train_error: None = None
    images_per_second: Amount
    seconds: Amount
    view: Word | None = None
    test: MapTest | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tested_step > self.steps:
            raise ValueError(f"step {self.tested_step} was tested, of {self.steps}")
        of_test = None if self.test is None else self.test.map
        if of_test != self.test_map and abs((of_test or 0) - (self.test_map or 0)) > 1e-9:
            raise ValueError("test_map is not that of the test")
        return self

    @property
    def best_validation(self) -> float | None:
        """By which the tested detector was chosen; None where nothing was held out."""
        return self.best_val_map

    def figures(self) -> dict[str, float | None]:
        """What a card sums up over seeds."""
        return {
            "test_map": self.test_map,
            "test_map_50": None if self.test is None else self.test.map_50,
            "validation_map": self.best_val_map,
            "images_per_second": self.images_per_second or None,
        }


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run; or a parent of several seeds, which has no `told` and no `result` of its own."""

    path: Path
    told: RunTold | None
    result: ResultTold | MapResultTold | None
    seeds: tuple[RunFolder, ...] = ()

    @property
    def runs(self) -> tuple[RunFolder, ...]:
        """The run itself, or those of the seeds."""
        return self.seeds or (self,)

    @property
    def metrics(self) -> Path:
        """The run's records; they need not be there yet."""
        return self.path / METRICS


def read_run(path: Path) -> RunFolder:
    """A run, or the seeds of one, in the order of their numbers. Raises `FileError` (AS553).

    A seed that has not begun yet is left out; a run that is going on has no result.
    """
    if not path.is_dir():
        what = "this is a file" if path.exists() else "there is no such folder"
        raise file_error(path, "AS553", what, hint="a run's folder is what archspec train --out names")
    seeds = _seeds(path)
    own = (path / RUN).exists()
    if own and seeds:
        raise file_error(path, "AS553", "the folder holds a run of its own, and seeds of another")
    if own:
        return _single(path)
    if not seeds:
        hint = "a run's folder is what archspec train --out names"
        raise file_error(path, "AS553", f"this is no run's folder: there is no {RUN}", hint=hint)
    return RunFolder(path, None, None, tuple(_single(seed) for seed in seeds))


def _seeds(path: Path) -> list[Path]:
    """The folders of seeds that hold anything of a run."""
    try:
        named = [(SEED.fullmatch(each.name), each) for each in path.iterdir()]
    except OSError as error:
        raise file_error(path, "AS553", f"the folder cannot be read: {error.strerror or error}") from error
    found = sorted((int(match[1]), each) for match, each in named if match and each.is_dir())
    return [each for _, each in found if any((each / name).exists() for name in (RUN, RESULT))]


def _single(path: Path) -> RunFolder:
    told = _read(path / RUN, RunTold)
    if not (path / RESULT).exists():
        return RunFolder(path, told, None)
    if told.spec.kind == "detector":
        return RunFolder(path, told, _read(path / RESULT, MapResultTold))
    return RunFolder(path, told, _read(path / RESULT, ResultTold))


Kind = TypeVar("Kind", bound=_Told)


def _read(file: Path, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate(_document(file))
    except ValidationError as error:
        found = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}"[:300] for each in error.errors()]
        more = [f"and {len(found) - _MOST_PROBLEMS:,} more"] if len(found) > _MOST_PROBLEMS else []
        raise file_error(file, "AS553", *(found[:_MOST_PROBLEMS] + more)) from error


def _document(file: Path) -> dict[str, Any]:
    try:
        if not file.is_file():
            raise file_error(file, "AS553", "there is no such file")
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise file_error(file, "AS553", f"the file cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise file_error(file, "AS553", f"the file has more than {MAX_BYTES:,} bytes")
    try:
        table = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise file_error(file, "AS553", f"the file is no JSON: {str(error)[:200]}") from error
    if not isinstance(table, dict):
        raise file_error(file, "AS553", "the file holds no JSON object")
    return table
