"""Text from outside: names of files, classes, layers and runs, messages of libraries. It is shown, never obeyed."""

from __future__ import annotations

_JOINERS = "\u200c\u200d"  # without them names in Persian, Hindi and many emoji are spelled wrongly


def printable(value: object) -> str:
    r"""Returns text from outside as one line that a terminal, a page and a file in UTF-8 can take.

    Escape sequences, line breaks, marks that turn the direction of writing and whatever else steers a display become
    visible escapes. A byte of a file name that is not UTF-8, a lone surrogate in Python, becomes U+FFFD.

    >>> printable("rose\x1b[31m")
    'rose\\x1b[31m'
    """
    return "".join(map(_visible, str(value)))


def _visible(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return character if character.isprintable() or character in _JOINERS else repr(character)[1:-1]
