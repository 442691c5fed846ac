"""The encoders: what goes into a template is a literal, an identifier, or the inside of a docstring. No torch."""

from __future__ import annotations

import ast
import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from archspec.backends.source.encode import Src, class_name, ident, lit, parameter, prose
from archspec.backends.source.render import _environment
from tests.backends.texts import TEXTS, many

NO_NAMES = [
    *keyword.kwlist,
    *keyword.softkwlist,
    "",
    " ",
    "a b",
    "a-b",
    "a.b",
    "1a",
    "a\n",
    "\na",
    "a ",
    "a\0",
]
NO_NAMES += ["\ufb01x", "\uff58", "\u00e9", "\u03b1", "\u0430", "x\u0301", "\U0001d465", "\u2118", "a\u00b7"]
NO_NAMES += [
    "\u1d62",
    "a\u200d",
    "\u00aa",
    "\u017f",
    "a\u2215b",
    "a;b",
    "a=1",
    "a(",
    "a:",
    "a#",
    '"',
    "'",
    "\\",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
def test_names_that_python_reads_as_something_else_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not an identifier"):
        ident(name)


@pytest.mark.parametrize(
    "name", ["conv1", "relu6", "leaky_relu", "layer1", "_x", "X", "a" * 1000, "none", "print"]
)
def test_plain_names_are_let_through(name: str) -> None:
    assert ident(name) == name
    assert type(ident(name)) is Src


def test_keywords_among_the_parameters_are_spelled_out() -> None:
    assert [parameter(name) for name in ("in", "out", "width")] == ["in_channels", "out_channels", "width"]


@many(300)
@given(st.text() | TEXTS | st.text(st.characters(), max_size=5) | st.text("'\"\\\n\ud800a", max_size=8))
def test_a_literal_means_what_it_was_made_of(value: str) -> None:
    written = lit(value)
    assert ast.literal_eval(written) == value
    assert written.isascii()
    assert written.isprintable()
    assert isinstance(ast.parse(written, mode="eval").body, ast.Constant)


@many(200)
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_a_number_means_itself(value: float | None) -> None:
    found = ast.literal_eval(lit(value))
    assert found == value
    assert type(found) is type(value)


NO_LITERALS = [float("nan"), float("inf"), float("-inf"), b"x", [1], (1,), {1}, {}, object(), 1j, int, print]


@pytest.mark.parametrize("value", NO_LITERALS, ids=lambda value: type(value).__name__)
def test_what_has_no_literal_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        lit(value)


@many(300)
@given(TEXTS | st.text())
def test_prose_is_the_inside_of_a_string_and_nothing_else(text: str) -> None:
    lines = prose(text, 60)
    assert all(line.isprintable() for line in lines)
    written = "\n".join(lines)
    assert '"' not in written
    for quoted in (f'"""{written}"""', f'"""\n{written}\n"""'):
        value = ast.literal_eval(quoted)
        assert " ".join(value.split()) == " ".join(written.replace("\\\\", "\\").split())


@many(300)
@given(
    TEXTS | st.from_regex(r"[a-z][a-z0-9_.-]{0,63}", fullmatch=True),
    st.sampled_from(["", "Block", "Shortcut"]),
)
def test_a_class_name_is_an_identifier(name: str, suffix: str) -> None:
    if not (name[:1].isascii() and name[:1].islower()):
        name = f"a{name}"  # no name of a spec starts otherwise
    made = class_name(name, suffix)
    assert made.isascii()
    assert made.isidentifier()
    assert not keyword.iskeyword(made)
    assert made.startswith(name[0].upper())


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("resnet152", "ResNet152"),
        ("vgg16", "VGG16"),
        ("resnext50-32x4d", "ResNeXt50"),
        ("mobilenetv2", "MobileNetV2"),
        ("preact-resnet50", "PreActResNet50"),
        ("se-resnet50", "SEResNet50"),
        ("my_net.v2", "MyNetV2"),
    ],
)
def test_families_are_spelled_as_their_authors_do(name: str, made: str) -> None:
    assert class_name(name).startswith(made)


@pytest.mark.parametrize(
    "value",
    ["x", "", 1, 1.5, True, None, [], ["x"], {}, b"x", object()],
    ids=lambda value: type(value).__name__,
)
def test_the_template_refuses_what_no_encoder_made(value: object) -> None:
    with pytest.raises(TypeError, match="no encoder made"):
        _environment().from_string("{{ value }}").render(value=value)


MADE = [
    "{{ value ~ 'x' }}",
    "{{ value | upper }}",
    "{{ value + 'x' }}",
    "{{ 'x' }}",
    "{{ value[:2] }}",
    "{{ 1 }}",
]
MADE += [
    "{{ value | replace('e', '') }}",
    "{{ [value] | join }}",
    "{{ value.title() }}",
    "{{ value | safe }}",
]


@pytest.mark.parametrize("template", MADE)
def test_what_a_template_makes_of_encoded_text_is_not_encoded(template: str) -> None:
    with pytest.raises(TypeError, match="no encoder made"):
        _environment().from_string(template).render(value=Src("encoded"))


def test_the_template_lets_encoded_text_through_as_it_is() -> None:
    rendered = _environment().from_string("{{ value }}").render(value=Src("{{ 7 * 7 }} <&>'\""))
    assert rendered == "{{ 7 * 7 }} <&>'\""
    with pytest.raises((UndefinedError, TypeError)):
        _environment().from_string("{{ nothing }}").render()
