"""Text from outside: names of files, classes, layers and runs, messages of libraries. It is shown, never obeyed."""

from __future__ import annotations

from collections.abc import Iterable

_JOINERS = "\u200c\u200d"  # without them names in Persian, Hindi and many emoji are spelled wrongly


def printable(value: object) -> str:
    r"""Returns text from outside as one line that a terminal, a page and a file in UTF-8 can take.

    Escape sequences, line breaks, marks that turn the direction of writing and whatever else steers a display become
    visible escapes. So does a byte of a file name that is not UTF-8, which is a lone surrogate in Python.

    >>> printable("rose\x1b[31m"), printable("caf\udce9.jpg")
    ('rose\\x1b[31m', 'caf\\xe9.jpg')
    """
    return "".join(map(_visible, str(value)))


def first_few(items: Iterable[str], most: int) -> list[str]:
    """Returns as many items as a person reads at once and, if there are others, a last one that counts them.

    >>> ", ".join(first_few(["rose", "tulip", "iris", "daisy"], 2))
    'rose, tulip, and 2 more'
    """
    every = list(items)
    return every if len(every) <= most else [*every[:most], f"and {len(every) - most:,} more"]


def counted(count: int, noun: str) -> str:
    """Returns how many there are of something that takes an s.

    >>> counted(1, "epoch"), counted(2500, "image")
    ('1 epoch', '2,500 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _visible(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:x}"
    # Above ASCII the escape of a character is \u00.., since \x.. is that of a byte.
    return repr(character)[1:-1] if character < "\x80" else f"\\u{ord(character):04x}"
