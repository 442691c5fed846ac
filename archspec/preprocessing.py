"""What is done to a picture before a network sees it, as data that travels with weights and models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from archspec.errors import file_error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy as np
    from PIL.Image import Image

MAX_SIDE = 16_384
MAX_PIXELS = 89_478_485
"""Of a picture, before and after its resize; a quarter of a gigabyte in RGB."""
_MAX_JSON = 65_536
_MOST_PROBLEMS = 8

Interpolation = Literal["bilinear", "bicubic", "nearest"]
Color = Literal["RGB", "BGR", "L"]
Layout = Literal["NCHW", "NHWC"]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Mean = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Std = Annotated[float, Field(allow_inf_nan=False, ge=1e-6, le=1e6)]


class Preprocessing(BaseModel):
    """Upright, in color, the shorter side resized, the middle cut out, scaled, normalised: torchvision's order.

    A pixel of 255 becomes `range`, then `(x - mean) / std` for each channel, in the order that `color` names. With
    `in_graph` the model does that itself and takes bytes, in the same order of channels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    size: tuple[Side, Side] = Field(description="Height and width of the network's input: of the crop.")
    resize: Side | None = Field(None, description="Of the shorter side, before the crop. None: as it is.")
    interpolation: Interpolation = "bilinear"
    color: Color = "RGB"
    range: Literal[1, 255] = Field(1, description="The value of a full pixel before mean and std.")
    mean: tuple[Mean, ...] = Field(description="One a channel.")
    std: tuple[Std, ...] = Field(description="One a channel.")
    layout: Layout = "NCHW"
    in_graph: bool = Field(False, description="The model takes uint8 NHWC and normalises them itself.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(
                    f"{self.color} has {self.channels} channels, but {name} has {len(values)} values"
                )
        if self.in_graph and self.layout != "NHWC":
            raise ValueError("in_graph goes with the layout NHWC")
        return self

    @property
    def channels(self) -> int:
        """How many channels the network sees."""
        return 1 if self.color == "L" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what `apply` gives: `(C, H, W)`, or `(H, W, C)` with the layout NHWC."""
        return (self.channels, *self.size) if self.layout == "NCHW" else (*self.size, self.channels)

    def apply(self, picture: Image) -> np.ndarray[Any, Any]:
        """A picture as the network takes it: float32, or uint8 when the model normalises.

        Raises `ValueError` where it has no such form.
        """
        import numpy as np

        pixels = np.asarray(self._cropped(self._resized(colored(upright(picture), self.color))))
        pixels = pixels.reshape(*self.size, self.channels)
        if self.color == "BGR":
            pixels = pixels[:, :, ::-1]
        values = pixels if self.in_graph else self._normalised(pixels)
        return np.ascontiguousarray(values.transpose(2, 0, 1) if self.layout == "NCHW" else values)

    def _normalised(self, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Bytes `(H, W, C)` as the float32 numbers a network was trained with."""
        import numpy as np

        values = pixels.astype(np.float32)
        if self.range == 1:
            values /= np.float32(255)
        values -= np.asarray(self.mean, np.float32)
        values /= np.asarray(self.std, np.float32)
        return values

    def _resized(self, picture: Image) -> Image:
        """The shorter side as asked; the other one rounds down, as torchvision's does."""
        from PIL.Image import Resampling

        width, height = picture.size
        if self.resize is None or min(width, height) == self.resize:
            return picture
        longer = int(self.resize * max(width, height) / min(width, height))
        if self.resize * longer > MAX_PIXELS:
            raise ValueError(
                f"{width}x{height} pixels, resized to a shorter side of {self.resize}, are too many"
            )
        target = (self.resize, longer) if width <= height else (longer, self.resize)
        return picture.resize(target, Resampling[self.interpolation.upper()])

    def _cropped(self, picture: Image) -> Image:
        """The middle; what lies outside of the picture is black."""
        top, left = (middle(has, wants) for has, wants in zip(picture.size[::-1], self.size, strict=True))
        return picture.crop((left, top, left + self.size[1], top + self.size[0]))

    def fitted(self, input_shape: Sequence[int]) -> Preprocessing:
        """The same for a network that takes `(C, H, W)`; the resize keeps its ratio to the crop.

        Raises `ValueError` where it is for another number of channels.
        """
        channels, height, width = input_shape
        if channels != self.channels:
            raise ValueError(
                f"the network takes {channels} channels, but the preprocessing gives {self.color}"
            )
        if (height, width) == self.size:
            return self
        resize = self.resize and round(self.resize * max(height, width) / max(self.size))
        return Preprocessing.model_validate({**dict(self), "size": (height, width), "resize": resize})

    def to_json(self) -> str:
        """On one line, the fields in their order."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str, file: str | PathLike[str]) -> Preprocessing:
        """Reads what `to_json` or a person wrote. Raises `FileError`: AS522 with every problem."""
        if len(text) > _MAX_JSON:
            raise file_error(file, "AS522", f"preprocessing of more than {_MAX_JSON:,} characters")
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problems = [_said(dict(each)) for each in error.errors(include_url=False)[:_MOST_PROBLEMS]]
            raise file_error(
                file, "AS522", *problems, hint=f"it looks like {PRESETS['imagenet'].to_json()}"
            ) from error


PRESETS = {
    # torchvision's reference for evaluation, used by its published weights of ResNet and VGG
    "imagenet": Preprocessing(
        size=(224, 224), resize=256, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    # of the training set, as fb.resnet.torch has them
    "cifar10": Preprocessing(
        size=(32, 32), resize=32, range=255, mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7)
    ),
    "none": Preprocessing(size=(224, 224), resize=224, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
}


def preset(name: str, input_shape: Sequence[int]) -> Preprocessing:
    """A preset for a network that takes `(C, H, W)`. Raises `ValueError`; `KeyError` for a name that is none."""
    found = PRESETS[name]
    if name == "none" and input_shape[0] == 1:
        found = Preprocessing(size=found.size, resize=found.resize, color="L", mean=(0.0,), std=(1.0,))
    return found.fitted(input_shape)


def _said(error: dict[str, Any]) -> str:
    """A problem on one line: pydantic's words, with the field."""
    field = ".".join(str(part) for part in error["loc"])[:60]
    message = str(error["msg"]).removeprefix("Value error, ")[:200]
    return f"preprocessing: {field}: {message}" if field else f"preprocessing: {message}"


def middle(has: int, wants: int) -> int:
    """Where the middle begins, with torchvision's rounding; less than 0 where the picture is too small."""
    return -((wants - has) // 2) if wants > has else round((has - wants) / 2)


def upright(picture: Image) -> Image:
    """The picture as its camera was held. A note that cannot be read turns nothing."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # noqa: BLE001 - EXIF is parsed by many hands; the pixels are fine
        return picture


def colored(picture: Image, color: Color) -> Image:
    """In RGB or grey, as PIL converts. Transparency is dropped: what lies under it is seen."""
    from PIL.Image import fromarray

    wanted = "L" if color == "L" else "RGB"
    if picture.mode.startswith("I;16"):
        picture = fromarray(_bytes_of_16_bits(picture))  # PIL would make all above 255 white
    if picture.mode in ("I", "F"):
        raise ValueError(f'pixels of the mode "{picture.mode}" have no agreed white')
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")
    return picture if picture.mode == wanted else picture.convert(wanted)


def _bytes_of_16_bits(picture: Image) -> np.ndarray[Any, Any]:
    """The upper byte, as PIL itself takes it of 16-bit RGB."""
    import numpy as np

    return (np.asarray(picture).astype(np.uint16) >> 8).astype(np.uint8)
