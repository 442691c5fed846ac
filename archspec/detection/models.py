"""The language of detectors as frozen Pydantic models. Every key is listed here; every other key is an error.

A detector file says how Faster R-CNN (Ren et al. 2015) is built around a network of the compiler's. How it is trained
is a recipe's matter; what a step samples from one image is said here, because torchvision's parts hold it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from archspec.recipes.fields import Ratio, Sentence, Share, Side, Sides, Topic
from archspec.spec.fields import About, Format, Name, StageName, like, problem, shown
from archspec.spec.models import Model

MOST_CLASSES = 2000
MOST_BOXES = 100_000

_REFERENCE = r"[A-Za-z0-9][A-Za-z0-9._/-]*"
_LABEL = r"[^\x00-\x1f\x7f]+"


Reference = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    Field(json_schema_extra={"pattern": f"^{_REFERENCE}$"}),
    like(_REFERENCE, "AS571", "names no spec that ships, and no .toml file beside this one"),
]
Label = Annotated[
    str, StringConstraints(min_length=1, max_length=64), like(_LABEL, "AS113", "is not one line of text")
]


def _some(value: Any) -> Any:
    """Pydantic's own least length would also complain of a value that is wrong by itself."""
    if isinstance(value, (list, tuple)) and not value:
        raise problem("AS104", "too short: at least 1 is needed")
    return value


_SOME = BeforeValidator(_some)
_LEAST = Field(json_schema_extra={"minItems": 1})
Boxes = Annotated[int, Field(ge=1, le=MOST_BOXES)]
Overlap = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
PixelMean = Annotated[float, Field(ge=-255, le=255, allow_inf_nan=False)]
PixelSpread = Annotated[float, Field(ge=1e-6, le=255, allow_inf_nan=False)]


def _classes(value: Any) -> int | tuple[str, ...]:
    """How many, or their names: no background among them."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_CLASSES:
            raise problem("AS104", f"{shown(value)} is out of range: at least 1 and at most {MOST_CLASSES}")
        return value
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
        raise problem("AS103", f"classes are a number or an array of names, not {shown(value)}")
    if not 1 <= len(value) <= MOST_CLASSES:
        raise problem("AS104", f"{len(value)} classes: at least 1 and at most {MOST_CLASSES} are allowed")
    wrong = next((each for each in value if not 1 <= len(each) <= 64 or not re.fullmatch(_LABEL, each)), None)
    if wrong is not None:
        raise problem("AS113", f"{shown(wrong)} is not a class's name", "one line of 1 to 64 characters")
    twice = next((each for place, each in enumerate(value) if each in value[:place]), None)
    if twice is not None:
        raise problem("AS109", f"two classes are named {shown(twice)}")
    return tuple(value)


_CLASSES_JSON = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MOST_CLASSES},
        {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 64},
            "minItems": 1,
            "maxItems": MOST_CLASSES,
            "uniqueItems": True,
        },
    ]
}
Classes = Annotated[
    int | tuple[str, ...],
    PlainValidator(_classes),
    PlainSerializer(lambda classes: classes if isinstance(classes, int) else list(classes)),
    WithJsonSchema(_CLASSES_JSON),
]


class Image(Model):
    """How a picture becomes an input: RGB from 0 to 1, normalised, then resized, sides in proportion."""

    shorter: Annotated[Sides, _SOME, _LEAST] = Field(
        (600,),
        description="Shorter side in pixels. Of several, one is drawn for each training image; tests take the last.",
    )
    longest: Side = Field(1000, description="The longer side at most; it goes before `shorter`.")
    mean: Annotated[tuple[PixelMean, ...], Field(strict=False, max_length=64), _SOME, _LEAST] = Field(
        (0.485, 0.456, 0.406), description="Subtracted, one a channel."
    )
    std: Annotated[tuple[PixelSpread, ...], Field(strict=False, max_length=64), _SOME, _LEAST] = Field(
        (0.229, 0.224, 0.225), description="Divided by, one a channel."
    )


class Anchors(Model):
    """The boxes that proposals start from: every size with every ratio, at every place of the shared map."""

    sizes: Annotated[tuple[Side, ...], Field(strict=False, max_length=16), _SOME, _LEAST] = Field(
        (128, 256, 512), description="Sides in pixels of a square anchor; other ratios keep its area."
    )
    ratios: Annotated[tuple[Ratio, ...], Field(strict=False, max_length=16), _SOME, _LEAST] = Field(
        (0.5, 1.0, 2.0), description="Height over width."
    )


class Proposals(Model):
    """The region proposal network: a 3x3 convolution, and for each anchor a score and four offsets."""

    width: Annotated[int, Field(ge=1, le=65_536)] = Field(512, description="Channels of its 3x3 convolution.")
    before_train: Boxes = Field(12_000, description="Boxes of an image kept before NMS, in training.")
    before_test: Boxes = Field(6000, description="The same, in a test.")
    keep_train: Boxes = Field(2000, description="Boxes of an image kept after NMS, in training.")
    keep_test: Boxes = Field(300, description="The same, in a test.")
    nms: Overlap = Field(0.7, description="Overlap (IoU) above which the lower score goes.")
    foreground: Share = Field(
        0.7, description="Overlap from which an anchor is an object; so is each object's best."
    )
    background: Share = Field(0.3, description="Overlap below which an anchor is background.")
    sampled: Boxes = Field(256, description="Anchors of an image that a training step's loss is of.")
    positive: Share = Field(0.5, description="Share of objects among them at most.")


class Regions(Model):
    """What is cut out of the shared map for each proposal, and which proposals are trained on."""

    kind: Literal["pool", "align"] = Field(
        "pool",
        description='"pool": the maximum in each cell, cells at whole positions (Girshick 2015); "align": the mean of '
        "points between positions (He et al. 2017).",
    )
    size: Annotated[int, Field(ge=1, le=64)] = Field(14, description="Cells on a side.")
    points: Annotated[int, Field(ge=0, le=16)] = Field(
        2, description='Of "align": points on a side of each cell; 0 takes about one a position.'
    )
    context: bool = Field(
        False,
        description="Whether the whole image, pooled and put through the same layers, stands beside each region before "
        "scores and offsets (He et al. 2015, appendix B).",
    )
    foreground: Share = Field(0.5, description="Overlap from which a proposal is of an object's class.")
    background: Share = Field(0.5, description="Overlap below which it is background.")
    sampled: Boxes = Field(128, description="Proposals of an image that a training step's loss is of.")
    positive: Share = Field(0.25, description="Share of objects among them at most.")
    weights: tuple[Weight, Weight, Weight, Weight] = Field(
        (10.0, 10.0, 5.0, 5.0),
        strict=False,
        description="What the offsets of x, y, width and height are multiplied by before they are learned.",
    )


class Detections(Model):
    """What is kept of an image's boxes in the end."""

    score: Share = Field(0.05, description="Boxes of a class that score less are dropped.")
    nms: Overlap = Field(0.3, description="Overlap (IoU) above which the lower score of a class goes.")
    most: Boxes = Field(100, description="Boxes of an image, of all classes together.")


class Detector(Model):
    """Faster R-CNN around a network: what is shared, what is run for each region, and all that stands between."""

    backbone: Reference = Field(
        description="The network: a spec that ships, by name, or a .toml file beside this one."
    )
    set: Annotated[tuple[Annotated[str, StringConstraints(max_length=400)], ...], Field(max_length=64)] = (
        Field((), strict=False, description="Changes to that spec, as `--set` takes them: `KEY=VALUE`.")
    )
    cut: StageName = Field(
        description="The last stage that is shared; pools at its end give way to the pooling of regions."
    )
    frozen: Annotated[tuple[StageName, ...], Field(strict=False, max_length=64)] = Field(
        (), description="Rows of the network's stage table whose weights stay as they are."
    )
    batch_norm: Literal["frozen", "statistics", "trained"] = Field(
        "frozen",
        description='"frozen": statistics, scale and shift stay; "statistics": scale and shift are trained; "trained": '
        "statistics are of the batch, as in classification.",
    )
    classes: Classes = Field(description="The classes by name, or how many; background is one more.")
    image: Image = Field(default_factory=Image.model_construct, description="Pictures.")
    anchors: Anchors = Field(default_factory=Anchors.model_construct, description="Boxes to start from.")
    proposals: Proposals = Field(
        default_factory=Proposals.model_construct, description="The region proposal network."
    )
    regions: Regions = Field(
        default_factory=Regions.model_construct, description="What is run for each proposal."
    )
    detections: Detections = Field(default_factory=Detections.model_construct, description="What comes out.")

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names, from label 1 on: label 0 is background."""
        if isinstance(self.classes, int):
            return tuple(f"class {number}" for number in range(1, self.classes + 1))
        return self.classes


class DetectorFile(Model):
    """A detector, declared."""

    format: Format = Field(description="Version of the language of detectors.")
    name: Name = Field(description="Lower-case letters, digits, `_`, `.` and `-`.")
    about: About = Field("", description="What it is.")
    source: About = Field("", description="Where it comes from: a section of a paper, an address.")
    says: dict[Topic, Sentence] = Field(
        {}, max_length=50, description="What the source leaves open and what was chosen here, by topic."
    )
    detector: Detector = Field(description="What it is made of.")
