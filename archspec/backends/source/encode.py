"""The only way into a template: text that has been encoded for the place it goes to.

`Src` marks text that is known to be safe Python. The template environment refuses every other string, so a
filter that was forgotten raises instead of letting a spec write code.
"""

from __future__ import annotations

import keyword
import re
import unicodedata
from math import isfinite
from textwrap import wrap

from archspec.sizes import Binary, Size, Var, text

_WORDS = re.compile(r"[A-Za-z]+|[0-9]+")
# how families are spelled by their authors
_SPELLED = {
    "resnet": "ResNet",
    "vgg": "VGG",
    "resnext": "ResNeXt",
    "mobilenet": "MobileNet",
    "mobilenetv": "MobileNetV",
    "preact": "PreAct",
    "se": "SE",
    "wrn": "WRN",
}
_PARAMETERS = {"in": "in_channels", "out": "out_channels"}


class Src(str):
    """Python source made by an encoder."""

    __slots__ = ()


def lit(value: object) -> Src:
    """A literal, in ASCII, on one line."""
    if isinstance(value, str):
        return Src(f'"{"".join(_escaped(character) for character in value)}"')
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"no literal for {value}")
    if value is None or isinstance(value, (bool, int, float)):
        return Src(repr(value))
    raise TypeError(f"no literal for {type(value).__name__}")


def _escaped(character: str) -> str:
    return f"\\{character}" if character in '"\\' else ascii(character)[1:-1]


def ident(name: str) -> Src:
    """A name. Raises `ValueError` for what is not a plain ASCII identifier."""
    if (
        not name.isascii()
        or not name.isidentifier()
        or keyword.iskeyword(name)
        or keyword.issoftkeyword(name)
    ):
        raise ValueError(f"not an identifier: {name!r}")
    return Src(name)


def parameter(name: str) -> Src:
    """A size's name in Python: `in` is a keyword, so the channels are spelled out."""
    return ident(_PARAMETERS.get(name, name))


def size(value: Size) -> Src:
    """A size as an expression over the parameters: `4 * width`."""
    return Src(text(value, parameter))


def value(given: object) -> Src:
    """An argument: a size, or a literal."""
    return size(given) if isinstance(given, (Var, Binary)) else lit(given)


def class_name(name: str, suffix: str = "") -> Src:
    """A class's name from a spec's or block's: resnet152 is ResNet152, basic is BasicBlock."""
    words = (_SPELLED.get(word, word[0].upper() + word[1:]) for word in _WORDS.findall(name))
    joined = "".join(words)
    named = joined if joined.endswith(suffix) else joined + suffix
    return ident(f"{named}Net" if keyword.iskeyword(named) else named)


def prose(text: str, width: int) -> list[Src]:
    """The lines of a docstring: nothing in them can end the string, escape, or act on a terminal.

    Lines are broken before backslashes are doubled: a break between the two would change what is said.
    """
    cleaned = " ".join("".join(_visible(character) for character in text.replace('"', "'")).split())
    lines = wrap(cleaned, width, break_on_hyphens=False)
    return [Src(line.replace("\\", "\\\\")) for line in lines]


def _visible(character: str) -> str:
    if character in "\t\n\r\f\v ":
        return " "
    if unicodedata.category(character)[0] in "CZ" or not character.isprintable():
        return f"U+{ord(character):04X}"
    return character
