"""`extends` and `--set`: documents laid over each other, and the way back from a value to its line.

Tables merge, arrays are replaced, and `[stage.NAME]` changes one inherited stage. Nothing is copied into the
result with its place: the place is looked up again, from the last document to the first, when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from archspec.errors import Diagnostic, Problem, Related, SpecError, did_you_mean
from archspec.spec.documents import Document, clipped, fail, parse, read, similar_file
from archspec.spec.fields import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from archspec.errors import Loc, Span

MAX_CHAIN = 10
MAX_PROBLEMS = 100
NOT_INHERITED = ("extends", "stage")


@dataclass(frozen=True, slots=True)
class Sources:
    """The documents a spec is made of, the base first."""

    documents: tuple[Document, ...]

    @property
    def texts(self) -> dict[str, str]:
        """The text of every file, for excerpts."""
        return {document.file: document.text for document in self.documents}

    def merged(self) -> dict[str, Any]:
        """One table: each document laid over those before it."""
        return reduce(_overlay, (document.data for document in self.documents), {})

    def problems(self) -> list[Problem]:
        """`[stage.NAME]` tables that fit no stage known where they stand."""
        found: list[Problem] = []
        table: dict[str, Any] = {}
        for document in self.documents:
            found += _stage_problems(document, document.data.get("stages", table.get("stages")))
            table = _overlay(table, document.data)
        return found

    def origin(self, loc: Loc) -> tuple[Document, Loc]:
        """The document that says a value, and the value's path in it."""
        merged = self.merged()
        for length in range(len(loc), 0, -1):
            for document in reversed(self.documents):
                local = _local(document, loc[:length], merged)
                if local is not None:
                    return document, (*local, *loc[length:])
        return self.documents[-1], loc

    def diagnostic(self, problem: Problem) -> Diagnostic:
        """A problem with its place in the file that holds the mistake."""
        if problem.notes and self._built_in(problem.loc):
            # a built-in block has no line of its own here: the stage that uses it is the place
            problem = problem._replace(loc=problem.notes[0].loc, at="key", notes=problem.notes[1:])
        document, local = self.origin(problem.loc)
        related = []
        for note in problem.notes:
            other, other_loc = self.origin(note.loc)
            related.append(Related(clipped(note.message), other.span(other_loc, "value")))
        span = document.span(local, problem.at)
        return Diagnostic(
            problem.code, clipped(problem.message), span, clipped(problem.hint), related=tuple(related)
        )

    def place(self, loc: Loc) -> Span:
        """Where a value is said."""
        document, local = self.origin(loc)
        return document.span(local, "value")

    def _built_in(self, loc: Loc) -> bool:
        return loc[:1] == ("blocks",) and not any(_present(each.data, loc[:2]) for each in self.documents)

    def error(self, problems: Sequence[Problem]) -> SpecError:
        """All problems (a hundred at most) as one error, in the order of the documents and their lines."""
        order = {document.file: place for place, document in enumerate(self.documents)}
        found = {self.diagnostic(problem): None for problem in problems[:MAX_PROBLEMS]}
        return SpecError(
            sorted(found, key=lambda each: (order[each.span.file], each.span.line, each.span.column)),
            self.texts,
        )


def _overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base`, with its `[stage.NAME]` tables applied."""
    result = _merge(base, {key: value for key, value in over.items() if key not in NOT_INHERITED})
    changes, stages = over.get("stage"), result.get("stages")
    if isinstance(changes, dict) and isinstance(stages, list):
        result["stages"] = [_changed(stage, changes) for stage in stages]
    return result


def _changed(stage: Any, changes: Mapping[str, Any]) -> Any:
    name = stage.get("name") if isinstance(stage, dict) else None
    change = changes.get(name) if isinstance(name, str) else None
    return _merge(stage, change) if isinstance(change, dict) else stage


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        result[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def _local(document: Document, loc: Loc, merged: Mapping[str, Any]) -> Loc | None:
    if loc[0] == "stages" and len(loc) > 2:
        name = _stage_name(merged, loc[1])
        for key in _stage_keys(document, name):
            local = ("stage", key, *loc[2:])
            if _present(document.data, local):
                return local
    return loc if _present(document.data, loc) else None


def _stage_keys(document: Document, name: str | None) -> Iterator[str]:
    """The `[stage.KEY]` tables of a document that concern a stage: its own, or one that renames to it."""
    changes = document.data.get("stage")
    if name is None or not isinstance(changes, dict):
        return
    yield name
    yield from (
        key for key, change in changes.items() if isinstance(change, dict) and change.get("name") == name
    )


def _stage_name(merged: Mapping[str, Any], place: str | int) -> str | None:
    stages = merged.get("stages")
    if not isinstance(stages, list) or not isinstance(place, int) or place >= len(stages):
        return None
    name = stages[place].get("name") if isinstance(stages[place], dict) else None
    return name if isinstance(name, str) else None


def _present(value: Any, loc: Loc) -> bool:
    for key in loc:
        known = range(len(value)) if isinstance(value, list) else value
        if not isinstance(known, (dict, range)) or key not in known:
            return False
        value = value[key]
    return True


def _stage_problems(document: Document, stages: Any) -> list[Problem]:
    """`[stage.NAME]` tables that name no stage or are no tables."""
    changes = document.data.get("stage")
    if changes is None:
        return []
    if not isinstance(changes, dict):
        return [Problem("AS103", "[stage.NAME] is a table for one stage", ("stage",), at="key")]
    known = (
        [stage.get("name") for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []
    )
    problems: list[Problem] = []
    for name, change in changes.items():
        if len(problems) == MAX_PROBLEMS:
            break
        if name not in known:
            hint = did_you_mean(name, [word for word in known if isinstance(word, str)])
            problems.append(Problem("AS110", f'no stage is named "{name}"', ("stage", name), hint, "key"))
        elif not isinstance(change, dict):
            problems.append(Problem("AS103", f"[stage.{name}] is a table", ("stage", name), at="key"))
    return problems


def gather(first: Document, root: Path, *, allow_outside: bool = False) -> tuple[Document, ...]:
    """A document and all it extends, the base first. Raises `SpecError` for cycles, escapes and long chains."""
    chain = [first]
    while (named := chain[-1].data.get("extends")) is not None:
        document = chain[-1]
        path = _extended(document, named, root, allow_outside=allow_outside)
        seen = [each.path.resolve() for each in chain if each.path is not None]
        if path.resolve() in seen:
            cycle = " -> ".join([*(each.file for each in chain), str(path)])
            raise _at_extends(document, "AS011", f"extends itself: {cycle}")
        if len(chain) > MAX_CHAIN:
            raise _at_extends(document, "AS012", f"more than {MAX_CHAIN} files extend each other")
        try:
            chain.append(read(path))
        except SpecError as error:
            if error.diagnostics[0].code not in ("AS001", "AS002"):
                raise
            message = f"{named}: {error.diagnostics[0].message}"
            raise _at_extends(document, "AS010", message, _similar(path, str(named))) from error
    return tuple(reversed(chain))


def _similar(path: Path, named: str) -> str:
    """The nearest file beside a missing one, as `extends` would say it."""
    match = similar_file(path)
    beside = named.rpartition("/")[0]
    return f'did you mean "{f"{beside}/{match}" if beside else match}"?' if match else ""


def _extended(document: Document, named: Any, root: Path, *, allow_outside: bool) -> Path:
    if not isinstance(named, str) or not named.strip():
        raise _at_extends(document, "AS103", "extends is the path of another spec")
    if "\0" in named or "://" in named:
        raise _at_extends(document, "AS013", "extends is the path of a file beside this one")
    folder = document.path.parent if document.path is not None else root
    path = folder / named
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise _at_extends(document, "AS010", f"{named}: cannot be followed") from error
    if not inside and not allow_outside:
        raise _at_extends(
            document, "AS013", f'"{named}" lies outside the spec\'s folder', "--allow-outside permits it"
        )
    return path


def _at_extends(document: Document, code: str, message: str, hint: str = "") -> SpecError:
    return SpecError(
        [document.diagnostic(Problem(code, message, ("extends",), hint))], {document.file: document.text}
    )


def assignments(
    settings: Sequence[str], params: Mapping[str, int] | None, known: Mapping[str, Any]
) -> tuple[Document, ...]:
    """`--set KEY=VALUE` and `params=` as documents that lie over all others. Raises `SpecError`."""
    declared = known.get("params")
    names = set(declared) if isinstance(declared, dict) else set()
    given = [_parameter(name, value) for name, value in (params or {}).items()]
    given += [_assignment(setting, names) for setting in settings]
    for document in given:
        _refuse_unknown(document, names)
    return tuple(given)


def _parameter(name: str, value: object) -> Document:
    """One entry of `params=`, from Python."""
    file = f"params {name}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise fail(file, "AS103", f"a parameter is a whole number, not {shown(value)}")
    if not 0 <= value <= 10**6:
        raise fail(file, "AS104", f"a parameter lies between 0 and 1000000, not {shown(value)}")
    return parse(f"params.{name} = {value}".encode("utf-8", "surrogatepass"), file, None)


def _refuse_unknown(document: Document, names: set[str]) -> None:
    """A parameter that no file declares would change nothing: that is a mistyped name."""
    given = document.data.get("params", {})
    for name in given if isinstance(given, dict) else ():
        if name not in names:
            hint = did_you_mean(name, names) if names else "the spec declares no [params]"
            problem = Problem("AS107", f'unknown parameter "{name}"', ("params", name), hint, "key")
            raise SpecError([document.diagnostic(problem)], {document.file: document.text})


def _assignment(setting: str, names: set[str]) -> Document:
    key, equals, value = setting.partition("=")
    file = f"--set {setting}"
    key = key.strip()
    if not equals or not key or "\n" in setting or "\r" in setting or key == "extends":
        raise fail(file, "AS014", "--set takes KEY=VALUE, for example n=18 or norm.kind=group", text=setting)
    dotted = f"params.{key}" if key in names else key
    try:
        return parse(f"{dotted} = {value.strip()}".encode("utf-8", "surrogatepass"), file, None)
    except SpecError:
        # a bare word is text: `norm.kind=group` needs no quotes
        quoted = value.strip().replace("\\", "\\\\").replace('"', '\\"')
        return parse(f'{dotted} = "{quoted}"'.encode("utf-8", "surrogatepass"), file, None)
