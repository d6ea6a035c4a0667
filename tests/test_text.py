"""Text from outside."""

from __future__ import annotations

import pytest

from surgeon.text import printable


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
