"""Texts that try to become code, to end a string, or to act on a terminal."""

from __future__ import annotations

from hypothesis import Phase, settings
from hypothesis import strategies as st

HOSTILE = [
    *('"""', "'''", '"""\nimport os\n"""', "'''\nimport os\n'''", '"', "'", '""', '"""""', 'a"', "a'"),
    *(
        '\\"""',
        '\\\\"""',
        "\\",
        "a\\",
        "a\\\\",
        "\\\\\\",
        "\\n",
        "\\\n",
        "\\'",
        '\\"',
        "\\x",
        "\\x4",
        "\\u",
        "\\U0011",
    ),
    *(
        "\\N{BULLET}",
        "\\N{x}",
        "\\0",
        "\\7",
        "\\d",
        "\\\r",
        "\\\u2028",
        "\n",
        "\r",
        "\r\n",
        "\t",
        "\x0b",
        "\x0c",
    ),
    *("\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\0", "\x01", "\x1a", "\x1b[31m", "\x7f", "\x9b", "\ufeff"),
    *(
        "\u200b",
        "\u202e",
        "\u2066",
        "\u2069",
        "\U000e0001",
        "\ue000",
        "\uffff",
        "\u00ad",
        "\u0301",
        "\U0001f600",
    ),
    *(
        "\u3000",
        "\u00a0",
        "\ufb01",
        "\uff02" * 3,
        "{{ x }}",
        "{{",
        "}}",
        "{% for x in y %}",
        "{%",
        "{# ",
        "#}",
    ),
    *(
        "# ",
        "#",
        "{x}",
        "{0}",
        "{",
        "}",
        "%s",
        "%(x)s",
        "$x",
        "{{ ''.__class__.__mro__ }}",
        "{%- raw -%}",
        "-%}",
    ),
    *(
        "# type: ignore",
        "# -*- coding: utf-7 -*-",
        "+ACIAIgAi-",
        ": pass",
        "pass",
        "import os",
        "\nimport os\n",
    ),
    *(
        "\n\nclass A: pass\n",
        ")",
        "):",
        "]",
        ";",
        "; import os",
        "`id`",
        "os.system('true')",
        "__import__('os')",
    ),
    *(
        "eval('1')",
        "lambda: 0",
        "@property",
        "def f():",
        "class X:",
        "yield",
        "None",
        "True",
        "none",
        "true",
        "if",
    ),
    *("self", "nn", "torch", "Tensor", "F", "super", "_", "__init__"),
]
LONG = ["x" * 1900, "a" * 84 + "\\", "a" * 85 + "\\N{x}", "\\" * 1900, "'" * 1900, '"' * 1900, "\\x" * 900]
LONG += ["a\\ " * 600, "\\\\ " * 600, "\x00" * 300, "\u202e" * 300]
# what hurts most often is likely, and so are the columns where lines are broken
WORDS = st.one_of(
    st.sampled_from(HOSTILE),
    st.characters(exclude_categories=["Cs"]),
    st.integers(1, 100).map("a".__mul__),
    st.integers(1, 9).map("\\".__mul__),
    st.just(" "),
)
TEXTS = st.lists(WORDS, max_size=12).map("".join)


def many(examples: int) -> settings:
    """The same examples every time; no `explain`, which takes a minute to say little of a text."""
    return settings(
        max_examples=examples,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
