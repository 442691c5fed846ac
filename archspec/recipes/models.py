"""The recipe language as frozen Pydantic models. Every key is listed here; every other key is an error.

The models are the reference: field descriptions become the JSON Schema and the tables of `docs/recipes.md`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from archspec.recipes.fields import (
    Below1,
    Count,
    Milestones,
    Pixel,
    Positive,
    Rate,
    Ratio,
    Sentence,
    SetName,
    Share,
    Side,
    SideRange,
    Sides,
    Spread,
    Strength,
    Topic,
    Until,
)
from archspec.spec.fields import About, Format, Name
from archspec.spec.models import Model


class Data(Model):
    """What is trained on, and how much of it at a time."""

    name: SetName = Field("digits", description="The data set, where `--data` names none.")
    split: Count = Field(0, description="Training images held out for validation; 0 holds out none.")
    which: Literal["last", "random"] = Field(
        "last",
        description='Which are held out: the "last" in the order of the files, or "random" ones, drawn by a fixed '
        "seed, the same in every run.",
    )
    batch: Positive = Field(128, description="Images in a step, on all devices together.")
    last: Literal["keep", "drop"] = Field(
        "keep",
        description='The images that are left behind an epoch\'s whole batches: a smaller batch ("keep"), or out of '
        'this epoch ("drop").',
    )


class Augment(Model):
    """What is done to a training image at random. Resize or area, then pad, crop, flip, colours."""

    resize: SideRange | None = Field(
        None,
        description="Shorter side: a whole number, or [lowest, highest], drawn uniformly from both and between.",
    )
    area: tuple[Share, Share] | None = Field(
        None,
        strict=False,
        description="Share of the image cut out and resized to `crop` (Szegedy et al. 2014): [lowest, highest].",
    )
    aspect: tuple[Ratio, Ratio] = Field(
        (3 / 4, 4 / 3),
        strict=False,
        description="Width over height of that cut: [lowest, highest], log-uniform.",
    )
    pad: Annotated[int, Field(ge=0, le=1024)] = Field(
        0, description="Pixels added on each side before the crop."
    )
    fill: Literal["mean", "black"] = Field(
        "mean",
        description='What is padded with: "mean" pads a normalised image with zeros, "black" an image as it is, '
        "before it is normalised.",
    )
    crop: Side | None = Field(None, description="Side of the square cut out at random.")
    flip: bool = Field(False, description="Whether every second image, by chance, is mirrored left to right.")
    jitter: Below1 = Field(
        0.0,
        description="Brightness, contrast and saturation, in random order, each by a factor from 1 - jitter to "
        "1 + jitter.",
    )
    colour: Literal["none", "pca"] = Field(
        "none", description='"pca" adds noise along the principal components of RGB (Krizhevsky et al. 2012).'
    )
    pca_sigma: Share = Field(
        0.1, description="Standard deviation of that noise, in units of the eigenvalues."
    )


class Normalise(Model):
    """What is subtracted from a pixel and what it is divided by. Statistics are of the images trained on alone."""

    kind: Literal["per-pixel-mean", "per-channel", "per-channel-std", "fixed", "none"] = Field(
        "per-channel-std",
        description='Subtracted is the mean image ("per-pixel-mean") or the mean of each channel ("per-channel"); '
        '"per-channel-std" also divides by its standard deviation; "fixed" takes `mean` and `std` from here.',
    )
    range: Literal[1, 255] = Field(1, description="The value of a full pixel before mean and std.")
    mean: tuple[Pixel, ...] = Field(
        (), strict=False, max_length=64, description='One a channel, for "fixed".'
    )
    std: tuple[Spread, ...] = Field(
        (), strict=False, max_length=64, description='One a channel, for "fixed".'
    )
    sample: Count = Field(
        0,
        description="Training images that statistics are computed from, the same ones in every run; 0 takes all.",
    )


class Optimiser(Model):
    """How a gradient becomes a step."""

    kind: Literal["sgd", "adam", "adamw"] = Field("sgd", description="Its kind, as torch implements it.")
    lr: Rate = Field(0.1, description="The learning rate that the schedule starts from.")
    momentum: Below1 = Field(0.9, description="Of sgd.")
    nesterov: bool = Field(False, description="Nesterov's momentum, of sgd.")
    betas: tuple[Below1, Below1] = Field((0.9, 0.999), strict=False, description="Of adam and adamw.")
    eps: Rate = Field(1e-8, description="Of adam and adamw.")
    weight_decay: Strength = Field(
        0.0, description="Added to the gradient, times the weight; adamw decouples it."
    )
    decay: Literal["all", "weights", "conv"] = Field(
        "all",
        description='What decays: "all" parameters, the "weights" of convolutions and linear layers, or those of '
        '"conv"olutions alone. Biases and normalisations decay only under "all".',
    )


class Warmup(Model):
    """Another learning rate at the start. Its steps count: milestones are where they would be without it."""

    lr: Rate = Field(description="The rate while it lasts, or where a linear one starts.")
    until: Until = Field(
        description='Its length in the schedule\'s unit, or "train-error": until the training error is low enough.'
    )
    below: Share = Field(0.8, description='With "train-error": the error that ends it, as a share of images.')
    every: Positive = Field(
        100,
        description='With "train-error": iterations between looks at the error of the images seen since the last.',
    )
    shape: Literal["constant", "linear"] = Field(
        "constant", description='"linear" rises evenly from `lr` to the rate that follows.'
    )


class Schedule(Model):
    """The learning rate as a function of the iteration."""

    kind: Literal["steps", "every", "plateau", "constant", "cosine"] = Field(
        "constant",
        description='Divided at `milestones` ("steps"), after each `period` ("every"), or when an error stops falling '
        '("plateau"); "cosine" falls to 0 at the end.',
    )
    unit: Literal["iteration", "epoch"] = Field(
        "iteration", description="What `total`, `milestones`, `period`, `patience` and `warmup.until` count."
    )
    total: Positive = Field(description="Where training ends.")
    milestones: Milestones = Field(
        (), description='With "steps": counted from 0, the first step at the lower rate.'
    )
    period: Positive | None = Field(None, description='With "every": the length of one rate.')
    divide_by: Annotated[float, Field(gt=1, le=10**6, allow_inf_nan=False)] = Field(
        10.0, description="What the rate is divided by."
    )
    watch: Literal["validation-error", "train-error"] = Field(
        "validation-error", description='With "plateau": the error that is watched, measured once an epoch.'
    )
    patience: Positive = Field(10, description='With "plateau": how long the error may fail to fall.')
    threshold: Share = Field(
        0.001, description='With "plateau": a fall below the best by less than this share of images is none.'
    )
    most_drops: Annotated[int, Field(ge=1, le=100)] = Field(
        3, description='With "plateau": divisions at most.'
    )
    warmup: Warmup | None = Field(None, description="Another rate at the start.")


class Train(Model):
    """How the loop computes."""

    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="Of autocast; weights stay fp32.")
    accumulate: Annotated[int, Field(ge=1, le=65536)] = Field(
        1, description="Parts that a batch is computed in, one after the other. BN normalises each by itself."
    )
    label_smoothing: Below1 = Field(0.0, description="Share of the target spread over all classes.")
    clip: Strength = Field(0.0, description="The gradient's largest norm; 0 clips nothing.")
    ema: Below1 = Field(
        0.0, description="Decay of an average of the weights, which is then tested; 0 keeps none."
    )
    precise_bn: Count = Field(
        0,
        description="Training images that BN's statistics are averaged over before a test; 0 keeps the running ones.",
    )


class Evaluation(Model):
    """How the network is tested."""

    crops: Literal["single", "ten", "full"] = Field(
        "single",
        description='"single": the centre; "ten": centre and corners, and their mirror images; "full": the whole '
        "image, the head applied as a 1x1 convolution.",
    )
    crop: Side | None = Field(None, description="Side of a crop; without it a crop is the whole image.")
    sizes: Sides = Field(
        (),
        description="Shorter sides that an image is resized to, the scores averaged; none leaves it as it is.",
    )


class Recipe(Model):
    """How a network is trained and tested, declared."""

    format: Format = Field(description="Version of the recipe language.")
    name: Name = Field(description="Lower-case letters, digits, `_`, `.` and `-`.")
    about: About = Field("", description="What it is.")
    source: About = Field("", description="Where it comes from: a section of a paper, an address.")
    says: dict[Topic, Sentence] = Field(
        {}, max_length=50, description="What the source leaves open and what was chosen here, by topic."
    )
    data: Data = Field(default_factory=Data.model_construct, description="Images.")
    augment: Augment = Field(default_factory=Augment.model_construct, description="Random changes to images.")
    normalise: Normalise = Field(default_factory=Normalise.model_construct, description="Mean and std.")
    optimiser: Optimiser = Field(default_factory=Optimiser.model_construct, description="Steps.")
    schedule: Schedule = Field(description="The learning rate, and when to stop.")
    train: Train = Field(default_factory=Train.model_construct, description="The loop.")
    test: Evaluation = Field(default_factory=Evaluation.model_construct, description="Testing.")
