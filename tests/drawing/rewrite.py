"""The pictures that are kept. `python -m tests.drawing.rewrite` writes them anew; no test does."""

from __future__ import annotations

from pathlib import Path

from archspec.drawing.draw import Format, Wanted, draw
from tests.conftest import architecture

FOLDER = Path(__file__).parent / "goldens"
PICTURES: dict[str, tuple[list[str], Format, Wanted, list[str]]] = {
    "figure3.svg": (
        ["specs/vgg19.toml", "specs/plain34.toml", "specs/resnet34.toml"],
        "svg",
        Wanted(),
        ["VGG-19", "34-layer plain", "34-layer residual"],
    ),
    "figure5.svg": (
        ["specs/figure5/basic.toml", "specs/figure5/bottleneck.toml"],
        "svg",
        Wanted(blocks=True),
        [],
    ),
    "resnet152.txt": (["specs/resnet152.toml"], "text", Wanted(collapse=True), []),
    "resnet20.mmd": (["specs/cifar/resnet20.toml"], "mermaid", Wanted(collapse=True), []),
    "resnet20.dot": (["specs/cifar/resnet20.toml"], "dot", Wanted(), []),
}


def picture(name: str) -> str:
    """A kept picture as it is drawn now."""
    specs, format, wanted, titles = PICTURES[name]
    drawn = draw([architecture(spec) for spec in specs], format, wanted, titles=titles)
    assert isinstance(drawn, str)
    return drawn


if __name__ == "__main__":
    for name in PICTURES:
        (FOLDER / name).write_text(picture(name), encoding="utf-8", newline="\n")
