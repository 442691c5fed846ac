"""From a graph of operations to a chain with joins: where the data forks, and where it comes together again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.ir import ops
from archspec.lift.lifted import Unliftable, shown
from archspec.passes.flatten import FlatOp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.lift.canonical import Canonical

MAX_NESTING = 4


@dataclass(frozen=True, slots=True)
class Join:
    """Two ways from one value, and the addition or multiplication that brings them together."""

    step: FlatOp
    main: tuple[Item, ...]
    side: tuple[Item, ...]

    @property
    def path(self) -> str:
        """The node that joins."""
        return self.step.path


Item = FlatOp | Join


def chain(network: Canonical) -> tuple[Item, ...]:
    """The network as one chain from the image to the output. Raises `Unliftable`."""
    walker = _Walker(network)
    items, place = walker.follow(-1, 0)
    if place != network.output or walker.joining(place):
        raise Unliftable(f"{_name(network, place)} does not lead to the output")
    if walker.seen != len(network.steps):
        raise Unliftable("the graph falls into parts that do not hang together")
    return items


class _Walker:
    def __init__(self, network: Canonical) -> None:
        self.steps = network.steps
        self.users: dict[int, list[int]] = {}
        self.seen = 0
        for place, step in enumerate(network.steps):
            for source in step.inputs:
                self.users.setdefault(source, []).append(place)

    def joining(self, place: int) -> int | None:
        """The operation of two inputs that alone reads a value, or None."""
        users = self.users.get(place, [])
        return users[0] if len(users) == 1 and len(self.steps[users[0]].inputs) == 2 else None

    def follow(self, place: int, depth: int) -> tuple[tuple[Item, ...], int]:
        """Everything from a value to where it ends or runs into a join from outside, and the last value."""
        items: list[Item] = []
        while True:
            users = self.users.get(place, [])
            if not users or self.joining(place) is not None:
                return tuple(items), place
            if len(users) == 1:
                items.append(self.steps[users[0]])
                self.seen += 1
                place = users[0]
                continue
            place, join = self.fork(place, users, depth)
            items.append(join)

    def fork(self, place: int, users: list[int], depth: int) -> tuple[int, Join]:
        """A value that two operations read, up to the join of both ways."""
        if len(users) != 2 or depth == MAX_NESTING:
            readers = ", ".join(shown(self.steps[user].path) for user in users[:4])
            raise Unliftable(f"one value is read by {readers}: that is no shortcut and no gate")
        ways = [self.way(user, depth) for user in users]
        (first, end), (second, other) = ways
        if end is None or end != other:
            raise Unliftable(f"the ways that part at {self.name(place)} do not meet in one addition")
        self.seen += 1
        main, side = sorted((first, second), key=_weight, reverse=True)
        return end, Join(self.steps[end], main, side)

    def way(self, user: int, depth: int) -> tuple[tuple[Item, ...], int | None]:
        """One way from a fork: what lies on it, and the operation of two inputs in which it ends."""
        if len(self.steps[user].inputs) == 2:
            return (), user
        self.seen += 1
        items, last = self.follow(user, depth + 1)
        return (self.steps[user], *items), self.joining(last)

    def name(self, place: int) -> str:
        return shown(self.steps[place].path) if place >= 0 else "the input"


def _name(network: Canonical, place: int) -> str:
    return shown(network.steps[place].path) if place >= 0 else "the input"


def _weight(items: Sequence[Item]) -> tuple[int, int]:
    """What tells a residual branch from its shortcut: more convolutions, or else more operations."""
    convolutions = sum(isinstance(item, FlatOp) and isinstance(item.op, ops.Conv2d) for item in items)
    return convolutions, len(items)
