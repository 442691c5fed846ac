"""What each diagnostic means, with an example of the mistake and its cure."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Explanation:
    """The long form of a diagnostic. `wrong` and `right` are whole specs, or fragments where that is clearer."""

    title: str
    about: str
    wrong: str = ""
    right: str = ""

    def text(self) -> str:
        """For people."""
        parts = [self.about.strip()]
        parts += [f"Wrong:\n\n{_indented(self.wrong)}"] if self.wrong else []
        parts += [f"Right:\n\n{_indented(self.right)}"] if self.right else []
        return "\n\n".join(parts)

    def as_json(self) -> dict[str, str]:
        """For programs."""
        return asdict(self)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.strip().split("\n"))


@cache
def explanations() -> dict[str, Explanation]:
    """Every diagnostic's explanation, by code."""
    table = tomllib.loads(files("archspec").joinpath("explanations.toml").read_text(encoding="utf-8"))
    return {code: Explanation(**entry) for code, entry in sorted(table.items())}
