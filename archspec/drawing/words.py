"""Text in a drawing: made harmless, and measured without a font."""

from __future__ import annotations

from unicodedata import category, east_asian_width

MOST = 400
FAMILY = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

# hundredths of an em for the characters from the space to the tilde, of DejaVu Sans Bold: of all the fonts
# that may be taken it is the widest
# fmt: off
_WIDTHS = (
    35, 46, 52, 84, 70, 100, 87, 31, 46, 46, 52, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70, 70, 70, 70, 40, 40,
    84, 84, 84, 58, 100, 77, 76, 73, 83, 68, 68, 82, 84, 37, 37, 77, 64, 100, 84, 85, 73, 85, 77, 72, 68, 81, 77, 110,
    77, 72, 73, 46, 37, 46, 84, 50, 50, 67, 72, 59, 72, 68, 44, 72, 71, 34, 34, 67, 34, 104, 71, 69, 72, 72, 49, 60,
    48, 71, 65, 92, 65, 65, 58, 71, 37, 71, 84,
)
# fmt: on


def plain(text: str, most: int = MOST) -> str:
    """A stranger's text on one line, without characters that steer a reader, and not endless."""
    one_line = " ".join(text[: 4 * most].split())
    shown = "".join("\ufffd" if category(char)[0] == "C" else char for char in one_line)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def width(text: str, size: float, *, bold: bool = False) -> float:
    """The most that a text is wide, in whatever sans-serif font it is set."""
    return sum(map(_advance, text)) * size / 100 * (1 if bold else 0.93)


def _advance(char: str) -> int:
    place = ord(char) - 32
    if 0 <= place < len(_WIDTHS):
        return _WIDTHS[place]
    return 105 if east_asian_width(char) in "WF" else 95
