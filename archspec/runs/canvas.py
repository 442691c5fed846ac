"""What all figures share: colours, sizes, fonts, and how a file is written.

The same figure makes the same bytes. Words are a stranger's text: nothing in them is markup or mathematics.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from archspec.weights.safetensors import staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.typing import RcKeyType

FORMATS = {".svg": "svg", ".png": "png"}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#7f6000", "#56b4e9", "#000000", "#e69f00")
"""After Okabe and Ito: told apart by the colour-blind, too. The first ones are dark enough for text."""
INK, FAINT, GRID = "#222222", "#767676", "#e4e4e4"
WIDTH = 7.2  # inches
SIZE, SMALL = 9.5, 8.0  # points
DPI = 200
_STYLE: dict[RcKeyType, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": SIZE,
    "axes.linewidth": 0.8,
    "figure.dpi": DPI,  # texts are measured as they are drawn
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "Helvetica"],
    "font.size": SIZE,
    "path.simplify": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "archspec",
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "xtick.color": INK,
    "xtick.labelsize": SIZE - 0.5,
    "ytick.color": INK,
    "ytick.labelsize": SIZE - 0.5,
}


def save(make: Callable[[], Figure], path: Path, title: str) -> None:
    """Writes a figure, whole or not at all, as what the name ends with: one of `FORMATS`."""
    kind = FORMATS[path.suffix.lower()]
    with _style(), staged(path) as temporary:
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        metadata = {"Software": None} if kind == "png" else {**nothing, "Title": plain(title)}
        make().savefig(temporary, format=kind, dpi=DPI, metadata=metadata)


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib as it comes, whatever files of this machine say, and then ours."""
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box is drawn
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def fit(text: Text, inches: float, tail: str = "") -> float:
    """Leaves out the middle of a text that is too wide, but not its tail. Returns how wide it is, in inches."""
    whole = text.get_text().removesuffix(tail)
    width, kept = _width(text), len(whole)
    while width > inches and kept > 2:
        kept = min(kept - 1, max(2, int(kept * inches / width)))
        text.set_text(f"{whole[: kept - kept // 2]}…{whole[-(kept // 2) :]}{tail}")
        width = _width(text)
    return width


def _width(text: Text) -> float:
    figure = text.get_figure()
    assert figure is not None, "texts are made by their figure"
    return float(text.get_window_extent().width / figure.dpi)


def plain(text: str) -> str:
    """One line that can be drawn and written into XML, of what is too long only the beginning."""
    return "".join(char if char.isprintable() else " " for char in text[:500]).strip()
