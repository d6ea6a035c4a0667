"""Text from outside."""

from __future__ import annotations

import pytest

from surgeon.text import first_few, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rose [male]", "rose [male]"),
        ("东京 café", "东京 café"),
        ("rose\x1b[31m", "rose\\x1b[31m"),
        ("one\ntwo\r", "one\\ntwo\\r"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("caf\udce9.jpg", "caf\\xe9.jpg"),
        ("caf\xa0\x9b", "caf\\u00a0\\u009b"),
        ("half \ud83d", "half \\ud83d"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
    ],
)
def test_what_steers_a_display_is_made_visible(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode()


@pytest.mark.parametrize(
    ("count", "named"),
    [(0, ""), (2, "0, 1"), (3, "0, 1, 2"), (4, "0, 1, 2, and 1 more"), (5003, "0, 1, 2, and 5,000 more")],
)
def test_the_first_few_are_named_and_the_others_counted(count: int, named: str) -> None:
    assert ", ".join(first_few(map(str, range(count)), 3)) == named
