"""Tables of published numbers, as TOML data: what was printed, where, and under which convention."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from archspec.spec import library
from archspec.spec.documents import Document, read
from archspec.spec.fields import problem, shown
from archspec.spec.inherit import Sources
from archspec.spec.validate import problems

if TYPE_CHECKING:
    from collections.abc import Iterable

Quantity = Literal["macs", "params", "layers", "output"]
TABLE_FOLDER = Path(__file__).parent / "tables"
_PRINTED = r"^(?:[0-9]+(?:\.[0-9]+)?(?:e[0-9]{1,2})?%?|[0-9]+x[0-9]+|meta:[a-z_]+|equal)$"
Text = Annotated[str, StringConstraints(max_length=1000)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Row(_Model):
    """One published number: `{ quantity = "macs", printed = "3.8e9", place = "Table 1" }`.

    The digits of `printed` say how precise it is. `equals` compares with another spec at a precision of `unit`;
    `share_of` takes the percentage of another spec's count; `meta:KEY` reads torchvision's weights metadata.
    """

    quantity: Quantity
    printed: Annotated[str, StringConstraints(pattern=_PRINTED)]
    place: Text
    stage: Text = ""
    convention: Literal["conv+linear", "conv"] = "conv+linear"
    equals: Text = ""
    share_of: Text = ""
    unit: int = Field(1, ge=1)
    reason: Text = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.quantity == "output") != bool(self.stage):
            raise problem("AS112", 'a row of quantity "output" names its stage, and no other row does')
        if (self.printed == "equal") != bool(self.equals):
            raise problem("AS112", 'printed = "equal" needs a spec in equals, and no other row has one')
        if self.printed.endswith("%") != bool(self.share_of):
            raise problem("AS112", "a percentage needs a spec in share_of, and no other row has one")
        return self


class Network(_Model):
    """A network of a table, the spec that is held to be it, and its rows."""

    name: Text
    spec: Text
    weights: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$")] | None = None
    rows: tuple[Row, ...] = Field(strict=False, max_length=1000)


class DetectorRow(_Model):
    """One published number about what a detector's regions share."""

    quantity: Literal["convolutions", "stride"]
    printed: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}$")]
    place: Text


class PublishedDetector(_Model):
    """A detector of a table, the file that is held to be it, and its rows."""

    name: Text
    spec: Text
    rows: tuple[DetectorRow, ...] = Field(strict=False, max_length=100)


class Table(_Model):
    """Published numbers."""

    format: Literal[1]
    name: Text
    title: Text
    networks: tuple[Network, ...] = Field(strict=False, max_length=1000)
    detectors: tuple[PublishedDetector, ...] = Field((), strict=False, max_length=100)


@dataclass(frozen=True, slots=True)
class Published:
    """A table and the folder that its specs are relative to."""

    table: Table
    folder: Path

    def spec(self, name: str) -> Path:
        """The path of one of the table's specs."""
        return self.folder / name

    def network_for(self, spec_name: str) -> Network | None:
        """The network whose name a spec's name starts with: resnet50-v1.5 is a ResNet-50."""
        wanted = plain_name(spec_name)
        fitting = [network for network in self.table.networks if starts(wanted, plain_name(network.name))]
        return max(fitting, key=lambda network: len(network.name), default=None)


def plain_name(name: str) -> str:
    """Lower-case letters and digits only: ResNet-50 and resnet50 are one name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def starts(wanted: str, name: str) -> bool:
    """Whether a plain name is another's with more behind it: resnet50v15 is resnet50, resnet500 is not."""
    return wanted.startswith(name) and not wanted[len(name) : len(name) + 1].isdigit()


def table_names() -> list[str]:
    """The tables that ship with archspec."""
    return sorted(path.stem for path in TABLE_FOLDER.glob("*.toml"))


def load_table(name: str) -> Published:
    """A shipped table by name, or one of the user's by path. Raises `SpecError`."""
    if name in table_names():
        return Published(_validated(read(TABLE_FOLDER / f"{name}.toml")), library.spec_folder())
    path = Path(name)
    return Published(_validated(read(path)), path.parent)


def _validated(document: Document) -> Table:
    try:
        return Table.model_validate(document.data)
    except ValidationError as error:
        raise Sources((document,)).error(problems(error, Table, document.data)) from error


def precision(printed: Decimal) -> Decimal:
    """The value of one unit in the last printed digit: 1e8 for 3.8e9."""
    exponent = printed.as_tuple().exponent
    assert isinstance(exponent, int)
    return Decimal(1).scaleb(exponent)


def metadata(weights: str, key: str) -> str:
    """A number from torchvision's own weights metadata, written with its digits."""
    from torchvision.models import get_weight

    meta: dict[str, Any] = get_weight(weights).meta
    if key not in meta:
        raise KeyError(f"{weights} has no metadata {shown(key)}")
    # `_ops` is in units of 1e9, rounded to three decimals
    return f"{meta[key]:.3f}e9" if key == "_ops" else str(meta[key])


def names_of(networks: Iterable[Network]) -> str:
    """The networks of a table, for a message."""
    return ", ".join(network.name for network in networks)
