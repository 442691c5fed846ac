"""`archspec schema` and `archspec explain`: the language and its diagnostics, looked up."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal

from archspec.errors import did_you_mean
from archspec_cli.output import data, emit_json, fail, is_current, say, table, write_whole

if TYPE_CHECKING:
    from pathlib import Path

_FOLDERS = {"spec": "spec", "recipe": "recipes", "study": "studies", "detector": "detection"}


def schema(output: Path, of: Literal["spec", "recipe", "study", "detector"], *, check: bool) -> None:
    text: str = import_module(f"archspec.{_FOLDERS[of]}.schema").schema_text()
    if str(output) == "-":
        data(text)
        return
    current = is_current(output, text)
    if check and not current:
        data(f"{output} is not current")
        raise SystemExit(1)
    if not current:
        write_whole(output, text)
        say(f"wrote {output}")


def explain(code: str | None, *, as_json: bool) -> None:
    from archspec.explain import explanations

    known = explanations()
    if code is None:
        if as_json:
            emit_json({"codes": {name: each.as_json() for name, each in known.items()}})
            return
        data(table(["code", "meaning"], [[name, each.title] for name, each in known.items()], left=2))
        return
    wanted = code.upper()
    if wanted not in known:
        fail(
            f'no diagnostic has the code "{code}"',
            did_you_mean(wanted, known) or "archspec explain lists all",
        )
    if as_json:
        emit_json({"code": wanted, **known[wanted].as_json()})
        return
    data(f"{wanted}: {known[wanted].title}\n\n{known[wanted].text()}")
