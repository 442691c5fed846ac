"""The spec language as frozen Pydantic models. Every key is listed here; every other key is an error.

The models are the reference: field descriptions become the JSON Schema and `docs/spec.md`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WrapValidator,
    model_validator,
)

from archspec.sizes import Var
from archspec.spec.fields import (
    About,
    ActivationSwitch,
    ActKind,
    BiasSwitch,
    BlockName,
    BlockReference,
    Epsilon,
    Format,
    Name,
    NormKind,
    NormSwitch,
    ParameterName,
    Probability,
    SizeField,
    StageName,
)

Shortcut = Literal["none", "identity", "A", "B", "C"]
Order = Literal["post", "pre"]
InitKind = Literal["he-normal-fan-in", "he-normal-fan-out", "xavier-normal", "normal", "torch"]
LAYER_KINDS = ("conv", "pool", "linear", "dropout", "gate", "norm", "act")


class Model(BaseModel):
    """What all tables share: frozen, strict types, no unknown keys.

    Validators are built once, for the whole spec, when the first one is read: that is most of the start-up. It is
    also why defaults that are tables are constructed, not validated: each would build a validator of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Conv(Model):
    """A convolution with its normalisation and activation: `{ conv = 3, out = 64, stride = 2 }`."""

    conv: SizeField = Field(description="Kernel size k of a k x k convolution.")
    out: SizeField = Field(description="Output channels.")
    stride: SizeField | None = Field(
        None, description="Default 1, or the stage's stride where `stride_on` puts it."
    )
    padding: SizeField | None = Field(None, description="Default dilation * (k - 1) // 2: the size is kept.")
    dilation: SizeField = Field(1, description="Spacing of the kernel's taps.")
    groups: SizeField = Field(1, description="Groups; equal to the channels for a depthwise convolution.")
    bias: bool | None = Field(
        None, description='Default: `defaults.bias`; "auto" has a bias where no norm follows.'
    )
    norm: NormSwitch | None = Field(
        None, description="true, false, or a kind. Default true; false inside a gate."
    )
    act: ActivationSwitch | None = Field(None, description="true, false, or a kind. Default true.")
    standardise: bool | None = Field(
        None, description="Default: `defaults.standardise`; false inside a gate."
    )
    order: Order | None = Field(
        None, description='"post": conv, norm, act. "pre": norm, act, conv (He et al. 2016).'
    )


class Pool(Model):
    """A pool: `{ pool = "max", size = 3, stride = 2 }`. An average pool without a size is the global one."""

    pool: Literal["max", "average"] = Field(description="Kind of pool.")
    size: SizeField | None = Field(
        None, description="Window. An average pool without it pools the whole map."
    )
    stride: SizeField | None = Field(None, description="Default: the window's size.")
    padding: SizeField | None = Field(
        None, description="Default (size - 1) // 2 for a max pool that rounds down, else 0."
    )
    rounding: Literal["floor", "ceil"] = Field(
        "floor", description='"ceil" is Caffe\'s rounding of the output size.'
    )
    output: SizeField | None = Field(
        None, description="Adaptive average pool to output x output, instead of a size."
    )


class Linear(Model):
    """A fully connected layer: `{ linear = 1000 }`. A feature map is flattened first."""

    linear: SizeField = Field(description="Output features.")
    bias: bool = Field(True, description="Whether it has a bias.")
    act: ActivationSwitch = Field(False, description="true, false, or a kind. Default false.")
    dropout: Probability = Field(0.0, description="Dropout after the activation.")


class Dropout(Model):
    """Dropout: `{ dropout = 0.5 }`."""

    dropout: Probability = Field(description="Probability of a zero in training.")


class Gate(Model):
    """Multiplies by what its layers make of the same input: squeeze-and-excitation and its kin."""

    gate: tuple[Layer, ...] = Field(
        strict=False,
        max_length=20,
        description="Layers; their result has the input's shape, or one value a channel.",
    )


class Norm(Model):
    """A normalisation of its own: `{ norm = true, act = true }`."""

    norm: NormSwitch = Field(description="true or a kind.")
    act: ActivationSwitch = Field(False, description="An activation behind it. Default false.")


class Act(Model):
    """An activation of its own: `{ act = true }`."""

    act: ActivationSwitch = Field(description="true or a kind.")


def _layer_kind(value: Any) -> str | None:
    keys = value.keys() if isinstance(value, dict) else getattr(type(value), "model_fields", {})
    return next((f"<{kind}>" for kind in LAYER_KINDS if kind in keys), None)


Layer = Annotated[
    Annotated[Conv, Tag("<conv>")]
    | Annotated[Pool, Tag("<pool>")]
    | Annotated[Linear, Tag("<linear>")]
    | Annotated[Dropout, Tag("<dropout>")]
    | Annotated[Gate, Tag("<gate>")]
    | Annotated[Norm, Tag("<norm>")]
    | Annotated[Act, Tag("<act>")],
    Discriminator(
        _layer_kind,
        custom_error_type="AS111",
        custom_error_message=f"a layer is a table with one of {', '.join(LAYER_KINDS)}",
    ),
]
# TOML has arrays, not tuples: `strict=False` lets them through, and says nothing about what is inside
Layers = Annotated[tuple[Layer, ...], Field(max_length=200, strict=False)]


class Block(Model):
    """A block type, as data. Sizes may use `in`, `out`, `width`, `stride` and the spec's parameters."""

    about: About = Field("", description="One line; it becomes the class's docstring.")
    out: SizeField = Field(Var("width"), description='Output channels, for example "4 * width".')
    layers: Layers = Field(description="The residual branch F(x).")
    after: Layers = Field(
        default_factory=lambda: (Act.model_construct(act=True),),
        description="Layers after the addition, or in its place in a plain net.",
    )
    projection: Layers = Field(
        default_factory=lambda: (
            Conv.model_construct(conv=1, out=Var("out"), stride=Var("stride"), act=False),
        ),
        description="What a projection shortcut is made of (options B and C).",
    )
    project_after: int = Field(
        0, ge=0, le=100, description="A projection starts after this many layers of the branch."
    )


class Input(Model):
    """The image the network is declared for."""

    channels: SizeField = Field(3, description="Channels of the image.")
    size: tuple[SizeField, SizeField] = Field((224, 224), strict=False, description="Height and width.")


class Stem(Model):
    """What stands before the first stage."""

    layers: Layers = Field((), description="Layers.")


class Head(Model):
    """What stands after the last stage."""

    layers: Layers = Field((), description="Layers.")


class Defaults(Model):
    """What layers, blocks and stages do where they do not say."""

    block: BlockReference | None = Field(None, description="Block type of a stage.")
    shortcut: Shortcut = Field(
        "none",
        description='"none" is a plain net; "identity" only where shapes are equal; "A" pads with zero channels; '
        '"B" projects where shapes change; "C" projects everywhere (He et al., 3.3 and 4.1).',
    )
    pad: Literal["end", "both"] = Field("end", description="Where option A puts its zero channels.")
    subsample: Literal["stride", "average"] = Field(
        "stride", description="How option A halves a map: every second pixel, or a 2x2 mean."
    )
    stride_on: Literal["first", "1x1", "3x3"] = Field(
        "first",
        description="Which convolution of a block takes the stage's stride, where the block does not say.",
    )
    order: Order = Field("post", description='"post": conv, norm, act. "pre": norm, act, conv.')
    act: ActKind = Field("relu", description="The activation.")
    bias: BiasSwitch = Field("auto", description='Bias of convolutions; "auto": where no norm follows.')
    standardise: bool = Field(
        False, description="Whether convolutions standardise their weights (Qiao et al. 2019)."
    )


class NormTable(Model):
    """The normalisation."""

    kind: NormKind = Field("batch", description="Its kind.")
    eps: Epsilon = Field(
        1e-5,
        description='Added to the variance, or to the mean square. Where kind is "frn" the default is 1e-6.',
    )
    momentum: Epsilon = Field(
        0.1, description="Of batch normalisation's running statistics, as torch counts it."
    )
    groups: int = Field(32, ge=1, le=65536, description="Groups of group normalisation.")

    @model_validator(mode="before")
    @classmethod
    def _own_eps(cls, value: Any) -> Any:
        # each kind has its paper's own: Singh and Krishnan 2020, 3.1
        if isinstance(value, dict) and value.get("kind") == "frn":
            return {"eps": 1e-6, **value}
        return value


class Init(Model):
    """How weights are filled. Part of a spec, but not of the function, so not of its hash."""

    conv: InitKind = Field(
        "he-normal-fan-out", description='Convolution weights. "torch" is torch\'s own default.'
    )
    linear: InitKind = Field("torch", description="Linear weights.")
    std: float = Field(0.01, gt=0, le=10, allow_inf_nan=False, description='Standard deviation of "normal".')
    bias: Literal["zero", "torch"] = Field("zero", description="Biases of convolutions and linear layers.")
    zero_last_norm: bool = Field(
        False, description="Whether the last norm of a residual branch starts at zero."
    )


class Family(Model):
    """The rule that a family of networks follows."""

    depth: SizeField = Field(description='Weighted layers by a parameter, for example "6 * n + 2".')


class Stage(Model):
    """Blocks at one resolution."""

    name: StageName = Field(description="The paper's name, for example conv2_x.")
    block: BlockReference | None = Field(None, description="Block type; default `defaults.block`.")
    depth: SizeField = Field(1, description="Number of blocks.")
    width: SizeField = Field(description="The block's width: its channels before any expansion.")
    stride: SizeField = Field(1, description="Stride of the first block.")
    shortcut: Shortcut | None = Field(None, description="Default `defaults.shortcut`.")
    before: Layers = Field((), description="Layers before the first block.")
    after: Layers = Field((), description="Layers after the last block.")


def _in_block(value: Any, handler: Any, info: ValidationInfo) -> Any:
    if info.context is None:
        return handler(value)
    info.context["in_block"] = True
    try:
        return handler(value)
    finally:
        info.context["in_block"] = False


class Spec(Model):
    """A network, declared."""

    format: Format = Field(description="Version of the spec language.")
    name: Name = Field(description="Lower-case letters, digits, `_`, `.` and `-`.")
    about: About = Field("", description="What it is and where it comes from.")
    params: dict[ParameterName, SizeField] = Field(
        {}, max_length=64, description="Parameters for expressions."
    )
    family: Family | None = Field(None, description="The family's rule.")
    depth: int | None = Field(
        None, ge=1, le=10**9, description="Weighted layers; the family's rule is solved for it."
    )
    keys: Literal["resnet", "sequential"] = Field(
        "resnet",
        description='`state_dict` keys: "resnet" is conv1, layer1.0.conv1, fc; "sequential" is features.0.',
    )
    input: Input = Field(default_factory=Input.model_construct, description="The input image.")
    defaults: Defaults = Field(
        default_factory=Defaults.model_construct, description="Defaults of layers, blocks and stages."
    )
    norm: NormTable = Field(default_factory=NormTable.model_construct, description="The normalisation.")
    init: Init = Field(default_factory=Init.model_construct, description="Weight initialisation.")
    blocks: dict[BlockName, Annotated[Block, WrapValidator(_in_block)]] = Field(
        {}, max_length=64, description="Block types of this spec."
    )
    stem: Stem = Field(default_factory=Stem.model_construct, description="Before the first stage.")
    stages: tuple[Stage, ...] = Field((), max_length=64, strict=False, description="The stages, in order.")
    head: Head = Field(default_factory=Head.model_construct, description="After the last stage.")
