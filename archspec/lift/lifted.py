"""What lifting gives back: a spec with its text, and everything the file does not say or says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from archspec.architecture import Architecture
    from archspec.weights.ambiguity import Ambiguity

SHOWN = 100
Carried = Literal["", "the same function", "the same in evaluation", "another function", "unreadable"]
"""What the spec that a file carries computes, held against the file; empty where it carries none."""


class Unliftable(Exception):
    """What stands in a file has no words in the spec language. The message names the node or the key."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """What a file does that its spec does not, and at which node.

    `outside` says that it lies around the network, which itself computes what the spec says.
    """

    node: str
    what: str
    outside: bool = True

    def __str__(self) -> str:
        return f"{self.node}: {self.what}" if self.node else self.what


@dataclass(frozen=True, slots=True)
class Lifted:
    """A spec that was proved against the file it was lifted from.

    `known_as` are shipped specs that compute the same in evaluation at the file's image size. `params` counts what
    the file holds.
    """

    text: str
    architecture: Architecture
    params: int
    ambiguous: tuple[Ambiguity, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    known_as: tuple[str, ...] = ()
    carried: Carried = ""

    @property
    def exact(self) -> bool:
        """Whether the network computes what the spec says, whatever stands around it."""
        return all(deviation.outside for deviation in self.deviations)


def shown(name: str) -> str:
    """A foreign name for a message: short, on one line, in quotes."""
    text = "".join(char if char.isprintable() else "?" for char in name)
    return f'"{text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"}"'


def remark(ambiguity: Ambiguity) -> str:
    """An ambiguity as a sentence."""
    others = " or ".join(ambiguity.alternatives)
    return f"{ambiguity.field} is taken to be {ambiguity.value}, and could be {others}: {ambiguity.why}."
