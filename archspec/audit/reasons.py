"""Why a spec's figures are not the table's: each differing field alone, put into the table's own spec and counted."""

from __future__ import annotations

import copy

from archspec.architecture import Architecture, compiled
from archspec.compare import Change, function_fields
from archspec.errors import SpecError
from archspec.spec.documents import Document
from archspec.spec.fields import shown
from archspec.spec.load import resolve

_WORDS: dict[tuple[str, ...], str] = {
    ("defaults", "stride_on"): "stride on the {own} convolution",
    ("defaults", "shortcut"): "shortcut {own} in place of {reference}",
    ("norm", "kind"): "{own} normalisation in place of {reference}",
}


def differences(own: Architecture, reference: Architecture) -> list[str]:
    """Sentences that name each differing field and what it costs. Empty when both compute one function."""
    if own.hash == reference.hash:
        return []
    found = []
    for change in function_fields(own.declared.resolved(), reference.declared.resolved()):
        trial = _with(reference, change)
        if trial is None or trial.hash != reference.hash:
            found.append(_sentence(change, trial, reference))
    return found or ["computes another function than the table's spec"]


def _with(reference: Architecture, change: Change) -> Architecture | None:
    """The table's spec with one field changed, where that makes a network at all."""
    table = copy.deepcopy(reference.declared.resolved())
    holder, path = table, change.path
    if path[0] == "stages":
        found = [stage for stage in table["stages"] if stage["name"] == path[1]]
        if not found or len(path) < 3:
            return None
        holder, path = found[0], path[2:]
    for key in path[:-1]:
        holder = holder.setdefault(key, {})
    if change.left is None:
        holder.pop(path[-1], None)
    else:
        holder[path[-1]] = change.left
    try:
        return compiled(resolve(Document("<trial>", "", table)))
    except SpecError:
        return None


def _sentence(change: Change, trial: Architecture | None, base: Architecture) -> str:
    own, reference = change.left, change.right
    words = _WORDS.get(change.path)
    if words is not None:
        what = words.format(own=own, reference=reference).replace("none normalisation", "no normalisation")
    elif isinstance(own, (dict, list)) or isinstance(reference, (dict, list)):
        what = f"another {change.name}"
    else:
        what = f"{change.name} = {shown(own)} in place of {shown(reference)}"
    if trial is None:
        return what
    now, before = trial.measure.total, base.measure.total
    changes = {"multiply-adds": now.macs - before.macs, "parameters": now.params - before.params}
    more = [f"{change:,} {name}" for name, change in changes.items() if change > 0]
    less = [f"{-change:,} {name}" for name, change in changes.items() if change < 0]
    costs = [f"{verb} {' and '.join(each)}" for verb, each in (("adds", more), ("takes away", less)) if each]
    return f"{what} {', '.join(costs)}" if costs else f"{what} changes the function, not the counts"
