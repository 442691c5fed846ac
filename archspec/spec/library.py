"""What ships with archspec: the built-in block types, and the spec files by name."""

from __future__ import annotations

import os
import tomllib
from functools import cache
from pathlib import Path

from archspec.spec.models import Block, Spec

_PACKAGE = Path(__file__).parent.parent
BLOCK_FOLDER = _PACKAGE / "blocks"


@cache
def block_names() -> frozenset[str]:
    """The built-in block types."""
    return frozenset(path.stem for path in BLOCK_FOLDER.glob("*.toml"))


@cache
def block(name: str) -> Block:
    """A built-in block type."""
    table = tomllib.loads((BLOCK_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    # as part of a spec: the spec's validator is there already, a block's own would have to be built
    spec = Spec.model_validate(
        {"format": 1, "name": name, **table}, context={"params": frozenset(), "blocks": (), "in_block": False}
    )
    return spec.blocks[name]


@cache
def spec_folder() -> Path:
    """The folder of shipped specs: inside the wheel, or the repository's in an editable install."""
    packaged = _PACKAGE / "_specs"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "specs"


NOT_NETWORKS = frozenset({"detection", "recipes", "studies"})
"""Folders beside the networks that hold TOML of another kind."""


def networks(folder: Path) -> list[Path]:
    """The spec files of networks in a folder of specs, at any depth, in order."""
    found = (path.relative_to(folder) for path in folder.rglob("*.toml"))
    return [folder / path for path in sorted(found) if path.parts[0] not in NOT_NETWORKS]


def shipped_names() -> list[str]:
    """The shipped specs, as `find_spec` takes them: resnet50, cifar/resnet20."""
    folder = spec_folder()
    return [path.relative_to(folder).with_suffix("").as_posix() for path in networks(folder)]


def shipped_detectors() -> list[str]:
    """The shipped detectors, as `find_spec` takes them: faster-rcnn-resnet101."""
    return sorted(path.stem for path in (spec_folder() / "detection").glob("*.toml"))


def find_spec(name: str) -> Path:
    """A spec by path, or a shipped one by name: `resnet50`, `cifar/resnet20`, `specs/resnet50.toml`.

    A detector's name is known too, so that it can be said what it is.
    """
    path = Path(name)
    # a folder of that name, as runs leave it, does not hide what ships
    if os.path.isfile(path) or path.is_absolute() or ".." in path.parts:
        return path
    shipped, folder = name.removeprefix("specs/"), spec_folder()
    for candidate in (folder / shipped, folder / f"{shipped}.toml", folder / "detection" / f"{shipped}.toml"):
        if os.path.isfile(candidate):
            # shown as people would type it
            return candidate.relative_to(Path.cwd()) if candidate.is_relative_to(Path.cwd()) else candidate
    return path
